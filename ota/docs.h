/* docs.h - the trust and the release document (design section 5). Closed schemas: each refusal names the
 * field's path. Pure. The third document, desired state, is the agent's (agent/manifest.h).
 *
 * trust:   {"schema":"limpet.trust/1","fleet":"demo","version":1,"issued":S,"expires":S,
 *           "keys":[{"id":"root-1","public":"<base64 of 65 bytes>"}],
 *           "roles":{"root":{"threshold":1,"keys":["root-1"]},"release":{...},"fleet":{...}}}
 *          Every key serves exactly one role: one stolen key must not open two doors. A key twice (by id or
 * by its bytes), in two roles or in none is refused, and so is a threshold above the number of keys. release:
 * {"schema":"limpet.release/1","name":"web","counter":2,"version":"1.4.2","issued":S,
 *           "platforms":[{"os":"linux","architecture":"amd64","variant":"","manifest":{"digest":"sha256:..","size":N},
 *                         "packed_bytes":N,"unpacked_bytes":N,"inodes":N,
 *                         "tree":{"digest":"sha256:..","size":N,"bytes":N},
 *                         "packs":[{"kind":"full","codec":"lz4","digest":..,"size":N,"memory":N,
 *                                   "data":{"digest":..,"size":N}},
 *                                  {"kind":"patch","codec":"lzma","digest":..,"size":N,"memory":N,
 *                                   "from":{"tree":"sha256:..","size":N},"writes":N}]}]}
 *          packed_bytes: config and layers as they travel. unpacked_bytes: file contents; inodes: entries.
 *          tree (pack.h): of the image; bytes: of its objects. packs: other ways to the same tree; a kind or codec
 *          that this version does not know is left unused. digest and size: of a patch pack, or of the head of a
 *          full pack, whose data is read by ranges. memory: what unpacking needs at most. from: the tree that a patch
 *          starts from. writes: bytes of the objects that the patch makes. tree and packs may be absent.
 *          In the place of platforms "bundle":{"digest":"sha256:..","size":N}: a release of the device's own system, a file
 *          for its updater.
 */
#ifndef OTA_DOCS_H
#define OTA_DOCS_H
#include "ota/envelope.h"
#include "ota/platform.h"
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
int trust_parse(struct buf json, struct trust *ret, struct err *err);
/* The document as JSON text, malloc'd, owner: caller; trust_parse reads it back. Key ids are trust_key_id. */
char *trust_build(const struct trust *t);
/* A name for a key, for people: the first 16 hex digits of the SHA-256 of its 65 bytes. Decides nothing.
 * Returns dst. */
char *trust_key_id(const struct p256_pub *key, char dst[17]);

/* May next replace cur? next_env verified by threshold of cur's root AND of next's own root; version ==
 * cur+1; same fleet. cur NULL: the first one, only its own root signatures (it came with the device). Fills
 * *ret. Errors: DENIED, INVALID. */
int trust_step(const struct trust *cur, const struct envelope *next_env, struct trust *ret, struct err *err);
/* Which roles enter a new epoch with next: those that a key has left. What was signed before then is not to be counted on:
 * its counters may be a thief's. */
void trust_changes(const struct trust *cur, const struct trust *next, bool ret[TRUST_ROLE_COUNT_]);
/* Errors: DENIED ("trust version 3 expired 2026-01-01T00:00:00Z"). now_s: what the device takes for now. */
int trust_is_valid(const struct trust *t, uint64_t now_s, struct err *err);
/* envelope_verify with the role's keys. */
int trust_verify(const struct trust *t, enum trust_role role, const struct envelope *e, const char *type,
                 struct err *err);

#define RELEASE_PLATFORMS 8
#define RELEASE_PACKS     12
enum release_pack_kind {
    RELEASE_PACK_FULL,
    RELEASE_PACK_PATCH
}; /* others, of later versions, are not kept */
struct release_blob {
    struct digest digest;
    uint64_t bytes; /* 0: there is none */
};
struct release_pack {
    enum release_pack_kind kind;
    int codec; /* enum pack_codec; -1: unknown here */
    struct release_blob blob, data /* full */, from /* patch: the old tree */;
    uint64_t memory_bytes, write_bytes;
};
struct release_platform {
    char os[16], architecture[16], variant[8];
    struct digest manifest;
    uint64_t manifest_bytes, packed_bytes, unpacked_bytes, inodes;
    struct release_blob tree;
    uint64_t object_bytes; /* of the tree */
    unsigned n_packs;
    struct release_pack packs[RELEASE_PACKS];
};
struct release {
    char name[LIM_NAME_BYTES], version[LIM_NAME_BYTES];
    uint64_t counter, issued_s;
    unsigned n_platforms;
    struct release_platform platforms[RELEASE_PLATFORMS];
    struct release_blob bundle; /* of the device's own system: there are no platforms then */
};
/* Errors: INVALID (field path). *ret is untouched on failure. struct release is large: on the heap, please. */
int release_parse(struct buf json, struct release *ret, struct err *err);
/* The document as JSON text, malloc'd, owner: caller; release_parse reads it back. */
char *release_build(const struct release *r);
/* The entry for this machine (os linux): exact variant first, then lower ARM variants that it can run (v8,
 * v7, v6, v5), then none. NULL: none fits. arch, variant: OCI words ("arm", "v7"), see platform_words. */
const struct release_platform *release_choose(const struct release *r, const char *arch, const char *variant);
#endif
