/* kern_cpu: which tiers this CPU and its operating system can run, and the floating-point control of a thread. */

#include <stdlib.h>

#include "kern_def.h"

#ifdef __x86_64__
#include <cpuid.h>

enum {
    XCR0_YMM = 0x6,  /* the system keeps xmm and ymm */
    XCR0_ZMM = 0xe6, /* and the mask registers and zmm */
};

/* Register state that the operating system saves, or 0. */
static uint32_t os_state(void) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static bool has_avx2(void) {
    uint32_t a, b, c, d;
    const uint32_t fma_f16c = bit_FMA | bit_F16C;
    if ((os_state() & XCR0_YMM) != XCR0_YMM || !__get_cpuid(1, &a, &b, &c, &d) || (c & fma_f16c) != fma_f16c)
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

static bool has_avxvnni(void) {
    uint32_t a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

static bool has_avx512(void) {
    uint32_t a, b, c, d;
    const uint32_t parts = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    if (!has_avx2() || (os_state() & XCR0_ZMM) != XCR0_ZMM || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    return (b & parts) == parts && (c & bit_AVX512VNNI);
}
#endif

#ifdef __aarch64__
#include <sys/auxv.h>

static bool has_neon(void) {
    return getauxval(AT_HWCAP) & 1ul << 20; /* ASIMDDP: the dot products */
}
#endif

static bool has_c(void) {
    return true;
}

/* From the plainest to the fastest. */
static const struct tier {
    const struct kern *kern;
    bool (*has)(void);
} tiers[] = {
    {&kern_c, has_c},
#ifdef __x86_64__
    {&kern_avx2, has_avx2}, {&kern_avxvnni, has_avxvnni}, {&kern_avx512, has_avx512},
#endif
#ifdef __aarch64__
    {&kern_neon, has_neon},
#endif
};

/* Tier i of those this CPU has, or NULL. */
static const struct kern *tier_at(unsigned i) {
    for (size_t t = 0; t < N_ITEMS(tiers); t++)
        if (tiers[t].has() && i-- == 0)
            return tiers[t].kern;
    return NULL;
}

const char *kern_isa(unsigned i) {
    const struct kern *k = tier_at(i);
    return k ? k->name : NULL;
}

const struct kern *kern_get(const char *isa, struct err *e) {
    const char *wanted = isa ? isa : getenv("MOAT_ISA");
    const struct kern *best = NULL;
    char names[64] = "";
    for (unsigned i = 0; tier_at(i); i++) {
        best = tier_at(i);
        if (wanted && str_is(str_of(wanted), best->name))
            return best;
        size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", best->name);
    }
    if (!wanted || !*wanted)
        return best;
    err_set(e, ERR_ENV, isa ? isa : "MOAT_ISA", "this machine has no tier \"%s\"; it has %s", wanted, names);
    return NULL;
}

/* Round to nearest, no flushing of subnormals to zero, no traps. */
bool kern_fp_assert(void) {
#if defined(__x86_64__)
    const uint32_t control = 0xffc0, wanted = 0x1f80; /* MXCSR: everything but the sticky flags; all exceptions masked */
    uint32_t now = __builtin_ia32_stmxcsr();
    if ((now & control) == wanted)
        return true;
    __builtin_ia32_ldmxcsr(wanted);
#elif defined(__aarch64__)
    uint64_t now;
    __asm__ volatile("mrs %0, fpcr" : "=r"(now));
    if (now == 0)
        return true;
    __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)0));
#endif
    return false;
}
