/* opts: one table per command, read into one struct; --help, man page and completion are printed from the same rows. */
#include "cmd.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct cmd_opts, field)
#define END_OF_GROUP                                                                                                             \
    { .name = NULL }

const struct opt opts_common[] = {
    {"help", 'h', OPT_FLAG, NULL, "show this text", AT(help), 0, 0},
    {"verbose", 'v', OPT_FLAG, NULL, "say more on stderr: speed, sizes, what is chosen", AT(verbose), 0, 0},
    END_OF_GROUP,
};
const struct opt opts_compute[] = {
    {"threads", 't', OPT_COUNT, "N", "compute threads (default: the physical cores this process may use)", AT(threads), 1, 256},
    {"chunk", 0, OPT_COUNT, "N", "most rows of one step of prefill (default 512)", AT(chunk), 1, 65536},
    {"isa", 0, OPT_TEXT, "NAME", "instruction set: c, avx2, avxvnni, avx512, amx, neon, i8mm (default: the best of this machine)",
     AT(isa), 0, 0},
    {"ctx", 'c', OPT_COUNT, "N", "context in tokens (default: the smaller of the model's and 8192; `perplexity`: 512)", AT(ctx),
     16, 1048576},
    {"kv", 0, OPT_TEXT, "f16|q8|f32", "type of the KV cache (default f16); another one gives other bits and another fingerprint",
     AT(kv), 0, 0},
    END_OF_GROUP,
};
const struct opt opts_sampling[] = {
    {"temperature", 0, OPT_REAL, "T", "0 takes the likeliest token (default 0)", AT(temperature), 0, 100},
    {"top-k", 0, OPT_COUNT, "N", "sample from the N likeliest tokens (default 0: all)", AT(top_k), 0, 1048576},
    {"top-p", 0, OPT_REAL, "P", "sample from the likeliest tokens that make up P (default 1: all)", AT(top_p), 0, 1},
    {"min-p", 0, OPT_REAL, "P", "drop tokens less likely than P times the likeliest (default 0)", AT(min_p), 0, 1},
    {"typical", 0, OPT_REAL, "P", "locally typical sampling (default 1: off)", AT(typical), 0, 1},
    {"repetition-penalty", 0, OPT_REAL, "X", "divides logits of tokens already there (default 1: off)", AT(repetition_penalty),
     0.01, 100},
    {"presence-penalty", 0, OPT_REAL, "X", "taken off logits of tokens already there (default 0)", AT(presence_penalty), -100,
     100},
    {"frequency-penalty", 0, OPT_REAL, "X", "taken off once per occurrence (default 0)", AT(frequency_penalty), -100, 100},
    {"penalty-last-n", 0, OPT_COUNT, "N", "tokens that penalties look back at (default 0: all)", AT(penalty_last_n), 0, 16777216},
    {"logit-bias", 0, OPT_LIST, "ID=X", "adds X to the logit of token ID; may be repeated", AT(logit_bias), 0, 0},
    {"seed", 's', OPT_COUNT, "S", "seed of the sampler (default: a random one, named with --verbose)", AT(seed), 0,
     18446744073709551615.0},
    {"stop", 0, OPT_LIST, "TEXT", "ends the answer where TEXT would begin; may be repeated", AT(stop), 0, 0},
    {"ignore-eos", 0, OPT_FLAG, NULL, "go on past the model's end token", AT(ignore_eos), 0, 0},
    END_OF_GROUP,
};
const struct opt opts_lines[] = {
    {"jsonl", 0, OPT_FLAG, NULL, "lines of JSON in, lines of JSON out, same order", AT(jsonl), 0, 0},
    END_OF_GROUP,
};
const struct opt opts_serve[] = {
    {"host", 0, OPT_TEXT, "ADDRESS", "address to listen on (default 127.0.0.1)", AT(host), 0, 0},
    {"port", 'p', OPT_COUNT, "N", "port to listen on, 0 picks a free one (default 8080)", AT(port), 0, 65535},
    {"name", 0, OPT_TEXT, "NAME", "the model's name in the API (default: file name without .gguf, or the store's name)", AT(name),
     0, 0},
    {"parallel", 0, OPT_COUNT, "N", "sequences running at once (default 32)", AT(parallel), 1, 4096},
    {"queue", 0, OPT_COUNT, "N", "requests waiting before 503 is answered (default 256)", AT(queue), 0, 1048576},
    {"kv-memory", 0, OPT_BYTES, "BYTES",
     "memory of the KV cache (default: half the context of all sequences, at most a quarter of the memory)", AT(kv_memory), 0, 0},
    {"nice", 0, OPT_COUNT, "N", "how far computing yields to the server and to other processes (default 0)", AT(nice), 0, 19},
    {"api-key", 0, OPT_LIST, "KEY", "a key that clients must send; may be repeated (default: none is asked for)", AT(api_key), 0,
     0},
    {"unknown-fields", 0, OPT_TEXT, "refuse|warn", "what to do with request fields that moat does not know (default refuse)",
     AT(unknown_fields), 0, 0},
    {"config", 0, OPT_TEXT, "FILE", "YAML file of these options (`port: 9000`), and `models`, a list; what is given here wins",
     AT(config), 0, 0},
    END_OF_GROUP,
};

void opts_defaults(struct cmd_opts *o) {
    *o = (struct cmd_opts){
        .n = 64,
        .top_p = 1,
        .typical = 1,
        .repetition_penalty = 1,
        .host = "127.0.0.1",
        .port = 8080,
        .parallel = 32,
        .queue = 256,
        .unknown_fields = "refuse",
        .kv = "f16",
        .bench_noise = 10,
        .r = 3,
        .pooling = "mean",
    };
}

/* By letter, or with letter 0 by the n bytes of name. */
static const struct opt *find_opt(const struct cmd *c, const char *name, size_t n, char letter) {
    for (const struct opt *const *group = c->opts; group && *group; group++)
        for (const struct opt *o = *group; o->name; o++)
            if (letter ? o->letter == letter : strlen(o->name) == n && memcmp(o->name, name, n) == 0)
                return o;
    return NULL;
}

/* Is value one of the words of "a|b|c"? */
static bool one_of(const char *words, const char *value) {
    size_t n = strlen(value);
    for (const char *w = words; w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL)
        if (strncmp(w, value, n) == 0 && (w[n] == '|' || w[n] == 0))
            return true;
    return false;
}

/* The limit as a whole number: a double cannot hold 2^64 - 1. */
static uint64_t whole_max(const struct opt *o) {
    return o->max >= 0x1p64 ? UINT64_MAX : (uint64_t)o->max;
}

static int read_count(const struct opt *o, const char *value, uint64_t *out, struct err *e) {
    char *end;
    errno = 0;
    uint64_t v = strtoull(value, &end, 10);
    unsigned shift = 0;
    if (o->type == OPT_BYTES && *end) {
        const char *unit = memchr("KMG", toupper((unsigned char)*end), 3);
        shift = unit ? 10 * (unsigned)(1 + (toupper((unsigned char)*end) == 'M') + 2 * (toupper((unsigned char)*end) == 'G')) : 0;
        end += unit != NULL;
    }
    bool whole = isdigit((unsigned char)value[0]) && *end == 0 && errno == 0 && v <= UINT64_MAX >> shift;
    if (!whole || (o->type == OPT_COUNT && ((double)v < o->min || (double)v > o->max)))
        return o->type == OPT_BYTES
                   ? err_set(e, ERR_USAGE, o->name, "'%s' is no number of bytes; write for example 512M or 2G", value)
                   : err_set(e, ERR_USAGE, o->name, "'%s' is no whole number from %.0f to %" PRIu64, value, o->min, whole_max(o));
    *out = v << shift;
    return 0;
}

static int read_real(const struct opt *o, const char *value, double *out, struct err *e) {
    char *end;
    double v = strtod(value, &end);
    if (end == value || *end || !isfinite(v) || v < o->min || v > o->max)
        return err_set(e, ERR_USAGE, o->name, "'%s' is no number from %g to %g", value, o->min, o->max);
    *out = v;
    return 0;
}

static int set_opt(struct cmd_opts *opts, const struct opt *o, const char *value, struct err *e) {
    void *to = (char *)opts + o->offset;
    /* What a script gives for a variable that is not set must not count as given: an empty key would let everybody in. */
    if (o->type != OPT_FLAG && !*value && o->offset != AT(system))
        return err_set(e, ERR_USAGE, o->name, "is empty; give a %s or leave the option out", o->arg);
    if (o->type == OPT_TEXT && strchr(o->arg, '|') && !one_of(o->arg, value))
        return err_set(e, ERR_USAGE, o->name, "'%s' is not one of %s", value, o->arg);
    if (o->offset == AT(seed))
        opts->seed_given = true;
    if (o->offset == AT(n))
        opts->n_given = true;
    switch (o->type) {
    case OPT_FLAG: *(bool *)to = !value || strcmp(value, "0") != 0; return 0;
    case OPT_COUNT:
    case OPT_BYTES: return read_count(o, value, to, e);
    case OPT_REAL: return read_real(o, value, to, e);
    case OPT_TEXT: *(const char **)to = value; return 0;
    case OPT_LIST:
    case OPT_LISTS: break;
    }
    struct opt_list *list = to;
    if (list->n == N_ITEMS(list->items))
        return err_set(e, ERR_USAGE, o->name, "stands more than %zu times", N_ITEMS(list->items));
    list->items[list->n++] = value;
    return 0;
}

const struct opt *opts_find(const struct cmd *c, struct str name) {
    return find_opt(c, name.p, name.n, 0);
}

int opts_set(struct cmd_args *a, const struct opt *o, const char *value, struct err *e) {
    return set_opt(&a->opts, o, value, e);
}

bool opts_given(const struct cmd_args *a, const struct opt *o) {
    return a->given[o->offset];
}

/* From command line or environment: what the configuration file says of it does not count. */
static int give(struct cmd_args *a, const struct opt *o, const char *value, struct err *e) {
    a->given[o->offset] = true;
    return set_opt(&a->opts, o, value, e);
}

/* "MOAT_TOP_K" for "top-k"; NULL when the variable is not set or empty. */
static const char *from_environment(const struct opt *o) {
    char name[64];
    int n = snprintf(name, sizeof name, "MOAT_%s", o->name);
    for (int i = 0; i < n; i++)
        name[i] = name[i] == '-' ? '_' : (char)toupper((unsigned char)name[i]);
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static int read_environment(struct cmd_args *a, struct err *e) {
    for (const struct opt *const *group = a->cmd->opts; group && *group; group++)
        for (const struct opt *o = *group; o->name; o++) {
            bool given = a->given[o->offset] && o->type != OPT_LIST;
            const char *value = o->letter == 'h' || given ? NULL : from_environment(o);
            if (value && give(a, o, value, e) < 0) {
                err_within(e, "environment");
                return e->code;
            }
        }
    return 0;
}

/* Reads the option at argv[*i]; moves *i over its value. */
static int read_opt(struct cmd_args *a, int argc, char **argv, int *i, struct err *e) {
    const char *arg = argv[*i], *value = NULL;
    const struct opt *o;
    if (arg[1] == '-') {
        const char *equals = strchr(arg, '=');
        size_t n = equals ? (size_t)(equals - arg) - 2 : strlen(arg) - 2;
        o = find_opt(a->cmd, arg + 2, n, 0);
        value = equals ? equals + 1 : NULL;
    } else if (strlen(arg) == 3 && (o = find_opt(a->cmd, arg + 1, 2, 0))) {
        ; /* a name of two letters: -pg */
    } else {
        o = find_opt(a->cmd, "", 0, arg[1]);
        value = arg[2] ? arg + 2 : NULL;
        if (value && isalpha((unsigned char)*value))
            o = NULL; /* -t4 is -t 4, but -ngl (llama-bench's) is not -n gl */
    }
    if (!o || (o->type == OPT_FLAG && value))
        return err_set(e, ERR_USAGE, arg, "is no option of `moat %s`; see `moat %s --help`", a->cmd->name, a->cmd->name);
    if (o->type != OPT_FLAG && !value) {
        if (*i + 1 >= argc)
            return err_set(e, ERR_USAGE, arg, "needs a value: --%s %s", o->name, o->arg);
        value = argv[++*i];
    }
    return give(a, o, value, e);
}

int opts_read(struct cmd_args *a, int argc, char **argv, struct err *e) {
    int r = 0;
    bool options = true;
    opts_defaults(&a->opts);
    a->args = argv;
    for (int i = 0; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (!options || argv[i][0] != '-' || argv[i][1] == 0)
            a->args[a->n_args++] = argv[i]; /* never overtakes i */
        else if ((r = read_opt(a, argc, argv, &i, e)) < 0)
            return r;
    }
    if ((r = read_environment(a, e)) < 0)
        return r;
    if (a->opts.config && !a->opts.help && (r = config_read(a, a->opts.config, e)) < 0)
        return r;
    if (!a->opts.help && (a->n_args < a->cmd->min_args || a->n_args > a->cmd->max_args))
        return err_set(e, ERR_USAGE, "arguments", "usage: moat %s %s", a->cmd->name, a->cmd->args);
    return 0;
}

void opts_free(struct cmd_args *a) {
    arena_free(&a->arena);
}

static void help_row(const struct opt *o, FILE *to) {
    char left[64];
    char letter[8] = "    ";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "");
    fprintf(to, "  %-30s %s\n", left, o->help);
}

void opts_help(const struct cmd *c, FILE *to) {
    fprintf(to, "usage: moat %s%s%s\n\n%s.\n", c->name, c->args[0] ? " " : "", c->args, c->summary);
    if (c->text)
        fprintf(to, "\n%s\n", c->text);
    fprintf(to, "\noptions:\n");
    for (const struct opt *const *group = c->opts; group && *group; group++)
        for (const struct opt *o = *group; o->name; o++)
            help_row(o, to);
}

/* Text for roff: a leading dot or quote and every backslash or hyphen would mean something. */
static void roff(FILE *to, const char *text) {
    for (const char *p = text; *p; p++) {
        if (*p == '\\' || *p == '-')
            fputc('\\', to);
        if ((p == text || p[-1] == '\n') && (*p == '.' || *p == '\''))
            fputs("\\&", to);
        fputc(*p, to);
    }
}

static void man_option(FILE *to, const struct opt *o) {
    fputs(".TP\n.B ", to);
    if (o->letter)
        fprintf(to, "\\-%c, ", o->letter);
    fputs("\\-\\-", to);
    roff(to, o->name);
    fprintf(to, "%s%s\n", o->arg ? " " : "", o->arg ? o->arg : "");
    roff(to, o->help);
    fputs("\n", to);
}

void opts_man(FILE *to) {
    fprintf(
        to,
        ".TH MOAT 1 \"\" \"moat %s\" \"User commands\"\n.SH NAME\nmoat \\- serves open\\-weight language models on CPU servers\n",
        MOAT_VERSION);
    fputs(".SH SYNOPSIS\n.B moat\nCOMMAND [OPTIONS] [ARGUMENTS]\n.SH COMMANDS\n", to);
    for (const struct cmd *c = cmds; c->name; c++) {
        if (c->hidden)
            continue;
        fprintf(to, ".SS moat %s ", c->name);
        roff(to, c->args);
        fputs("\n", to);
        roff(to, c->summary);
        fputs(".\n", to);
        if (c->text) {
            fputs(".PP\n", to);
            roff(to, c->text);
            fputs("\n", to);
        }
        for (const struct opt *const *group = c->opts; group && *group; group++)
            for (const struct opt *o = *group; o->name; o++)
                man_option(to, o);
    }
    fputs(
        ".SH ENVIRONMENT\nEach option can be given as MOAT_NAME, in capitals and with _ for \\-: MOAT_PORT for \\-\\-port.\n"
        "MOAT_HOME names the folder of the store (default: $XDG_DATA_HOME/moat, else ~/.local/share/moat).\n"
        ".SH EXIT STATUS\n0 done; 1 failed; 2 wrong usage; 3 the input is bad; 4 it ran and the result differs; 130 interrupted.\n",
        to);
}

static void complete_words(const struct cmd *c, FILE *to) {
    for (const struct opt *const *group = c->opts; group && *group; group++)
        for (const struct opt *o = *group; o->name; o++)
            fprintf(to, "--%s ", o->name);
}

static void completion_fish(FILE *to) {
    for (const struct cmd *c = cmds; c->name; c++) {
        if (c->hidden)
            continue;
        fprintf(to, "complete -c moat -n __fish_use_subcommand -a %s -d '%s'\n", c->name, c->summary);
        for (const struct opt *const *group = c->opts; group && *group; group++)
            for (const struct opt *o = *group; o->name; o++)
                fprintf(to, "complete -c moat -n '__fish_seen_subcommand_from %s' -l %s%s\n", c->name, o->name,
                        o->arg ? " -r" : "");
    }
}

/* bash's function serves zsh too, through bashcompinit. */
static void completion_bash(FILE *to) {
    fputs("_moat() {\n    local cur=${COMP_WORDS[COMP_CWORD]} words=\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words='",
          to);
    for (const struct cmd *c = cmds; c->name; c++)
        if (!c->hidden)
            fprintf(to, "%s ", c->name);
    fputs("'\n    else\n        case ${COMP_WORDS[1]} in\n", to);
    for (const struct cmd *c = cmds; c->name; c++) {
        if (c->hidden)
            continue;
        fprintf(to, "        %s) words='", c->name);
        complete_words(c, to);
        fputs("' ;;\n", to);
    }
    fputs("        esac\n    fi\n    case $cur in\n    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
          "    *) if [ \"$COMP_CWORD\" -eq 1 ]; then COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"));\n"
          "       else COMPREPLY=($(compgen -f -- \"$cur\")); fi ;;\n    esac\n}\ncomplete -o filenames -F _moat moat\n",
          to);
}

int opts_completion(const char *shell, FILE *to, struct err *e) {
    if (strcmp(shell, "fish") == 0) {
        completion_fish(to);
        return 0;
    }
    if (strcmp(shell, "zsh") == 0)
        fputs("autoload -U +X bashcompinit && bashcompinit\n", to);
    else if (strcmp(shell, "bash") != 0)
        return err_set(e, ERR_USAGE, "completion", "'%s' is not one of bash, zsh, fish", shell);
    completion_bash(to);
    return 0;
}
