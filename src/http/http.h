/* http: an HTTP/1.1 server over libuv and llhttp. It carries bytes and knows nothing of models.
 *
 *     static void answer(void *ctx, struct http_res *res) {
 *         if (str_is(http_req(res)->path, "/health")) http_res_send(res, 200, "application/json", STR("{}"));
 *         ...
 *     }
 *     http_server_new(&(struct http_opts){.loop = loop, .host = "127.0.0.1", .request = answer}, &server, &e);
 *
 * One loop thread owns everything here. A request reaches the handler whole (head and body), a connection has one at a time, and
 * the next is read when the answer has ended. Reading goes on while an answer is under way, so that a client that leaves (reset,
 * EOF, half-close: all the same) is noticed at once. Requests that two parsers could read in two ways are refused: two Hosts,
 * Content-Length with Transfer-Encoding, bare LF or CR, NUL, folded fields, codings other than chunked. */
#pragma once

#include "../base/base.h"

enum {
    HTTP_FIELDS_MAX = 100,
    HTTP_HEAD_BYTES_MAX = 16 * 1024,
    HTTP_AHEAD_BYTES_MAX = 64 * 1024,
    HTTP_UNSENT_BYTES_MAX = 16 << 20,
    HTTP_SOCKET_BYTES = 64 * 1024, /* of a connection that the kernel holds and has not sent: past it a slow reader shows */
};

/* ---- a request ------------------------------------------------------------------------------------------------ */

struct http_field {
    struct str name, value;
};
struct http_req {
    struct str method, path, query; /* path begins with '/' (or is "*"), still percent-encoded; query without '?' */
    struct str body;
    struct http_field fields[HTTP_FIELDS_MAX];
    unsigned n_fields;
    bool http_1_0, keep_alive, expects_continue;
    char remote[64]; /* the peer's address as text */
};
/* The value of the first field of that name (case does not matter), or the empty string. */
struct str http_req_field(const struct http_req *req, const char *name);
/* Appends s with %XX decoded; false where an escape is broken or stands for NUL. */
bool http_unescape(struct buf *out, struct str s) MUST_USE;

/* ---- the parser: pure, one request at a time ---------------------------------------------------------------------- */

enum http_parsed {
    HTTP_WANTS_MORE, /* all bytes taken, the request is not complete */
    HTTP_WANTS_BODY, /* the head is complete and a body follows; call again with the rest */
    HTTP_COMPLETE,   /* the request is complete; bytes after it were not taken */
    HTTP_REFUSED,    /* status and why say what is wrong; the connection cannot go on */
};
struct http_parser;
struct http_parser *http_parser_new(size_t body_bytes_max); /* NULL: out of memory */
void http_parser_free(struct http_parser *p);               /* with its request */
/* Reads from `in` and stores how many bytes it took. */
enum http_parsed http_parse(struct http_parser *p, struct str in, size_t *taken);
struct http_req *http_parser_req(struct http_parser *p);               /* complete after HTTP_COMPLETE (head: HTTP_WANTS_BODY) */
bool http_parser_idle(const struct http_parser *p);                    /* no byte of a request has come yet */
bool http_parser_in_body(const struct http_parser *p);                 /* the head is complete */
size_t http_parser_body_bytes(const struct http_parser *p);            /* of the body, so far */
int http_parser_status(const struct http_parser *p, const char **why); /* after HTTP_REFUSED: 400, 413, 414, 417, 431, 501, 505 */

/* ---- the server ----------------------------------------------------------------------------------------------------- */

struct http_res;
struct http_opts {
    struct uv_loop_s *loop;
    const char *host;        /* an address, or a name that is looked up once */
    unsigned port;           /* 0: a free one */
    size_t body_bytes_max;   /* 0: 8 MiB */
    size_t bodies_bytes_max; /* bodies of all connections together, then 503; 0: 256 MiB */
    unsigned conns_max;      /* 0: 10,000; beyond it a connection gets 503 */
    /* Timeouts in ms; 0 takes the default. head: a whole head, from its first byte (10 s); body: between two reads (30 s);
     * idle: between requests (75 s); write: no byte could be sent (30 s). */
    unsigned head_ms, body_ms, idle_ms, write_ms;
    void (*request)(void *ctx, struct http_res *res);
    /* Writes the body (JSON) of an error that http itself answers: 400, 408, 413, 431, 503 ... */
    void (*error_body)(struct buf *out, int status, const char *why);
    void *ctx;
};
struct http_server;
int http_server_new(const struct http_opts *opts, struct http_server **out, struct err *e) MUST_USE; /* listens at once */
unsigned http_server_port(const struct http_server *s);
unsigned http_server_conns(const struct http_server *s);
/* Stops listening, closes idle connections, lets answers under way end; then calls done once. */
void http_server_drain(struct http_server *s, void (*done)(void *ctx), void *ctx);
/* Closes every connection now; answers under way are gone. The drain's done follows. */
void http_server_abort(struct http_server *s);
void http_server_free(struct http_server *s); /* after done, when the loop has run its close callbacks */

/* ---- an answer: valid from the handler's call until it is ended or gone --------------------------------------------------- */

const struct http_req *http_req(const struct http_res *res);
/* Adds a field to the head to come. Bytes that would break the line are dropped. */
void http_res_field(struct http_res *res, const char *name, struct str value);
/* A whole answer: head, body, end. */
void http_res_send(struct http_res *res, int status, const char *type, struct str body);
/* A stream: begin, any number of writes (chunked, or up to the close for HTTP/1.0), end. */
void http_res_begin(struct http_res *res, int status, const char *type);
void http_res_write(struct http_res *res, struct str bytes);
void http_res_end(struct http_res *res);
/* Breaks a begun stream off so that the client sees that it is not complete. */
void http_res_break(struct http_res *res);
bool http_res_begun(const struct http_res *res);
/* Bytes written that the kernel has not taken yet: a writer that can wait stops at some size and goes on when `sent` is called,
 * which it is whenever the last of them is gone and the answer still under way. */
size_t http_res_unsent(const struct http_res *res);
void http_res_on_sent(struct http_res *res, void (*sent)(void *ctx), void *ctx);
/* Called once if the client leaves (or reads nothing for too long) before the end; the answer is not valid any more. */
void http_res_on_gone(struct http_res *res, void (*gone)(void *ctx), void *ctx);
