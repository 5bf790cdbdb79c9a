/* spawn: starts the engine child, `/proc/self/exe engine` with its end of a socketpair as descriptor 3. */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The child has nothing of its parent but stderr: a model file must not find secrets in the environment, and a terminal's
 * Ctrl-C goes to the parent alone, which then drains. */
static int spawn_with(const posix_spawn_file_actions_t *files, pid_t *pid) {
    char *const argv[] = {"moat", "engine", NULL}, *const environment[] = {NULL};
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int r = posix_spawnattr_init(&attr);
    if (r)
        return r;
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    r = posix_spawn(pid, "/proc/self/exe", files, &attr, argv, environment);
    posix_spawnattr_destroy(&attr);
    return r;
}

int wire_spawn(struct wire_child *out, struct err *e) {
    int pair[2];
    posix_spawn_file_actions_t files;
    *out = (struct wire_child){.sock = -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set(e, ERR_ENV, "engine", "cannot make a socket for it: %s", strerror(errno));
    int r = posix_spawn_file_actions_init(&files);
    if (r == 0) {
        int bad = posix_spawn_file_actions_adddup2(&files, pair[1], WIRE_CHILD_FD) ||
                  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0) ||
                  posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO) ||
                  posix_spawn_file_actions_addclosefrom_np(&files, WIRE_CHILD_FD + 1);
        r = bad ? ENOMEM : spawn_with(&files, &out->pid);
        posix_spawn_file_actions_destroy(&files);
    }
    close(pair[1]);
    if (r) {
        close(pair[0]);
        return err_set(e, ERR_ENV, "engine", "cannot start its process: %s", strerror(r));
    }
    out->sock = pair[0];
    return 0;
}
