/* base: errors, bytes, UTF-8, arenas, JSON, digests, files, the pool and the mailbox. */
#include "unit.h"

#include "base/base.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static void err_keeps_the_first_and_is_printable(void **state) {
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, ERR_INPUT, "a\nb", "x\x1b[31m \xff é %d", 7), ERR_INPUT);
    assert_int_equal(err_set(&e, ERR_ENV, "later", "later"), ERR_ENV);
    assert_string_equal(e.where, "a?b");
    assert_string_equal(e.msg, "x?[31m ? é 7");
    err_within(&e, "file.gguf");
    assert_string_equal(e.where, "file.gguf: a?b");
    assert_int_equal(err_set(NULL, ERR_LIMIT, "", "no place to say it"), ERR_LIMIT);
}

static void buf_stops_at_its_max(void **state) {
    (void)state;
    struct buf b = {.max = 10};
    buf_z(&b, "12345");
    buf_fmt(&b, "%s", "67890");
    assert_false(b.failed);
    buf_byte(&b, 'x');
    assert_true(b.failed);
    assert_int_equal(b.n, 10);
    assert_memory_equal(b.p, "1234567890", 10);
    buf_free(&b);
    assert_int_equal(b.max, 10);
}

static void buf_json_escapes(void **state) {
    (void)state;
    struct buf b = {0};
    buf_json(&b, (struct str){"a\"\\\n\x01\xc3\xa9\xff", 8});
    buf_byte(&b, 0);
    assert_string_equal(b.p, "\"a\\\"\\\\\\n\\u0001é\xef\xbf\xbd\"");
    buf_free(&b);
}

static void utf8_refuses_what_is_not_well_formed(void **state) {
    (void)state;
    static const char *const bad[] = {"\xc0\x80", "\xed\xa0\x80",         "\xf4\x90\x80\x80", "\x80",
                                      "\xe2\x82", "\xf8\x88\x80\x80\x80", "\xe0\x80\xaf"};
    for (size_t i = 0; i < N_ITEMS(bad); i++)
        assert_false(utf8_valid(str_of(bad[i])));
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        if (cp >= 0xd800 && cp <= 0xdfff)
            continue;
        char out[4];
        unsigned n = utf8_encode(cp, out);
        uint32_t back = 1;
        if (utf8_decode(out, out + n, &back) != n || back != cp || utf8_complete((struct str){out, n}) != n)
            fail_msg("U+%04X does not come back", cp);
        for (unsigned cut = 1; cut < n; cut++) /* an unfinished character is held back whole */
            if (utf8_decode(out, out + cut, &back) != 0 || utf8_complete((struct str){out, cut}) != 0)
                fail_msg("U+%04X cut after %u bytes is not seen as unfinished", cp, cut);
    }
    assert_int_equal(utf8_complete(STR("ab\xff")), 3); /* nothing can complete it */
}

static void arena_is_zeroed_and_capped(void **state) {
    (void)state;
    struct arena a = {.max = 1 << 20};
    for (int i = 0; i < 100; i++) {
        char *p = arena_alloc(&a, 1000);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (int k = 0; k < 1000; k++)
            assert_int_equal(p[k], 0);
        memset(p, 0xee, 1000);
    }
    assert_null(arena_alloc(&a, 1 << 20));
    assert_null(arena_array(&a, SIZE_MAX / 2, 4));
    arena_free(&a);
    assert_non_null(arena_alloc(&a, 1 << 20));
    arena_free(&a);
}

static int read_json(const char *text, struct err *e) {
    yyjson_doc *doc;
    int r = json_read(str_of(text), 4, &doc, e);
    if (r == 0)
        yyjson_doc_free(doc);
    return r;
}

static void json_has_limits(void **state) {
    (void)state;
    struct err deep = {0}, twice = {0}, broken = {0}, ok = {0};
    assert_int_equal(read_json("[[[[[1]]]]]", &deep), ERR_LIMIT);
    assert_int_equal(read_json("{\"a\": [{\"b\": 1, \"c\": 2, \"b\": 3}]}", &twice), ERR_INPUT);
    assert_string_equal(twice.where, "b");
    assert_int_equal(read_json("{\"a\": }", &broken), ERR_INPUT);
    assert_non_null(strstr(broken.msg, "byte 6"));
    assert_int_equal(read_json("", NULL), ERR_INPUT);
    assert_int_equal(read_json("[[[[\"[[[[[\"]]]]", &ok), 0);
    assert_int_equal(read_json("\"\xff\"", NULL), ERR_INPUT);
}

static void json_canonical_is_one_form(void **state) {
    (void)state;
    static const char *const same[] = {"{\"b\": [1, 2.50, true], \"a\": {\"y\": null, \"x\": \"\\u00e9\"}}",
                                       " {\"a\":{\"x\":\"é\",\"y\":null},\"b\":[1,2.5,true]}"};
    for (size_t i = 0; i < N_ITEMS(same); i++) {
        yyjson_doc *doc;
        struct buf b = {0};
        assert_int_equal(json_read(str_of(same[i]), 64, &doc, NULL), 0);
        json_canonical(&b, yyjson_doc_get_root(doc));
        assert_true(str_is(buf_as_str(&b), "{\"a\":{\"x\":\"é\",\"y\":null},\"b\":[1,2.5,true]}"));
        buf_free(&b);
        yyjson_doc_free(doc);
    }
}

static void digests_are_sha256(void **state) {
    (void)state;
    struct digest d = sha256_of(STR("abc")), back;
    char hex[65];
    digest_hex(&d, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(digest_parse(str_of(hex), &back));
    assert_memory_equal(&back, &d, sizeof d);
    assert_false(digest_parse(STR("BA"), &back));
    hex[3] = 'G';
    assert_false(digest_parse(str_of(hex), &back));
}

static void files_are_whole_or_not_there(void **state) {
    (void)state;
    char dir[] = "/tmp/moat-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    int at = open(dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(fs_write_whole(at, "a.txt", STR("first"), NULL), 0);
    assert_int_equal(fs_write_whole(at, "a.txt", STR("second"), NULL), 0);
    struct buf b = {.max = 100}, small = {.max = 3};
    assert_int_equal(fs_read(at, "a.txt", &b, NULL), 0);
    assert_true(str_is(buf_as_str(&b), "second"));
    struct err e = {0}, gone = {0};
    assert_int_equal(fs_read(at, "a.txt", &small, &e), ERR_LIMIT);
    assert_int_equal(fs_read(at, "b.txt", &b, &gone), ERR_ENV);
    assert_string_equal(gone.where, "b.txt");
    snprintf(path, sizeof path, "%s/x/y", dir);
    assert_int_equal(fs_mkdirs(path, NULL), 0);
    assert_int_equal(fs_mkdirs(path, NULL), 0);
    snprintf(path, sizeof path, "%s/a.txt/x", dir);
    assert_int_equal(fs_mkdirs(path, NULL), ERR_ENV);
    buf_free(&b);
    buf_free(&small);
    snprintf(path, sizeof path, "%s/x/y", dir);
    rmdir(path);
    snprintf(path, sizeof path, "%s/x", dir);
    rmdir(path);
    assert_int_equal(fs_unlink(at, "a.txt", NULL), 0);
    assert_int_equal(fs_unlink(at, "a.txt", NULL), 0);
    assert_int_equal(rmdir(dir), 0); /* nothing else was left behind */
    close(at);
}

static void a_map_is_guarded_by_name(void **state) {
    const char map[] = "0123456789";
    (void)state;
    assert_null(fs_map_guarded(map));
    fs_map_guard((struct str){map + 1, 9}, "some\nmodel.gguf");
    assert_string_equal(
        fs_map_guarded(map + 9),
        "moat: error: some?model.gguf: was cut short while it was read; write a new file beside it and rename that\n");
    assert_null(fs_map_guarded(map));
    assert_null(fs_map_guarded(map + 10));
    fs_map_guard((struct str){0}, "");
    assert_null(fs_map_guarded(map));
}

static void add_item(void *ctx, uint32_t item, unsigned thread) {
    (void)thread;
    atomic_fetch_add((_Atomic uint64_t *)ctx + item % 7, item + 1);
}

static void pool_runs_every_item_once(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct pool *p = pool_new(threads);
        assert_non_null(p);
        assert_int_equal(pool_threads(p), threads);
        for (uint32_t round = 0; round < 2000; round++) {
            _Atomic uint64_t sums[7] = {0};
            uint32_t n = round % 50;
            pool_for(p, n, add_item, sums);
            uint64_t total = 0;
            for (int i = 0; i < 7; i++)
                total += sums[i];
            assert_int_equal(total, (uint64_t)n * (n + 1) / 2);
        }
        pool_free(p);
    }
    assert_null(pool_new(0));
    assert_true(cpus_usable() >= 1);
}

/* The first item lasts until all others are done: they can be only if the rest of its thread's share is taken over. */
static void wait_for_others(void *ctx, uint32_t item, unsigned thread) {
    _Atomic uint32_t *left = ctx;
    (void)thread;
    if (item > 0)
        atomic_fetch_sub(left, 1);
    while (item == 0 && atomic_load(left))
        ;
}

static void pool_takes_over_what_a_late_thread_has_not_begun(void **state) {
    (void)state;
    for (unsigned threads = 2; threads <= 8; threads++) {
        struct pool *p = pool_new(threads);
        for (uint32_t n = 2; n < 200; n += 13) {
            _Atomic uint32_t left = n - 1;
            pool_for(p, n, wait_for_others, &left);
            assert_int_equal(atomic_load(&left), 0);
        }
        pool_free(p);
    }
    assert_int_equal(pool_share(10, 0, 3), 0);
    assert_int_equal(pool_share(10, 2, 3), 6);
    assert_int_equal(pool_share(10, 3, 3), 10);
}

enum { RUN_LOOPS = 40 };

/* Items of loop i add up what those of loop i - 1 left behind. */
struct chain {
    const _Atomic uint64_t *before;
    _Atomic uint64_t *sum;
    uint32_t n;
};

static void chain_item(void *ctx, uint32_t item, unsigned thread) {
    const struct chain *c = ctx;
    (void)thread;
    atomic_fetch_add(c->sum, *c->before % 1000 + item);
}

static void pool_runs_loops_in_order(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct pool *p = pool_new(threads);
        for (uint32_t round = 0; round < 300; round++) {
            struct chain chain[RUN_LOOPS];
            struct pool_loop loops[RUN_LOOPS];
            _Atomic uint64_t sums[RUN_LOOPS + 1] = {7};
            uint64_t expected = 7;
            for (uint32_t i = 0; i < RUN_LOOPS; i++) {
                chain[i] = (struct chain){.before = &sums[i], .sum = &sums[i + 1], .n = (i + round) % 5};
                loops[i] = (struct pool_loop){.run = chain_item, .ctx = &chain[i], .n = chain[i].n};
            }
            pool_run(p, loops, RUN_LOOPS);
            for (uint32_t i = 0; i < RUN_LOOPS; i++) {
                expected = chain[i].n * (expected % 1000) + chain[i].n * (chain[i].n - 1) / 2 * (chain[i].n > 0);
                assert_int_equal(sums[i + 1], expected);
            }
            pool_settle(p); /* the next round's loops are at the same place */
        }
        pool_run(p, NULL, 0);
        pool_free(p);
    }
}

/* Who runs an item first is late: it comes back only when it is let go. */
enum { LATE_ITEMS = 4, LATE_THREADS_MAX = 4 };
struct late {
    _Atomic uint32_t runs, kept[LATE_ITEMS];
    uint32_t late_item;
    _Atomic bool let_go;
    uint32_t result[LATE_THREADS_MAX], results[LATE_ITEMS];
};

static void late_run(void *ctx, uint32_t item, unsigned thread) {
    struct late *l = ctx;
    if (item == l->late_item && atomic_fetch_add(&l->runs, 1) == 0)
        while (!atomic_load(&l->let_go))
            ;
    l->result[thread] = item + 100;
}

static void late_keep(void *ctx, uint32_t item, unsigned thread) {
    struct late *l = ctx;
    l->results[item] = l->result[thread];
    atomic_fetch_add(&l->kept[item], 1);
}

/* Two loops on; whoever waits in late_run is still there. */
static void let_go(void *ctx, uint32_t item, unsigned thread) {
    struct late *l = ctx;
    (void)item, (void)thread;
    atomic_store(&l->let_go, true);
}

/* Whichever item and whichever thread it is: the caller's too. The item counts once, and results of who comes late are not kept. */
static void pool_runs_again_what_a_late_thread_holds(void **state) {
    (void)state;
    for (unsigned threads = 2; threads <= LATE_THREADS_MAX; threads++) {
        struct pool *p = pool_new(threads);
        for (uint32_t item = 0; item < LATE_ITEMS; item++) {
            struct late l = {.late_item = item};
            struct chain between = {.before = &(_Atomic uint64_t){0}, .sum = &(_Atomic uint64_t){0}};
            const struct pool_loop loops[] = {{.run = late_run, .keep = late_keep, .ctx = &l, .n = LATE_ITEMS},
                                              {.run = chain_item, .ctx = &between, .n = 8},
                                              {.run = let_go, .ctx = &l, .n = 1}};
            pool_run(p, loops, sizeof loops / sizeof *loops);
            pool_settle(p);
            assert_true(atomic_load(&l.runs) >= 2);
            for (uint32_t i = 0; i < LATE_ITEMS; i++) {
                assert_int_equal(atomic_load(&l.kept[i]), 1);
                assert_int_equal(l.results[i], i + 100);
            }
        }
        pool_free(p);
    }
}

/* Chains of loops, some of which may be run again, over three rows of values in turn; threads are late by chance. */
enum { CHAIN_VALUES = 24, CHAIN_LOOPS = 30, CHAIN_THREADS = 6 };
struct mixing {
    const _Atomic uint64_t *from;
    _Atomic uint64_t *to;
    uint64_t salt, results[CHAIN_THREADS];
};

static uint64_t mix(const _Atomic uint64_t *from, uint64_t salt) {
    for (int i = 0; i < CHAIN_VALUES; i++)
        salt = salt * 6364136223846793005u + atomic_load_explicit(&from[i], memory_order_relaxed);
    return salt;
}

static void mix_run(void *ctx, uint32_t item, unsigned thread) {
    struct mixing *m = ctx;
    uint64_t chance = random_u64() % 1000;
    if (chance < 3)
        usleep((unsigned)chance * 300);
    m->results[thread] = mix(m->from, m->salt + item);
}

static void mix_keep(void *ctx, uint32_t item, unsigned thread) {
    struct mixing *m = ctx;
    atomic_store_explicit(&m->to[item], m->results[thread], memory_order_relaxed);
}

static void mix_directly(void *ctx, uint32_t item, unsigned thread) {
    mix_run(ctx, item, thread);
    mix_keep(ctx, item, thread);
}

static void pool_keeps_what_late_threads_do_out_of_results(void **state) {
    (void)state;
    struct pool *p = pool_new(CHAIN_THREADS);
    _Atomic uint64_t rows[3][CHAIN_VALUES] = {{0}}, expected[3][CHAIN_VALUES] = {{0}};
    static struct mixing mixing[2][CHAIN_LOOPS]; /* of the run before, late threads may still look at them */
    static struct pool_loop loops[2][CHAIN_LOOPS];
    for (uint32_t round = 0; round < 200; round++) {
        for (uint32_t i = 0; i < CHAIN_LOOPS; i++) {
            struct mixing *m = &mixing[round % 2][i];
            uint32_t n = (round + i) % 5 ? CHAIN_VALUES : 1;
            *m = (struct mixing){.from = rows[i % 3], .to = rows[(i + 1) % 3], .salt = round * 1000 + i};
            loops[round % 2][i] = i % 3 ? (struct pool_loop){.run = mix_run, .keep = mix_keep, .ctx = m, .n = n}
                                        : (struct pool_loop){.run = mix_directly, .ctx = m, .n = n};
            for (uint32_t item = 0; item < n; item++)
                expected[(i + 1) % 3][item] = mix(expected[i % 3], m->salt + item);
        }
        pool_run(p, loops[round % 2], CHAIN_LOOPS);
        assert_memory_equal(rows, expected, sizeof rows);
    }
    pool_free(p);
}

static void put_file(const char *folder, const char *path, const char *text) {
    char full[256];
    snprintf(full, sizeof full, "%s/%s", folder, path);
    *strrchr(full, '/') = 0;
    assert_int_equal(fs_mkdirs(full, NULL), 0);
    full[strlen(full)] = '/';
    assert_int_equal(fs_write_whole(AT_FDCWD, full, str_of(text), NULL), 0);
}

static void quotas_of_cgroups(void **state) {
    char sys[] = "/tmp/moat-test-XXXXXX", command[64];
    (void)state;
    assert_non_null(mkdtemp(sys));
    put_file(sys, "cpu.max", "max 100000\n");
    assert_int_equal(cpus_of_cgroups(sys, "0::/\n"), 0);
    put_file(sys, "a/cpu.max", "350000 100000\n");
    put_file(sys, "a/b/cpu.max", "max 100000\n");
    assert_int_equal(cpus_of_cgroups(sys, "0::/a/b\n"), 3); /* the group around decides */
    put_file(sys, "a/b/cpu.max", "50000 100000\n");
    assert_int_equal(cpus_of_cgroups(sys, "0::/a/b\n"), 1);
    assert_int_equal(cpus_of_cgroups(sys, "0::/a\n"), 3);
    put_file(sys, "cpu/c/cpu.cfs_quota_us", "200000\n");
    put_file(sys, "cpu/c/cpu.cfs_period_us", "100000\n");
    put_file(sys, "cpu/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(cpus_of_cgroups(sys, "3:memory:/x\n2:cpu,cpuacct:/c\n0::/\n"), 2);
    assert_int_equal(cpus_of_cgroups(sys, "2:cpu:/\n"), 0);
    put_file(sys, "cpu.max", "400000 100000\n"); /* a container: the path is the host's */
    assert_int_equal(cpus_of_cgroups(sys, "0::/kubepods/pod7\n"), 4);
    assert_int_equal(cpus_of_cgroups(sys, "no line at all"), 0);
    put_file(sys, "memory.max", "max\n");
    assert_int_equal(memory_of_cgroups(sys, "0::/a/b\n"), 0);
    put_file(sys, "a/memory.max", "2147483648\n");
    put_file(sys, "a/b/memory.max", "4294967296\n");
    assert_int_equal(memory_of_cgroups(sys, "0::/a/b\n"), 2147483648);
    put_file(sys, "memory/c/memory.limit_in_bytes", "1073741824\n");
    put_file(sys, "memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(memory_of_cgroups(sys, "3:memory:/c\n2:cpu,cpuacct:/c\n"), 1073741824);
    assert_int_equal(memory_of_cgroups(sys, "3:memory:/\n"), 0);
    assert_true(memory_usable() > 1 << 20);
    snprintf(command, sizeof command, "rm -r %s", sys);
    assert_int_equal(system(command), 0);
}

static cpu_set_t set_of(unsigned from, unsigned end) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = from; i < end; i++)
        CPU_SET(i, &set);
    return set;
}

/* Two sockets of four cores with two CPUs each: core c of socket s has CPUs 4 s + c and 8 + 4 s + c; a third node has no CPU. */
static void put_machine(const char *sys) {
    char path[64], text[32];
    put_file(sys, "node/online", "0,2-3\n");
    put_file(sys, "node/node0/cpulist", "0-3,8-11\n");
    put_file(sys, "node/node2/cpulist", "4-7,12-15\n");
    put_file(sys, "node/node3/cpulist", "\n");
    for (unsigned i = 0; i < 16; i++) {
        snprintf(path, sizeof path, "cpu/cpu%u/topology/thread_siblings_list", i);
        snprintf(text, sizeof text, "%u,%u\n", i % 8, i % 8 + 8);
        put_file(sys, path, text);
    }
}

static void nodes_of_a_machine(void **state) {
    char sys[] = "/tmp/moat-test-XXXXXX", command[64];
    struct cpu_map map;
    cpu_set_t all = set_of(0, 16), some = set_of(2, 6), one = set_of(12, 13);
    (void)state;
    assert_non_null(mkdtemp(sys));
    cpus_map(sys, &all, &map); /* nothing there: one node, each CPU a core */
    assert_int_equal(map.n_nodes, 1);
    assert_int_equal(map.n_cores, 16);
    assert_true(CPU_EQUAL(&map.nodes[0].cpus, &all));
    put_machine(sys);
    cpus_map(sys, &all, &map);
    assert_int_equal(map.n_nodes, 2);
    assert_int_equal(map.n_cores, 8);
    assert_int_equal(map.nodes[1].id, 2);
    assert_int_equal(CPU_COUNT(&map.nodes[1].cpus), 8);
    for (unsigned t = 0; t < 8; t++)
        assert_int_equal(cpus_node(&map, t, 8), t / 4);
    for (unsigned t = 0; t < 3; t++)
        assert_int_equal(cpus_node(&map, t, 3), t / 2); /* cores 0, 2, 5 */
    for (unsigned t = 0; t < 16; t++)
        assert_int_equal(cpus_node(&map, t, 16), t / 8);
    cpus_map(sys, &some, &map); /* by affinity or cpuset */
    assert_int_equal(map.n_cores, 4);
    assert_int_equal(map.nodes[0].n_cores, 2);
    assert_int_equal(CPU_COUNT(&map.nodes[0].cpus), 2);
    cpus_map(sys, &one, &map);
    assert_int_equal(map.n_nodes, 1);
    assert_int_equal(map.nodes[0].id, 2);
    snprintf(command, sizeof command, "rm -r %s", sys);
    assert_int_equal(system(command), 0);
}

static void *put_numbers(void *arg) {
    for (uintptr_t i = 1; i <= 1000; i++)
        if (mbox_put(arg, (void *)i) != 0)
            abort();
    return NULL;
}

static void mbox_keeps_the_order(void **state) {
    (void)state;
    struct mbox *m = mbox_new();
    assert_null(mbox_take(m));
    pthread_t thread;
    pthread_create(&thread, NULL, put_numbers, m);
    for (uintptr_t i = 1; i <= 1000; i++)
        assert_ptr_equal(mbox_wait(m), (void *)i);
    pthread_join(thread, NULL);
    assert_null(mbox_take(m));
    mbox_free(m);
}

static void dtype_sizes(void **state) {
    (void)state;
    assert_int_equal(dtype_bytes(DTYPE_Q4_K, 512), 288);
    assert_int_equal(dtype_bytes(DTYPE_Q4_0, 33), 0);
    assert_int_equal(dtype_bytes(5, 32), 0);
    assert_int_equal(dtype_bytes(DTYPE_F64, UINT64_MAX), 0);
    assert_null(dtype_info(10000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_keeps_the_first_and_is_printable),
        cmocka_unit_test(buf_stops_at_its_max),
        cmocka_unit_test(buf_json_escapes),
        cmocka_unit_test(utf8_refuses_what_is_not_well_formed),
        cmocka_unit_test(arena_is_zeroed_and_capped),
        cmocka_unit_test(json_has_limits),
        cmocka_unit_test(json_canonical_is_one_form),
        cmocka_unit_test(digests_are_sha256),
        cmocka_unit_test(files_are_whole_or_not_there),
        cmocka_unit_test(a_map_is_guarded_by_name),
        cmocka_unit_test(pool_runs_every_item_once),
        cmocka_unit_test(pool_takes_over_what_a_late_thread_has_not_begun),
        cmocka_unit_test(pool_runs_loops_in_order),
        cmocka_unit_test(pool_runs_again_what_a_late_thread_holds),
        cmocka_unit_test(pool_keeps_what_late_threads_do_out_of_results),
        cmocka_unit_test(quotas_of_cgroups),
        cmocka_unit_test(nodes_of_a_machine),
        cmocka_unit_test(mbox_keeps_the_order),
        cmocka_unit_test(dtype_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
