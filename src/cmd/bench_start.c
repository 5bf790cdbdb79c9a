/* bench_start: a process from its start to the first token, and the most memory it held. What is measured is `moat generate` of this
 * same program; the first of its starts warms the page cache (and leaves behind what later starts map) and is not counted. The
 * kernel counts what the starting process holds into a child's peak, so no model is open here meanwhile, and fork is used: after
 * vfork, which posix_spawn is made of, it would count what this process ever held. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 24, TOKEN_FIRST = 20 };

struct start {
    const char *args[ARGS_MAX];
    char threads[16], ctx[24], chunk[24];
    char line[16384]; /* the prompt as JSON */
};

static void fill_args(struct start *s, const struct cmd_opts *o, const char *model, unsigned threads) {
    unsigned n = 0;
    snprintf(s->threads, sizeof s->threads, "%u", threads);
    snprintf(s->ctx, sizeof s->ctx, "%llu", (unsigned long long)o->ctx);
    snprintf(s->chunk, sizeof s->chunk, "%llu", (unsigned long long)o->chunk);
    const char *fixed[] = {"moat", "generate", model, "--jsonl", "-n", "1", "--threads", s->threads, "--kv", o->kv};
    for (; n < N_ITEMS(fixed); n++)
        s->args[n] = fixed[n];
    const char *given[][2] = {{"--isa", o->isa}, {"--ctx", o->ctx ? s->ctx : NULL}, {"--chunk", o->chunk ? s->chunk : NULL}};
    for (unsigned i = 0; i < N_ITEMS(given); i++)
        if (given[i][1]) {
            s->args[n++] = given[i][0];
            s->args[n++] = given[i][1];
        }
}

static void fill_line(struct start *s, uint32_t n_tokens) {
    size_t n = 0;
    for (uint32_t i = 0; i < n_tokens; i++)
        n += (size_t)snprintf(s->line + n, sizeof s->line - n, "%s%u", i ? ", " : "[", TOKEN_FIRST + i % 100);
    snprintf(s->line + n, sizeof s->line - n, "]\n");
}

_Noreturn static void be_child(struct start *s, int in, int out) {
    if (dup2(in, 0) == 0 && dup2(out, 1) == 1)
        execv("/proc/self/exe", (char *const *)(uintptr_t)s->args); /* which only reads them */
    _exit(127);
}

/* Sends the prompt and waits for the answer; *first_ns: when its first byte came. */
static void talk(const struct start *s, int in, int out, uint64_t *first_ns) {
    char answer[4096];
    ssize_t n = write(in, s->line, strlen(s->line));
    close(in);
    if (n > 0)
        n = read(out, answer, sizeof answer);
    *first_ns = clock_ns();
    while (n > 0)
        n = read(out, answer, sizeof answer);
}

/* Runs the process. Its exit status, or -1 when it did not start or end by itself. */
static int run_child(struct start *s, uint64_t *first_ns, struct rusage *usage) {
    int in[2] = {-1, -1}, out[2] = {-1, -1}, status = -1;
    pid_t pid = -1;
    if (pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0)
        pid = fork();
    if (pid == 0)
        be_child(s, in[0], out[1]);
    if (pid > 0) {
        close(in[0]);
        close(out[1]);
        talk(s, in[1], out[0], first_ns);
        in[0] = in[1] = out[1] = -1;
        status = wait4(pid, &status, 0, usage) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    for (int i = 0; i < 2; i++) {
        if (in[i] >= 0)
            close(in[i]);
        if (out[i] >= 0)
            close(out[i]);
    }
    return status;
}

static uint64_t ns_of(struct timeval t) {
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

static int one_start(struct start *s, struct bench_record *r, struct bench_sample *to, struct err *e) {
    struct rusage usage;
    uint64_t busy = bench_busy_ns(), at = clock_ns(), first = at;
    if (run_child(s, &first, &usage) != 0)
        return err_set(e, ERR_ENV, "start", "`moat generate %s` did not answer; run it to see why", s->args[2]);
    uint64_t all_ns = clock_ns() - at;
    to->ns = first - at;
    to->cpu_ns = ns_of(usage.ru_utime) + ns_of(usage.ru_stime);
    to->foreign = bench_foreign(bench_busy_ns() - busy, to->cpu_ns, all_ns);
    uint64_t rss = (uint64_t)usage.ru_maxrss * 1024;
    r->rss_bytes_peak = rss > r->rss_bytes_peak ? rss : r->rss_bytes_peak;
    return 0;
}

int bench_start(const struct cmd_opts *o, const char *model, unsigned threads, struct bench_record *r, uint32_t n_wanted,
                double noise, struct err *e) {
    struct start s = {0};
    struct bench_sample warm;
    fill_args(&s, o, model, threads);
    fill_line(&s, r->test.n_prompt);
    int code = one_start(&s, r, &warm, e);
    r->n_taken = 0;
    r->rss_bytes_peak = 0;
    while (code == 0 && !bench_enough(r, n_wanted, noise))
        code = one_start(&s, r, &r->samples[r->n_taken++], e);
    if (code == 0)
        bench_keep_quiet(r, n_wanted);
    return code;
}
