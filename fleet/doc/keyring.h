/* keyring.h - signing keys and the trust document that says which of them count. */
#ifndef FLEET_KEYRING_H
#define FLEET_KEYRING_H
#include "fleet/base/ctx.h"
#include "ota/doc/trust.h"
#include "platform/crypto.h"

extern const char *const role_names[TRUST_ROLE_COUNT_]; /* "root", "release", "fleet" */
/* One of these words. Errors: INVALID. */
NODISCARD int keyring_role_parse(const char *word, enum trust_role *ret, struct err *err);

struct signing_key {
    char id[LIM_NAME_BYTES]; /* file keys/<id>.key */
    uint8_t priv[P256_PRIV_BYTES];
    struct p256_pub pub;
};
/* Read keys/<id>.key. Errors: NOTFOUND, INVALID. */
NODISCARD int keyring_key_load(const struct ctx *c, const char *id, struct signing_key *ret, struct err *err);
/* Read it, or make and store it when there is none. *ret_made may be NULL. Errors: INVALID, NOSPACE, IO. */
NODISCARD int keyring_key_ensure(const struct ctx *c, const char *id, struct signing_key *ret, bool *ret_made,
                                 struct err *err);

/* A trust document with its key ids, as the operator sees it (ota/doc/trust.h is how a device does). */
struct trust_doc {
    uint64_t version, issued_s, expires_s;
    unsigned n_keys;
    struct {
        char id[LIM_NAME_BYTES];
        struct p256_pub pub;
    } keys[LIM_KEYS];
    struct {
        unsigned threshold, n;
        char ids[LIM_KEYS][LIM_NAME_BYTES];
    } roles[TRUST_ROLE_COUNT_];
};
/* The highest version in trust/, 0: none. */
uint64_t keyring_trust_last_version(const struct ctx *c);
/* Envelope text of a version; owner: caller. Errors: NOTFOUND, IO. */
NODISCARD int keyring_trust_read(const struct ctx *c, uint64_t version, struct buf *ret_own, struct err *err);
/* The same, read; its signatures are not looked at. Errors: NOTFOUND, INVALID. */
NODISCARD int keyring_trust_load(const struct ctx *c, uint64_t version, struct trust_doc *ret,
                                 struct err *err);
/* Take a key into the document and a role; alone: the role's other keys go. Errors: NOSPACE. */
NODISCARD int keyring_trust_add(struct trust_doc *t, enum trust_role role, const struct signing_key *k,
                                bool alone, struct err *err);
/* Sign and store trust/<version>.json: by t's own root keys and by those of prev (NULL: the first one).
 * Checks it as a device will before it is stored. Errors: NOTFOUND (a root key is not here), DENIED,
 * CONFLICT. */
NODISCARD int keyring_trust_save(const struct ctx *c, const struct trust_doc *t, const struct trust_doc *prev,
                                 struct err *err);

/* Sign a payload with the keys of a role that are here, as the newest trust wants it. Envelope JSON, owner:
 * caller. Warns of trust that expires soon. Errors: DENIED (too few keys here, trust expired). */
NODISCARD int keyring_sign(const struct ctx *c, enum trust_role role, const char *type, struct buf payload,
                           char **ret, struct err *err);
/* Check an envelope as a device that holds the newest trust would; *ret: owner caller. Errors: DENIED,
 * INVALID. */
NODISCARD int keyring_verify(const struct ctx *c, enum trust_role role, const char *type, struct buf envelope,
                             struct envelope **ret, struct err *err);
/* The same, but keys that any earlier trust version named will do: for reading what this fleet said in the
 * past. Errors: as fleet_verify. */
NODISCARD int keyring_verify_ever(const struct ctx *c, enum trust_role role, const char *type,
                                  struct buf envelope, struct envelope **ret, struct err *err);
#endif
