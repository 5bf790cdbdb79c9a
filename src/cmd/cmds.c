/* cmds: the table of commands. A new one is a file and a row here. */
#include "cmds.h"

static const struct opt opts_help_only[] = {
    {"man", 0, OPT_FLAG, NULL, "print the man page (roff)", offsetof(struct cmd_opts, man), 0, 0},
    {"models", 0, OPT_FLAG, NULL, "list the architectures, weight formats and pre-tokenizers that are read",
     offsetof(struct cmd_opts, models), 0, 0},
    {"completion", 0, OPT_TEXT, "bash|zsh|fish", "print a completion script", offsetof(struct cmd_opts, completion), 0, 0},
    {.name = NULL},
};

static const struct opt opts_json[] = {
    {"json", 0, OPT_FLAG, NULL, "print JSON", offsetof(struct cmd_opts, json), 0, 0},
    {.name = NULL},
};

static const struct opt opts_show[] = {
    {"tensor", 0, OPT_TEXT, "NAME", "write one tensor, decoded to float32", offsetof(struct cmd_opts, tensor), 0, 0},
    {"out", 'o', OPT_TEXT, "FILE.npy", "where the tensor goes", offsetof(struct cmd_opts, out), 0, 0},
    {.name = NULL},
};

static const struct opt opts_bench[] = {
    {"model", 'm', OPT_LIST, "MODEL", "a model, as llama-bench takes it; may be repeated",
     offsetof(struct cmd_opts, bench_models), 0, 0},
    {"n-prompt", 'p', OPT_LISTS, "N,N", "tokens of prefill (default 512; 0 leaves it out)",
     offsetof(struct cmd_opts, bench_prompts), 0, 0},
    {"n-gen", 'n', OPT_LISTS, "N,N", "tokens decoded (default 64; 0 leaves it out)", offsetof(struct cmd_opts, bench_gens), 0, 0},
    {"depth", 'd', OPT_LISTS, "N,N", "tokens in the cache before the clock starts (default 0)",
     offsetof(struct cmd_opts, bench_depths), 0, 0},
    {"n-depth", 0, OPT_LISTS, "N,N", "llama-bench's name of --depth", offsetof(struct cmd_opts, bench_depths), 0, 0},
    {"seqs", 0, OPT_LISTS, "N,N", "sequences decoded at once (default 1)", offsetof(struct cmd_opts, bench_seqs), 0, 0},
    {"pg", 0, OPT_LISTS, "P,N", "also: a prompt of P tokens, then N decoded", offsetof(struct cmd_opts, bench_pg), 0, 0},
    {"mixed", 0, OPT_LISTS, "P,N", "also: N steps of all sequences, a prompt of P tokens spread among them",
     offsetof(struct cmd_opts, bench_mixed), 0, 0},
    {"start", 0, OPT_FLAG, NULL, "also: a process from its start to the first token, and its peak memory",
     offsetof(struct cmd_opts, bench_start), 0, 0},
    {"threads", 't', OPT_LISTS, "N,N", "thread counts to measure (default: the cores)", offsetof(struct cmd_opts, bench_threads),
     0, 0},
    {"repetitions", 'r', OPT_COUNT, "N", "times each test is run (default 3)", offsetof(struct cmd_opts, r), 1, 1000},
    {"noise", 0, OPT_REAL, "PERCENT", "CPU time that others may take before a round is repeated, up to three times (default 10)",
     offsetof(struct cmd_opts, bench_noise), 0, 100},
    {"batch-size", 'b', OPT_COUNT, "N", "as llama-bench has it: --chunk is this at most", offsetof(struct cmd_opts, bench_batch),
     1, 65536},
    {"ubatch-size", 0, OPT_COUNT, "N", "llama-bench's name of --chunk", offsetof(struct cmd_opts, chunk), 1, 65536},
    {"ub", 0, OPT_COUNT, "N", "the same", offsetof(struct cmd_opts, chunk), 1, 65536},
    {"output", 'o', OPT_TEXT, "md|csv|json|jsonl|sql", "form of the records (default md)", offsetof(struct cmd_opts, out), 0, 0},
    {"ceilings", 0, OPT_FLAG, NULL, "measure what the machine can do, and tell each test's share of it",
     offsetof(struct cmd_opts, ceilings), 0, 0},
    {.name = NULL},
};

static const char bench_text[] =
    "Each test runs once to warm up and then -r times; rounds in which other processes took more than --noise percent of the CPU time\n"
    "are run again, and the quietest count. The share of the ceiling is the time that the same products, attention and reads would take\n"
    "at the rates of --ceilings, over the time they took; where others disturbed all rounds it is of the CPU time. The rates are those of\n"
    "the instructions that the tier in use (--isa) multiplies with; the tier \"c\" has none. CSV, JSON and SQL records have llama-bench's\n"
    "keys. Lists are like 1,2 or 1-4 or 0-512+128 or 16-256*2, and an option that is repeated adds to its list.";

static const struct opt opts_logits[] = {
    {"out", 'o', OPT_TEXT, "DIR", "also write the logits as DIR/0.npy, 1.npy, ... (float32 [rows][vocab])",
     offsetof(struct cmd_opts, out), 0, 0},
    {"last", 0, OPT_COUNT, "N", "only the logits of the last N positions of each line", offsetof(struct cmd_opts, last), 1,
     4294967295.0},
    {"together", 0, OPT_FLAG, NULL, "compute all lines as one batch, rows interleaved", offsetof(struct cmd_opts, together), 0,
     0},
    {.name = NULL},
};

static const struct opt opts_tokenize[] = {
    {"special", 0, OPT_FLAG, NULL, "control tokens written out in the text are read as those tokens",
     offsetof(struct cmd_opts, special), 0, 0},
    {"bos", 0, OPT_FLAG, NULL, "add what the model's settings put before and behind a text", offsetof(struct cmd_opts, bos), 0,
     0},
    {.name = NULL},
};

static const struct opt opts_detokenize[] = {
    {"hex", 0, OPT_FLAG, NULL, "the raw bytes in hexadecimal", offsetof(struct cmd_opts, hex), 0, 0},
    {.name = NULL},
};

static const struct opt opts_render[] = {
    {"ids", 0, OPT_FLAG, NULL, "also the token ids, by the tokenizer of MODEL", offsetof(struct cmd_opts, ids), 0, 0},
    {.name = NULL},
};

static const struct opt opts_run[] = {
    {"n", 'n', OPT_COUNT, "N", "most tokens of an answer (default: what the context leaves)", offsetof(struct cmd_opts, n), 1,
     16777216},
    {"system", 0, OPT_TEXT, "TEXT", "the system prompt", offsetof(struct cmd_opts, system), 0, 0},
    {.name = NULL},
};

static const struct opt opts_generate[] = {
    {"n", 'n', OPT_COUNT, "N", "tokens to generate (default 64)", offsetof(struct cmd_opts, n), 1, 16777216},
    {.name = NULL},
};

static const struct opt *const bench_opts[] = {opts_common, opts_bench, opts_compute + 1, NULL}; /* threads are a list here */
static const struct opt *const logits_opts[] = {opts_common, opts_compute, opts_lines, opts_logits, NULL};
static const struct opt *const tokenize_opts[] = {opts_common, opts_lines, opts_tokenize, NULL};
static const struct opt *const detokenize_opts[] = {opts_common, opts_lines, opts_detokenize, NULL};
static const struct opt *const render_opts[] = {opts_common, opts_lines, opts_render, NULL};
static const struct opt *const run_opts[] = {opts_common, opts_compute, opts_sampling, opts_run, NULL};
static const struct opt *const generate_opts[] = {opts_common, opts_compute, opts_lines, opts_generate, opts_sampling, NULL};
static const struct opt *const perplexity_opts[] = {opts_common, opts_compute, opts_json, NULL};
static const struct opt *const json_opts[] = {opts_common, opts_json, NULL};
static const struct opt *const show_opts[] = {opts_common, opts_json, opts_show, NULL};
static const struct opt *const plain_opts[] = {opts_common, NULL};
static const struct opt *const help_opts[] = {opts_common, opts_help_only, NULL};
static const struct opt *const serve_opts[] = {opts_common, opts_serve, opts_compute, NULL};

static const char serve_text[] =
    "Each model has its own engine process. Without MODEL all models of the store are served, the default one first. A request that\n"
    "names no model gets the first. One line on stdout says where, once every model answers. SIGTERM or Ctrl-C lets answers under way end and leaves; a second one leaves at once.";

static const char render_text[] =
    "Reads lines {\"template\": text, \"context\": {variables}, \"now\": \"2026-01-31T12:00:00\"}; the template may be left out where\n"
    "MODEL has one. Writes {\"output\": text, \"segments\": [[\"t\" or \"r\", text], ...]}: of the template or of the request.";

static const char generate_text[] =
    "Reads one JSON array of ids a line and writes {\"ids\": [the new ones], \"logprobs\": [...], \"finish\": \"length\" or \"stop\"}\n"
    "a line. All lines are computed as one continuous batch; an end token is not among the ids.";

const struct cmd cmds[] = {
    {"run", "[MODEL] [PROMPT]", "Chat with a model in the terminal, or answer one prompt",
     "MODEL is a GGUF file or a name in the store (default: the store's default model). With PROMPT, or with a prompt on stdin,\nit prints the answer and ends; - as PROMPT reads stdin. Otherwise it is a chat: /help shows its commands.",
     run_opts, 0, 2, cmd_run, false},
    {"serve", "[MODEL...]", "Serve models behind OpenAI's API", serve_text, serve_opts, 0, 16, cmd_serve, false},
    {"import", "FILE NAME:TAG", "Check a model file and bring it into the store",
     "Copies the file and prints the name and the digest of the release. The store lies in $MOAT_HOME, else $XDG_DATA_HOME/moat,\nelse ~/.local/share/moat.",
     plain_opts, 2, 2, cmd_import, false},
    {"list", "", "List what the store holds", NULL, json_opts, 0, 0, cmd_list, false},
    {"rm", "NAME...", "Take models out of the store", NULL, plain_opts, 1, 1000, cmd_rm, false},
    {"show", "MODEL", "Show what a model file holds: metadata, tensors, template", NULL, show_opts, 1, 1, cmd_show, false},
    {"check", "FILE", "Read a model file as strictly as loading does", NULL, plain_opts, 1, 1, cmd_check, false},
    {"bench", "MODEL...", "Measure prefill, decoding, batched and mixed work, and start-up", bench_text, bench_opts, 0, 64,
     cmd_bench, false},
    {"perplexity", "MODEL FILE", "How well a model predicts a text",
     "Cuts the text into windows of --ctx tokens (default 512) and scores the later half of each.", perplexity_opts, 2, 2,
     cmd_perplexity, false},
    {"tokenize", "MODEL --jsonl", "Text in, token ids out", "Reads one JSON string a line and writes one array of ids a line.",
     tokenize_opts, 1, 1, cmd_tokenize, false},
    {"detokenize", "MODEL --jsonl", "Token ids in, text out", "Reads one JSON array of ids a line and writes one string a line.",
     detokenize_opts, 1, 1, cmd_detokenize, false},
    {"render", "[MODEL] --jsonl", "Chat template and context in, text and its origin out", render_text, render_opts, 0, 1,
     cmd_render, false},
    {"logits", "MODEL --jsonl", "Token ids in, hashes of logits out", NULL, logits_opts, 1, 1, cmd_logits, false},
    {"generate", "MODEL --jsonl", "Token ids in, the tokens that follow out", generate_text, generate_opts, 1, 1, cmd_generate,
     false},
    {"help", "[COMMAND]", "Show what the commands do", NULL, help_opts, 0, 1, cmd_help, false},
    {"engine", "", "The child process that computes", NULL, plain_opts, 0, 0, cmd_engine, true},
    {.name = NULL},
};
