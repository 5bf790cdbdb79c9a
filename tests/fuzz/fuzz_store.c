/* index.json and manifests of the store: any bytes give an entry or an error, and what was read can be written and read again. */
#include "store/store_json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct str text = {(const char *)data, n};
    struct index index, again;
    struct err e = {0};
    if (store_index_parse(text, &index, &e) == 0) {
        struct buf out = {0};
        store_index_write(&out, &index);
        ASSERT(store_index_parse(buf_as_str(&out), &again, &e) == 0 && again.n == index.n);
        store_index_free(&again);
        store_index_free(&index);
        buf_free(&out);
    }
    struct manifest m, back;
    struct err me = {0};
    if (store_manifest_parse(text, &m, &me) == 0) {
        struct buf out = {0};
        store_manifest_write(&out, &m);
        if (utf8_valid(str_of(m.file)))
            ASSERT(store_manifest_parse(buf_as_str(&out), &back, &me) == 0 && memcmp(&m, &back, sizeof m) == 0);
        buf_free(&out);
    }
    return 0;
}
