/* talk: a conversation as messages of a role each. */
#pragma once

#include "../base/base.h"

struct turn {
    char role[16];
    struct buf text;
};
struct talk {
    struct turn *turns;
    size_t n, cap;
};
int talk_add(struct talk *t, const char *role, struct str text, struct err *e) MUST_USE;
/* Forgets all and begins with a system message. */
int talk_set_system(struct talk *t, struct str text, struct err *e) MUST_USE;
void talk_clear(struct talk *t);         /* forgets all but the system message */
bool talk_forget_oldest(struct talk *t); /* the first message after the system's and the answer to it; false: only one is left */
bool talk_drop_answer(struct talk *t);   /* the last message if it is the assistant's; false: there is none */
void talk_drop_last(struct talk *t);
struct str talk_last(const struct talk *t);
void talk_json(const struct talk *t, struct buf *out); /* {"messages": [...], "add_generation_prompt": true} */
void talk_free(struct talk *t);
