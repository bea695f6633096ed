/* images.h - how much of each wanted image is present, and by which route the rest comes in: derived from the
 * store, examined again when the store or the sets have changed. Only images.c writes struct images. */
#ifndef AGENT_IMAGES_H
#define AGENT_IMAGES_H
#include "agent/decide/keep.h"
#include "agent/decide/plan.h"
#include "agent/decide/route.h"
#include "ota/doc/oci.h"
#include "ota/store/store.h"

struct core;

/* State of one wanted image, and what is known of it. */
struct image {
    enum image_state state;
    struct digest manifest; /* from NO_MANIFEST on */
    uint64_t manifest_bytes;
    char version[LIM_NAME_BYTES];
    uint64_t unpacked_bytes, inodes, packed_bytes;
    struct route route;       /* from NO_LAYERS on */
    struct release_pack pack; /* of the route */
    struct release_blob tree;
    struct digest old_image; /* of the same app, for chunks; zeros: none */
    struct err fault;        /* why it cannot continue (kind NONE: nothing is wrong) */
};

/* What was learned about an image's routes since core started; by its manifest's digest. */
struct image_memo {
    struct digest manifest;
    uint64_t used; /* last use, to replace the oldest */
    bool no_patch, no_chunks, chunks_known;
    struct store_cost chunks;
    struct route route;                    /* currently: what is still to do */
    struct route planned;                  /* the first one known, of this kind ... */
    uint64_t fetched_bytes, written_bytes; /* ... and its actual cost */
};

struct images {
    struct image candidate[LIM_APPS], good[LIM_APPS]; /* by index in the set */
    uint64_t seen_store, seen_sets;                   /* at these change numbers */
    bool known;
    struct image_memo memos[LIM_APPS];
    uint64_t uses;
    bool garbage;      /* something can be collected */
    bool kept_refused; /* the last collect left the images of a failed set, for its successor */
};

/* Examine the images of the sets, if not known. One that no fetch can fix is a fault of the candidate. */
void images_observe(struct core *c);
/* Of a want in one of the sets; NULL: it is in neither. */
const struct image *images_of(const struct core *c, const struct want *w);
/* Examine the image of w, into *ret; verify: also its release, with the keys in force. What is wrong goes to
 * its fault. */
void images_look(struct core *c, const struct want *w, bool verify, struct image *ret);
/* The signed release that w names, from the store; verify: by the release keys in force. Errors: NOTFOUND,
 * DENIED (not signed, another release), INVALID. */
NODISCARD int images_release(const struct core *c, const struct want *w, bool verify, struct release *ret,
                             struct err *err);
/* The image manifest of i, from the store. Errors: NOTFOUND, INVALID, IO. */
NODISCARD int images_manifest(struct core *c, const struct image *i, struct oci_manifest *ret,
                              struct err *err);
/* The record of this image's routes; created if new. Borrowed until the next call. */
struct image_memo *images_memo(struct core *c, const struct digest *manifest);
/* Lookup only: NULL if nothing is known. */
const struct image_memo *images_memo_find(const struct core *c, const struct digest *manifest);
/* The pack of the image's route as a store_pack; fetch and programs are the caller's. */
void images_pack(const struct image *i, struct store_pack *ret);
/* A slow step for an image failed: remember it for the plan; if the disk is full, what the last collect
 * spared can be removed. */
void images_fault(struct core *c, enum owner owner, const char *app, const struct err *err);

/* Something may no longer be needed: it is collected when there is nothing else to do. */
void images_leave_garbage(struct core *c);
/* Add what the sets need, including a refused candidate, unless the disk is full: its repaired successor
 * needs most of it again. */
void images_keep(struct core *c, struct keep *k);
/* A collect has ended. */
void images_collected(struct core *c);
#endif
