/* tok: the rules of byte-level BPE by the names that GGUF files give them (tokenizer.ggml.pre): which scanners cut a text, and
 * whether it is normalised first. Where tokenizer.json of the family is known to differ from what other programs do, it counts. */
#include "tok_impl.h"
#include "tok_scan.h"
#include "unicode_props.h"

enum { STAGES_MAX = 10 };
struct tok_rule {
    struct tok_stage stages[STAGES_MAX];
    bool nfc, takes_whole;
};

static const struct tok_range newline[] = {{'\n', '\n'}, {0, 0}}, newlines[] = {{'\n', '\n'}, {'\r', '\r'}, {0, 0}};
static const struct tok_range ascii_symbols[] = {{'$', '$'}, {'+', '+'}, {'<', '>'}, {'^', '^'},
                                                 {'`', '`'}, {'|', '|'}, {'~', '~'}, {0, 0}};
static const struct tok_range cjk_kana[] = {{0x3040, 0x30ff}, {0x4e00, 0x9fa5}, {0, 0}};
static const struct tok_range cjk_deepseek[] = {{0x800, 0x9fa5}, {0xac00, 0xd7ff}, {0, 0}};
static const struct tok_range punctuation_deepseek[] = {
    {'!', '/'}, {':', '~'}, {0x2018, 0x201f}, {0x3000, 0x3002}, {0xff01, 0xff0f}, {0xff1a, 0xff5e}, {0, 0}};
static const struct tok_range youtu_scripts[] = {{0x3131, 0x318e}, {0xac00, 0xd7a3}, {0, 0}};
static const struct tok_range youtu_punctuation[] = {
    {0x2014, 0x2014}, {0x2018, 0x2019}, {0x201c, 0x201d}, {0x2026, 0x2026}, {0x3001, 0x303f},
    {0xfe30, 0xfe4f}, {0xff01, 0xff01}, {0xff0c, 0xff0c}, {0xff1a, 0xff1b}, {0, 0}};
static const struct tok_range bopomofo[] = {{0x3105, 0x312f}, {0, 0}};
static const struct tok_range cjk_afmoe[] = {
    {0x2f00, 0x2fdf}, {0x3040, 0x30ff}, {0x3400, 0x4dbf}, {0x4e00, 0x9fff}, {0xf900, 0xfaff}, {0xff65, 0xff9f}, {0, 0}};
static const struct tok_range thai[] = {{0xe00, 0xe7f}, {0, 0}}, lao[] = {{0xe80, 0xeff}, {0, 0}},
                              khmer[] = {{0x1780, 0x17ff}, {0, 0}},
                              myanmar[] = {{0x1000, 0x109f}, {0xa9e0, 0xa9ff}, {0xaa60, 0xaa7f}, {0, 0}},
                              hangul[] = {{0x1100, 0x11ff}, {0xac00, 0xd7af}, {0, 0}};
/* The letters of deepseek-llm: Latin, Greek, Cyrillic, Armenian, Georgian, Cherokee and so on as of Unicode 11. */
static const struct tok_range letters_deepseek[] = {
    {0x41, 0x5a},       {0x61, 0x7a},       {0xb5, 0xb5},       {0xc0, 0xd6},       {0xd8, 0xf6},
    {0xf8, 0x1ba},      {0x1bc, 0x1bf},     {0x1c4, 0x293},     {0x295, 0x2af},     {0x370, 0x373},
    {0x376, 0x377},     {0x37b, 0x37d},     {0x37f, 0x37f},     {0x386, 0x386},     {0x388, 0x38a},
    {0x38c, 0x38c},     {0x38e, 0x3a1},     {0x3a3, 0x3f5},     {0x3f7, 0x481},     {0x48a, 0x52f},
    {0x531, 0x556},     {0x10a0, 0x10c5},   {0x13a0, 0x13f5},   {0x13f8, 0x13fd},   {0x1c90, 0x1cba},
    {0x1cbd, 0x1cbf},   {0x1d00, 0x1d2b},   {0x1d6b, 0x1d77},   {0x1d79, 0x1d9a},   {0x1e00, 0x1f15},
    {0x1f18, 0x1f1d},   {0x1f20, 0x1f45},   {0x1f48, 0x1f4d},   {0x1f50, 0x1f57},   {0x1f59, 0x1f59},
    {0x1f5b, 0x1f5b},   {0x1f5d, 0x1f5d},   {0x1f5f, 0x1f7d},   {0x1f80, 0x1fb4},   {0x1fb6, 0x1fbc},
    {0x1fbe, 0x1fbe},   {0x1fc2, 0x1fc4},   {0x1fc6, 0x1fcc},   {0x1fd0, 0x1fd3},   {0x1fd6, 0x1fdb},
    {0x1fe0, 0x1fec},   {0x1ff2, 0x1ff4},   {0x1ff6, 0x1ffc},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210a, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211d},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212a, 0x212d},   {0x212f, 0x2134},   {0x2139, 0x2139},   {0x213c, 0x213f},
    {0x2145, 0x2149},   {0x214e, 0x214e},   {0x2183, 0x2184},   {0x2c00, 0x2c7b},   {0x2c7e, 0x2ce4},
    {0x2ceb, 0x2cee},   {0x2cf2, 0x2cf3},   {0xa640, 0xa66d},   {0xa680, 0xa69b},   {0xa722, 0xa76f},
    {0xa771, 0xa787},   {0xa78b, 0xa78e},   {0xab70, 0xabbf},   {0xfb00, 0xfb06},   {0xfb13, 0xfb17},
    {0xff21, 0xff3a},   {0xff41, 0xff5a},   {0x10400, 0x1044f}, {0x104b0, 0x104d3}, {0x104d8, 0x104fb},
    {0x10c80, 0x10cb2}, {0x10cc0, 0x10cf2}, {0x118a0, 0x118df}, {0x1e900, 0x1e943}, {0, 0},
};

/* Stages that several rules share. */
#define GPT2                                                                                                                     \
    { .scan = tok_scan_gpt2 }
#define EACH_DIGIT                                                                                                               \
    { .scan = tok_scan_runs, .classes = UC_N, .max = 1 }
#define UP_TO_THREE_DIGITS                                                                                                       \
    { .scan = tok_scan_runs, .classes = UC_N, .max = 3 }
#define LLAMA3(digits, bits)                                                                                                     \
    { .scan = tok_scan_llama3, .max = (digits), .how = (bits) }
#define O200K(digits, bits)                                                                                                      \
    { .scan = tok_scan_o200k, .max = (digits), .how = (bits) }
#define RUNS_OF(set)                                                                                                             \
    { .scan = tok_scan_runs, .ranges = (set) }

enum { FOLD = TOK_SCAN_FOLD, SLASH = TOK_SCAN_SLASH };

static const struct tok_rule gpt2 = {.stages = {GPT2}}, gpt2_nfc = {.stages = {GPT2}, .nfc = true};
static const struct tok_rule digits_gpt2 = {.stages = {EACH_DIGIT, GPT2}},
                             digits_gpt2_nfc = {.stages = {EACH_DIGIT, GPT2}, .nfc = true};
static const struct tok_rule llama3 = {.stages = {LLAMA3(3, FOLD)}},
                             llama3_whole = {.stages = {LLAMA3(3, FOLD)}, .takes_whole = true};
static const struct tok_rule one_digit = {.stages = {LLAMA3(1, FOLD)}},
                             one_digit_whole = {.stages = {LLAMA3(1, FOLD)}, .takes_whole = true},
                             one_digit_nfc = {.stages = {LLAMA3(1, FOLD)}, .nfc = true};
static const struct tok_rule qwen35 = {.stages = {LLAMA3(1, FOLD | TOK_SCAN_MARKS)}, .nfc = true};
static const struct tok_rule jais2 = {.stages = {LLAMA3(3, FOLD | TOK_SCAN_HALVES)}};
static const struct tok_rule seed_coder = {.stages = {LLAMA3(1, FOLD | TOK_SCAN_NO_TAIL)}, .nfc = true};
static const struct tok_rule exaone_moe = {.stages = {LLAMA3(1, FOLD | SLASH | TOK_SCAN_ONE_TAIL | TOK_SCAN_JOINED)}};
static const struct tok_rule ufakzeka = {.stages = {LLAMA3(1, TOK_SCAN_NO_SHORT)}};
static const struct tok_rule laguna = {.stages = {RUNS_OF(newline), LLAMA3(1, FOLD)}};
static const struct tok_rule minicpm5 = {.stages = {UP_TO_THREE_DIGITS, LLAMA3(0, FOLD)}, .takes_whole = true};
static const struct tok_rule o200k = {.stages = {O200K(3, FOLD | SLASH)}},
                             o200k_nfc = {.stages = {O200K(3, FOLD | SLASH)}, .nfc = true},
                             o200k_whole = {.stages = {O200K(3, FOLD | SLASH)}, .takes_whole = true};
static const struct tok_rule tekken = {.stages = {O200K(1, SLASH | TOK_SCAN_NO_SHORT)}, .takes_whole = true};
static const struct tok_rule kimi = {.stages = {O200K(3, FOLD | TOK_SCAN_HAN)}, .takes_whole = true};
static const struct tok_rule youtu = {
    .stages = {RUNS_OF(youtu_scripts), RUNS_OF(youtu_punctuation), RUNS_OF(bopomofo), RUNS_OF(cjk_kana), O200K(1, FOLD | SLASH)},
    .takes_whole = true};
static const struct tok_rule tiny_aya = {.stages = {{.scan = tok_scan_from_right, .classes = UC_ND, .how = TOK_SCAN_AT_BOUNDARY},
                                                    {.scan = tok_scan_threes, .classes = UC_ND},
                                                    O200K(3, FOLD | SLASH)}};
static const struct tok_rule falcon = {
    .stages = {{.scan = tok_scan_runs, .classes = UC_P, .ranges = ascii_symbols, .how = TOK_SCAN_UNICODE_8},
               GPT2,
               {.scan = tok_scan_spelled_digits},
               {.scan = tok_scan_three_digits}}};
static const struct tok_rule deepseek_llm = {.stages = {{.scan = tok_scan_runs, .ranges = newlines, .max = 1},
                                                        {.scan = tok_scan_spaced, .ranges = letters_deepseek},
                                                        {.scan = tok_scan_spaced, .ranges = punctuation_deepseek},
                                                        {.scan = tok_scan_last_space},
                                                        RUNS_OF(cjk_deepseek),
                                                        {.scan = tok_scan_runs, .classes = UC_N}}};
static const struct tok_rule deepseek_coder = {.stages = {{.scan = tok_scan_runs, .ranges = newlines, .max = 1},
                                                          {.scan = tok_scan_spaced, .classes = UC_L},
                                                          {.scan = tok_scan_spaced, .classes = UC_P},
                                                          RUNS_OF(cjk_deepseek),
                                                          EACH_DIGIT}};
static const struct tok_rule deepseek3 = {.stages = {UP_TO_THREE_DIGITS, RUNS_OF(cjk_kana), {.scan = tok_scan_deepseek3}}};
static const struct tok_rule spark = {.stages = {UP_TO_THREE_DIGITS,
                                                 RUNS_OF(cjk_kana),
                                                 {.scan = tok_scan_deepseek3, .how = TOK_SCAN_NO_TAIL | TOK_SCAN_ONE_LINE},
                                                 EACH_DIGIT}};
static const struct tok_rule afmoe = {.stages = {{.scan = tok_scan_runs, .classes = UC_N},
                                                 {.scan = tok_scan_from_right, .classes = UC_ND},
                                                 {.scan = tok_scan_threes, .classes = UC_ND},
                                                 RUNS_OF(cjk_afmoe),
                                                 RUNS_OF(thai),
                                                 RUNS_OF(lao),
                                                 RUNS_OF(khmer),
                                                 RUNS_OF(myanmar),
                                                 RUNS_OF(hangul),
                                                 {.scan = tok_scan_deepseek3}}};
static const struct tok_rule superbpe = {.stages = {{.scan = tok_scan_runs, .classes = UC_N},
                                                    {.scan = tok_scan_from_right, .classes = UC_ND},
                                                    {.scan = tok_scan_threes, .classes = UC_ND}}};
static const struct tok_rule bloom = {.stages = {{.scan = tok_scan_bloom}}},
                             viking = {.stages = {{.scan = tok_scan_bloom}, EACH_DIGIT}};
static const struct tok_rule chameleon = {
    .stages = {{.scan = tok_scan_indents},
               EACH_DIGIT,
               {.scan = tok_scan_runs, .classes = UC_P, .ranges = ascii_symbols, .max = 1, .how = TOK_SCAN_UNICODE_8},
               GPT2}};

struct name {
    const char *name;
    const struct tok_rule *rule;
};
static const struct name by_pre[] = {
    {"gpt-2", &gpt2},
    {"phi-2", &gpt2},
    {"jina-es", &gpt2},
    {"jina-de", &gpt2},
    {"jina-v2-es", &gpt2},
    {"jina-v2-de", &gpt2},
    {"jina-v1-en", &gpt2},
    {"jina-v2-code", &gpt2},
    {"roberta-bpe", &gpt2},
    {"gigachat", &o200k},
    {"a.x-4.0", &gpt2},
    {"mellum", &gpt2},
    {"jais", &gpt2},
    {"trillion", &gpt2},
    {"granite-docling", &gpt2},
    {"exaone4", &gpt2},
    {"mpt", &gpt2_nfc},
    {"olmo", &gpt2_nfc},
    {"modern-bert", &gpt2_nfc},
    {"gpt-neox", &gpt2_nfc},
    {"starcoder", &digits_gpt2},
    {"smollm", &digits_gpt2},
    {"refact", &digits_gpt2},
    {"codeshell", &digits_gpt2},
    {"minerva-7b", &digits_gpt2},
    {"mellum2", &digits_gpt2},
    {"command-r", &digits_gpt2_nfc},
    {"exaone", &digits_gpt2_nfc},
    {"llama-bpe", &llama3_whole},
    {"llama3", &llama3_whole},
    {"llama-v3", &llama3_whole},
    {"falcon3", &llama3_whole},
    {"falcon-h1", &llama3_whole},
    {"pixtral", &llama3_whole},
    {"midm-2.0", &llama3_whole},
    {"lfm2", &llama3_whole},
    {"jina-v5-nano", &llama3_whole},
    {"dbrx", &llama3},
    {"smaug-bpe", &llama3},
    {"chatglm-bpe", &llama3_whole},
    {"glm4", &llama3_whole},
    {"glm5", &llama3_whole},
    {"jais-2", &jais2},
    {"minicpm5", &minicpm5},
    {"qwen2", &one_digit_nfc},
    {"deepseek-r1-qwen", &one_digit_nfc},
    {"kormo", &one_digit_nfc},
    {"f2llmv2", &one_digit_nfc},
    {"megrez", &one_digit_nfc},
    {"stablelm2", &one_digit},
    {"hunyuan", &one_digit_whole},
    {"solar-open", &one_digit},
    {"grok-2", &one_digit},
    {"bailingmoe", &one_digit_nfc},
    {"bailingmoe2", &one_digit_nfc},
    {"llada-moe", &one_digit_nfc},
    {"qwen35", &qwen35},
    {"seed-coder", &seed_coder},
    {"ufakzeka", &ufakzeka},
    {"laguna", &laguna},
    {"exaone-moe", &exaone_moe},
    {"gpt-4o", &o200k_whole},
    {"llama4", &o200k_whole},
    {"kanana2", &o200k},
    {"talkie", &o200k},
    {"minimax-m2", &o200k_nfc},
    {"granite-embed-multi-97m", &o200k_whole},
    {"tekken", &tekken},
    {"kimi-k2", &kimi},
    {"youtu", &youtu},
    {"tiny_aya", &tiny_aya},
    {"cohere2moe", &tiny_aya},
    {"falcon", &falcon},
    {"deepseek-llm", &deepseek_llm},
    {"deepseek-coder", &deepseek_coder},
    {"deepseek-v3", &deepseek3},
    {"hunyuan-dense", &deepseek3},
    {"joyai-llm", &deepseek3},
    {"hy_v4", &deepseek3},
    {"spark2_5", &spark},
    {"afmoe", &afmoe},
    {"superbpe", &superbpe},
    {"bloom", &bloom},
    {"poro-chat", &bloom},
    {"gpt3-finnish", &bloom},
    {"viking", &viking},
    {"chameleon", &chameleon},
};
/* Files without tokenizer.ggml.pre: what the architecture's own models have. */
static const struct name by_arch[] = {
    {"gptneox", &gpt2_nfc},
    {"stablelm", &gpt2_nfc},
    {"olmo", &gpt2_nfc},
    {"mpt", &gpt2_nfc},
    {"gpt2", &gpt2},
    {"gptj", &gpt2},
    {"phi2", &gpt2},
    {"jais", &gpt2},
    {"starcoder", &digits_gpt2},
    {"starcoder2", &digits_gpt2},
    {"refact", &digits_gpt2},
    {"codeshell", &digits_gpt2},
    {"command-r", &digits_gpt2_nfc},
    {"falcon", &falcon},
    {"bloom", &bloom},
    {"qwen", &one_digit_nfc},
    {"qwen2", &one_digit_nfc},
    {"qwen2moe", &one_digit_nfc},
    {"dbrx", &llama3},
};

static const struct tok_rule *find(const struct name *names, size_t n, struct str name) {
    for (size_t i = 0; i < n; i++)
        if (str_is(name, names[i].name))
            return names[i].rule;
    return NULL;
}

const struct tok_rule *tok_rule_find(struct str pre, struct str arch) {
    bool named = pre.n && !str_is(pre, "default");
    return named ? find(by_pre, N_ITEMS(by_pre), pre) : find(by_arch, N_ITEMS(by_arch), arch);
}

const char *tok_pre(size_t i) {
    return i < N_ITEMS(by_pre) ? by_pre[i].name : NULL;
}

bool tok_rule_nfc(const struct tok_rule *r) {
    return r->nfc;
}

bool tok_rule_takes_whole(const struct tok_rule *r) {
    return r->takes_whole;
}

static int cut(const struct tok_stage *stage, const struct tok_stage *last, struct tok_enc *x, struct str s) {
    if (stage == last || !stage->scan)
        return tok_encode_word(x, s);
    int code = 0;
    for (const char *p = s.p, *end = str_end(s), *next; code == 0 && p < end; p = next) {
        next = stage->scan(p, end, stage);
        code = cut(stage + 1, last, x, (struct str){p, (size_t)(next - p)});
    }
    return code;
}

int tok_rule_apply(const struct tok_rule *r, struct tok_enc *x, struct str s) {
    return cut(r->stages, r->stages + STAGES_MAX, x, s);
}
