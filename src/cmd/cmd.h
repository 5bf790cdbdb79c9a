/* cmd: the command line. main.c finds a row of cmds[]; opts.c reads options by the row's table, which also makes --help, the
 * man page, shell completion and the names of environment variables. One file per command.
 *
 *     int cmd_tokenize(struct cmd_args *a, struct err *e);       // 0 or ERR_*: main prints *e and turns it into an exit status
 *
 * Only this folder exits and prints: results to stdout, everything else to stderr. */
#pragma once

#include "../base/base.h"

enum opt_type {
    OPT_FLAG,  /* bool */
    OPT_COUNT, /* uint64_t between min and max */
    OPT_BYTES, /* uint64_t; K, M, G (powers of 1024) may follow the number */
    OPT_REAL,  /* double between min and max */
    OPT_TEXT,  /* const char * */
    OPT_LIST,  /* struct opt_list: the option may be repeated, and adds to what the environment says */
    OPT_LISTS, /* the same for lists of numbers; the command line replaces what the environment says */
};
struct opt_list {
    const char *items[64];
    unsigned n;
};
struct opt {
    const char *name; /* "threads": --threads, MOAT_THREADS */
    char letter;      /* 't': -t, or 0 */
    enum opt_type type;
    const char *arg;  /* how help shows the value: "N"; "a|b|c" also limits the value to these words; NULL for flags */
    const char *help; /* one line, with the default in it */
    size_t offset;    /* in struct cmd_opts */
    double min, max;  /* OPT_COUNT, OPT_REAL */
};

/* The values of all options of all commands; what was not given has the default that opts_defaults sets. */
struct cmd_opts {
    bool help, json, verbose, jsonl, special, bos, hex, together, ignore_eos, ids, ceilings, normalize;
    uint64_t threads, chunk, ctx; /* 0: the default of the thing */
    const char *isa, *kv;
    const char *out, *tensor, *system, *config;
    uint64_t last, n; /* n: tokens to generate */
    bool n_given;
    double temperature, top_p, min_p, typical, repetition_penalty, presence_penalty, frequency_penalty;
    uint64_t top_k, seed, penalty_last_n, logprobs;
    bool seed_given;
    struct opt_list stop, logit_bias;
    const char *host, *name, *unknown_fields;
    uint64_t port, parallel, queue, kv_memory, nice;
    struct opt_list api_key;
    struct opt_list bench_threads, bench_prompts, bench_gens, bench_depths, bench_seqs; /* "1,2" */
    struct opt_list bench_pg, bench_mixed;                                              /* "512,64" */
    struct opt_list bench_models;
    uint64_t bench_batch; /* 0: any */
    bool bench_start;
    double bench_noise; /* percent */
    uint64_t r;
    const char *pooling, *completion;
    bool man, models;
};

struct cmd_args {
    const struct cmd *cmd;
    struct cmd_opts opts;
    int n_args; /* what is no option, in order */
    char **args;
    bool given[sizeof(struct cmd_opts)]; /* by an option's offset: it stands in the environment or on the command line */
    struct arena arena;                  /* text of the configuration file */
};
struct cmd {
    const char *name, *args, *summary; /* "tokenize", "MODEL --jsonl", one line */
    const char *text;                  /* paragraphs for --help and the man page */
    const struct opt *const *opts;     /* NULL-terminated groups; each group ends with a NULL name */
    int min_args, max_args;
    int (*run)(struct cmd_args *a, struct err *e);
    bool hidden;
};
extern const struct cmd cmds[]; /* cmds.c; ends with a NULL name */

/* Option groups, each ending with a NULL name. */
extern const struct opt opts_common[], opts_compute[], opts_sampling[], opts_lines[], opts_serve[];

void opts_defaults(struct cmd_opts *o);
/* Reads environment, then argv (after the command's name) into a, then the file of --config for what is not given yet.
 * ERR_USAGE names the option. `--` ends the options. */
int opts_read(struct cmd_args *a, int argc, char **argv, struct err *e) MUST_USE;
void opts_free(struct cmd_args *a);
/* Parts of it, for config.c: the option of this name or NULL; a value as text; whether environment or command line gave one. */
const struct opt *opts_find(const struct cmd *c, struct str name);
int opts_set(struct cmd_args *a, const struct opt *o, const char *value, struct err *e) MUST_USE;
bool opts_given(const struct cmd_args *a, const struct opt *o);
/* Options from a YAML file of at most 1 MiB: config.c. Errors name file, line, column and key. path is borrowed, for messages. */
int config_read(struct cmd_args *a, const char *path, struct err *e) MUST_USE;
int config_parse(struct cmd_args *a, const char *path, struct str text, struct err *e) MUST_USE;
void opts_help(const struct cmd *c, FILE *to);
void opts_man(FILE *to);                                                  /* the man page moat(1) of all commands */
int opts_completion(const char *shell, FILE *to, struct err *e) MUST_USE; /* bash, zsh, fish */

/* Exit status of an error code (INTERFACES.md), 0 for 0. */
int cmd_status(int code);
/* Prints `moat: COMMAND failed: WHERE: WHY` on stderr. */
void cmd_print_error(const struct cmd *c, const struct err *e);
/* The binary ran as `moat COMMAND`, and this is the folder of the store: MOAT_HOME, else XDG_DATA_HOME/moat, else ~/.local/share/moat. */
int cmd_home(char *path, size_t bytes, struct err *e) MUST_USE;

/* The cache type that --kv names: enum dtype. */
uint32_t cmd_kv_type(const char *kv);

/* Opens MODEL (a path, or a name of the store) read-only: a descriptor, its map, and the name that the API gives it (the
 * file's without .gguf, or the store's). What it holds is not looked at. */
struct cmd_model {
    int fd;
    struct str map;
    char path[512], name[128];
    bool from_store; /* then `weights` is the digest of the bytes */
    struct digest weights;
    int packed;           /* descriptor of a file for its packed weights, or -1: see cmd_model_packed */
    struct digest source; /* what the model is known by there */
};
/* The name that `make run` gives the default model in the store. */
#define CMD_DEFAULT_MODEL "smollm2:135m-instruct-q4_1"
int cmd_model_open(const char *model, struct cmd_model *out, struct err *e) MUST_USE;
/* Opens m->packed in the store's folder. Small models are packed faster than a file is looked for. */
void cmd_model_packed(struct cmd_model *m);
void cmd_model_close(struct cmd_model *m);
/* The names of all models of the store, at least one, the default one first; *refs is the caller's to free. */
int cmd_models_stored(char (**refs)[256], size_t *n, struct err *e) MUST_USE;

/* Reads stdin line by line ("\n" alone ends a line, the last may lack it; at most 64 MiB each) and calls each; what `each`
 * appends to out is written as one line. An error of a line becomes {"error": "..."} in its place and the next line follows. */
int cmd_lines(int (*each)(void *ctx, uint64_t i, struct str line, struct buf *out, struct err *e), void *ctx,
              struct err *e) MUST_USE;
/* The halves of cmd_lines, where answers wait for all lines: reading stops at the first error of `each`; printing writes out,
 * or the error in its place. */
int cmd_lines_read(int (*each)(void *ctx, uint64_t i, struct str line, struct err *e), void *ctx, struct err *e) MUST_USE;
void cmd_line_print(struct buf *out, const struct err *e);

/* A float32 array as a file of NumPy (format 1.0), written while it is computed: its shape is known, its values follow in
 * any portions until `left` is 0. fd and path (for messages) are borrowed: a sandboxed command opens its files before. */
struct npy {
    int fd;
    const char *path;
    uint64_t left; /* values that are still to come */
};
/* Empties fd and writes the header. dims[0] is the slowest; 1 to 4 of them. */
int npy_begin(struct npy *f, int fd, const char *path, unsigned n_dims, const uint64_t *dims, struct err *e) MUST_USE;
int npy_add(struct npy *f, const float *values, uint64_t n, struct err *e) MUST_USE; /* n <= left */
