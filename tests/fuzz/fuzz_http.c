/* Any bytes as a connection's: however they are cut into pieces, the same requests come out, or the same refusal. */
#include "../../src/http/http.h"

#include <string.h>

enum { BODY_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void describe(struct buf *out, const struct http_req *req) {
    buf_str(out, req->method);
    buf_byte(out, ' ');
    buf_str(out, req->path);
    buf_byte(out, '?');
    buf_str(out, req->query);
    for (unsigned i = 0; i < req->n_fields; i++) {
        buf_byte(out, '\n');
        buf_str(out, req->fields[i].name);
        buf_byte(out, ':');
        buf_str(out, req->fields[i].value);
    }
    buf_byte(out, '\n');
    buf_str(out, req->body);
    ASSERT(req->body.n <= BODY_MAX && req->n_fields <= HTTP_FIELDS_MAX);
    ASSERT(req->path.n && (req->path.p[0] == '/' || str_is(req->path, "*")));
    if (!http_unescape(out, req->path))
        buf_z(out, "broken escape");
}

/* All requests of the bytes, read in pieces; ends with the status of a refusal. */
static void read_all(struct buf *out, struct str in, size_t piece) {
    struct http_parser *p = http_parser_new(BODY_MAX);
    while (in.n) {
        size_t taken, n = in.n < piece ? in.n : piece;
        enum http_parsed got = http_parse(p, (struct str){in.p, n}, &taken);
        ASSERT(taken <= n);
        in = (struct str){in.p + taken, in.n - taken};
        if (got == HTTP_REFUSED) {
            const char *why;
            buf_fmt(out, "refused %d", http_parser_status(p, &why));
            break;
        }
        if (got == HTTP_COMPLETE) {
            describe(out, http_parser_req(p));
            http_parser_free(p);
            p = http_parser_new(BODY_MAX);
        }
    }
    http_parser_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str in = {(const char *)data, size};
    struct buf whole = {0}, pieces = {0};
    read_all(&whole, in, SIZE_MAX);
    for (size_t piece = 1; piece <= 16; piece += 5) {
        pieces.n = 0;
        read_all(&pieces, in, piece);
        ASSERT(str_eq(buf_as_str(&whole), buf_as_str(&pieces)));
    }
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
