/* model_file: what MODEL on a command line means: a path. */
#include "cmd.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The path of MODEL's bytes and its name in the API. Here the store's lookup joins in. */
static int find_model(const char *model, struct cmd_model *m, struct err *e) {
    const char *slash = strrchr(model, '/'), *base = slash ? slash + 1 : model;
    size_t n = strlen(base);
    if (n > 5 && strcmp(base + n - 5, ".gguf") == 0)
        n -= 5;
    snprintf(m->name, sizeof m->name, "%.*s", (int)(n < sizeof m->name ? n : sizeof m->name - 1), base);
    if ((size_t)snprintf(m->path, sizeof m->path, "%s", model) >= sizeof m->path)
        return err_set(e, ERR_USAGE, model, "the path is longer than %zu bytes", sizeof m->path - 1);
    return 0;
}

int cmd_model_open(const char *model, struct cmd_model *out, struct err *e) {
    struct cmd_model m = {.fd = -1};
    int code = find_model(model, &m, e);
    if (code < 0)
        return code;
    m.fd = fs_open(AT_FDCWD, m.path, O_RDONLY | O_NONBLOCK, 0, e); /* a FIFO must not block us: fs_map refuses it */
    if (m.fd < 0)
        return m.fd;
    code = fs_map(m.fd, m.path, &m.map, e);
    if (code < 0)
        close(m.fd);
    else
        *out = m;
    return code;
}

void cmd_model_close(struct cmd_model *m) {
    fs_unmap(m->map);
    close(m->fd);
}
