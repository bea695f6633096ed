/* route.h - the cheapest way to an image: the layers of the registry, a patch pack against an image that is
 * present, or the chunks of a full pack that no old file contains. Pure: the cost of each is known before the
 * first byte. */
#ifndef AGENT_ROUTE_H
#define AGENT_ROUTE_H
#include "ota/doc/release.h"
#include "ota/store/store.h"

enum route_kind { ROUTE_LAYERS, ROUTE_PATCH, ROUTE_CHUNKS, ROUTE_HELD, ROUTE_KIND_COUNT_ };

struct route_facts {
    const struct release_platform *platform;
    uint64_t layer_bytes;              /* still to be fetched */
    bool tree_whole;                   /* its tree is present with every object: nothing to fetch */
    bool has_tree[RELEASE_PACKS];      /* the old tree that packs[i] starts from is present */
    bool has_codec[RELEASE_PACKS];     /* packs[i] can be decoded */
    uint64_t pack_have[RELEASE_PACKS]; /* bytes of packs[i] already present */
    bool no_patch, no_chunks;          /* tried and failed: take another route */
    bool chunks_known;                 /* chunks says what the full pack would cost */
    struct store_cost chunks;
    uint64_t memory_bytes; /* limit for decoding */
    bool full_fallback;    /* where a patch was promised, a full download is allowed too */
};
struct route {
    enum route_kind kind;
    unsigned pack; /* index into packs; PATCH, CHUNKS */
    bool known;    /* the figures are final; CHUNKS without it: read the pack's head first */
    uint64_t down_bytes, write_bytes, memory_bytes;
};
/* Errors: DENIED (only a full download would do, and the manifest does not allow one). */
NODISCARD int route_choose(const struct route_facts *f, struct route *ret, struct err *err);
/* "layers", "patch", "chunks", "held". */
const char *route_name(enum route_kind kind);
#endif
