/* Any bytes as a datagram: the reader refuses them or gives records that, written again, read as the same bytes. */
#include "../../src/wire/wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct wire_msg m, again;
    struct arena arena = {0};
    struct buf first = {.max = 4 * WIRE_RECORD_MAX}, second = {.max = 4 * WIRE_RECORD_MAX};
    struct wire_reader r = {.left = {(const char *)data, size}, .arena = &arena};
    while (size <= WIRE_RECORD_MAX && wire_next(&r, &m, NULL) > 0) {
        first.n = second.n = 0;
        wire_put(&first, &m);
        ASSERT(!first.failed);
        struct wire_reader r2 = {.left = buf_as_str(&first), .arena = &arena};
        ASSERT(wire_next(&r2, &again, NULL) == 1);
        wire_put(&second, &again);
        ASSERT(str_eq(buf_as_str(&first), buf_as_str(&second)));
    }
    buf_free(&first);
    buf_free(&second);
    arena_free(&arena);
    return 0;
}
