/* wire_sock: datagrams with descriptors, and the sealed memfds that hold what is longer than a datagram. */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

union control { /* room for one descriptor, aligned as a cmsghdr */
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static int socket_error(struct err *e, const char *what) {
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
        return err_set(e, ERR_STOPPED, "engine", "the other process is gone");
    return err_set(e, ERR_ENV, "engine", "cannot %s: %s", what, strerror(errno));
}

int wire_send(int sock, struct str datagram, int fd, bool wait, struct err *e) {
    ASSERT(datagram.n > 0 && datagram.n <= WIRE_RECORD_MAX);
    struct iovec iov = {(void *)(uintptr_t)datagram.p, datagram.n};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    union control control = {0};
    if (fd >= 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t n;
    do
        n = sendmsg(sock, &msg, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    while (n < 0 && errno == EINTR);
    return n < 0 ? socket_error(e, "send") : 1;
}

int wire_recv(int sock, struct buf *into, int *fd, bool wait, struct err *e) {
    *fd = -1;
    into->n = 0;
    char *room = buf_room(into, WIRE_RECORD_MAX);
    if (!room)
        return err_set(e, ERR_MEMORY, "engine", "no memory for a datagram");
    struct iovec iov = {room, WIRE_RECORD_MAX};
    union control control = {0};
    /* CMSG_SPACE would hold two, because of its padding. */
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_LEN(sizeof *fd)};
    ssize_t n;
    do
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return socket_error(e, "receive");
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof *fd))
        memcpy(fd, CMSG_DATA(c), sizeof *fd);
    if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) { /* the kernel closes the descriptors that had no room */
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
        return err_set(e, ERR_INPUT, "engine", "a datagram is longer than 64 KiB or brings more than one descriptor");
    }
    if (n == 0)
        return err_set(e, ERR_STOPPED, "engine", "the other process is gone");
    into->n = (size_t)n;
    return 1;
}

static int send_record(int sock, const struct wire_msg *m, int fd, struct err *e) {
    struct buf out = {.max = WIRE_RECORD_MAX};
    wire_put(&out, m);
    int r = out.failed ? err_set(e, ERR_LIMIT, "engine", "its settings do not fit a record")
                       : wire_send(sock, buf_as_str(&out), fd, true, e);
    buf_free(&out);
    return r;
}

int wire_send_open(int sock, const struct wire_open *open, int model_fd, int packed_fd, struct err *e) {
    struct wire_msg *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, ERR_MEMORY, "engine", "no memory");
    m->type = WIRE_PACKED;
    int r = packed_fd >= 0 ? send_record(sock, m, packed_fd, e) : 0;
    m->type = WIRE_OPEN;
    m->open = *open;
    if (r >= 0)
        r = send_record(sock, m, model_fd, e);
    free(m);
    return r;
}

int wire_send_request(int sock, const struct gen_req *req, bool wait, struct err *e) {
    struct wire_msg m = {.type = WIRE_REQUEST, .req = *req};
    struct buf out = {.max = WIRE_RECORD_MAX};
    int r = 0, fd = -1;
    if (req->body.n > WIRE_BODY_MAX)
        return err_set(e, ERR_LIMIT, "body", "is %zu bytes long; at most %d are taken", req->body.n, WIRE_BODY_MAX);
    if (req->body.n > WIRE_INLINE_MAX) {
        fd = wire_memfd(req->body, e);
        if (fd < 0)
            return fd;
        m.body_fd_bytes = req->body.n;
        m.req.body = (struct str){0};
    }
    wire_put(&out, &m);
    r = out.failed ? err_set(e, ERR_LIMIT, "request", "does not fit into a datagram")
                   : wire_send(sock, buf_as_str(&out), fd, wait, e);
    if (fd >= 0)
        close(fd);
    buf_free(&out);
    return r;
}

int wire_memfd(struct str s, struct err *e) {
    int fd = memfd_create("moat-body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set(e, ERR_ENV, "memfd", "cannot be made: %s", strerror(errno));
    int r = fs_write_all(fd, s.p, s.n, "memfd", e);
    if (r == 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        r = err_set(e, ERR_ENV, "memfd", "cannot be sealed: %s", strerror(errno));
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

int wire_memfd_map(int fd, uint64_t bytes, struct str *out, struct err *e) {
    *out = (struct str){0};
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS)
        return err_set(e, ERR_INPUT, "body", "came in a descriptor that is no sealed memfd");
    struct stat s;
    if (fstat(fd, &s) < 0 || bytes == 0 || bytes > WIRE_BODY_MAX || (uint64_t)s.st_size != bytes)
        return err_set(e, ERR_INPUT, "body", "is not as long as its record says");
    return fs_map(fd, "body", out, e);
}
