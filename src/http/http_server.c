/* http_server: connections on one libuv loop. A connection owns its socket, its parser and the one answer under way.
 *
 * States:  READING -> BUSY (a request is with the handler) -> READING ... -> LINGER (all is sent, the client's last bytes are
 * read and dropped, so that a reset does not take the answer with it) -> CLOSED (uv_close was called; freed by its callback).
 * Bytes come in through conn_input and leave through conn_flush alone: TLS goes between those two and the socket.
 * What a turn of the loop wrote is sent in one piece when the turn ends (`dirty`). */
#include "http.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <uv.h>

enum { READ_BYTES = 64 * 1024, LINGER_MS = 2000, LINGER_BYTES_MAX = 32 << 20, BACKLOG = 1024, KEEPALIVE_S = 60 };
enum conn_state { CONN_READING, CONN_BUSY, CONN_LINGER, CONN_CLOSED };

struct http_res {
    struct buf fields;
    bool begun, chunked, bodyless, keep_alive;
    void (*gone)(void *ctx), (*sent)(void *ctx);
    void *gone_ctx, *sent_ctx;
};
struct conn {
    uv_tcp_t tcp;
    uv_timer_t timer, write_timer; /* waiting for the client's next bytes; for the client to take ours */
    uv_write_t write;
    struct http_server *server;
    struct conn *prev, *next, *next_dirty;
    enum conn_state state;
    struct http_parser *parser;
    struct http_res res;
    struct buf ahead;          /* came while BUSY */
    struct buf out, in_flight; /* not yet given to the kernel; given to uv_write */
    size_t body_bytes;         /* counted in server->bodies_bytes */
    size_t unsent_seen, lingered_bytes;
    unsigned n_open_handles;
    bool dirty, writing, parsing, saw_eof, close_when_sent;
    char remote[64];
};
struct http_server {
    struct http_opts opts;
    uv_tcp_t listener;
    uv_prepare_t turn_end;
    struct conn *conns, *dirty;
    unsigned n_conns, port, n_open_handles;
    size_t bodies_bytes;
    bool draining;
    void (*drained)(void *ctx);
    void *drained_ctx;
    char read_bytes[READ_BYTES];
};

static void conn_run(struct conn *c);
static void conn_deadline(struct conn *c, uint64_t ms);
static void on_write_deadline(uv_timer_t *t);

static struct conn *conn_of(struct http_res *res) {
    return (struct conn *)((char *)res - offsetof(struct conn, res));
}

/* ---- the end of a connection ---------------------------------------------------------------------------------------- */

static void on_server_handle_closed(uv_handle_t *h);

static void maybe_drained(struct http_server *s) {
    if (!s->draining || s->n_conns || !s->drained)
        return;
    if (!uv_is_closing((uv_handle_t *)&s->turn_end))
        uv_close((uv_handle_t *)&s->turn_end, on_server_handle_closed);
    if (s->n_open_handles)
        return;
    void (*done)(void *ctx) = s->drained;
    s->drained = NULL;
    done(s->drained_ctx);
}

static void on_conn_closed(uv_handle_t *h) {
    struct conn *c = h->data;
    struct http_server *s = c->server;
    if (--c->n_open_handles)
        return;
    for (struct conn **at = &s->dirty; c->dirty && *at; at = &(*at)->next_dirty)
        if (*at == c) {
            *at = c->next_dirty;
            break;
        }
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->n_conns--;
    http_parser_free(c->parser);
    buf_free(&c->res.fields);
    buf_free(&c->ahead);
    buf_free(&c->out);
    buf_free(&c->in_flight);
    free(c);
    maybe_drained(s);
}

/* The answer is not the handler's any more. */
static void release_res(struct conn *c) {
    c->server->bodies_bytes -= c->body_bytes;
    c->body_bytes = 0;
    buf_free(&c->res.fields);
    c->res = (struct http_res){0};
    http_parser_free(c->parser);
    c->parser = NULL;
}

/* With reset, the client hears of it, and what the kernel still holds for it goes too. */
static void conn_end(struct conn *c, bool reset) {
    if (c->state == CONN_CLOSED)
        return;
    bool busy = c->state == CONN_BUSY;
    void (*gone)(void *ctx) = c->res.gone;
    void *gone_ctx = c->res.gone_ctx;
    c->state = CONN_CLOSED;
    if (!reset || uv_tcp_close_reset(&c->tcp, on_conn_closed) < 0)
        uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
    uv_close((uv_handle_t *)&c->timer, on_conn_closed);
    uv_close((uv_handle_t *)&c->write_timer, on_conn_closed);
    release_res(c);
    if (busy && gone)
        gone(gone_ctx);
}

static void conn_close(struct conn *c) {
    conn_end(c, false);
}

/* The client takes nothing. */
static void conn_reset(struct conn *c) {
    conn_end(c, true);
}

/* Everything is sent: says so to the client and waits a little for it to go. */
static void conn_linger(struct conn *c) {
    int fd;
    if (c->saw_eof || uv_fileno((uv_handle_t *)&c->tcp, &fd) < 0 || shutdown(fd, SHUT_WR) < 0) {
        conn_close(c);
        return;
    }
    c->state = CONN_LINGER;
    conn_deadline(c, LINGER_MS);
}

/* ---- bytes out -------------------------------------------------------------------------------------------------------- */

static size_t unsent(const struct conn *c) {
    return c->out.n + uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp);
}

static void mark_dirty(struct conn *c) {
    if (c->dirty || c->state == CONN_CLOSED)
        return;
    c->dirty = true;
    c->next_dirty = c->server->dirty;
    c->server->dirty = c;
}

static void conn_flush(struct conn *c);

static void on_sent(uv_write_t *w, int status) {
    struct conn *c = w->data;
    c->writing = false;
    buf_free(&c->in_flight);
    if (c->state == CONN_CLOSED)
        return;
    uv_timer_stop(&c->write_timer);
    if (status < 0)
        conn_close(c);
    else
        conn_flush(c);
}

/* The kernel takes no more now: libuv sends the rest when it does. */
static void send_rest(struct conn *c, size_t n_sent) {
    c->in_flight = c->out;
    c->out = (struct buf){0};
    c->write.data = c;
    uv_buf_t b = uv_buf_init(c->in_flight.p + n_sent, (unsigned)(c->in_flight.n - n_sent));
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &b, 1, on_sent) < 0) {
        conn_close(c);
        return;
    }
    c->writing = true;
    c->unsent_seen = b.len;
    uv_timer_start(&c->write_timer, on_write_deadline, c->server->opts.write_ms, 0);
}

static void conn_flush(struct conn *c) {
    if (c->state == CONN_CLOSED)
        return;
    if (c->out.failed) { /* the reader is too far behind, or memory is out */
        conn_reset(c);
        return;
    }
    if (c->writing)
        return;
    uv_buf_t b = uv_buf_init(c->out.p, (unsigned)c->out.n);
    int sent = c->out.n ? uv_try_write((uv_stream_t *)&c->tcp, &b, 1) : 0;
    if (sent < 0 && sent != UV_EAGAIN) {
        conn_close(c);
        return;
    }
    size_t n_sent = sent > 0 ? (size_t)sent : 0;
    if (n_sent < c->out.n) {
        send_rest(c, n_sent);
        return;
    }
    buf_free(&c->out);
    if (c->state == CONN_BUSY && c->res.sent)
        c->res.sent(c->res.sent_ctx);
    if (c->close_when_sent && c->state == CONN_READING)
        conn_linger(c);
}

static void on_turn_end(uv_prepare_t *h) {
    struct http_server *s = h->data;
    struct conn *c = s->dirty;
    s->dirty = NULL;
    while (c) {
        struct conn *next = c->next_dirty;
        c->dirty = false;
        conn_flush(c);
        c = next;
    }
}

/* ---- answers ---------------------------------------------------------------------------------------------------------- */

static const char *status_text(int status) {
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < N_ITEMS(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

static void add_head(struct conn *c, int status, const char *type) {
    char date[64];
    time_t now = (time_t)clock_wall_s();
    struct tm tm;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    buf_fmt(&c->out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, status_text(status), date);
    if (type)
        buf_fmt(&c->out, "Content-Type: %s\r\n", type);
    buf_str(&c->out, buf_as_str(&c->res.fields));
    if (!c->res.keep_alive)
        buf_z(&c->out, "Connection: close\r\n");
}

const struct http_req *http_req(const struct http_res *res) {
    return http_parser_req(conn_of((struct http_res *)(uintptr_t)res)->parser);
}

void http_res_field(struct http_res *res, const char *name, struct str value) {
    buf_fmt(&res->fields, "%s: ", name);
    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] >= 0x20 && value.p[i] != 0x7f)
            buf_byte(&res->fields, value.p[i]);
    buf_z(&res->fields, "\r\n");
}

void http_res_on_gone(struct http_res *res, void (*gone)(void *ctx), void *ctx) {
    res->gone = gone;
    res->gone_ctx = ctx;
}

void http_res_on_sent(struct http_res *res, void (*sent)(void *ctx), void *ctx) {
    res->sent = sent;
    res->sent_ctx = ctx;
}

size_t http_res_unsent(const struct http_res *res) {
    return unsent(conn_of((struct http_res *)(uintptr_t)res));
}

bool http_res_begun(const struct http_res *res) {
    return res->begun;
}

static void finish(struct conn *c) {
    bool stays = c->res.keep_alive && !c->server->draining;
    release_res(c);
    c->state = CONN_READING;
    c->close_when_sent = !stays;
    mark_dirty(c);
    conn_deadline(c, c->server->opts.idle_ms);
    if (stays && !c->parsing)
        conn_run(c);
}

void http_res_send(struct http_res *res, int status, const char *type, struct str body) {
    struct conn *c = conn_of(res);
    if (c->state != CONN_BUSY)
        return;
    res->keep_alive = res->keep_alive && !c->server->draining;
    add_head(c, status, type);
    buf_fmt(&c->out, "Content-Length: %zu\r\n\r\n", body.n);
    if (!res->bodyless)
        buf_str(&c->out, body);
    finish(c);
}

void http_res_begin(struct http_res *res, int status, const char *type) {
    struct conn *c = conn_of(res);
    if (c->state != CONN_BUSY)
        return;
    res->begun = true;
    res->chunked = !http_req(res)->http_1_0;
    res->keep_alive = res->keep_alive && res->chunked && !c->server->draining;
    add_head(c, status, type);
    buf_z(&c->out, res->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    mark_dirty(c);
}

void http_res_write(struct http_res *res, struct str bytes) {
    struct conn *c = conn_of(res);
    if (c->state != CONN_BUSY || bytes.n == 0 || res->bodyless)
        return;
    if (res->chunked)
        buf_fmt(&c->out, "%zx\r\n", bytes.n);
    buf_str(&c->out, bytes);
    if (res->chunked)
        buf_z(&c->out, "\r\n");
    if (unsent(c) > HTTP_UNSENT_BYTES_MAX)
        c->out.failed = true; /* closed when the turn ends: the handler is inside a call now */
    mark_dirty(c);
}

void http_res_end(struct http_res *res) {
    struct conn *c = conn_of(res);
    if (c->state != CONN_BUSY)
        return;
    if (res->chunked && !res->bodyless)
        buf_z(&c->out, "0\r\n\r\n");
    finish(c);
}

void http_res_break(struct http_res *res) {
    struct conn *c = conn_of(res);
    if (c->state != CONN_BUSY)
        return;
    res->keep_alive = false;
    finish(c);
}

/* An error that http itself found: it ends the connection. */
static void refuse(struct conn *c, int status, const char *why) {
    struct buf body = {0};
    if (c->server->opts.error_body)
        c->server->opts.error_body(&body, status, why);
    c->state = CONN_BUSY;
    c->res.keep_alive = false;
    http_res_send(&c->res, status, "application/json", buf_as_str(&body));
    buf_free(&body);
}

/* ---- bytes in ------------------------------------------------------------------------------------------------------------ */

/* Counts the body that has come so far; false when all bodies together would pass their limit. */
static bool hold_body(struct conn *c) {
    struct http_server *s = c->server;
    size_t more = http_parser_body_bytes(c->parser) - c->body_bytes;
    if (more > s->opts.bodies_bytes_max - s->bodies_bytes)
        return false;
    s->bodies_bytes += more;
    c->body_bytes += more;
    return true;
}

static void handle(struct conn *c) {
    struct http_req *req = http_parser_req(c->parser);
    c->state = CONN_BUSY;
    uv_timer_stop(&c->timer);
    c->res = (struct http_res){.keep_alive = req->keep_alive, .bodyless = str_is(req->method, "HEAD")};
    memcpy(req->remote, c->remote, sizeof req->remote);
    c->server->opts.request(c->server->opts.ctx, &c->res);
}

/* Feeds the parser; returns how many bytes it took. */
static size_t parse_some(struct conn *c, struct str in) {
    const struct http_opts *o = &c->server->opts;
    if (!c->parser && !(c->parser = http_parser_new(o->body_bytes_max))) {
        conn_close(c);
        return in.n;
    }
    size_t taken;
    bool was_idle = http_parser_idle(c->parser);
    enum http_parsed got = http_parse(c->parser, in, &taken);
    if (got == HTTP_REFUSED) {
        const char *why;
        int status = http_parser_status(c->parser, &why);
        refuse(c, status, why);
    } else if (!hold_body(c)) {
        refuse(c, 503, "the server holds too many request bodies; try again");
    } else if (got == HTTP_COMPLETE) {
        handle(c);
    } else if (got == HTTP_WANTS_BODY && taken == in.n && http_parser_req(c->parser)->expects_continue) {
        buf_z(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
        mark_dirty(c);
        conn_deadline(c, o->body_ms);
    } else if (got == HTTP_WANTS_BODY || http_parser_in_body(c->parser)) {
        conn_deadline(c, o->body_ms);
    } else if (was_idle && !http_parser_idle(c->parser)) {
        conn_deadline(c, o->head_ms);
    }
    return taken;
}

/* Reads requests from what came ahead until one stays with the handler. */
static void conn_run(struct conn *c) {
    c->parsing = true;
    size_t at = 0;
    while (at < c->ahead.n && c->state == CONN_READING && !c->close_when_sent)
        at += parse_some(c, (struct str){c->ahead.p + at, c->ahead.n - at});
    c->parsing = false;
    c->ahead.n -= at;
    if (c->ahead.n)
        memmove(c->ahead.p, c->ahead.p + at, c->ahead.n);
    else
        buf_free(&c->ahead);
}

static void conn_input(struct conn *c, struct str in) {
    if (c->state == CONN_LINGER || c->close_when_sent) {
        c->lingered_bytes += in.n;
        if (c->lingered_bytes > LINGER_BYTES_MAX)
            conn_close(c);
        return;
    }
    if (c->state == CONN_READING && c->ahead.n == 0) { /* the common case copies nothing */
        c->parsing = true;
        while (in.n && c->state == CONN_READING && !c->close_when_sent) {
            size_t taken = parse_some(c, in);
            in = (struct str){in.p + taken, in.n - taken};
        }
        c->parsing = false;
    }
    if (c->state == CONN_CLOSED || c->close_when_sent)
        return;
    buf_add(&c->ahead, in.p, in.n);
    if (c->ahead.failed) /* it pipelines further ahead than anyone needs */
        conn_close(c);
}

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *b) {
    struct conn *c = h->data;
    (void)hint;
    *b = uv_buf_init(c->server->read_bytes, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b) {
    struct conn *c = stream->data;
    if (n > 0)
        conn_input(c, (struct str){b->base, (size_t)n});
    else if (n == UV_EOF && c->state == CONN_READING && unsent(c) > 0)
        c->saw_eof = c->close_when_sent = true; /* the last answer is still on its way */
    else if (n < 0)
        conn_close(c);
}

/* ---- time ------------------------------------------------------------------------------------------------------------- */

static void on_deadline(uv_timer_t *t) {
    struct conn *c = t->data;
    if (c->state == CONN_READING && c->parser && !http_parser_idle(c->parser))
        refuse(c, 408, "the request did not arrive in time");
    else if (c->state == CONN_READING && unsent(c)) /* that has its own timer */
        conn_deadline(c, c->server->opts.idle_ms);
    else
        conn_close(c);
}

static void conn_deadline(struct conn *c, uint64_t ms) {
    if (c->state != CONN_CLOSED)
        uv_timer_start(&c->timer, on_deadline, ms, 0);
}

static void on_write_deadline(uv_timer_t *t) {
    struct conn *c = t->data;
    size_t left = uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp);
    if (left >= c->unsent_seen) {
        conn_reset(c);
        return;
    }
    c->unsent_seen = left;
    uv_timer_start(&c->write_timer, on_write_deadline, c->server->opts.write_ms, 0);
}

/* ---- the server ---------------------------------------------------------------------------------------------------------- */

static void name_peer(struct conn *c) {
    struct sockaddr_storage a;
    int n = sizeof a;
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&a, &n) < 0)
        return;
    if (a.ss_family == AF_INET6)
        uv_ip6_name((struct sockaddr_in6 *)&a, c->remote, sizeof c->remote);
    else
        uv_ip4_name((struct sockaddr_in *)&a, c->remote, sizeof c->remote);
}

static struct conn *conn_new(struct http_server *s) {
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    uv_tcp_init(s->opts.loop, &c->tcp);
    uv_timer_init(s->opts.loop, &c->timer);
    uv_timer_init(s->opts.loop, &c->write_timer);
    c->tcp.data = c->timer.data = c->write_timer.data = c;
    c->n_open_handles = 3;
    c->server = s;
    c->ahead.max = HTTP_AHEAD_BYTES_MAX;
    c->next = s->conns;
    if (s->conns)
        s->conns->prev = c;
    s->conns = c;
    s->n_conns++;
    return c;
}

/* Without it the kernel takes megabytes for a client that reads nothing. */
static void limit_unsent(struct conn *c) {
    int fd, bytes = HTTP_SOCKET_BYTES;
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0)
        (void)!setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}

static void on_connection(uv_stream_t *listener, int status) {
    struct http_server *s = listener->data;
    struct conn *c = status < 0 ? NULL : conn_new(s);
    if (!c)
        return;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0 || uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) < 0) {
        conn_close(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    limit_unsent(c);
    uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
    name_peer(c);
    conn_deadline(c, s->opts.idle_ms);
    if (s->n_conns > s->opts.conns_max)
        refuse(c, 503, "the server has too many connections; try again");
}

static int listen_on(struct http_server *s, struct err *e) {
    struct http_opts *o = &s->opts;
    char where[96], port[8];
    snprintf(where, sizeof where, "%.80s:%u", o->host, o->port);
    snprintf(port, sizeof port, "%u", o->port);
    uv_getaddrinfo_t lookup;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int r = uv_getaddrinfo(o->loop, &lookup, NULL, o->host, port, &hints);
    if (r < 0)
        return err_set(e, ERR_ENV, where, "this address cannot be found: %s", uv_strerror(r));
    r = uv_tcp_bind(&s->listener, lookup.addrinfo->ai_addr, 0);
    uv_freeaddrinfo(lookup.addrinfo);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&s->listener, BACKLOG, on_connection);
    if (r == UV_EADDRINUSE)
        return err_set(e, ERR_ENV, where, "another program listens there already; stop it or choose another --port");
    if (r == UV_EACCES)
        return err_set(e, ERR_ENV, where, "permission denied: ports below 1024 are for root; choose another --port");
    if (r < 0)
        return err_set(e, ERR_ENV, where, "cannot listen there: %s", uv_strerror(r));
    struct sockaddr_storage a;
    int n = sizeof a;
    uv_tcp_getsockname(&s->listener, (struct sockaddr *)&a, &n);
    s->port = ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port : ((struct sockaddr_in *)&a)->sin_port);
    return 0;
}

static void set_defaults(struct http_opts *o) {
    o->body_bytes_max = o->body_bytes_max ? o->body_bytes_max : 8 << 20;
    o->bodies_bytes_max = o->bodies_bytes_max ? o->bodies_bytes_max : 256 << 20;
    o->conns_max = o->conns_max ? o->conns_max : 10000;
    o->head_ms = o->head_ms ? o->head_ms : 10000;
    o->body_ms = o->body_ms ? o->body_ms : 30000;
    o->idle_ms = o->idle_ms ? o->idle_ms : 75000;
    o->write_ms = o->write_ms ? o->write_ms : 30000;
}

static void on_server_handle_closed(uv_handle_t *h) {
    struct http_server *s = h->data;
    s->n_open_handles--;
    maybe_drained(s);
}

int http_server_new(const struct http_opts *opts, struct http_server **out, struct err *e) {
    struct http_server *s = *out = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_MEMORY, "http", "out of memory");
    s->opts = *opts;
    set_defaults(&s->opts);
    uv_tcp_init(opts->loop, &s->listener);
    uv_prepare_init(opts->loop, &s->turn_end);
    s->listener.data = s->turn_end.data = s;
    s->n_open_handles = 2;
    uv_prepare_start(&s->turn_end, on_turn_end);
    uv_unref((uv_handle_t *)&s->turn_end);
    int r = listen_on(s, e);
    if (r < 0) {
        uv_close((uv_handle_t *)&s->listener, NULL);
        uv_close((uv_handle_t *)&s->turn_end, NULL);
        uv_run(opts->loop, UV_RUN_NOWAIT); /* libuv lets go of the two */
        free(s);
        *out = NULL;
    }
    return r;
}

unsigned http_server_port(const struct http_server *s) {
    return s->port;
}

unsigned http_server_conns(const struct http_server *s) {
    return s->n_conns;
}

void http_server_drain(struct http_server *s, void (*done)(void *ctx), void *ctx) {
    if (s->draining)
        return;
    s->draining = true;
    s->drained = done;
    s->drained_ctx = ctx;
    uv_close((uv_handle_t *)&s->listener, on_server_handle_closed);
    for (struct conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_READING && !c->parser && !unsent(c))
            conn_close(c);
        else if (c->state == CONN_READING && !c->parser)
            c->close_when_sent = true;
    }
}

void http_server_abort(struct http_server *s) {
    for (struct conn *c = s->conns; c; c = c->next)
        conn_close(c);
}

void http_server_free(struct http_server *s) {
    free(s);
}
