/* Every operation but the products on every tier of this machine: the golden hashes of the definition. */
#include "fun_cases.h"

int main(void) {
    const struct kern *texts[8];
    size_t n = 0;
    for (; kern_isa((unsigned)n) && n < N_ITEMS(texts); n++)
        texts[n] = kern_get(kern_isa((unsigned)n), NULL);
    return fun_main(n, texts);
}
