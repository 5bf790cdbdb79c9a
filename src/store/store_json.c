/* The JSON of the layout, read as strictly as any other door and written in one fixed form, so that equal content has equal digests. */
#include "store_json.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char ref_key[] = "org.opencontainers.image.ref.name";
static const char path_key[] = "org.cncf.model.filepath";
enum { JSON_DEPTH_MAX = 16 };

/* ---- references ------------------------------------------------------------------------------------------------------- */

static bool name_char(char c) {
    return islower((unsigned char)c) || isdigit((unsigned char)c) || c == '.' || c == '_' || c == '-' || c == '/';
}

static bool tag_char(char c) {
    return isalnum((unsigned char)c) || c == '.' || c == '_' || c == '-';
}

/* The grammar of OCI references, with names in lower case: parts of letters and digits, joined by . _ - or /. */
static bool name_valid(const char *p, size_t n) {
    if (n == 0 || !isalnum((unsigned char)p[0]) || !isalnum((unsigned char)p[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!name_char(p[i]) || (i && !isalnum((unsigned char)p[i]) && !isalnum((unsigned char)p[i - 1])))
            return false;
    return true;
}

static bool tag_valid(const char *p, size_t n) {
    if (n == 0 || n > 128 || p[0] == '.' || p[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!tag_char(p[i]))
            return false;
    return true;
}

int store_ref_parse(const char *text, char ref[STORE_REF_MAX + 1], struct err *e) {
    const char *colon = strrchr(text, ':');
    size_t n = strlen(text), name = colon ? (size_t)(colon - text) : n;
    if (!name_valid(text, name) || (colon && !tag_valid(colon + 1, n - name - 1)) || n + sizeof ":latest" > STORE_REF_MAX)
        return err_set(
            e, ERR_USAGE, text,
            "is no NAME:TAG; a name has lower-case letters and digits joined by . _ - or /, a tag also capitals, for example smollm2:135m");
    snprintf(ref, STORE_REF_MAX + 1, "%s%s", text, colon ? "" : ":latest");
    return 0;
}

/* ---- pieces ------------------------------------------------------------------------------------------------------------ */

static struct str text_at(yyjson_val *object, const char *key) {
    yyjson_val *v = yyjson_obj_get(object, key);
    return yyjson_is_str(v) ? (struct str){yyjson_get_str(v), yyjson_get_len(v)} : (struct str){0};
}

static int parse_descriptor(yyjson_val *v, const char *what, struct descriptor *out, struct err *e) {
    struct str digest = text_at(v, "digest");
    yyjson_val *size = yyjson_obj_get(v, "size");
    if (!str_starts(digest, STR("sha256:")) || !digest_parse((struct str){digest.p + 7, digest.n - 7}, &out->digest))
        return err_set(e, ERR_INPUT, what, "its digest is not sha256: and 64 hex digits");
    if (!yyjson_is_uint(size))
        return err_set(e, ERR_INPUT, what, "its size is not a whole number");
    out->bytes = yyjson_get_uint(size);
    return 0;
}

static void write_descriptor(struct buf *out, const char *media_type, const struct descriptor *d, const char *more) {
    char hex[65];
    digest_hex(&d->digest, hex);
    buf_fmt(out, "{\"mediaType\":\"%s\",\"digest\":\"sha256:%s\",\"size\":%llu%s", media_type, hex, (unsigned long long)d->bytes,
            more);
}

/* Parses text into *doc with an object as its root. */
static int read_object(struct str text, const char *what, yyjson_doc **doc, struct err *e) {
    int r = json_read(text, JSON_DEPTH_MAX, doc, e);
    if (r == 0 && !yyjson_is_obj(yyjson_doc_get_root(*doc))) {
        yyjson_doc_free(*doc);
        r = err_set(e, ERR_INPUT, "", "is not a JSON object");
    }
    if (r < 0)
        err_within(e, what);
    return r;
}

/* ---- index.json ---------------------------------------------------------------------------------------------------------- */

void store_index_free(struct index *index) {
    free(index->rows);
    *index = (struct index){0};
}

int store_index_set(struct index *index, const struct index_row *row, struct err *e) {
    for (size_t i = 0; i < index->n; i++)
        if (strcmp(index->rows[i].ref, row->ref) == 0) {
            index->rows[i] = *row;
            return 0;
        }
    if (index->n == STORE_ENTRIES_MAX)
        return err_set(e, ERR_LIMIT, "index.json", "holds %d entries already; remove some", STORE_ENTRIES_MAX);
    if (index->n == index->cap) {
        size_t cap = index->cap ? 2 * index->cap : 8;
        struct index_row *rows = realloc(index->rows, cap * sizeof *rows);
        if (!rows)
            return err_set(e, ERR_MEMORY, "index.json", "out of memory");
        index->rows = rows;
        index->cap = cap;
    }
    index->rows[index->n++] = *row;
    return 0;
}

static int parse_index_row(yyjson_val *v, struct index *out, struct err *e) {
    struct index_row row = {0};
    struct str name = text_at(yyjson_obj_get(v, "annotations"), ref_key);
    char text[STORE_REF_MAX + 1];
    if (name.n == 0 || name.n > STORE_REF_MAX || memchr(name.p, 0, name.n))
        return 0;
    snprintf(text, sizeof text, "%.*s", (int)name.n, name.p);
    if (store_ref_parse(text, row.ref, NULL) < 0)
        return 0;
    int r = parse_descriptor(v, row.ref, &row.manifest, e);
    return r < 0 ? r : store_index_set(out, &row, e);
}

int store_index_parse(struct str text, struct index *out, struct err *e) {
    yyjson_doc *doc;
    *out = (struct index){0};
    int r = read_object(text, "index.json", &doc, e);
    if (r < 0)
        return r;
    yyjson_val *manifests = yyjson_obj_get(yyjson_doc_get_root(doc), "manifests"), *v;
    size_t i, max;
    if (!yyjson_is_arr(manifests))
        r = err_set(e, ERR_INPUT, "manifests", "is not an array");
    yyjson_arr_foreach(manifests, i, max, v) {
        if (r == 0)
            r = parse_index_row(v, out, e);
    }
    yyjson_doc_free(doc);
    if (r < 0) {
        err_within(e, "index.json");
        store_index_free(out);
    }
    return r;
}

void store_index_write(struct buf *out, const struct index *index) {
    buf_z(out, "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[");
    for (size_t i = 0; i < index->n; i++) {
        if (i)
            buf_byte(out, ',');
        write_descriptor(out, STORE_MEDIA_MANIFEST, &index->rows[i].manifest,
                         ",\"artifactType\":\"" STORE_ARTIFACT_MODEL "\",\"annotations\":{");
        buf_fmt(out, "\"%s\":\"%s\"}}", ref_key, index->rows[i].ref);
    }
    buf_z(out, "]}\n");
}

/* ---- manifests ------------------------------------------------------------------------------------------------------------- */

static int parse_layer(yyjson_val *v, struct manifest *out, bool *have_weights, struct err *e) {
    struct str type = text_at(v, "mediaType");
    if (str_is(type, STORE_MEDIA_RELEASE))
        return parse_descriptor(v, "release layer", &out->release, e);
    if (!str_is(type, STORE_MEDIA_WEIGHTS))
        return 0;
    if (*have_weights)
        return err_set(e, ERR_INPUT, "layers", "has weights in several files; moat takes models of one file");
    *have_weights = true;
    struct str file = text_at(yyjson_obj_get(v, "annotations"), path_key);
    snprintf(out->file, sizeof out->file, "%.*s", (int)(file.n < 255 ? file.n : 255), file.n ? file.p : "");
    return parse_descriptor(v, "weights", &out->weights, e);
}

int store_manifest_parse(struct str text, struct manifest *out, struct err *e) {
    yyjson_doc *doc;
    *out = (struct manifest){0};
    int r = read_object(text, "manifest", &doc, e);
    if (r < 0)
        return r;
    yyjson_val *root = yyjson_doc_get_root(doc), *layers = yyjson_obj_get(root, "layers"), *v;
    size_t i, max;
    bool have_weights = false;
    if (!str_is(text_at(root, "artifactType"), STORE_ARTIFACT_MODEL))
        r = err_set(e, ERR_INPUT, "artifactType", "is not %s", STORE_ARTIFACT_MODEL);
    if (r == 0)
        r = parse_descriptor(yyjson_obj_get(root, "config"), "config", &out->config, e);
    yyjson_arr_foreach(layers, i, max, v) {
        if (r == 0)
            r = parse_layer(v, out, &have_weights, e);
    }
    if (r == 0 && !have_weights)
        r = err_set(e, ERR_INPUT, "layers", "has no layer of type %s", STORE_MEDIA_WEIGHTS);
    yyjson_doc_free(doc);
    if (r < 0)
        err_within(e, "manifest");
    return r;
}

void store_manifest_write(struct buf *out, const struct manifest *m) {
    buf_fmt(out, "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"artifactType\":\"%s\",\"config\":", STORE_MEDIA_MANIFEST,
            STORE_ARTIFACT_MODEL);
    write_descriptor(out, STORE_MEDIA_CONFIG, &m->config, "},\"layers\":[");
    write_descriptor(out, STORE_MEDIA_WEIGHTS, &m->weights, ",\"annotations\":{\"");
    buf_fmt(out, "%s\":", path_key);
    buf_json(out, str_of(m->file));
    buf_z(out, "}},");
    write_descriptor(out, STORE_MEDIA_RELEASE, &m->release, "}]}");
}

void store_config_write(struct buf *out, const struct store_facts *facts, const struct digest *weights) {
    char hex[65];
    digest_hex(weights, hex);
    buf_z(out, "{\"descriptor\":{\"title\":");
    buf_json(out, str_of(facts->file));
    buf_z(out, "},\"config\":{\"architecture\":");
    buf_json(out, str_of(facts->architecture));
    buf_z(out, ",\"format\":\"gguf\",\"paramSize\":");
    buf_fmt(out, "\"%llu\",\"quantization\":", (unsigned long long)facts->n_params);
    buf_json(out, str_of(facts->quantization));
    buf_fmt(out, "},\"modelfs\":{\"type\":\"layers\",\"diffIds\":[\"sha256:%s\"]}}", hex);
}

/* What else decides an answer: the versions of arithmetic and text. Overrides of template, sampling and so on join them here. */
void store_release_write(struct buf *out) {
    buf_z(out, "{\"numerics\":\"N1\",\"text\":\"T1\"}");
}
