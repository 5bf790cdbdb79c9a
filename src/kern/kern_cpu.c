/* kern_cpu: which tiers this CPU and its operating system can run, and the floating-point control of a thread. */

#include <stdlib.h>

#include "kern_def.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    XCR0_YMM = 0x6,       /* the system keeps xmm and ymm */
    XCR0_ZMM = 0xe6,      /* and the mask registers and zmm */
    XCR0_TILES = 0x60000, /* and the tiles with their configuration */
    TILES_FEATURE = 18,   /* the number of the latter's bit */
    ASK_FEATURE = 0x1023, /* arch_prctl's ARCH_REQ_XCOMP_PERM */
};

/* What CPUID tells, asked once: under a hypervisor each question costs microseconds. */
struct cpu {
    uint32_t ecx1, ebx7, ecx7, edx7, eax7_1; /* by register, leaf and subleaf */
    uint32_t state;                          /* registers that the operating system saves, or 0 */
};

static struct cpu cpu_read(void) {
    struct cpu cpu = {0};
    uint32_t a, b, d, unused;
    if (!__get_cpuid(1, &a, &b, &cpu.ecx1, &d))
        return cpu;
    if (cpu.ecx1 & bit_OSXSAVE)
        __asm__ volatile("xgetbv" : "=a"(cpu.state), "=d"(d) : "c"(0));
    if (__get_cpuid_count(7, 0, &a, &cpu.ebx7, &cpu.ecx7, &cpu.edx7) && a >= 1)
        __cpuid_count(7, 1, cpu.eax7_1, b, unused, d);
    (void)unused;
    return cpu;
}

static bool has_avx2(const struct cpu *cpu) {
    const uint32_t fma_f16c = bit_FMA | bit_F16C;
    return (cpu->state & XCR0_YMM) == XCR0_YMM && (cpu->ecx1 & fma_f16c) == fma_f16c && (cpu->ebx7 & bit_AVX2);
}

static bool has_avxvnni(const struct cpu *cpu) {
    return has_avx2(cpu) && (cpu->eax7_1 & 1u << 4);
}

static bool has_avx512(const struct cpu *cpu) {
    const uint32_t parts = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    return has_avx2(cpu) && (cpu->state & XCR0_ZMM) == XCR0_ZMM && (cpu->ebx7 & parts) == parts && (cpu->ecx7 & bit_AVX512VNNI);
}

/* Asks the system for the permission to use tiles, once more if need be: it is the process's, for all its threads, and without
 * it a tile instruction is SIGILL. Refused also where a thread has an alternate stack for signals that is too small. */
static bool has_amx(const struct cpu *cpu) {
    const uint32_t parts = 1u << 24 | 1u << 25; /* AMX-TILE, AMX-INT8 */
    return has_avx512(cpu) && (cpu->state & XCR0_TILES) == XCR0_TILES && (cpu->edx7 & parts) == parts &&
           syscall(SYS_arch_prctl, ASK_FEATURE, TILES_FEATURE) == 0;
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

struct cpu {
    unsigned long hwcap, hwcap2;
};

static struct cpu cpu_read(void) {
    return (struct cpu){getauxval(AT_HWCAP), getauxval(AT_HWCAP2)};
}

static bool has_neon(const struct cpu *cpu) {
    return cpu->hwcap & 1ul << 20; /* ASIMDDP: the dot products */
}

static bool has_i8mm(const struct cpu *cpu) {
    return has_neon(cpu) && (cpu->hwcap2 & 1ul << 13); /* I8MM: byte matrix products */
}

#else
struct cpu {
    char nothing;
};

static struct cpu cpu_read(void) {
    return (struct cpu){0};
}
#endif

static bool has_c(const struct cpu *cpu) {
    (void)cpu;
    return true;
}

/* From the plainest to the fastest. */
static const struct tier {
    const struct kern *kern;
    bool (*has)(const struct cpu *cpu);
} tiers[] = {
    {&kern_c, has_c},
#ifdef __x86_64__
    {&kern_avx2, has_avx2}, {&kern_avxvnni, has_avxvnni}, {&kern_avx512, has_avx512}, {&kern_amx, has_amx},
#endif
#ifdef __aarch64__
    {&kern_neon, has_neon}, {&kern_i8mm, has_i8mm},
#endif
};

/* Those that this CPU has; the number of them. */
static unsigned tiers_here(const struct kern *out[N_ITEMS(tiers)]) {
    const struct cpu cpu = cpu_read();
    unsigned n = 0;
    for (size_t t = 0; t < N_ITEMS(tiers); t++)
        if (tiers[t].has(&cpu))
            out[n++] = tiers[t].kern;
    return n;
}

const char *kern_isa(unsigned i) {
    const struct kern *here[N_ITEMS(tiers)];
    return i < tiers_here(here) ? here[i]->name : NULL;
}

static void names_of(const struct kern *const *choices, unsigned n, char *out, size_t out_bytes) {
    size_t at = 0;
    for (unsigned i = 0; i < n && at < out_bytes; i++)
        at += (size_t)snprintf(out + at, out_bytes - at, "%s%s", i ? ", " : "", choices[i]->name);
}

const struct kern *kern_choose(const struct kern *const *choices, unsigned n, const char *wanted, const char *where,
                               struct err *e) {
    static const char fault[] = "computes other bits than the definition on this machine";
    bool any = !wanted || !*wanted;
    for (unsigned i = n; i-- > 0;) {
        const struct kern *k = choices[i];
        if (!any && strcmp(wanted, k->name) != 0)
            continue;
        if (kern_check(k))
            return k;
        if (!any) {
            err_set(e, ERR_ENV, where, "tier \"%s\" %s", wanted, fault);
            return NULL;
        }
        log_line(LOG_ERROR, "tier \"%s\" %s; it is not used", k->name, fault);
    }
    char names[64];
    names_of(choices, n, names, sizeof names);
    err_set(e, ERR_ENV, where, "this machine has no tier \"%s\"; it has %s", wanted, names);
    return NULL;
}

const struct kern *kern_get(const char *isa, struct err *e) {
    const struct kern *here[N_ITEMS(tiers)];
    unsigned n = tiers_here(here);
    return kern_choose(here, n, isa ? isa : getenv("MOAT_ISA"), isa ? isa : "MOAT_ISA", e);
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
