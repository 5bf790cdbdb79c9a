/* test_dot_avx512: the AVX-512 text of the products beside the definition, on machines without AVX-512: SIMDe carries out its
 * intrinsics on AVX2 (the Makefile gives this file its flags). What Debian's SIMDe lacks is written down here, lane by lane. Where the CPU has the tier, test_dot has it too. */
#if !defined(__x86_64__)
#include <stdio.h>
int main(void) {
    printf("0 passed, 0 failed, 1 skipped\n");
    return 0;
}
#else
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

/* Applies a conversion of 128 or 256 bits, which AVX2 has, to both halves. */
static inline __m512 emu_cvtph_ps(__m256i h) {
    simde__m512_private out;
    out.m256[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(h));
    out.m256[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1));
    return simde__m512_from_private(out);
}
static inline __m512i emu_cvtepu8_epi32(__m128i v) {
    simde__m512i_private out;
    out.m256i[0] = _mm256_cvtepu8_epi32(v);
    out.m256i[1] = _mm256_cvtepu8_epi32(_mm_srli_si128(v, 8));
    return simde__m512i_from_private(out);
}
static inline __m512i emu_cvtepi8_epi32(__m128i v) {
    simde__m512i_private out;
    out.m256i[0] = _mm256_cvtepi8_epi32(v);
    out.m256i[1] = _mm256_cvtepi8_epi32(_mm_srli_si128(v, 8));
    return simde__m512i_from_private(out);
}
static inline __m512i emu_cvtepu16_epi32(__m256i v) {
    simde__m512i_private out;
    out.m256i[0] = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(v));
    out.m256i[1] = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1));
    return simde__m512i_from_private(out);
}
static inline __m512 emu_cvtepi32_ps(__m512i v) {
    simde__m512i_private in = simde__m512i_to_private(v);
    simde__m512_private out;
    out.m256[0] = _mm256_cvtepi32_ps(in.m256i[0]);
    out.m256[1] = _mm256_cvtepi32_ps(in.m256i[1]);
    return simde__m512_from_private(out);
}
static inline __m512i emu_srai_epi32(__m512i v, int n) {
    simde__m512i_private in = simde__m512i_to_private(v);
    in.m256i[0] = _mm256_srai_epi32(in.m256i[0], n);
    in.m256i[1] = _mm256_srai_epi32(in.m256i[1], n);
    return simde__m512i_from_private(in);
}
#define _mm512_cvtph_ps emu_cvtph_ps
#define _mm512_cvtepu8_epi32 emu_cvtepu8_epi32
#define _mm512_cvtepi8_epi32 emu_cvtepi8_epi32
#define _mm512_cvtepu16_epi32 emu_cvtepu16_epi32
#define _mm512_cvtepi32_ps emu_cvtepi32_ps
#define _mm512_srai_epi32 emu_srai_epi32

#define DOT_KEEP(v) ((void)0)
#define DOT_UNROLL /* or the compiler takes minutes */
#include "kern/kern_dot_avx512.h"

#include "dot_cases.h"

int main(void) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        printf("0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    struct err e = {0};
    const struct kern *plain = kern_get("c", &e);
    const struct dot_fns def = {"c", plain->acts_fill, plain->matmul}, tier = {"avx512", acts_fill_avx512, matmul_avx512};
    size_t outputs = 0;
    unsigned failed = cases_all(&def, &tier, &outputs), all = N_ITEMS(format_cases);
    printf("%zu outputs compared\n%u passed, %u failed\n", outputs, all - failed, failed);
    return failed != 0;
}
#endif
