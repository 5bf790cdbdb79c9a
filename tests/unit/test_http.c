/* The parser of http: what it takes, and that nothing that two parsers could read in two ways gets through. */
#include "unit.h"

#include "../../src/http/http.h"

enum { BODY_MAX = 1000 };

/* Parses all of `text`, in pieces of `piece` bytes. Returns the status of a refusal, 0 for HTTP_WANTS_MORE, or 200. */
static int parse(struct http_parser *p, struct str text, size_t piece, size_t *left) {
    enum http_parsed got = HTTP_WANTS_MORE;
    while (text.n && got != HTTP_COMPLETE && got != HTTP_REFUSED) {
        size_t taken, n = text.n < piece ? text.n : piece;
        got = http_parse(p, (struct str){text.p, n}, &taken);
        assert_true(taken <= n);
        text = (struct str){text.p + taken, text.n - taken};
    }
    const char *why;
    *left = text.n;
    return got == HTTP_COMPLETE ? 200 : got == HTTP_REFUSED ? http_parser_status(p, &why) : 0;
}

static int status_of(struct str text) {
    int status[3];
    static const size_t pieces[] = {1, 7, 1 << 20};
    for (size_t i = 0; i < 3; i++) {
        struct http_parser *p = http_parser_new(BODY_MAX);
        size_t left;
        status[i] = parse(p, text, pieces[i], &left);
        http_parser_free(p);
    }
    assert_int_equal(status[0], status[2]);
    assert_int_equal(status[1], status[2]);
    return status[2];
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        {400, "GET / HTTP/1.1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\nHost: a\n\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tfolded\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nA B: x\r\n\r\n"},
        {400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
        {400, "GET / x HTTP/1.1\r\nHost: a\r\n\r\n"},
        {505, "GET /\r\n\r\n"},
        {505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
        {505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/11\r\nHost: a\r\n\r\n"},
        {400, "get / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "\x16\x03\x01\x02"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nabc"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabc"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"},
        {413, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {415, "POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"},
        {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"},
        {417, "POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n"},
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        int status = status_of(str_of(cases[i].text));
        if (status != cases[i].status)
            print_message("case %zu is %d, not %d: %s\n", i, status, cases[i].status, cases[i].text);
        assert_int_equal(status, cases[i].status);
    }
    assert_int_equal(status_of((struct str){"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 29}), 400);
}

static void test_limits(void **state) {
    (void)state;
    struct buf b = {0};
    buf_z(&b, "GET /");
    for (int i = 0; i < HTTP_HEAD_BYTES_MAX; i++)
        buf_byte(&b, 'a');
    assert_int_equal(status_of(buf_as_str(&b)), 414);
    b.n = 0;
    buf_z(&b, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    for (int i = 0; i < HTTP_HEAD_BYTES_MAX; i++)
        buf_byte(&b, 'a');
    assert_int_equal(status_of(buf_as_str(&b)), 431);
    for (int n = HTTP_FIELDS_MAX - 1; n <= HTTP_FIELDS_MAX; n++) {
        b.n = 0;
        buf_z(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 0; i < n; i++)
            buf_fmt(&b, "X%d: y\r\n", i);
        buf_z(&b, "\r\n");
        assert_int_equal(status_of(buf_as_str(&b)), n < HTTP_FIELDS_MAX ? 200 : 431);
    }
    b.n = 0;
    buf_z(&b, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < BODY_MAX / 10 + 1; i++)
        buf_z(&b, "a\r\n0123456789\r\n");
    assert_int_equal(status_of(buf_as_str(&b)), 413);
    b.n = 0;
    buf_z(&b, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;");
    for (int i = 0; i < 200000; i++)
        buf_byte(&b, 'x');
    assert_int_equal(status_of(buf_as_str(&b)), 400);
    buf_free(&b);
}

static void test_understood(void **state) {
    (void)state;
    struct str text = STR(
        "\r\nPOST http://host:1/v1/x%20y?a=b&c HTTP/1.1\r\nhOST: h\r\nX-Empty:\r\nX-Key: \t v w \t\r\nTransfer-Encoding: Chunked\r\n"
        "Upgrade: h2c\r\nConnection: Upgrade\r\nExpect: 100-continue\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\nGET /next");
    for (size_t piece = 1; piece < text.n + 1; piece += 13) {
        struct http_parser *p = http_parser_new(BODY_MAX);
        size_t left;
        assert_true(http_parser_idle(p));
        assert_int_equal(parse(p, text, piece, &left), 200);
        const struct http_req *req = http_parser_req(p);
        assert_int_equal(left, 9);
        assert_true(str_is(req->method, "POST") && str_is(req->path, "/v1/x%20y") && str_is(req->query, "a=b&c"));
        assert_true(str_is(req->body, "abcde"));
        assert_true(str_is(http_req_field(req, "x-key"), "v w"));
        assert_int_equal(http_req_field(req, "x-empty").n, 0);
        assert_int_equal(req->n_fields, 7);
        assert_true(req->keep_alive && req->expects_continue && !req->http_1_0);
        http_parser_free(p);
    }
}

static void test_keep_alive(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool keep_alive;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        struct http_parser *p = http_parser_new(BODY_MAX);
        size_t left;
        assert_int_equal(parse(p, str_of(cases[i].text), 1000, &left), 200);
        assert_int_equal(http_parser_req(p)->keep_alive, cases[i].keep_alive);
        http_parser_free(p);
    }
}

static void test_unescape(void **state) {
    (void)state;
    struct buf b = {0};
    assert_true(http_unescape(&b, STR("a%20b%2Fc%c3%a9")));
    assert_true(str_is(buf_as_str(&b), "a b/c\xc3\xa9"));
    static const char *const broken[] = {"%", "%2", "%zz", "%00", "a%2"};
    for (size_t i = 0; i < N_ITEMS(broken); i++)
        assert_false(http_unescape(&b, str_of(broken[i])));
    buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_limits),   cmocka_unit_test(test_understood),
        cmocka_unit_test(test_keep_alive), cmocka_unit_test(test_unescape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
