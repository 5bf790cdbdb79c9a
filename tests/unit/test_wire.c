/* wire: every field survives the trip, malformed records are refused, and datagrams carry what they should. */
#include "unit.h"

#include "../../src/wire/wire.h"

#include <math.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct wire_msg back; /* large: not on the stack */

static void send_through(const struct wire_msg *m, struct buf *out, struct arena *arena) {
    out->n = 0;
    wire_put(out, m);
    assert_false(out->failed);
    struct wire_reader r = {.left = buf_as_str(out), .arena = arena};
    struct err e = {0};
    assert_int_equal(wire_next(&r, &back, &e), 1);
    assert_int_equal(r.left.n, 0);
    assert_int_equal(back.type, m->type);
}

static void test_request(void **state) {
    (void)state;
    struct wire_msg m = {.type = WIRE_REQUEST};
    m.req = (struct gen_req){.id = UINT64_MAX,
                             .kind = GEN_TEXT,
                             .body = STR("h\0i"),
                             .cache_scope = 7,
                             .now = STR("2026-01-31T12:00:00"),
                             .max_tokens = 5,
                             .n = 16,
                             .n_stop = 2,
                             .stop = {STR("\n"), STR("END")},
                             .n_bias = 2,
                             .bias = {{3, 1.5f}, {9, -INFINITY}},
                             .ignore_eos = true,
                             .logprobs = true,
                             .top_logprobs = 20,
                             .token_ids = true,
                             .echo = true,
                             .add_special = true,
                             .parse_special = true,
                             .count_chat = true,
                             .sampling = {.temperature = 0.7f,
                                          .top_k = 40,
                                          .top_p = 0.9f,
                                          .min_p = 0.05f,
                                          .typical = 1,
                                          .repetition_penalty = 1.1f,
                                          .presence_penalty = -0.0f,
                                          .frequency_penalty = -2,
                                          .penalty_last_n = 64,
                                          .has_seed = true,
                                          .seed = 1}};
    struct buf out = {.max = WIRE_RECORD_MAX};
    struct arena arena = {0};
    send_through(&m, &out, &arena);
    assert_true(str_eq(back.req.body, m.req.body));
    assert_true(str_eq(back.req.now, m.req.now));
    assert_true(str_eq(back.req.stop[1], m.req.stop[1]));
    assert_memory_equal(back.req.bias, m.req.bias, sizeof m.req.bias);
    assert_memory_equal(&back.req.sampling, &m.req.sampling, sizeof m.req.sampling);
    assert_int_equal(back.req.id, m.req.id);
    assert_int_equal(back.req.n, 16);
    assert_true(back.req.count_chat && back.req.token_ids && back.req.ignore_eos);
    buf_free(&out);
}

static void test_event(void **state) {
    (void)state;
    const uint32_t tokens[] = {5, 6, 7};
    const struct gen_logprob logprobs[] = {{5, NAN, STR("a")}, {6, -1, STR("\xff")}, {7, -0.5f, STR("")}, {8, -2, STR("b")}};
    struct wire_msg m = {.type = WIRE_EVENT};
    m.event = (struct gen_event){.id = 3,
                                 .kind = GEN_LOGPROBS,
                                 .choice = 15,
                                 .text = STR("caf\xc3\xa9"),
                                 .tokens = tokens,
                                 .n_tokens = 3,
                                 .logprobs = logprobs,
                                 .n_logprobs = 2,
                                 .n_top = 1,
                                 .finish = GEN_CANCELLED,
                                 .usage = {1, 2, 3, 4, 5, 6},
                                 .seed = 9,
                                 .code = GEN_SHUTDOWN,
                                 .param = STR("p"),
                                 .message = STR("m"),
                                 .model = {.name = "x", .n_vocab = 5, .has_template = true}};
    struct buf out = {.max = WIRE_RECORD_MAX};
    struct arena arena = {0};
    send_through(&m, &out, &arena);
    const struct gen_event *ev = &back.event;
    assert_true(ev->id == 3 && ev->kind == GEN_LOGPROBS && ev->choice == 15 && ev->n_tokens == 3 && ev->tokens[2] == 7);
    assert_true(ev->n_logprobs == 2 && ev->n_top == 1 && isnan(ev->logprobs[0].logprob) && ev->logprobs[3].token == 8);
    assert_true(str_is(ev->logprobs[1].bytes, "\xff") && str_eq(ev->text, m.event.text) && str_is(ev->message, "m"));
    assert_memory_equal(&ev->usage, &m.event.usage, sizeof ev->usage);
    assert_string_equal(ev->model.name, "x");
    assert_true(ev->model.has_template);
    arena_free(&arena);
    buf_free(&out);
}

/* Several records share a datagram; one that does not fit leaves those before it whole. */
static void test_full(void **state) {
    (void)state;
    struct buf out = {.max = 64};
    struct wire_msg m = {.type = WIRE_START, .id = 77};
    unsigned n = 0;
    for (; !out.failed; n++)
        wire_put(&out, &m);
    struct wire_reader r = {.left = buf_as_str(&out)};
    struct err e = {0};
    for (unsigned i = 0; i + 1 < n; i++) {
        assert_int_equal(wire_next(&r, &back, &e), 1);
        assert_int_equal(back.id, 77);
    }
    assert_int_equal(wire_next(&r, &back, &e), 0);
    buf_free(&out);
}

/* Each is a record that must be refused: type, reserved, length, then the fields. */
static void test_malformed(void **state) {
    (void)state;
    static const struct {
        const char *why, *bytes;
        size_t n;
    } bad[] = {
#define BAD(why, literal) {why, literal, sizeof(literal) - 1}
        BAD("cut header", "\3\0\0"),
        BAD("unknown type", "\177\0\0\0\0\0\0\0"),
        BAD("type 0", "\0\0\0\0\0\0\0\0"),
        BAD("reserved set", "\3\0\1\0\0\0\0\0"),
        BAD("body longer than the datagram", "\3\0\0\0\1\0\0\0"),
        BAD("huge length", "\3\0\0\0\xff\xff\xff\xff"),
        BAD("unknown tag", "\3\0\0\0\xe\0\0\0\2\0\x8\0\0\0\1\0\0\0\0\0\0\0"),
        BAD("tag 0", "\3\0\0\0\xe\0\0\0\0\0\x8\0\0\0\1\0\0\0\0\0\0\0"),
        BAD("scalar of another size", "\3\0\0\0\xa\0\0\0\1\0\4\0\0\0\1\0\0\0"),
        BAD("empty value", "\3\0\0\0\6\0\0\0\1\0\0\0\0\0"),
        BAD("a tag twice", "\5\0\0\0\x14\0\0\0\2\0\4\0\0\0\3\0\0\0\2\0\4\0\0\0\3\0\0\0"),
        BAD("enum out of range", "\5\0\0\0\xa\0\0\0\2\0\4\0\0\0\x63\0\0\0"),
        BAD("text that is not UTF-8", "\5\0\0\0\7\0\0\0\4\0\1\0\0\0\xff"),
        BAD("half a token", "\5\0\0\0\7\0\0\0\5\0\1\0\0\0\0"),
        BAD("logprobs announced, none there", "\5\0\0\0\xa\0\0\0\6\0\4\0\0\0\1\0\0\0"),
        BAD("logprobs there, none announced", "\5\0\0\0\x10\0\0\0\x8\0\xa\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        BAD("a name with a NUL", "\1\0\0\0\x8\0\0\0\1\0\2\0\0\0a\0"),
        BAD("not a number", "\2\0\0\0\xa\0\0\0\x9\0\4\0\0\0\0\0\xc0\x7f"),
        BAD("an empty stop string", "\2\0\0\0\xa\0\0\0\x14\0\4\0\0\0\0\0\0\0"),
        BAD("half a bias", "\2\0\0\0\xa\0\0\0\x15\0\4\0\0\0\0\0\0\0"),
        BAD("a bias of +inf", "\2\0\0\0\xe\0\0\0\x15\0\x8\0\0\0\0\0\0\0\0\0\x80\x7f"),
        BAD("body here and in a memfd", "\2\0\0\0\x15\0\0\0\3\0\1\0\0\0x\4\0\x8\0\0\0\1\0\0\0\0\0\0\0"),
    };
    for (size_t i = 0; i < N_ITEMS(bad); i++) {
        struct arena arena = {0};
        struct err e = {0};
        struct wire_reader r = {.left = {bad[i].bytes, bad[i].n}, .arena = &arena};
        int got = wire_next(&r, &back, &e);
        if (got != ERR_INPUT)
            fail_msg("%s: %d", bad[i].why, got);
        arena_free(&arena);
    }
}

static void test_sockets(void **state) {
    (void)state;
    int sock[2], fd;
    struct err e = {0};
    struct buf in = {0};
    struct arena arena = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
    assert_int_equal(wire_recv(sock[1], &in, &fd, false, &e), 0);

    size_t n = 100000;
    char *body = malloc(n);
    memset(body, 'x', n);
    struct gen_req *req = calloc(1, sizeof *req);
    *req = (struct gen_req){.id = 4, .kind = GEN_TEXT, .body = {body, n}};
    assert_int_equal(wire_send_request(sock[0], req, true, &e), 1);
    req->body.n = 10;
    assert_int_equal(wire_send_request(sock[0], req, true, &e), 1);

    assert_int_equal(wire_recv(sock[1], &in, &fd, true, &e), 1);
    struct wire_reader r = {.left = buf_as_str(&in), .arena = &arena};
    assert_int_equal(wire_next(&r, &back, &e), 1);
    assert_int_equal(back.body_fd_bytes, n);
    struct str mapped;
    assert_int_equal(wire_memfd_map(fd, n - 1, &mapped, &(struct err){0}), ERR_INPUT);
    assert_int_equal(wire_memfd_map(fd, n, &mapped, &e), 0);
    assert_true(str_eq(mapped, (struct str){body, n}));
    assert_int_equal(ftruncate(fd, 1), -1); /* sealed */
    fs_unmap(mapped);
    close(fd);

    assert_int_equal(wire_recv(sock[1], &in, &fd, true, &e), 1);
    assert_int_equal(fd, -1);
    close(sock[0]);
    assert_int_equal(wire_recv(sock[1], &in, &fd, true, &e), ERR_STOPPED);
    close(sock[1]);
    buf_free(&in);
    free(req);
    free(body);
}

/* A peer that sends two descriptors, or one that is no sealed memfd, gets nothing. */
static void test_hostile_descriptors(void **state) {
    (void)state;
    int sock[2], fd;
    struct err e = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {"x", 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(2 * sizeof(int))};
    *CMSG_FIRSTHDR(&msg) =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), (int[]){0, 1}, 2 * sizeof(int));
    assert_int_equal(sendmsg(sock[0], &msg, 0), 1);
    int next = dup(0);
    close(next);
    struct buf in = {0};
    assert_int_equal(wire_recv(sock[1], &in, &fd, true, &e), ERR_INPUT);
    assert_int_equal(fd, -1);
    assert_int_equal(dup(0), next); /* nothing leaked */
    close(next);

    struct str out;
    int plain = memfd_create("plain", MFD_CLOEXEC);
    assert_int_equal(write(plain, "x", 1), 1);
    assert_int_equal(wire_memfd_map(plain, 1, &out, &(struct err){0}), ERR_INPUT);
    assert_int_equal(wire_memfd_map(0, 1, &out, &(struct err){0}), ERR_INPUT);
    close(plain);
    close(sock[0]);
    close(sock[1]);
    buf_free(&in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),   cmocka_unit_test(test_event),   cmocka_unit_test(test_full),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_sockets), cmocka_unit_test(test_hostile_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
