/* log: one line on stderr, in one write. */
#include "base.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum log_level log_level = LOG_WARN;

void log_line(enum log_level level, const char *fmt, ...) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (level > log_level)
        return;
    char line[1024];
    int at = snprintf(line, sizeof line, "moat: %s: ", names[level]);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line + at, sizeof line - (size_t)at - 1, fmt, args);
    va_end(args);
    size_t len = strlen(line);
    (void)n;
    line[len++] = '\n';
    ssize_t wrote = write(STDERR_FILENO, line, len);
    (void)wrote; /* nowhere is left to say so */
}
