/* crypto.h - hashes, signatures and random bytes through PSA; the only place that uses mbedtls' crypto. Works
 * with mbedtls 2.28 and 3.6 (the PSA calls that both have). */
#ifndef PLATFORM_CRYPTO_H
#define PLATFORM_CRYPTO_H
#include <stdbool.h>
#include <stdint.h>

#include "platform/err.h"
#include "platform/mem.h"

#define SHA256_BYTES    32
#define SHA256_HEX      65 /* 64 hex digits and NUL */
#define SHA256_TEXT     72 /* "sha256:" + 64 hex + NUL */
#define P256_PUB_BYTES  65 /* 0x04, x, y */
#define P256_SIG_BYTES  64 /* r || s */
#define P256_PRIV_BYTES 32

struct digest {
    uint8_t b[SHA256_BYTES];
};
struct p256_pub {
    uint8_t b[P256_PUB_BYTES];
};
struct p256_sig {
    uint8_t b[P256_SIG_BYTES];
};

static inline bool digest_eq(const struct digest *a, const struct digest *b)
{
    return memcmp(a->b, b->b, SHA256_BYTES) == 0;
}
/* "sha256:<64 lower-case hex>" and nothing else. Errors: INVALID. */
NODISCARD int digest_parse(const char *text, struct digest *ret, struct err *err);
/* Into dst[SHA256_TEXT]; returns dst. digest_hex: only the 64 hex digits (dst[SHA256_HEX]). */
char *digest_text(const struct digest *d, char dst[SHA256_TEXT]);
char *digest_hex(const struct digest *d, char dst[SHA256_HEX]);

/* Call once per process before anything else here. Errors: UNSUPPORTED, IO (no entropy). */
NODISCARD int crypto_init(struct err *err);
/* len random bytes. Errors: IO. */
NODISCARD int crypto_random(void *dst, size_t len, struct err *err);

/* SHA-256 in one call, or as a stream. Errors: IO (of the library). */
NODISCARD int sha256(struct buf bytes, struct digest *ret, struct err *err);
struct sha256;                   /* opaque */
struct sha256 *sha256_new(void); /* never NULL */
struct sha256 *sha256_free(struct sha256 *h);
DEFINE_AUTO(sha256)
/* sha256_add takes the next bytes; sha256_end returns the digest. Errors: IO. */
NODISCARD int sha256_add(struct sha256 *h, struct buf bytes, struct err *err);
NODISCARD int sha256_end(struct sha256 *h, struct digest *ret,
                         struct err *err); /* afterwards h can only be freed */
/* Of all bytes of fd from offset 0 (pread; the offset of fd is unchanged). Errors: IO. */
NODISCARD int sha256_fd(int fd, struct digest *ret, uint64_t *ret_bytes, struct err *err);

/* ECDSA P-256 over SHA-256(message), signature as r||s. */
bool p256_is_point(const struct p256_pub *key); /* uncompressed, and on the curve */
/* Errors: INTEGRITY (bad), INVALID (not a point on the curve). */
NODISCARD int p256_verify(const struct p256_pub *key, struct buf message, const struct p256_sig *sig,
                          struct err *err);
/* Sign with a private key. Errors: INVALID (key), IO. */
NODISCARD int p256_sign(const uint8_t priv[P256_PRIV_BYTES], struct buf message, struct p256_sig *ret,
                        struct err *err);
/* The public half of a private key. Errors: INVALID. */
NODISCARD int p256_public(const uint8_t priv[P256_PRIV_BYTES], struct p256_pub *ret, struct err *err);
/* A new key pair. Errors: IO (no entropy). */
NODISCARD int p256_generate(uint8_t ret_priv[P256_PRIV_BYTES], struct p256_pub *ret_pub, struct err *err);

/* RFC 4648 base64 with padding. encode: malloc'd text, owner: caller. decode: strict (no whitespace, correct
 * padding), into dst of size; *ret_len: bytes. Errors: INVALID, NOSPACE. */
char *base64_encode(struct buf bytes);
NODISCARD int base64_decode(struct buf text, void *dst, size_t size, size_t *ret_len, struct err *err);
/* Lower-case hex. hex_decode requires exactly 2*len digits. */
char *hex_encode(struct buf bytes, char *dst); /* dst: 2*len+1 */
bool hex_decode(const char *text, void *dst, size_t len);
#endif
