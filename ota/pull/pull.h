/* pull.h - bringing an image's objects into the store by packs instead of layers. Private to ota/.
 *
 * Objects under way stand in staged/<image>/, below the same names that they will have. A cut leaves them
 * there; the next try hashes each again before it believes in it, so neither a killed process nor lost power
 * costs more than the chunk under way (power: than what the kernel had not written yet). A large object that
 * is not whole is
 * "part~<name>"; its chunks are compared with the pack's table one by one. */
#ifndef OTA_PULL_H
#define OTA_PULL_H
#include "ota/fetch/fetch.h"
#include "ota/pack/cdc.h"
#include "ota/pack/tree.h"
#include "ota/pull/unpack.h"
#include "ota/store/store_int.h"

/* ---- stage.c ---- */
struct stage {
    struct store *s;
    int dir_fd;
    uint64_t written;   /* bytes of new objects, by this process */
    uint64_t max_bytes; /* more is refused: what the release signed; 0: nothing is going to be written */
    uint8_t *maybe;     /* stage_learn */
    bool has_parts;     /* of an earlier try */
    /* the object under way */
    int fd;
    struct entry entry;
    struct digest digest;
    struct sha256 *hash;
    uint64_t left;
};
/* stage_open: open (make) the directory of an image and throw out what is not what its name says. Errors:
 * NOSPACE, IO. */
NODISCARD int stage_open(struct store *s, const struct digest *image, struct stage *ret, struct err *err);
void stage_close(struct stage *g);
/* Look at all that is here once, when thousands of objects will be asked for that mostly are not. */
void stage_learn(struct stage *g);
/* Is an object with this content and metadata in the store or staged? at: where. */
bool stage_find(const struct stage *g, const struct entry *e, const struct digest *d, struct object_at *at);
/* Does the store hold this content, maybe under another mode or owner? */
bool stage_has_content(const struct stage *g, const struct digest *d);
/* A new file in the directory, in the place of one of that name. Owner of *ret_fd: caller. Errors: NOSPACE,
 * IO. */
NODISCARD int stage_create(const struct stage *g, const char *name, mode_t mode, int *ret_fd,
                           struct err *err);
/* Begin an object; kept: bytes of its part file that are right (from stage_part_fd), the rest is removed.
 * Errors: INVALID (more than max_bytes with it), NOSPACE, IO. */
NODISCARD int stage_begin(struct stage *g, const struct entry *e, const struct digest *d, uint64_t kept,
                          struct err *err);
/* The next bytes of the object. Errors: INVALID (more than its size), NOSPACE, IO. */
NODISCARD int stage_add(struct stage *g, struct buf bytes, struct err *err);
/* All bytes were added: the object has its name, or was removed. Errors: INTEGRITY (other bytes), IO. */
NODISCARD int stage_end(struct stage *g, struct err *err);
/* The part file of an object that an earlier try left, to be looked at; -1: none. Owner: caller. */
int stage_part_fd(const struct stage *g, const struct entry *e, const struct digest *d);
/* The same content as another object, but another mode or owner: copied here. Errors: NOTFOUND (there is
 * none). */
NODISCARD int stage_variant(struct stage *g, const struct entry *e, const struct digest *d, struct err *err);

/* A file of the store, mapped; {NULL,0} for an empty one. Owner: caller (stage_unmap). Errors: INVALID
 * (larger than max), IO. */
NODISCARD int stage_map_fd(int fd, uint64_t max, struct buf *ret, struct err *err);
/* The same by name. Errors: NOTFOUND, INVALID (larger than max), IO. */
NODISCARD int stage_map(int dir_fd, const char *name, uint64_t max, struct buf *ret, struct err *err);
void stage_unmap(struct buf *b);

/* ---- pull_old.c: chunks that stand in an old file ---- */
struct old_chunk {
    uint8_t raw[PACK_RAW_BYTES];
    uint64_t at;
};
struct old_map {
    struct buf bytes; /* borrowed */
    struct old_chunk *list;
    size_t n;
};
/* bytes (borrowed) cut by content as *cut says; pull_old_map_done frees. */
void pull_old_map_make(struct buf bytes, const struct cdc *cut, struct old_map *ret);
void pull_old_map_done(struct old_map *m);
/* Where this chunk stands, as far as the hash says; false: nowhere. */
bool pull_old_map_find(const struct old_map *m, const struct pack_chunk *c, uint64_t *ret_at);

/* ---- pull_feed.c: chunks of the data, fetched and unpacked ---- */
struct feed {
    const struct store_pack *pack;
    struct fetch_stream stream;
    struct unpack_run unpack;
    bool unpacking;
    uint64_t fetched; /* bytes that came over the wire for what was asked and ended */
    uint64_t taken;   /* of what is under way: those that were wanted */
    /* what is asked for: lines of fetch.h's list, in a sealed memfd */
    int list_fd;
    uint32_t n, next;
    struct buf list; /* mapped */
    size_t lines_len;
    uint8_t lines[64 * FETCH_CHUNK_RECORD]; /* those that are not in list_fd yet */
    /* what was unpacked */
    uint8_t *raw; /* PACK_RAW_MAX */
    size_t raw_at, raw_len;
};
/* Nothing is asked; pack is borrowed and outlives *f. End with feed_done. */
void pull_feed_init(struct feed *f, const struct store_pack *pack);
/* List chunks, in rising order; ask for all of the list (which may be empty); then pull_feed_next gives each
 * in this order, borrowed until the next call. Errors of feed_next: INVALID (another one than was listed). */
NODISCARD int pull_feed_want(struct feed *f, uint64_t at, const struct pack_chunk *c, struct err *err);
NODISCARD int pull_feed_ask(struct feed *f, struct err *err);
NODISCARD int pull_feed_next(struct feed *f, uint64_t at, const struct pack_chunk *c, struct buf *ret,
                             struct err *err);
/* All were taken: hear the verdict. The list is empty again. Errors: those of the fetch and unpack
 * programs. */
NODISCARD int pull_feed_end(struct feed *f, struct err *err);
void pull_feed_done(struct feed *f);

/* ---- pull_chunks.c, pull_patch.c ---- */
struct pull {
    struct store *s;
    const struct store_pack *pack;
    struct stage *stage;
    struct buf tree, table;         /* of the new image */
    struct digest table_is;         /* full: its digest */
    uint64_t max_bytes, max_inodes; /* as the release signed them */
    int old_root_fd;                /* rootfs of the old image; -1: none */
    int line_fd;
    uint64_t told_ms;
};
/* full: maps tree and table (held), compared with their digests. End with pull_close, also after a failure.
 * Errors: NOTFOUND, INVALID, INTEGRITY, IO. */
NODISCARD int pull_open(struct pull *p, struct store *s, const struct store_pack *pack, struct stage *stage,
                        int line_fd, struct err *err);
void pull_close(struct pull *p);
/* Look at the whole tree before anything is made of it: each entry is one that may be laid, and all of them
 * stay below what was signed. Errors: INVALID. */
NODISCARD int pull_judge_tree(const struct pull *p, struct err *err);
/* All objects of the tree that the store lacks, from the chunks of a full pack. *ret_fetched: over the wire.
 * Errors: those of feed_... and stage_.... */
NODISCARD int pull_chunks(struct pull *p, uint64_t *ret_fetched, struct err *err);
/* What that would cost. Errors: INVALID, IO. */
NODISCARD int pull_cost(struct pull *p, struct store_cost *ret, struct err *err);
#define PULL_TREE_FILE "part~tree" /* in staged/, no object: left by stage_open, thrown out by name_object */
/* The tree (into PULL_TREE_FILE) and its new objects from a patch pack that is held. Maps p->tree. Errors:
 * INVALID, INTEGRITY, NOTFOUND (an old object), NOSPACE, IO. */
NODISCARD int pull_patch(struct pull *p, struct err *err);
/* Bring tree and table of a full pack into blobs/, copying the chunks that the old image's have. Errors: as
 * store_pull_documents. */
NODISCARD int pull_documents(struct store *s, const struct store_pack *pack, uint64_t *ret_fetched,
                             struct err *err);
/* The head of a full pack, and is it of the tree and data that the release names? Errors: INVALID,
 * INTEGRITY. */
NODISCARD int pull_head(const struct store_pack *pack, struct buf head, struct pack_head *ret,
                        struct err *err);
/* The old image's tree ("layers/<digest>"), when it has one. */
bool pull_old_tree(struct store *s, const struct digest *image, struct digest *ret);
/* "progress DONE TOTAL FETCHED", when there was none lately. */
void pull_tell(struct pull *p, uint64_t done, uint64_t total, uint64_t fetched);
#endif
