/* main: finds the command, reads its options, runs it. */
#include "cmds.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cmd *find_cmd(const char *name) {
    for (const struct cmd *c = cmds; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

/* A file that was cut short under its reader is the world's fault, and is named; any other SIGBUS ends the process as ever. */
static void on_sigbus(int number, siginfo_t *info, void *context) {
    const char *line = info->si_code == BUS_ADRERR ? fs_map_guarded(info->si_addr) : NULL;
    (void)context;
    if (line) {
        (void)!write(STDERR_FILENO, line, strlen(line));
        _exit(1);
    }
    signal(number, SIG_DFL);
}

/* Has who read stdout gone (`moat show MODEL | head`)? Then there is nobody to tell. */
static bool stdout_reader_is_gone(void) {
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&p, 1, 0) > 0 && (p.revents & POLLERR);
}

int main(int argc, char **argv) {
    struct err e = {0};
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGBUS, &(struct sigaction){.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO}, NULL);
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0) {
        printf("moat %s\n", MOAT_VERSION);
        return 0;
    }
    struct cmd_args a = {.cmd = find_cmd(name)};
    if (!a.cmd) {
        fprintf(stderr, "moat: %.60s: is no command; see `moat help`\n", name);
        return 2;
    }
    int r = opts_read(&a, argc > 1 ? argc - 2 : 0, argv + (argc > 1 ? 2 : 1), &e);
    if (a.opts.verbose)
        log_level = LOG_INFO;
    if (r == 0 && a.opts.help)
        opts_help(a.cmd, stdout);
    else if (r == 0)
        r = a.cmd->run(&a, &e);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (r == 0)
            r = err_set(&e, ERR_ENV, "stdout", "cannot write the result");
    }
    if (r < 0 && !(e.code == ERR_ENV && stdout_reader_is_gone()))
        cmd_print_error(a.cmd, &e);
    opts_free(&a);
    return cmd_status(r);
}
