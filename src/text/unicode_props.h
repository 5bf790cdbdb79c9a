/* unicode: what tokenizers ask of Unicode 16.0. Classes of code points, lower case, canonical decomposition, NFC.
 *
 *     if (uc_class(cp) & (UC_L | UC_M)) ...              // a letter or a mark
 *     uc_nfc(text, &out);
 *
 * Pure functions over const tables (tools/gen_unicode.py): any thread. */
#pragma once

#include "../base/base.h"

/* One bit for each class: the general category, but that control characters which are white space are UC_CSPACE. The order is
 * that of CLASSES in tools/gen_unicode.py. */
enum {
    UC_LU = 1 << 0,
    UC_LL = 1 << 1,
    UC_LT = 1 << 2,
    UC_LM = 1 << 3,
    UC_LO = 1 << 4,
    UC_MN = 1 << 5,
    UC_MC = 1 << 6,
    UC_ME = 1 << 7,
    UC_ND = 1 << 8,
    UC_NL = 1 << 9,
    UC_NO = 1 << 10,
    UC_PC = 1 << 11,
    UC_PX = 1 << 12,
    UC_S = 1 << 13,
    UC_Z = 1 << 14,
    UC_CC = 1 << 15,
    UC_CF = 1 << 16,
    UC_CO = 1 << 17,
    UC_CN = 1 << 18,
    UC_CSPACE = 1 << 19,

    UC_L = UC_LU | UC_LL | UC_LT | UC_LM | UC_LO,
    UC_M = UC_MN | UC_MC | UC_ME,
    UC_N = UC_ND | UC_NL | UC_NO,
    UC_P = UC_PC | UC_PX,
    UC_SPACE = UC_Z | UC_CSPACE, /* White_Space */
    UC_C = UC_CC | UC_CF | UC_CO | UC_CN,
};
extern const uint32_t uc_ascii[128]; /* the classes of ASCII, for who looks at every byte */
uint32_t uc_class(uint32_t cp);      /* one UC_ bit; beyond U+10FFFF UC_CN */
/* The same as parts of the published tokenizers have it, with the classes of Unicode 8: what is a mark, punctuation or a format
 * character only since then is an ordinary character to them. */
uint32_t uc_class_8(uint32_t cp);
uint32_t uc_lower(uint32_t cp); /* simple lower case (U+0130, the only one that has two letters, stays) */

/* The full canonical decomposition of cp, not reordered: 1..4 code points. */
unsigned uc_decompose(uint32_t cp, uint32_t out[4]);
unsigned uc_combining(uint32_t cp); /* canonical combining class, 0 for starters */
/* Appends the NFC or the NFD form of s; bytes that are not UTF-8 are copied and end a sequence. */
void uc_nfc(struct str s, struct buf *out);
void uc_nfd(struct str s, struct buf *out);
/* Is s its own NFC form, seen at a glance? false: uc_nfc may still give the same bytes. */
bool uc_is_nfc(struct str s);
