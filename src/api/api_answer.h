/* api_answer: an answer on its way to the vendor's bytes. Private to api.
 *
 * Events fill a choice's buffers. A stream sends and empties them with each chunk; a whole answer is written from all of them
 * at the end. So there is one path from events to text. */
#pragma once

#include "api.h"

struct api_choice {
    struct buf text;
    struct buf entries;                       /* chat: items of logprobs.content; tokenize: the ids */
    struct buf tokens, values, tops, offsets; /* completions: the four arrays of logprobs */
    uint64_t n_chars;                         /* of the text so far, for text_offset */
    bool role_sent, finished;
    enum gen_finish finish;
};
struct api_answer {
    const struct api_call *call;
    char id[48], fingerprint[32];
    struct buf model;
    int64_t created;
    struct gen_usage usage; /* of all prompts */
    uint32_t n_choices;
    struct api_choice choices[]; /* prompt * n + choice */
};

void api_chat_event(struct api_answer *a, uint32_t prompt, const struct gen_event *ev, struct buf *out);
void api_chat_finish(struct api_answer *a, struct buf *out);
void api_completion_event(struct api_answer *a, uint32_t prompt, const struct gen_event *ev, struct buf *out);
void api_completion_finish(struct api_answer *a, struct buf *out);
/* Collects text and token ids; the three that finish write {"tokens"}, {"content"} and {"prompt"}. */
void api_text_event(struct api_answer *a, uint32_t prompt, const struct gen_event *ev, struct buf *out);
void api_tokenize_finish(struct api_answer *a, struct buf *out);
void api_detokenize_finish(struct api_answer *a, struct buf *out);
void api_template_finish(struct api_answer *a, struct buf *out);

/* The choice that an event is about, or NULL where the engine names one that was not asked for. */
struct api_choice *api_choice_of(struct api_answer *a, uint32_t prompt, const struct gen_event *ev);
void api_add_usage(struct api_answer *a, const struct gen_usage *u);
void api_usage_json(struct buf *out, const struct gen_usage *u);
void api_finish_json(struct buf *out, const struct api_choice *c); /* "stop", "length" or null */
/* A log-probability as the shortest text that reads back as the same float; null for NaN. */
void api_logprob_json(struct buf *out, float x);
