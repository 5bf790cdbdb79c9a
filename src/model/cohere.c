/* cohere: Command-R and Aya (GGUF: command-r), Command-R7B, Command A and Aya Expanse's successors (cohere2). Both halves of a
 * layer read the same norm of x, which has no bias; rotary positions on adjacent pairs, a gated SiLU feed-forward, tied output,
 * scaled logits. cohere2: three of four layers have a window, the others see everything and leave positions out.
 *
 *     x = embd[token]
 *     x = x + Wo attention(rope(Wq h), rope(Wk h), Wv h) + Wdown (silu(Wgate h) * Wup h)     h = norm(x)
 *     logits = logit_scale * embd norm(x) */
#include "gptneox.h"

enum { WINDOW_PERIOD = 4 };

static struct gptneox *load_cohere(struct loader *l) {
    struct gptneox *m = gptneox_load(l, &(struct gptneox_opts){.gated = true, .attn_norm = "attn_norm"});
    if (!m)
        return NULL;
    m->act = ACT_SILU;
    m->parallel = true;
    m->logit_scale = load_positive(l, "logit_scale", 1);
    return m;
}

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_epsilon");
    struct gptneox *m = load_cohere(l);
    if (m)
        m->rope = load_rope(l, &hp->rope, true);
}

static void load_cohere2(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_epsilon");
    struct gptneox *m = load_cohere(l);
    if (!m)
        return;
    if (hp->layers[0].window == 0)
        load_refuse(l, "attention.sliding_window", "is missing or 0");
    load_window_period(l, WINDOW_PERIOD);
    for (uint32_t i = 0; i < hp->n_layers; i++)
        m->layers[i].no_rope = hp->layers[i].window == 0;
    struct kern_rope_spec spec = hp->rope;
    spec.base = load_positive(l, "rope.freq_base_swa", spec.base); /* only windowed layers rotate */
    m->rope = load_rope(l, &spec, true);
}

const struct family family_cohere = {.arch = "command-r", .load = load, .forward = gptneox_forward};
const struct family family_cohere2 = {.arch = "cohere2", .load = load_cohere2, .forward = gptneox_forward};
