/* release.h - the release document: what an image is, signed by its publisher. A closed schema: each
 * refusal names the field's path. Pure.
 *
 *   {"schema":"limpet.release/1","name":"web","counter":2,"version":"1.4.2","issued":S,
 *    "platforms":[{"os":"linux","architecture":"amd64","variant":"",
 *                  "manifest":{"digest":"sha256:..","size":N},
 *                  "packed_bytes":N,"unpacked_bytes":N,"inodes":N,
 *                  "tree":{"digest":"sha256:..","size":N,"bytes":N},
 *                  "packs":[{"kind":"full","codec":"lz4","digest":..,"size":N,"memory":N,
 *                            "data":{"digest":..,"size":N}},
 *                           {"kind":"patch","codec":"lzma","digest":..,"size":N,"memory":N,
 *                            "from":{"tree":"sha256:..","size":N},"writes":N}]}]}
 *
 * packed_bytes: config and layers as transferred. unpacked_bytes: file contents; inodes: entries. tree
 * (pack.h): of the image; bytes: of its objects. packs: other routes to the same tree; an unknown kind or
 * codec is ignored. digest and size: of a patch pack, or of the head of a full pack, whose data is read by
 * ranges. memory: the most that unpacking needs. from: the tree that a patch starts from. writes: bytes of
 * the objects that the patch makes. tree and packs may be missing. Instead of platforms
 * "bundle":{"digest":"sha256:..","size":N}: a release of the device's own system, a file for its updater. */
#ifndef OTA_RELEASE_H
#define OTA_RELEASE_H
#include "ota/doc/envelope.h"
#include "ota/doc/machine.h"
#include "platform/json.h"

#define RELEASE_PLATFORMS 8
#define RELEASE_PACKS     12
enum release_pack_kind {
    RELEASE_PACK_FULL,
    RELEASE_PACK_PATCH
}; /* others, from later versions, are dropped */
struct release_blob {
    struct digest digest;
    uint64_t bytes; /* 0: none */
};
struct release_pack {
    enum release_pack_kind kind;
    int codec; /* enum pack_codec; -1: unknown to this version */
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
    struct release_blob bundle; /* of the device's own system: then there are no platforms */
};
/* Errors: INVALID (field path). *ret is untouched on failure. struct release is large: allocate it on the
 * heap. */
NODISCARD int release_parse(struct buf json, struct release *ret, struct err *err);
/* The document as JSON text, malloc'd, owner: caller; release_parse reads it back. */
char *release_build(const struct release *r);
/* The entry for this machine (os linux): exact variant first, then lower ARM variants that it can run (v8,
 * v7, v6, v5), then none. NULL: none fits. arch, variant: OCI names ("arm", "v7"), see machine_words. */
const struct release_platform *release_choose(const struct release *r, const char *arch, const char *variant);
#endif
