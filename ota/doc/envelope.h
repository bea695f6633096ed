/* envelope.h - DSSE envelopes (github.com/secure-systems-lab/dsse, protocol 1.0): signed bytes with their
 * type. Two forms: JSON for transport, and a packed binary record that core reads, so that root parses no
 * JSON before its signature is verified (L1). Pure. */
#ifndef OTA_ENVELOPE_H
#define OTA_ENVELOPE_H
#include "platform/crypto.h"
#include "platform/err.h"
#include "platform/limits.h"
#include "platform/mem.h"

#define ENVELOPE_TYPE_TRUST   "application/vnd.limpet.trust.v1+json"
#define ENVELOPE_TYPE_RELEASE "application/vnd.limpet.release.v1+json"
#define ENVELOPE_TYPE_DESIRED "application/vnd.limpet.desired.v1+json"

struct envelope { /* heap, one block: free with envelope_free */
    char type[96];
    unsigned n_sigs;
    struct p256_sig sigs[LIM_SIGNATURES]; /* key ids are skipped: they are not authenticated (L11) */
    size_t payload_len;
    uint8_t payload[];
};
/* envelope_parse: from JSON text; envelope_unpack: from the packed record. Owner: caller. Errors: INVALID
 * (field path), NOSPACE (too large). */
NODISCARD int envelope_parse(struct buf json, struct envelope **ret, struct err *err);
NODISCARD int envelope_unpack(struct buf packed, struct envelope **ret, struct err *err);
struct envelope *envelope_copy(const struct envelope *e); /* owner: caller */
struct envelope *envelope_free(struct envelope *e);
DEFINE_AUTO(envelope)
/* malloc'd, owner: caller. key_ids: n_sigs texts, informational, or NULL. */
char *envelope_build(const struct envelope *e, const char *const *key_ids);
/* The packed record of *ret_len bytes; envelope_unpack reads it back. malloc'd, owner: caller. */
uint8_t *envelope_pack(const struct envelope *e, size_t *ret_len);
/* The bytes to sign: PAE(type, payload). malloc'd, owner: caller. */
uint8_t *envelope_pae(const char *type, struct buf payload, size_t *ret_len);

/* Counts the distinct keys of keys[0..n) with a valid signature; type must be want_type (a signature for
 * another kind of document does not count). 0 when >= threshold. Errors: DENIED ("1 of 2 signatures", "no
 * keys"), INTEGRITY never: an invalid signature just does not count. threshold 0 or n_keys 0: DENIED. */
NODISCARD int envelope_verify(const struct envelope *e, const char *want_type, const struct p256_pub *keys,
                              unsigned n_keys, unsigned threshold, struct err *err);
/* Build an envelope with one or more signatures. Owner: caller. Errors: INVALID (key), IO. */
NODISCARD int envelope_sign(const char *type, struct buf payload, const uint8_t (*privs)[P256_PRIV_BYTES],
                            unsigned n_privs, struct envelope **ret, struct err *err);
#endif
