/* The JSON of the layout: index.json, manifests, configs, release layers. Pure: text in, structs out, and back. */
#pragma once

#include "store.h"

enum { STORE_JSON_BYTES_MAX = 4 << 20 };

struct descriptor {
    struct digest digest;
    uint64_t bytes;
};
struct index_row {
    char ref[STORE_REF_MAX + 1];
    struct descriptor manifest;
};
struct index {
    struct index_row *rows;
    size_t n, cap;
};
struct manifest {
    struct descriptor config, weights, release; /* release: all zero where a manifest of others has none */
    char file[256];
};

/* Rows with a ref that store_ref_parse takes; descriptors of other tools without a name are passed over. */
int store_index_parse(struct str text, struct index *out, struct err *e) MUST_USE;
void store_index_write(struct buf *out, const struct index *index);
/* Adds the row, or moves the ref that is there already. */
int store_index_set(struct index *index, const struct index_row *row, struct err *e) MUST_USE;
void store_index_free(struct index *index);

int store_manifest_parse(struct str text, struct manifest *out, struct err *e) MUST_USE;
void store_manifest_write(struct buf *out, const struct manifest *m);
void store_config_write(struct buf *out, const struct store_facts *facts, const struct digest *weights);
void store_release_write(struct buf *out);
