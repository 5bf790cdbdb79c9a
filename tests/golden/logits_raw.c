/* logits_raw MODEL [ISA]: reads token ids from stdin, writes float32 logits [ids][vocab] to stdout: what `moat logits` hashes, from the
 * layers up to model alone. For processors that the whole program is not built for here. */
#include "model/model.h"

#include <fcntl.h>
#include <stdlib.h>

/* Nothing is kept or looked up by digest here; the real ones need a library. */
struct sha256 *sha256_new(void) {
    return NULL;
}
void sha256_add(struct sha256 *h, const void *p, size_t n) {
    (void)h, (void)p, (void)n;
}
struct digest sha256_end(struct sha256 *h) {
    (void)h;
    return (struct digest){{0}};
}
struct digest sha256_of(struct str s) {
    (void)s;
    return (struct digest){{0}};
}

enum { ROWS_MAX = 1024 };

int main(int argc, char **argv) {
    static struct row rows[ROWS_MAX];
    static uint16_t faults[ROWS_MAX];
    struct err e = {0};
    struct str map;
    struct gguf *g = NULL;
    struct model *m = NULL;
    struct kv *kv = NULL;
    uint32_t n = 0;
    for (unsigned id; n < ROWS_MAX && scanf("%u", &id) == 1; n++)
        rows[n] = (struct row){.pos = n, .token = id, .want_logits = true};
    struct model_opts opts = {
        .kern = kern_get(argc > 2 ? argv[2] : NULL, &e), .pool = pool_new(2), .kv_type = DTYPE_F16, .rows_max = ROWS_MAX};
    int fd = fs_open(AT_FDCWD, argv[1], O_RDONLY, 0, &e);
    if (e.code || fs_map(fd, argv[1], &map, &e) < 0 || gguf_open(map, &g, &e) < 0 || model_open(g, &opts, &m, &e) < 0 ||
        kv_new(m, ROWS_MAX / KERN_PAGE + 1, 1, &kv, &e) < 0 || !kv_reserve(kv, 0, n)) {
        fprintf(stderr, "%s: %s\n", e.where, e.msg);
        return 1;
    }
    size_t n_vocab = model_info(m)->n_vocab;
    float *logits = malloc(n * n_vocab * sizeof *logits);
    model_forward(m, kv, rows, n, logits, faults);
    fwrite(logits, sizeof *logits, n * n_vocab, stdout);
    return 0;
}
