/* engine: continuous batching as one pure step, the sampler, the prefix cache, the text workers, and the process around it.
 *
 *     struct engine *en = NULL;
 *     engine_new(&opts, &en, &e);                    // opens the model; no thread but the pool's and the text workers
 *     engine_submit(en, &req, &e);                   // -> accepted or refused among the events
 *     engine_start(en, id);
 *     while (engine_step(en, sink, ctx)) ...         // one batched forward; events go to sink
 *
 * Tests and inspection commands link it like this; `moat serve` and `moat run` start it as a child (engine_main) and speak
 * wire. There is no other path to an answer. Scheduling decides when a row is computed, never what it computes to. */
#pragma once

#include "../model/model.h"
#include "../wire/wire.h"

struct engine_opts {
    const char *isa;              /* NULL: MOAT_ISA or the best */
    unsigned threads;             /* 0: cpus_usable() */
    uint32_t ctx;                 /* 0: the smaller of the model's and 8192 */
    uint32_t parallel;            /* sequences running at once; 0: 32 */
    uint32_t queue;               /* waiting; 0: 256 */
    uint32_t chunk;               /* most rows of a step; 0: 512. The scheduler sizes steps below it so that none lasts 0.2 s */
    uint64_t kv_memory;           /* 0: what `parallel` sequences of half the context need, at most a quarter of the memory */
    enum dtype kv_type;           /* DTYPE_F16, DTYPE_Q8_0, DTYPE_F32 (which is 0: say what you mean) */
    const char *name;             /* for messages and wire_model */
    struct str release;           /* canonical JSON, or empty: a bare file */
    const struct digest *weights; /* SHA-256 of the model file; NULL: no fingerprint is computed */
    struct str map;               /* the file where it is a map of fs_map's, else empty */
    const struct packed_file *packed; /* or NULL; borrowed during engine_new */
    bool sync_text;                   /* tests and inspection: render and tokenise inside engine_submit, no text workers */
};
/* The context served where none is asked for: the smaller of the model's and 8192. */
uint32_t engine_default_ctx(const struct gguf *g);
struct engine;
/* g and the map under it are borrowed during engine_new only. */
int engine_new(const struct gguf *g, const struct engine_opts *opts, struct engine **out, struct err *e) MUST_USE;
void engine_free(struct engine *en);
const struct wire_model *engine_model(const struct engine *en);
struct model *engine_raw_model(struct engine *en); /* for `moat logits` and `moat bench` */
const struct tok *engine_tok(const struct engine *en);

typedef void (*engine_sink)(void *ctx, const struct gen_event *ev); /* the event is borrowed during the call */

/* Takes a request (copied, any field unchecked). accepted or refused comes from a later engine_step; with sync_text from the
 * next one. Only kinds up to GEN_TOKENS then wait for engine_start; the others go on to done by themselves. */
int engine_submit(struct engine *en, const struct gen_req *req, struct err *e) MUST_USE;
void engine_start(struct engine *en, uint64_t id);
/* While paused (nobody takes what it says) a request has no rows, and gives its place to one that waits for it. */
void engine_pause(struct engine *en, uint64_t id, bool paused);
void engine_cancel(struct engine *en, uint64_t id); /* its work stops before the next step; done{cancelled} follows */
/* One step: takes what text workers finished, schedules, computes one batch, samples, emits. Returns whether there is work
 * left to do at once (false: wait for engine_fd or a message). Never longer than 0.2 s of compute. */
bool engine_step(struct engine *en, engine_sink sink, void *ctx);
int engine_fd(const struct engine *en); /* readable when a text worker finished something; -1 with sync_text */

/* The child process: speaks wire on `sock` until shutdown or the peer is gone. 0 also when it refused open: the peer knows why. */
int engine_main(int sock, struct err *e) MUST_USE;

/* fingerprint (DESIGN 7): SHA-256 of canonical JSON over everything that can change an answer, as hex; its first 16 digits are
 * the fingerprint. ctx: the served context. */
int engine_fingerprint(const struct gguf *g, const struct engine_opts *opts, uint32_t ctx, char digest[65],
                       struct err *e) MUST_USE;
