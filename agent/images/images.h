/* images.h - how far each wanted image has come, and by which way the rest comes: derived from the store,
 * looked at again when the store or the sets have changed. Only images.c writes struct images. */
#ifndef AGENT_IMAGES_H
#define AGENT_IMAGES_H
#include "agent/decide/keep.h"
#include "agent/decide/plan.h"
#include "agent/decide/route.h"
#include "ota/doc/oci.h"
#include "ota/store/store.h"

struct core;

/* How far one wanted image has come, and what is known of it. */
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
    struct err fault;        /* why it can get no further (kind NONE: nothing is wrong) */
};

/* What was learned of an image's ways since core started; by its manifest's digest. */
struct image_memo {
    struct digest manifest;
    uint64_t used; /* when, for the oldest to go */
    bool no_patch, no_chunks, chunks_known;
    struct store_cost chunks;
    struct route route;                    /* as it stands: what is still to be done */
    struct route planned;                  /* the first that was known, of this kind ... */
    uint64_t fetched_bytes, written_bytes; /* ... and what it took */
};

struct images {
    struct image candidate[LIM_APPS], good[LIM_APPS]; /* by the set's index */
    uint64_t seen_store, seen_sets;                   /* as of which changes */
    bool known;
    struct image_memo memos[LIM_APPS];
    uint64_t uses;
    bool garbage;      /* something can be collected */
    bool kept_refused; /* the last collecting left the images of a set that failed, for the next try */
};

/* Looks at the images of the sets, when they are not known. One that no fetch can cure is a fault of the
 * candidate. */
void images_observe(struct core *c);
/* Of a want of one of the sets; NULL: it is of none. */
const struct image *images_of(const struct core *c, const struct want *w);
/* How far the image of w has come, into *ret; verify: its release by the keys in force. What is wrong is
 * its fault. */
void images_look(struct core *c, const struct want *w, bool verify, struct image *ret);
/* The signed release that w names, from the store; verify: by the release keys in force. Errors: NOTFOUND,
 * DENIED (not signed, another release), INVALID. */
NODISCARD int images_release(const struct core *c, const struct want *w, bool verify, struct release *ret,
                             struct err *err);
/* The image manifest of i, from the store. Errors: NOTFOUND, INVALID, IO. */
NODISCARD int images_manifest(struct core *c, const struct image *i, struct oci_manifest *ret,
                              struct err *err);
/* What is known of this image's ways; made when it is new. Borrowed until the next call. */
struct image_memo *images_memo(struct core *c, const struct digest *manifest);
/* Only looks: NULL when nothing is known. */
const struct image_memo *images_memo_find(const struct core *c, const struct digest *manifest);
/* The pack of the image's route as the store wants it; fetch and programs are the caller's. */
void images_pack(const struct image *i, struct store_pack *ret);
/* A slow step for an image failed: remember it for the plan; what the last collecting spared can go when
 * the disk is full. */
void images_fault(struct core *c, enum owner owner, const char *app, const struct err *err);

/* Something may be of no use any more: it is collected when nothing else is to be done. */
void images_leave_garbage(struct core *c);
/* What the sets need. A refused candidate too, unless the disk is full: its repaired successor
 * needs most of it again. */
void images_keep(struct core *c, struct keep *k);
/* A collecting is over. */
void images_collected(struct core *c);
#endif
