/* mbox: a locked list and an eventfd. */
#include "base.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct letter {
    struct letter *next;
    void *message;
};

struct mbox {
    pthread_mutex_t lock;
    struct letter *first, **last;
    int fd; /* counts letters, as a semaphore */
};

struct mbox *mbox_new(void) {
    struct mbox *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    if (m->fd < 0) {
        free(m);
        return NULL;
    }
    pthread_mutex_init(&m->lock, NULL);
    m->last = &m->first;
    return m;
}

int mbox_fd(const struct mbox *m) {
    return m->fd;
}

int mbox_put(struct mbox *m, void *message) {
    struct letter *letter = malloc(sizeof *letter);
    if (!letter)
        return ERR_MEMORY;
    *letter = (struct letter){.message = message};
    pthread_mutex_lock(&m->lock);
    *m->last = letter;
    m->last = &letter->next;
    pthread_mutex_unlock(&m->lock);
    ASSERT(eventfd_write(m->fd, 1) == 0);
    return 0;
}

void *mbox_take(struct mbox *m) {
    eventfd_t one;
    if (eventfd_read(m->fd, &one) < 0)
        return NULL;
    pthread_mutex_lock(&m->lock);
    struct letter *letter = m->first;
    ASSERT(letter);
    m->first = letter->next;
    if (!m->first)
        m->last = &m->first;
    pthread_mutex_unlock(&m->lock);
    void *message = letter->message;
    free(letter);
    return message;
}

void *mbox_wait(struct mbox *m) {
    for (;;) {
        void *message = mbox_take(m);
        if (message)
            return message;
        struct pollfd p = {.fd = m->fd, .events = POLLIN};
        ASSERT(poll(&p, 1, -1) >= 0 || errno == EINTR);
    }
}

void mbox_free(struct mbox *m) {
    if (!m)
        return;
    while (m->first) {
        struct letter *next = m->first->next;
        free(m->first);
        m->first = next;
    }
    close(m->fd);
    pthread_mutex_destroy(&m->lock);
    free(m);
}
