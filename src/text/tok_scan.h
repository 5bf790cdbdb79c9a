/* tok: the scanners that cut a text into words before merging. Each is what one published regular expression does, written by
 * hand: linear, without backtracking beyond the character before.
 *
 *     for (const char *p = s.p; p < end; p = next) next = stage->scan(p, end, stage);
 *
 * A rule is a row of stages, each cutting further what the one before left. tok_pre.c names the rules. */
#pragma once

#include "../base/base.h"

struct tok_range {
    uint32_t first, last;
};
struct tok_stage;
/* The end of the piece that begins at p < end. */
typedef const char *tok_scan_fn(const char *p, const char *end, const struct tok_stage *stage);
struct tok_stage {
    tok_scan_fn *scan;              /* NULL: no stage */
    uint32_t classes;               /* UC_ bits the scanner looks for ... */
    const struct tok_range *ranges; /* ... beside these, if any: in order, the last one is {0, 0} */
    unsigned max;                   /* longest run of numbers or of what is looked for; 0: any */
    unsigned how;                   /* TOK_SCAN_ bits */
};
enum {
    TOK_SCAN_FOLD = 1,           /* contractions ('s 't 're ...) in any case */
    TOK_SCAN_NO_SHORT = 2,       /* no contractions */
    TOK_SCAN_MARKS = 4,          /* marks are letters */
    TOK_SCAN_SLASH = 8,          /* "/" may follow punctuation as new-lines do */
    TOK_SCAN_ONE_TAIL = 16,      /* one new-line at most follows punctuation */
    TOK_SCAN_NO_TAIL = 32,       /* none does, and punctuation holds none */
    TOK_SCAN_HALVES = 64,        /* white space in runs of 512, 256, ... 2, 1 */
    TOK_SCAN_JOINED = 128,       /* words with one space between are one */
    TOK_SCAN_HAN = 256,          /* Han characters are runs of their own, and no letters */
    TOK_SCAN_ONE_LINE = 512,     /* each new-line apart */
    TOK_SCAN_AT_BOUNDARY = 1024, /* only numbers that no letter follows */
    TOK_SCAN_UNICODE_8 = 2048,   /* classes as of Unicode 8 */
};

/* ' ?\p{L}+ ...': GPT-2. */
tok_scan_fn tok_scan_gpt2;
/* '(?i:'s|...)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,max}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+': Llama 3, and variants. */
tok_scan_fn tok_scan_llama3;
/* The same with words cut where capitals follow small letters: o200k, tekken, Kimi. */
tok_scan_fn tok_scan_o200k;
/* '[!-/...][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|...', gaps kept: DeepSeek V3. */
tok_scan_fn tok_scan_deepseek3;
/* Runs of at most max of what is looked for, and what is between them. */
tok_scan_fn tok_scan_runs;
/* '\s?X+', and what is between. */
tok_scan_fn tok_scan_spaced;
/* '\s+$', and what is before. */
tok_scan_fn tok_scan_last_space;
/* '[0-9][0-9][0-9]', and what is between. */
tok_scan_fn tok_scan_three_digits;
/* Runs of bytes that GPT-2's spelling shows as numbers (0-9 and those of ¹²³¼½¾), and what is between: Falcon, which looks for
 * digits after spelling. May cut inside a character. */
tok_scan_fn tok_scan_spelled_digits;
/* Runs of numbers in threes, counted from the right, and what is between: the first cuts off what is too much at the left of a
 * run, the second cuts pieces that are numbers only. */
tok_scan_fn tok_scan_from_right, tok_scan_threes;
/* ' ?[^(\s|.,!?…。，、।۔،)]+', and what is between: BLOOM. */
tok_scan_fn tok_scan_bloom;
/* '[\t\n]|    |  ', and what is between: Chameleon. */
tok_scan_fn tok_scan_indents;
