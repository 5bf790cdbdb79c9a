/* talk: a conversation as messages of a role each. */
#include "talk.h"

#include <stdlib.h>
#include <string.h>

int talk_add(struct talk *t, const char *role, struct str text, struct err *e) {
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 16;
        struct turn *turns = realloc(t->turns, cap * sizeof *turns);
        if (!turns)
            return err_set(e, ERR_MEMORY, "conversation", "out of memory");
        t->turns = turns;
        t->cap = cap;
    }
    struct turn *turn = &t->turns[t->n];
    *turn = (struct turn){0};
    snprintf(turn->role, sizeof turn->role, "%s", role);
    buf_str(&turn->text, text);
    if (turn->text.failed) {
        buf_free(&turn->text);
        return err_set(e, ERR_MEMORY, "conversation", "out of memory");
    }
    t->n++;
    return 0;
}

static void drop(struct talk *t, size_t at, size_t n) {
    for (size_t i = at; i < at + n; i++)
        buf_free(&t->turns[i].text);
    memmove(&t->turns[at], &t->turns[at + n], (t->n - at - n) * sizeof t->turns[0]);
    t->n -= n;
}

static size_t n_system(const struct talk *t) {
    return t->n && strcmp(t->turns[0].role, "system") == 0;
}

int talk_set_system(struct talk *t, struct str text, struct err *e) {
    if (t->n)
        drop(t, 0, t->n);
    return talk_add(t, "system", text, e);
}

void talk_clear(struct talk *t) {
    size_t keep = n_system(t);
    if (t->n > keep)
        drop(t, keep, t->n - keep);
}

bool talk_forget_oldest(struct talk *t) {
    size_t first = n_system(t);
    if (t->n < first + 3)
        return false;
    drop(t, first, 2);
    return true;
}

bool talk_drop_answer(struct talk *t) {
    if (t->n == 0 || strcmp(t->turns[t->n - 1].role, "assistant") != 0)
        return false;
    talk_drop_last(t);
    return true;
}

void talk_drop_last(struct talk *t) {
    if (t->n)
        drop(t, t->n - 1, 1);
}

struct str talk_last(const struct talk *t) {
    return t->n ? buf_as_str(&t->turns[t->n - 1].text) : (struct str){0};
}

void talk_json(const struct talk *t, struct buf *out) {
    buf_z(out, "{\"messages\":[");
    for (size_t i = 0; i < t->n; i++) {
        buf_fmt(out, "%s{\"role\":\"%s\",\"content\":", i ? "," : "", t->turns[i].role);
        buf_json(out, buf_as_str(&t->turns[i].text));
        buf_byte(out, '}');
    }
    buf_z(out, "],\"add_generation_prompt\":true}");
}

void talk_free(struct talk *t) {
    if (t->n)
        drop(t, 0, t->n);
    free(t->turns);
    *t = (struct talk){0};
}
