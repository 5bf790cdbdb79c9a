/* api_fields: reading a JSON object by a table of its fields. Private to api. */
#pragma once

#include "api.h"

/* What one endpoint's reader knows while it reads. Everything but `call` and `bad` starts as zero. */
struct reader {
    struct api_call *call;
    struct api_error *bad;
    const struct api_opts *opts;
    const char *within;               /* the field that is being read, or NULL at the top */
    yyjson_val *messages, *variables; /* chat: what becomes the template's variables */
    bool no_generation_prompt, has_max_tokens, add_special;
    bool may_echo; /* max_tokens may be 0 */
    uint32_t best_of;
};

enum field_kind {
    FIELD_BOOL,    /* bool at `at` in struct api_call */
    FIELD_COUNT,   /* uint32_t, min..max */
    FIELD_REAL,    /* float, min..max */
    FIELD_TEXT,    /* struct str */
    FIELD_READ,    /* read(r, name, value) */
    FIELD_IDLE,    /* known, and without effect on the answer */
    FIELD_REFUSED, /* known, and not there (yet): refused unless null */
};
struct field {
    const char *name;
    enum field_kind kind;
    size_t at;
    double min, max;
    int (*read)(struct reader *r, const char *name, yyjson_val *v);
};

/* Reads `root` by the groups of rows (each ends with a NULL name; the list with NULL). null counts as left out. */
int api_fields_read(struct reader *r, yyjson_val *root, const struct field *const *groups);
/* Parses the body: an object, valid UTF-8, not too deep. */
int api_body_read(struct str body, struct api_call *call, struct api_error *bad);
/* "Invalid type for 'name': expected WHAT, but got a string instead." */
int api_wrong_type(struct reader *r, const char *name, const char *expected, yyjson_val *v);
int api_count_read(struct reader *r, const char *name, yyjson_val *v, double min, double max, uint32_t *out);
int api_text_read(struct reader *r, const char *name, yyjson_val *v, struct str *out);
/* Fields of what is sampled and of moat's extensions: the same for every vendor. */
extern const struct field api_fields_sampling[];
/* OpenAI's `messages`, and their template variables as the one prompt of the call. */
int api_messages_read(struct reader *r, const char *name, yyjson_val *v);
int api_chat_compose(struct reader *r, enum gen_kind kind);
struct str api_json_str(yyjson_val *v);
