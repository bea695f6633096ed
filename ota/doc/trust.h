/* trust.h - the trust document: which keys are valid, and for what. A closed schema: each refusal names the
 * field's path. Pure.
 *
 *   {"schema":"limpet.trust/1","fleet":"demo","version":1,"issued":S,"expires":S,
 *    "keys":[{"id":"root-1","public":"<base64 of 65 bytes>"}],
 *    "roles":{"root":{"threshold":1,"keys":["root-1"]},"release":{...},"fleet":{...}}}
 *
 * Every key has exactly one role, so that one stolen key never serves two purposes. A key that occurs twice
 * (by id or by its bytes), in two roles or in none is refused, and so is a threshold above the number of
 * keys. The other signed documents: release.h, and the desired state, which is the agent's
 * (agent/manifest/manifest.h). */
#ifndef OTA_TRUST_H
#define OTA_TRUST_H
#include "ota/doc/envelope.h"
#include "platform/json.h"

enum trust_role { TRUST_ROOT, TRUST_RELEASE, TRUST_FLEET, TRUST_ROLE_COUNT_ };
struct trust {
    char fleet[LIM_NAME_BYTES];
    uint64_t version, issued_s, expires_s;
    struct {
        unsigned threshold, n_keys;
        struct p256_pub keys[LIM_KEYS];
    } roles[TRUST_ROLE_COUNT_];
};
/* Errors: INVALID (field path). *ret is untouched on failure. */
NODISCARD int trust_parse(struct buf json, struct trust *ret, struct err *err);
/* The document as JSON text, malloc'd, owner: caller; trust_parse reads it back. Key ids are trust_key_id. */
char *trust_build(const struct trust *t);
/* A readable name for a key: the first 16 hex digits of the SHA-256 of its 65 bytes. Informational only.
 * Returns dst. */
char *trust_key_id(const struct p256_pub *key, char dst[17]);

/* May next replace cur? next_env must be verified by a threshold of cur's root AND of next's own root;
 * version == cur+1; same fleet. cur NULL: the first one, only its own root signatures (it was shipped with
 * the device). Fills *ret. Errors: DENIED, INVALID. */
NODISCARD int trust_step(const struct trust *cur, const struct envelope *next_env, struct trust *ret,
                         struct err *err);
/* Which roles enter a new epoch with next: those that lost a key. What was signed earlier is no longer
 * trusted: its counters may be a thief's. */
void trust_changes(const struct trust *cur, const struct trust *next, bool ret[TRUST_ROLE_COUNT_]);
/* Errors: DENIED ("trust version 3 expired 2026-01-01T00:00:00Z"). now_s: the current time as the device
 * judges it. */
NODISCARD int trust_is_valid(const struct trust *t, uint64_t now_s, struct err *err);
/* envelope_verify with the role's keys. Errors: DENIED. */
NODISCARD int trust_verify(const struct trust *t, enum trust_role role, const struct envelope *e,
                           const char *type, struct err *err);
#endif
