/* Every operation but the products on every tier of this machine: the golden hashes of the definition. */
#include "fun_bench.h"

int main(int argc, char **argv) {
    const struct kern *texts[8];
    size_t n = 0;
    for (; kern_isa((unsigned)n) && n < N_ITEMS(texts); n++)
        texts[n] = kern_get(kern_isa((unsigned)n), NULL);
    if (argc < 2 || strcmp(argv[1], "--bench") != 0)
        return fun_main(n, texts);
    for (size_t t = argc > 2 ? strtoul(argv[2], NULL, 10) : 0; t < n; t++) {
        bench_attn(texts[t], argc > 3 ? argv[3] : "");
        bench_functions(texts[t]);
    }
    return 0;
}
