#include "platform/crypto.h"

#include <errno.h>
#include <psa/crypto.h>
#include <stdio.h>

static int psa_fail(struct err *err, psa_status_t s, const char *what)
{
    enum err_kind kind = s == PSA_ERROR_INSUFFICIENT_MEMORY ? ERR_NOMEM
                         : s == PSA_ERROR_NOT_SUPPORTED     ? ERR_UNSUPPORTED
                         : s == PSA_ERROR_INVALID_ARGUMENT  ? ERR_INVALID
                                                            : ERR_IO;

    return err_set(err, kind, "%s: PSA error %d", what, (int)s);
}

int crypto_init(struct err *err)
{
    psa_status_t s = psa_crypto_init();

    return s == PSA_SUCCESS ? 0 : psa_fail(err, s, "start cryptography");
}

int crypto_random(void *dst, size_t len, struct err *err)
{
    psa_status_t s = psa_generate_random(dst, len);

    return s == PSA_SUCCESS ? 0 : psa_fail(err, s, "random bytes");
}

struct sha256 {
    psa_hash_operation_t op;
    bool running;
};

struct sha256 *sha256_new(void)
{
    struct sha256 *h = mem_need_zero(sizeof(*h));

    h->op = psa_hash_operation_init();
    h->running = psa_hash_setup(&h->op, PSA_ALG_SHA_256) == PSA_SUCCESS;
    return h;
}

struct sha256 *sha256_free(struct sha256 *h)
{
    if (h) {
        (void)psa_hash_abort(&h->op);
        free(h);
    }
    return NULL;
}

int sha256_add(struct sha256 *h, struct buf bytes, struct err *err)
{
    if (!h->running)
        return err_set(err, ERR_IO, "SHA-256 is not available");
    psa_status_t s = bytes.len ? psa_hash_update(&h->op, bytes.p, bytes.len) : PSA_SUCCESS;
    return s == PSA_SUCCESS ? 0 : psa_fail(err, s, "SHA-256");
}

int sha256_end(struct sha256 *h, struct digest *ret, struct err *err)
{
    struct digest d;
    size_t len;

    if (!h->running)
        return err_set(err, ERR_IO, "SHA-256 is not available");
    h->running = false;
    psa_status_t s = psa_hash_finish(&h->op, d.b, sizeof(d.b), &len);
    if (s != PSA_SUCCESS || len != sizeof(d.b))
        return psa_fail(err, s, "SHA-256");
    *ret = d;
    return 0;
}

int sha256(struct buf bytes, struct digest *ret, struct err *err)
{
    AUTO_FREE(sha256) struct sha256 *h = sha256_new();
    int rc = sha256_add(h, bytes, err);

    return rc < 0 ? rc : sha256_end(h, ret, err);
}

int sha256_fd(int fd, struct digest *ret, uint64_t *ret_bytes, struct err *err)
{
    uint8_t piece[16384];
    uint64_t at = 0;
    AUTO_FREE(sha256) struct sha256 *h = sha256_new();

    for (;;) {
        ssize_t n = pread(fd, piece, sizeof(piece), (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "read while hashing");
        if (n == 0)
            break;
        int rc = sha256_add(h, buf_of(piece, (size_t)n), err);
        if (rc < 0)
            return rc;
        at += (uint64_t)n;
    }
    int rc = sha256_end(h, ret, err);
    if (rc == 0 && ret_bytes)
        *ret_bytes = at;
    return rc;
}

static psa_status_t import_public(const struct p256_pub *key, psa_key_id_t *ret)
{
    psa_key_attributes_t a = PSA_KEY_ATTRIBUTES_INIT;

    psa_set_key_type(&a, PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&a, 256);
    psa_set_key_usage_flags(&a, PSA_KEY_USAGE_VERIFY_HASH);
    psa_set_key_algorithm(&a, PSA_ALG_ECDSA(PSA_ALG_SHA_256));
    return psa_import_key(&a, key->b, sizeof(key->b), ret);
}

bool p256_is_point(const struct p256_pub *key)
{
    psa_key_id_t id;
    bool ok = key->b[0] == 4 && import_public(key, &id) == PSA_SUCCESS;

    if (ok)
        (void)psa_destroy_key(id);
    return ok;
}

/* The PSA calls common to 2.28 and 3.6 take the hash, not the message. */
int p256_verify(const struct p256_pub *key, struct buf message, const struct p256_sig *sig, struct err *err)
{
    struct digest d;
    psa_key_id_t id;
    int rc = sha256(message, &d, err);

    if (rc < 0)
        return rc;
    psa_status_t s = import_public(key, &id);
    if (s != PSA_SUCCESS)
        return err_set(err, ERR_INVALID, "not a P-256 public key (PSA error %d)", (int)s);
    s = psa_verify_hash(id, PSA_ALG_ECDSA(PSA_ALG_SHA_256), d.b, sizeof(d.b), sig->b, sizeof(sig->b));
    (void)psa_destroy_key(id);
    if (s == PSA_SUCCESS)
        return 0;
    return s == PSA_ERROR_INSUFFICIENT_MEMORY ? psa_fail(err, s, "verify")
                                              : err_set(err, ERR_INTEGRITY, "invalid signature");
}

static int import_private(const uint8_t priv[P256_PRIV_BYTES], psa_key_id_t *ret, struct err *err)
{
    psa_key_attributes_t a = PSA_KEY_ATTRIBUTES_INIT;

    psa_set_key_type(&a, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&a, 256);
    psa_set_key_usage_flags(&a, PSA_KEY_USAGE_SIGN_HASH | PSA_KEY_USAGE_EXPORT);
    psa_set_key_algorithm(&a, PSA_ALG_ECDSA(PSA_ALG_SHA_256));
    psa_status_t s = psa_import_key(&a, priv, P256_PRIV_BYTES, ret);
    return s == PSA_SUCCESS ? 0 : err_set(err, ERR_INVALID, "not a P-256 private key (PSA error %d)", (int)s);
}

int p256_sign(const uint8_t priv[P256_PRIV_BYTES], struct buf message, struct p256_sig *ret, struct err *err)
{
    struct digest d;
    psa_key_id_t id;
    struct p256_sig sig;
    size_t len;
    int rc = sha256(message, &d, err);

    if (rc == 0)
        rc = import_private(priv, &id, err);
    if (rc < 0)
        return rc;
    psa_status_t s =
        psa_sign_hash(id, PSA_ALG_ECDSA(PSA_ALG_SHA_256), d.b, sizeof(d.b), sig.b, sizeof(sig.b), &len);
    (void)psa_destroy_key(id);
    if (s != PSA_SUCCESS || len != sizeof(sig.b))
        return psa_fail(err, s, "sign");
    *ret = sig;
    return 0;
}

int p256_public(const uint8_t priv[P256_PRIV_BYTES], struct p256_pub *ret, struct err *err)
{
    psa_key_id_t id;
    size_t len;
    int rc = import_private(priv, &id, err);

    if (rc < 0)
        return rc;
    psa_status_t s = psa_export_public_key(id, ret->b, sizeof(ret->b), &len);
    (void)psa_destroy_key(id);
    return s == PSA_SUCCESS && len == sizeof(ret->b) ? 0 : psa_fail(err, s, "public key");
}

int p256_generate(uint8_t ret_priv[P256_PRIV_BYTES], struct p256_pub *ret_pub, struct err *err)
{
    psa_key_attributes_t a = PSA_KEY_ATTRIBUTES_INIT;

    psa_set_key_type(&a, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&a, 256);
    psa_set_key_usage_flags(&a, PSA_KEY_USAGE_EXPORT);
    psa_key_id_t id;
    size_t len;
    psa_status_t s = psa_generate_key(&a, &id);
    if (s != PSA_SUCCESS)
        return psa_fail(err, s, "make a key");
    s = psa_export_key(id, ret_priv, P256_PRIV_BYTES, &len);
    if (s == PSA_SUCCESS)
        s = psa_export_public_key(id, ret_pub->b, sizeof(ret_pub->b), &len);
    (void)psa_destroy_key(id);
    return s == PSA_SUCCESS ? 0 : psa_fail(err, s, "make a key");
}
