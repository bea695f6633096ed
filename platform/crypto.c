#include "platform/crypto.h"

#include <errno.h>
#include <psa/crypto.h>
#include <stdio.h>

#include "platform/sha256_cpu.h"

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
    bool running, by_cpu;
    psa_hash_operation_t op; /* unless by_cpu */
    uint32_t state[8];
    uint64_t total;
    uint8_t rest[SHA256_BLOCK]; /* the last total % SHA256_BLOCK bytes */
};

/* Is there an instruction for it? Asked once. */
static bool has_cpu(void)
{
    static int here = -1;

    if (here < 0)
        here = sha256_cpu_is_here();
    return here;
}

struct sha256 *sha256_new(void)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    struct sha256 *h = mem_need_zero(sizeof(*h));

    h->op = psa_hash_operation_init();
    h->by_cpu = has_cpu();
    memcpy(h->state, start, sizeof(start));
    h->running = h->by_cpu || psa_hash_setup(&h->op, PSA_ALG_SHA_256) == PSA_SUCCESS;
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

static void add_by_cpu(struct sha256 *h, struct buf bytes)
{
    size_t had = (size_t)(h->total % SHA256_BLOCK);

    h->total += bytes.len;
    if (had > 0 && bytes.len >= SHA256_BLOCK - had) {
        memcpy(h->rest + had, bytes.p, SHA256_BLOCK - had);
        sha256_cpu_blocks(h->state, h->rest, 1);
        bytes.p += SHA256_BLOCK - had;
        bytes.len -= SHA256_BLOCK - had;
        had = 0;
    }
    if (had == 0) {
        sha256_cpu_blocks(h->state, bytes.p, bytes.len / SHA256_BLOCK);
        bytes.p += bytes.len - bytes.len % SHA256_BLOCK;
        bytes.len %= SHA256_BLOCK;
    }
    if (bytes.len > 0)
        memcpy(h->rest + had, bytes.p, bytes.len);
}

/* A one bit, zeros up to the end of a block, and in that the length in bits. */
static void end_by_cpu(struct sha256 *h, uint8_t dst[SHA256_BYTES])
{
    uint64_t bits = h->total * 8;
    uint8_t tail[SHA256_BLOCK + 8] = {0x80};
    size_t zeros = (2 * SHA256_BLOCK - 9 - (size_t)(h->total % SHA256_BLOCK)) % SHA256_BLOCK;

    for (unsigned i = 0; i < 8; i++)
        tail[1 + zeros + i] = (uint8_t)(bits >> (56 - 8 * i));
    add_by_cpu(h, buf_of(tail, 1 + zeros + 8));
    for (unsigned i = 0; i < SHA256_BYTES; i++)
        dst[i] = (uint8_t)(h->state[i / 4] >> (24 - 8 * (i % 4)));
}

int sha256_add(struct sha256 *h, struct buf bytes, struct err *err)
{
    if (!h->running)
        return err_set(err, ERR_IO, "SHA-256 is not available");
    if (bytes.len > 0 && h->by_cpu)
        add_by_cpu(h, bytes);
    if (bytes.len == 0 || h->by_cpu)
        return 0;
    psa_status_t s = psa_hash_update(&h->op, bytes.p, bytes.len);
    return s == PSA_SUCCESS ? 0 : psa_fail(err, s, "SHA-256");
}

int sha256_end(struct sha256 *h, struct digest *ret, struct err *err)
{
    struct digest d;
    size_t len = sizeof(d.b);
    if (!h->running)
        return err_set(err, ERR_IO, "SHA-256 is not available");
    h->running = false;
    psa_status_t s = PSA_SUCCESS;
    if (h->by_cpu)
        end_by_cpu(h, d.b);
    else
        s = psa_hash_finish(&h->op, d.b, sizeof(d.b), &len);
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

/* PSA takes the hash, not the message, in the calls that 2.28 and 3.6 share. */
int p256_verify(const struct p256_pub *key, struct buf message, const struct p256_sig *sig, struct err *err)
{
    struct digest d;
    int rc = sha256(message, &d, err);
    if (rc < 0)
        return rc;
    psa_key_attributes_t a = PSA_KEY_ATTRIBUTES_INIT;
    psa_set_key_type(&a, PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&a, 256);
    psa_set_key_usage_flags(&a, PSA_KEY_USAGE_VERIFY_HASH);
    psa_set_key_algorithm(&a, PSA_ALG_ECDSA(PSA_ALG_SHA_256));
    psa_key_id_t id;
    psa_status_t s = psa_import_key(&a, key->b, sizeof(key->b), &id);
    if (s != PSA_SUCCESS)
        return err_set(err, ERR_INVALID, "not a P-256 public key (PSA error %d)", (int)s);
    s = psa_verify_hash(id, PSA_ALG_ECDSA(PSA_ALG_SHA_256), d.b, sizeof(d.b), sig->b, sizeof(sig->b));
    (void)psa_destroy_key(id);
    if (s == PSA_SUCCESS)
        return 0;
    return s == PSA_ERROR_INSUFFICIENT_MEMORY ? psa_fail(err, s, "verify")
                                              : err_set(err, ERR_INTEGRITY, "the signature is not right");
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
