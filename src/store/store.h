/* store: an OCI image layout on disk that holds releases. Any registry tool can read it.
 *
 *     struct store *s = NULL;
 *     store_open(home, STORE_CREATE, &s, &e);
 *     store_import(s, fd, &facts, "smollm2:135m", &entry, &e);   // blob, config, release layer, manifest, index.json
 *     store_find(s, "smollm2", &entry, &e);
 *     int weights = store_blob(s, &entry.weights, &e);
 *
 *     oci-layout          {"imageLayoutVersion": "1.0.0"}; also the file that writers lock
 *     index.json          one descriptor a tag, its name in the annotation org.opencontainers.image.ref.name
 *     blobs/sha256/HEX    everything else: weights, configs, release layers, manifests
 *
 * A manifest is of the CNCF ModelPack format (github.com/modelpack/model-spec) with one layer of our own (STORE_MEDIA_RELEASE)
 * for what decides an answer and has no place there. A blob is linked to its name only when all its bytes are on disk, and
 * index.json is replaced whole, so a power cut or a full disk leaves the store as it was. Files of the store are as hostile as
 * any: digests, sizes and shapes are checked at each reading. One thread at a time; processes exclude one another by a lock. */
#pragma once

#include "../base/base.h"

#define STORE_MEDIA_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define STORE_ARTIFACT_MODEL "application/vnd.cncf.model.manifest.v1+json"
#define STORE_MEDIA_CONFIG "application/vnd.cncf.model.config.v1+json"
#define STORE_MEDIA_WEIGHTS "application/vnd.cncf.model.weight.v1.raw"
#define STORE_MEDIA_RELEASE "application/vnd.moat.release.v1+json"

enum { STORE_REF_MAX = 255, STORE_ENTRIES_MAX = 10000 };
enum store_open_mode { STORE_READ, STORE_CREATE };

struct store;
/* STORE_READ of a folder that is not there gives an empty store. */
int store_open(const char *home, enum store_open_mode mode, struct store **out, struct err *e) MUST_USE;
void store_close(struct store *s);

struct store_entry {
    char ref[STORE_REF_MAX + 1]; /* "name:tag" */
    struct digest release;       /* of the manifest: the release's name for good */
    struct digest weights;
    uint64_t weights_bytes;
    char file[256]; /* the file's own name */
};
/* The entries of index.json in its order, in memory of the caller's to free. */
int store_list(struct store *s, struct store_entry **entries, size_t *n, struct err *e) MUST_USE;
/* name:tag; name alone (its tag `latest`, else its only tag); or name@sha256:HEX. ERR_INPUT says what there is. */
int store_find(struct store *s, const char *ref, struct store_entry *out, struct err *e) MUST_USE;
/* A descriptor to read a blob, whose size is checked against `bytes`; its bytes are named by their digest. */
int store_blob(struct store *s, const struct digest *d, uint64_t bytes, struct err *e) MUST_USE;

/* What the config says of the weights; strings may be empty. */
struct store_facts {
    const char *file, *architecture, *quantization;
    uint64_t n_params;
};
/* Copies the file at fd into the store, hashing while it copies, and points ref at the new release. The same bytes under the
 * same facts give the same release digest. An existing ref moves (its old release stays until store_remove or gc). */
int store_import(struct store *s, int fd, const struct store_facts *facts, const char *ref, struct store_entry *out,
                 struct err *e) MUST_USE;
/* A file that keeps the packed weights of a model between starts: packed/NAME in the folder `home`, which need not be a store yet.
 * Any of them may go at any time; whoever reads one checks it. A descriptor for reading and writing, for reading alone where the
 * folder cannot be written to, or -1: there is none and none can be made. `file` is for a model file outside the store: of those
 * the STORE_PACKED_FILES_MAX used last stay. */
enum { STORE_PACKED_FILES_MAX = 8 };
int store_packed(const char *home, const struct digest *source, unsigned version, bool file);
/* Removes what belongs to blobs that the store does not hold, or to all; returns the bytes. */
uint64_t store_packed_drop(int home_dir, bool all);

/* Takes the ref away, and every blob that no manifest needs any more; *freed counts their bytes. */
int store_remove(struct store *s, const char *ref, uint64_t *freed, struct err *e) MUST_USE;
/* Is text a reference that import takes: [registry/]name[:tag]? Adds ":latest" where no tag stands. */
int store_ref_parse(const char *text, char ref[STORE_REF_MAX + 1], struct err *e) MUST_USE;
