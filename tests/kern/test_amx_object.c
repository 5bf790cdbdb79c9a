/* test_amx_object: the AMX tier as it is compiled, on machines with AVX-512 but without AMX. There a tile instruction is SIGILL;
 * the handler decodes it, carries it out on the tiles of emu_amx.h and goes on behind it. So what is compared with the definition
 * is the machine code of the program. Where the CPU has AMX, it computes itself. */
#if !defined(__x86_64__)
#include <stdio.h>
int main(void) {
    printf("0 passed, 0 failed, 1 skipped\n");
    return 0;
}
#else
#include <signal.h>
#include <ucontext.h>

#include "emu_amx.h"

#include "kern/kern_def.h"

#include "dot_cases.h"

static size_t n_instructions;

/* Registers by their number in an instruction. */
static const int registers[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* An instruction with the three-byte VEX prefix: C4, ~R~X~B and the opcode map, W ~vvvv L pp, opcode, ModRM, SIB, displacement. */
struct instruction {
    const uint8_t *end; /* behind ModRM, SIB and displacement */
    unsigned prefix, opcode, mod, reg, rm, vvvv;
    int64_t address, stride;
};

static int64_t displacement(const uint8_t **at, unsigned bytes) {
    int32_t d = 0;
    memcpy(&d, *at, bytes);
    *at += bytes;
    return bytes == 1 ? (int8_t)d : d;
}

/* The operand in memory: base + displacement, or with SIB's index as the stride of rows. */
static void decode_memory(struct instruction *in, unsigned vex, const greg_t *gregs) {
    unsigned base = in->rm;
    if (in->rm == 4) {
        unsigned sib = *in->end++, index = (sib >> 3 & 7) | (vex & 0x40 ? 0 : 8);
        base = sib & 7;
        in->stride = index == 4 ? 0 : gregs[registers[index]] << (sib >> 6);
    }
    bool no_base = in->mod == 0 && base == 5;
    int64_t d = displacement(&in->end, in->mod == 1 ? 1 : in->mod == 2 || no_base ? 4 : 0);
    int64_t of = no_base ? (in->rm == 5 ? (int64_t)(uintptr_t)in->end : 0) : gregs[registers[base | (vex & 0x20 ? 0 : 8)]];
    in->address = of + d;
}

static bool decode(const uint8_t *at, const greg_t *gregs, struct instruction *in) {
    *in = (struct instruction){
        .end = at + 5, .prefix = at[2] & 3, .opcode = at[3], .mod = at[4] >> 6, .reg = at[4] >> 3 & 7, .rm = at[4] & 7};
    in->vvvv = ~at[2] >> 3 & 15;
    if (at[0] != 0xc4 || (at[1] & 0x1f) != 2 || (at[2] & 0x84) != 0)
        return false;
    if (in->mod != 3)
        decode_memory(in, at[1], gregs);
    return true;
}

enum { NO_PREFIX, PREFIX_66, PREFIX_F3, PREFIX_F2 };

/* False: no instruction of AMX-INT8 that the text uses. */
static bool carry_out(const struct instruction *in) {
    void *memory = (void *)(uintptr_t)in->address;
    switch (in->opcode << 8 | in->prefix << 4 | (in->mod == 3)) {
    case 0x49 << 8 | NO_PREFIX << 4:
        if (in->reg != 0)
            return false;
        tile_open(memory);
        return true;
    case 0x49 << 8 | NO_PREFIX << 4 | 1: tile_close(); return true;
    case 0x49 << 8 | PREFIX_F2 << 4 | 1: tile_zero(in->reg); return true;
    case 0x4b << 8 | PREFIX_F2 << 4: tile_load(in->reg, memory, in->stride); return true;
    case 0x4b << 8 | PREFIX_F3 << 4: tile_store(in->reg, memory, in->stride); return true;
    case 0x5e << 8 | PREFIX_F2 << 4 | 1: tile_dot(in->reg, in->rm, in->vvvv); return true;
    }
    return false;
}

static void on_illegal(int sig, siginfo_t *info, void *context) {
    greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct instruction in;
    (void)info;
    if (!decode((const uint8_t *)(uintptr_t)gregs[REG_RIP], gregs, &in) || !carry_out(&in)) {
        signal(sig, SIG_DFL); /* and the instruction faults again */
        return;
    }
    n_instructions++;
    gregs[REG_RIP] = (greg_t)(uintptr_t)in.end;
}

static bool has(const char *isa) {
    for (unsigned i = 0; kern_isa(i); i++)
        if (strcmp(kern_isa(i), isa) == 0)
            return true;
    return false;
}

/* Shapes with rests in all dimensions; the number of outputs that differ. */
static size_t compare(const struct format_case *c, unsigned nth, const struct dot_fns *def, const struct dot_fns *tier,
                      size_t *outputs) {
    static const struct { uint32_t n, k, rows; } shapes[] = {{24, 160, 16}, {49, 1120, 13}, {72, 1536, 43}, {24, 544, 25}};
    uint32_t block = dtype_info(c->dtype)->block_values;
    size_t bad = 0;
    for (unsigned i = 0; i < N_ITEMS(shapes); i++) {
        uint32_t k = (shapes[i].k + block - 1) / block * block;
        /* first scales and rows so small that MXFP4's sums are -0 */
        unsigned w_mode = i == 0 ? 1 : (nth + i) % WEIGHT_MODES, x_mode = i == 0 ? 1 : (nth * 2 + i) % X_MODES;
        struct dot_case one = case_make(c, shapes[i].n, k, shapes[i].rows, w_mode, x_mode, nth + i);
        bad += case_compare(&one, def, tier);
        *outputs += 2 * (size_t)one.rows * one.w.n;
        case_free(&one);
    }
    return bad;
}

int main(void) {
    if (!has("avx512")) {
        printf("0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    const struct sigaction action = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO | SA_NODEFER};
    ASSERT(sigaction(SIGILL, &action, NULL) == 0);
    const struct dot_fns def = {"c", kern_c.panel, kern_c.acts_fill, kern_c.matmul},
                         tier = {"amx", kern_amx.panel, kern_amx.acts_fill, kern_amx.matmul};
    size_t outputs = 0;
    unsigned passed = 0, failed = 0;
    for (unsigned i = 0; i < N_ITEMS(format_cases); i++) {
        bool same = compare(&format_cases[i], i, &def, &tier, &outputs) == 0;
        if (!same)
            printf("FAIL %s differs from the definition\n", dtype_info(format_cases[i].dtype)->name);
        passed += same, failed += !same;
    }
    const char *wrong = faults_wrong(&tier);
    if (!wrong && !kern_check(&kern_amx))
        wrong = "the check of kern_get";
    const struct kern_loop *loop = &kern_ceiling(&kern_amx)->int8;
    if (!wrong && loop->run(3) != 3.0 * loop->products)
        wrong = "the loop of the ceiling";
    if (wrong)
        printf("FAIL %s\n", wrong);
    passed += !wrong, failed += wrong != NULL;
    printf("%zu outputs compared, %zu tile instructions carried out\n%u passed, %u failed\n", outputs, n_instructions, passed,
           failed);
    return failed != 0;
}
#endif
