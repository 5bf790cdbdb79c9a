/* config: a YAML file of options, as `moat serve --config` takes it. One mapping: names of options to values, and `models`,
 * what stands for the arguments. Read with libyaml's document API; nothing is guessed, so 4096abc is no number, `yes` no flag. */
#include "cmd.h"

#include <fcntl.h>
#include <string.h>
#include <yaml.h>

enum { CONFIG_BYTES_MAX = 1 << 20 };

struct config {
    struct cmd_args *args;
    const char *path;
    yaml_document_t doc;
};

/* An error at a place of the file, counted from 1. */
static int fail_at(const struct config *c, yaml_mark_t at, const char *what, const char *why, struct err *e) {
    char place[32];
    snprintf(place, sizeof place, "%zu:%zu", at.line + 1, at.column + 1);
    err_set(e, ERR_INPUT, what, "%s", why);
    err_within(e, place);
    err_within(e, c->path);
    return e->code;
}

/* The text of a scalar, copied: what is set points to it for as long as the arguments live. */
static const char *scalar(struct config *c, const yaml_node_t *node, const char *what, struct err *e) {
    struct str text = {(const char *)node->data.scalar.value, node->data.scalar.length};
    if (node->type != YAML_SCALAR_NODE)
        fail_at(c, node->start_mark, what, "is no plain value", e);
    else if (text.n == 0 || memchr(text.p, 0, text.n))
        fail_at(c, node->start_mark, what, "is empty or holds a NUL", e);
    else {
        struct str copy = arena_str(&c->args->arena, text);
        if (copy.p)
            return copy.p;
        err_set(e, ERR_MEMORY, c->path, "no memory");
    }
    return NULL;
}

static int set_flag(struct config *c, const struct opt *o, const yaml_node_t *node, const char *value, struct err *e) {
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return fail_at(c, node->start_mark, o->name, "is neither true nor false", e);
    return opts_set(c->args, o, value[0] == 't' ? "1" : "0", e);
}

static int set_value(struct config *c, const struct opt *o, const yaml_node_t *node, struct err *e) {
    const char *value = scalar(c, node, o->name, e);
    if (!value)
        return e->code;
    if (o->type == OPT_FLAG)
        return set_flag(c, o, node, value, e);
    struct err why = {0};
    if (opts_set(c->args, o, value, &why) < 0)
        return fail_at(c, node->start_mark, o->name, why.msg, e);
    return 0;
}

/* A value, or for options that may be repeated a sequence of them. */
static int set_option(struct config *c, const struct opt *o, const yaml_node_t *node, struct err *e) {
    if (o->type != OPT_LIST || node->type != YAML_SEQUENCE_NODE)
        return set_value(c, o, node, e);
    int r = 0;
    for (const yaml_node_item_t *i = node->data.sequence.items.start; r == 0 && i < node->data.sequence.items.top; i++)
        r = set_value(c, o, yaml_document_get_node(&c->doc, *i), e);
    return r;
}

/* `models`: the arguments, unless some stand on the command line. */
static int set_models(struct config *c, const yaml_node_t *node, struct err *e) {
    if (node->type != YAML_SEQUENCE_NODE)
        return fail_at(c, node->start_mark, "models", "is no list; write for example [smollm2:135m-instruct-q4_1]", e);
    const yaml_node_item_t *items = node->data.sequence.items.start;
    ptrdiff_t n = node->data.sequence.items.top - items;
    if (n < 1 || n > c->args->cmd->max_args)
        return fail_at(c, node->start_mark, "models", "holds none, or more than the command takes", e);
    const char **args = arena_array(&c->args->arena, (size_t)n, sizeof *args);
    if (!args)
        return err_set(e, ERR_MEMORY, c->path, "no memory");
    for (ptrdiff_t i = 0; i < n; i++)
        if (!(args[i] = scalar(c, yaml_document_get_node(&c->doc, items[i]), "models", e)))
            return e->code;
    if (c->args->n_args == 0) {
        c->args->args = (char **)args;
        c->args->n_args = (int)n;
    }
    return 0;
}

static bool same_scalar(const yaml_node_t *a, const yaml_node_t *b) {
    return b->type == YAML_SCALAR_NODE && a->data.scalar.length == b->data.scalar.length &&
           memcmp(a->data.scalar.value, b->data.scalar.value, a->data.scalar.length) == 0;
}

static int set_pair(struct config *c, const yaml_node_pair_t *first, const yaml_node_pair_t *pair, struct err *e) {
    const yaml_node_t *key = yaml_document_get_node(&c->doc, pair->key), *value = yaml_document_get_node(&c->doc, pair->value);
    const char *name = scalar(c, key, "key", e);
    if (!name)
        return e->code;
    for (; first < pair; first++)
        if (same_scalar(key, yaml_document_get_node(&c->doc, first->key)))
            return fail_at(c, key->start_mark, name, "stands twice", e);
    if (strcmp(name, "models") == 0)
        return set_models(c, value, e);
    const struct opt *o = opts_find(c->args->cmd, str_of(name));
    if (!o || o->offset == offsetof(struct cmd_opts, help) || o->offset == offsetof(struct cmd_opts, config))
        return fail_at(c, key->start_mark, name, "is no option; `moat serve --help` lists them", e);
    return opts_given(c->args, o) ? 0 : set_option(c, o, value, e);
}

static int set_all(struct config *c, struct err *e) {
    const yaml_node_t *root = yaml_document_get_root_node(&c->doc);
    if (!root)
        return 0; /* an empty file */
    if (root->type != YAML_MAPPING_NODE)
        return fail_at(c, root->start_mark, "the file", "is no mapping of options to values, such as `port: 9000`", e);
    int r = 0;
    const yaml_node_pair_t *pairs = root->data.mapping.pairs.start;
    for (const yaml_node_pair_t *p = pairs; r == 0 && p < root->data.mapping.pairs.top; p++)
        r = set_pair(c, pairs, p, e);
    return r;
}

int config_parse(struct cmd_args *a, const char *path, struct str text, struct err *e) {
    struct config c = {.args = a, .path = path};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return err_set(e, ERR_MEMORY, path, "no memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    int r;
    if (!yaml_parser_load(&parser, &c.doc)) {
        r = fail_at(&c, parser.problem_mark, "YAML", parser.problem ? parser.problem : "cannot be read", e);
    } else {
        r = set_all(&c, e);
        yaml_document_delete(&c.doc);
    }
    yaml_parser_delete(&parser);
    return r;
}

int config_read(struct cmd_args *a, const char *path, struct err *e) {
    struct buf text = {.max = CONFIG_BYTES_MAX};
    int r = fs_read(AT_FDCWD, path, &text, e);
    if (r == 0)
        r = config_parse(a, path, buf_as_str(&text), e);
    buf_free(&text);
    return r;
}
