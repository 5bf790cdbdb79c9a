/* sha256: OpenSSL's, as a stream and in one go. `struct sha256` is an EVP_MD_CTX under another name. */
#include "base.h"

#include <openssl/evp.h>
#include <string.h>

struct sha256 *sha256_new(void) {
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    ASSERT(c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1);
    return (struct sha256 *)c;
}

void sha256_add(struct sha256 *h, const void *p, size_t n) {
    ASSERT(EVP_DigestUpdate((EVP_MD_CTX *)h, p, n) == 1);
}

struct digest sha256_end(struct sha256 *h) {
    struct digest d;
    ASSERT(EVP_DigestFinal_ex((EVP_MD_CTX *)h, d.bytes, NULL) == 1);
    EVP_MD_CTX_free((EVP_MD_CTX *)h);
    return d;
}

struct digest sha256_of(struct str s) {
    struct sha256 *h = sha256_new();
    if (s.n)
        sha256_add(h, s.p, s.n);
    return sha256_end(h);
}

void digest_hex(const struct digest *d, char hex[65]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof d->bytes; i++) {
        hex[2 * i] = digits[d->bytes[i] >> 4];
        hex[2 * i + 1] = digits[d->bytes[i] & 15];
    }
    hex[64] = 0;
}

static int hex_value(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool digest_parse(struct str hex, struct digest *d) {
    if (hex.n != 2 * sizeof d->bytes)
        return false;
    for (size_t i = 0; i < sizeof d->bytes; i++) {
        int high = hex_value(hex.p[2 * i]), low = hex_value(hex.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        d->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
