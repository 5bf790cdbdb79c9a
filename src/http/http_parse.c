/* http_parse: bytes to requests. The head is collected whole and judged byte by byte before llhttp sees it, which removes the
 * readings on which parsers differ (line ends, NUL, folding) and lets every field be a borrowed piece of one buffer. llhttp then
 * reads the head, and the body as it comes. Invariant: `head` does not change once `fields` point into it. */
#include "http.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BLANK_BYTES_MAX = 4 };                                /* line ends that may stand before a request (RFC 9112 2.2) */
enum { OVERHEAD_BYTES = 64 * 1024, OVERHEAD_PER_BYTE = 16 }; /* what chunk sizes, extensions and trailers may cost */

struct http_parser {
    llhttp_t ll;
    struct buf head, body;
    struct http_req req;
    size_t body_bytes_max, body_raw_bytes;
    unsigned n_blank;
    bool head_done, done;
    int status;
    const char *why;
    char too_large[96]; /* a why that holds a number */
};

static int bad(struct http_parser *p, int status, const char *why) {
    if (!p->status) {
        p->status = status;
        p->why = why;
    }
    return -1;
}

static int body_too_large(struct http_parser *p) {
    snprintf(p->too_large, sizeof p->too_large, "the request body is larger than %zu bytes, the most that is taken",
             p->body_bytes_max);
    return bad(p, 413, p->too_large);
}

/* ---- what llhttp calls ----------------------------------------------------------------------------------------- */

static int on_url(llhttp_t *ll, const char *at, size_t n) {
    struct http_parser *p = ll->data;
    p->req.path = (struct str){at, n};
    return 0;
}

static int on_field(llhttp_t *ll, const char *at, size_t n) {
    struct http_parser *p = ll->data;
    if (p->head_done)
        return 0; /* a trailer: read and dropped */
    if (p->req.n_fields == HTTP_FIELDS_MAX)
        return bad(p, 431, "the request has more than 100 header fields");
    p->req.fields[p->req.n_fields++] = (struct http_field){.name = {at, n}};
    return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t n) {
    struct http_parser *p = ll->data;
    if (p->head_done)
        return 0;
    while (n && (at[n - 1] == ' ' || at[n - 1] == '\t'))
        n--;
    p->req.fields[p->req.n_fields - 1].value = (struct str){at, n};
    return 0;
}

static bool name_is(struct str s, const char *name) {
    return s.n == strlen(name) && strncasecmp(s.p, name, s.n) == 0;
}

static unsigned count_fields(const struct http_req *req, const char *name) {
    unsigned n = 0;
    for (unsigned i = 0; i < req->n_fields; i++)
        n += name_is(req->fields[i].name, name);
    return n;
}

/* Origin form ("/path?query"), absolute form ("http://host/path", which proxies send) or "*". */
static int split_target(struct http_parser *p) {
    struct str t = p->req.path;
    if (memchr(t.p, '#', t.n))
        return bad(p, 400, "the request target has a fragment");
    const char *scheme = t.n && t.p[0] != '/' ? memmem(t.p, t.n, "://", 3) : NULL;
    if (scheme) {
        const char *rest = scheme + 3, *end = str_end(t);
        while (rest < end && *rest != '/' && *rest != '?')
            rest++;
        t = (struct str){rest, (size_t)(end - rest)};
    }
    const char *q = memchr(t.p, '?', t.n);
    p->req.path = (struct str){t.p, q ? (size_t)(q - t.p) : t.n};
    p->req.query = q ? (struct str){q + 1, t.n - p->req.path.n - 1} : (struct str){0};
    if (p->req.path.n == 0)
        p->req.path = STR("/");
    if (p->req.path.p[0] != '/' && !str_is(p->req.path, "*"))
        return bad(p, 400, "the request target is no path");
    return 0;
}

/* llhttp reads over further blanks, where other parsers see another target. */
static int judge_line(struct http_parser *p) {
    const char *end = memchr(p->head.p, '\r', p->head.n);
    unsigned n_blanks = 0;
    for (const char *c = p->head.p; c < end; c++)
        n_blanks += *c == ' ' || *c == '\t';
    return n_blanks == 2 ? 0 : bad(p, 400, "the request line is not 'METHOD TARGET VERSION'");
}

static int judge_length(struct http_parser *p) {
    const struct http_req *req = &p->req;
    unsigned n_coding = count_fields(req, "transfer-encoding"), n_length = count_fields(req, "content-length");
    if (n_coding && n_length)
        return bad(p, 400, "the request has both Content-Length and Transfer-Encoding");
    if (n_coding > 1 || n_length > 1)
        return bad(p, 400, "the request states the length of its body twice");
    if (n_coding && req->http_1_0)
        return bad(p, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (n_coding && !name_is(http_req_field(req, "transfer-encoding"), "chunked"))
        return bad(p, 501, "the request uses a transfer coding other than chunked");
    if (n_length && p->ll.content_length > p->body_bytes_max)
        return body_too_large(p);
    return 0;
}

static int on_head(llhttp_t *ll) {
    struct http_parser *p = ll->data;
    struct http_req *req = &p->req;
    p->head_done = true;
    ll->upgrade = 0; /* an offer that we do not take: the request is a plain one */
    if (ll->http_major != 1 || ll->http_minor > 1)
        return bad(p, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    req->http_1_0 = ll->http_minor == 0;
    req->keep_alive = llhttp_should_keep_alive(ll);
    req->method = str_of(llhttp_method_name((llhttp_method_t)ll->method));
    unsigned n_host = count_fields(req, "host");
    if (n_host > 1 || (n_host == 0 && !req->http_1_0))
        return bad(p, 400, n_host ? "the request has two Host fields" : "the request has no Host field");
    struct str expect = http_req_field(req, "expect");
    req->expects_continue = !req->http_1_0 && name_is(expect, "100-continue");
    if (expect.n && !name_is(expect, "100-continue"))
        return bad(p, 417, "the only expectation that is met is 100-continue");
    struct str coding = http_req_field(req, "content-encoding");
    if (coding.n && !name_is(coding, "identity"))
        return bad(p, 415, "the body is compressed or otherwise coded: send it as it is, without Content-Encoding");
    return judge_line(p) < 0 || judge_length(p) < 0 || split_target(p) < 0 ? -1 : 0;
}

static int on_body(llhttp_t *ll, const char *at, size_t n) {
    struct http_parser *p = ll->data;
    buf_add(&p->body, at, n);
    return p->body.failed ? body_too_large(p) : 0;
}

static int on_end(llhttp_t *ll) {
    struct http_parser *p = ll->data;
    p->done = true;
    p->req.body = buf_as_str(&p->body);
    return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_end,
};

/* ---- feeding it ---------------------------------------------------------------------------------------------------- */

struct http_parser *http_parser_new(size_t body_bytes_max) {
    struct http_parser *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    llhttp_init(&p->ll, HTTP_REQUEST, &callbacks);
    p->ll.data = p;
    p->head.max = HTTP_HEAD_BYTES_MAX;
    p->body.max = body_bytes_max;
    p->body_bytes_max = body_bytes_max;
    return p;
}

void http_parser_free(struct http_parser *p) {
    if (!p)
        return;
    buf_free(&p->head);
    buf_free(&p->body);
    free(p);
}

struct http_req *http_parser_req(struct http_parser *p) {
    return &p->req;
}

bool http_parser_idle(const struct http_parser *p) {
    return p->head.n == 0;
}

bool http_parser_in_body(const struct http_parser *p) {
    return p->head_done;
}

size_t http_parser_body_bytes(const struct http_parser *p) {
    return p->body.n;
}

int http_parser_status(const struct http_parser *p, const char **why) {
    *why = p->why;
    return p->status;
}

/* Takes the next byte of the head: 1 when it was the last, 0, or -1. */
static int head_byte(struct http_parser *p, char c) {
    size_t n = p->head.n;
    const char *end = n ? p->head.p + n : NULL;
    if (n == 0 && (c == '\r' || c == '\n'))
        return p->n_blank++ < BLANK_BYTES_MAX ? 0 : bad(p, 400, "blank lines stand before the request");
    if (n == 0 && !(c >= 'A' && c <= 'Z'))
        return bad(p, 400, "the request does not begin with a method; is it TLS?");
    char last = n ? end[-1] : 0;
    if (c == 0 || (c == '\n') != (last == '\r'))
        return bad(p, 400, c == 0 ? "the head holds a NUL byte" : "a line of the head does not end with CR LF");
    if (last == '\n' && (c == ' ' || c == '\t'))
        return bad(p, 400, "a header field is folded over two lines");
    buf_byte(&p->head, c);
    if (p->head.failed)
        return memchr(p->head.p, '\n', n) ? bad(p, 431, "the head is larger than 16 KiB")
                                          : bad(p, 414, "the request line is larger than 16 KiB");
    return c == '\n' && n >= 3 && memcmp(p->head.p + n - 3, "\r\n\r", 3) == 0;
}

static enum http_parsed run_llhttp(struct http_parser *p, struct str in, size_t *taken) {
    llhttp_errno_t r = llhttp_execute(&p->ll, in.p, in.n);
    *taken = r == HPE_OK ? in.n : (size_t)(llhttp_get_error_pos(&p->ll) - in.p);
    if (p->status || (r != HPE_OK && r != HPE_PAUSED)) {
        bad(p, 400, "the request is not valid HTTP");
        return HTTP_REFUSED;
    }
    return p->done ? HTTP_COMPLETE : HTTP_WANTS_MORE;
}

static enum http_parsed parse_head(struct http_parser *p, struct str in, size_t *taken) {
    int r = 0;
    for (*taken = 0; *taken < in.n && r == 0;)
        r = head_byte(p, in.p[(*taken)++]);
    if (r <= 0)
        return r < 0 ? HTTP_REFUSED : HTTP_WANTS_MORE;
    size_t head_taken;
    enum http_parsed got = run_llhttp(p, buf_as_str(&p->head), &head_taken);
    if (got == HTTP_REFUSED || got == HTTP_COMPLETE)
        return got;
    /* Both readings of where the head ends must be one. */
    return p->head_done ? HTTP_WANTS_BODY : (bad(p, 400, "the request is not valid HTTP"), HTTP_REFUSED);
}

enum http_parsed http_parse(struct http_parser *p, struct str in, size_t *taken) {
    *taken = 0;
    if (p->status)
        return HTTP_REFUSED;
    if (p->done || in.n == 0)
        return p->done ? HTTP_COMPLETE : HTTP_WANTS_MORE;
    if (!p->head_done)
        return parse_head(p, in, taken);
    enum http_parsed got = run_llhttp(p, in, taken);
    p->body_raw_bytes += *taken;
    if (got != HTTP_REFUSED && p->body_raw_bytes > OVERHEAD_BYTES + OVERHEAD_PER_BYTE * p->body.n) {
        bad(p, 400, "the chunks of the body carry more overhead than data");
        return HTTP_REFUSED;
    }
    return got;
}

/* ---- helpers ---------------------------------------------------------------------------------------------------------- */

struct str http_req_field(const struct http_req *req, const char *name) {
    for (unsigned i = 0; i < req->n_fields; i++)
        if (name_is(req->fields[i].name, name))
            return req->fields[i].value;
    return (struct str){0};
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

bool http_unescape(struct buf *out, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%') {
            buf_byte(out, s.p[i]);
            continue;
        }
        int high = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1, low = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;
        if (high < 0 || low < 0 || high + low == 0)
            return false;
        buf_byte(out, (char)(high << 4 | low));
        i += 2;
    }
    return !out->failed;
}
