/* Shared by the commands: lines of JSON in and out, the store's folder. */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 64 << 20 };

int cmd_home(char *path, size_t bytes, struct err *e) {
    const char *home = getenv("MOAT_HOME"), *data = getenv("XDG_DATA_HOME"), *user = getenv("HOME");
    int n = home && *home   ? snprintf(path, bytes, "%s", home)
            : data && *data ? snprintf(path, bytes, "%s/moat", data)
            : user && *user ? snprintf(path, bytes, "%s/.local/share/moat", user)
                            : -1;
    if (n < 0)
        return err_set(e, ERR_ENV, "MOAT_HOME", "is not set, and neither is HOME; set MOAT_HOME to the store's folder");
    if ((size_t)n >= bytes)
        return err_set(e, ERR_ENV, "MOAT_HOME", "the path is longer than %zu bytes", bytes - 1);
    return 0;
}

uint32_t cmd_kv_type(const char *kv) {
    return strcmp(kv, "f32") == 0 ? DTYPE_F32 : strcmp(kv, "q8") == 0 ? DTYPE_Q8_0 : DTYPE_F16;
}

void cmd_line_print(struct buf *out, const struct err *e) {
    if (e->code) {
        out->n = 0;
        out->failed = false;
        buf_z(out, "{\"error\": ");
        char text[sizeof e->where + sizeof e->msg + 2];
        snprintf(text, sizeof text, "%s%s%s", e->where, e->where[0] ? ": " : "", e->msg);
        buf_json(out, str_of(text));
        buf_byte(out, '}');
    }
    buf_byte(out, '\n');
    fwrite(out->p, 1, out->n, stdout);
    fflush(stdout);
}

int cmd_lines_read(int (*each)(void *ctx, uint64_t i, struct str line, struct err *e), void *ctx, struct err *e) {
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int r = 0;
    for (uint64_t i = 0; r == 0 && (n = getdelim(&line, &cap, '\n', stdin)) > 0; i++)
        r = each(ctx, i, (struct str){line, (size_t)n - (line[n - 1] == '\n')}, e);
    free(line);
    return r;
}

struct answering {
    int (*each)(void *ctx, uint64_t i, struct str line, struct buf *out, struct err *e);
    void *ctx;
};

static int answer(void *ctx, uint64_t i, struct str line, struct err *e) {
    struct answering *a = ctx;
    struct buf out = {0};
    struct err bad = {0};
    int code = line.n > LINE_MAX_BYTES ? err_set(&bad, ERR_LIMIT, "line", "is longer than 64 MiB")
                                       : a->each(a->ctx, i, line, &out, &bad);
    if (code < 0 && !bad.code)
        err_set(&bad, code, "", "failed");
    if (out.failed)
        err_set(&bad, ERR_MEMORY, "result", "is larger than memory allows");
    if (bad.code == ERR_ENV || bad.code == ERR_STOPPED) /* not the line's fault: a full disk, an interrupt */
        err_set(e, bad.code, bad.where, "%s", bad.msg);
    else
        cmd_line_print(&out, &bad);
    buf_free(&out);
    return e->code;
}

int cmd_lines(int (*each)(void *ctx, uint64_t i, struct str line, struct buf *out, struct err *e), void *ctx, struct err *e) {
    return cmd_lines_read(answer, &(struct answering){each, ctx}, e);
}
