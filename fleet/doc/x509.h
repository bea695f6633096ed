/* x509.h - P-256 keys as PEM and X.509 certificates for a fleet: one CA, the broker, the operator, a
 * certificate per device. The only file of this directory that knows mbedtls (2.28 and 3.6 alike). Runs on
 * the operator's machine only. No I/O. */
#ifndef FLEET_X509_H
#define FLEET_X509_H
#include "platform/crypto.h"
#include "platform/err.h"
#include "platform/mem.h"

#define X509_HOSTS 16

/* A key as "EC PRIVATE KEY" PEM text that openssl reads too. malloc'd, owner: caller. Errors: INVALID (no key
 * of this curve). */
NODISCARD int x509_key_pem(const uint8_t priv[P256_PRIV_BYTES], char **ret, struct err *err);
/* The inverse; pem ends with a NUL that pem.len does not count. Errors: INVALID (no unencrypted P-256 key).
 */
NODISCARD int x509_key_parse(struct buf pem, uint8_t ret_priv[P256_PRIV_BYTES], struct p256_pub *ret_pub,
                             struct err *err);

struct x509_want {
    const char *cn, *org;     /* plain names, no commas */
    bool ca, server;          /* neither: a TLS client */
    const char *const *hosts; /* DNS names and IP addresses that a server answers to */
    unsigned n_hosts;         /* at most X509_HOSTS */
    uint64_t from_s, until_s;
};
/* Whoever signs. cert_pem empty: the certificate signs itself. */
struct x509_issuer {
    struct buf cert_pem; /* NUL behind it */
    const uint8_t *priv; /* P256_PRIV_BYTES */
};
/* A certificate for the key priv. malloc'd PEM, owner: caller. Errors: INVALID (names, hosts), IO (entropy).
 */
NODISCARD int x509_make(const struct x509_want *w, const uint8_t priv[P256_PRIV_BYTES],
                        const struct x509_issuer *by, char **ret, struct err *err);

struct x509_info {
    char cn[128];
    uint64_t from_s, until_s;
};
/* What a certificate says; its signature is not checked. Errors: INVALID. */
NODISCARD int x509_info(struct buf pem, struct x509_info *ret, struct err *err);
#endif
