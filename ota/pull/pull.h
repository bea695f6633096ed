/* pull.h - brings an image's objects into the store by packs instead of layers. Private to ota/.
 *
 * Unfinished objects are in staged/<image>/, under their future names. A cut leaves them there; the next try
 * hashes each again before using it, so a killed process or a power cut costs no more than the current chunk
 * (power: than what the kernel had not written yet). An incomplete large object is "part~<name>"; its chunks
 * are checked one by one against the pack's table. */
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
    uint64_t written;   /* size of new objects made by this process */
    uint64_t max_bytes; /* limit, as signed in the release; 0: nothing will be written */
    uint8_t *maybe;     /* stage_learn */
    bool has_parts;     /* from an earlier try */
    /* the current object */
    int fd;
    struct entry entry;
    struct digest digest;
    struct sha256 *hash;
    uint64_t left;
};
/* stage_open: open or create the directory of an image and remove files that do not match their names.
 * Errors: NOSPACE, IO. */
NODISCARD int stage_open(struct store *s, const struct digest *image, struct stage *ret, struct err *err);
void stage_close(struct stage *g);
/* Scan everything present once, when thousands of objects will be looked up of which most are missing. */
void stage_learn(struct stage *g);
/* Is an object with this content and metadata in the store or staged? at: where. */
bool stage_find(const struct stage *g, const struct entry *e, const struct digest *d, struct object_at *at);
/* Does the store have this content, perhaps under another mode or owner? */
bool stage_has_content(const struct stage *g, const struct digest *d);
/* Create a file in the directory, replacing one of that name. Owner of *ret_fd: caller. Errors: NOSPACE,
 * IO. */
NODISCARD int stage_create(const struct stage *g, const char *name, mode_t mode, int *ret_fd,
                           struct err *err);
/* Begin an object; kept: number of correct bytes in its part file (from stage_part_fd), the rest is removed.
 * Errors: INVALID (exceeds max_bytes), NOSPACE, IO. */
NODISCARD int stage_begin(struct stage *g, const struct entry *e, const struct digest *d, uint64_t kept,
                          struct err *err);
/* The next bytes of the object. Errors: INVALID (more than its size), NOSPACE, IO. */
NODISCARD int stage_add(struct stage *g, struct buf bytes, struct err *err);
/* After all bytes were added: the object gets its name, or is removed. Errors: INTEGRITY (other bytes),
 * IO. */
NODISCARD int stage_end(struct stage *g, struct err *err);
/* An object's part file from an earlier try, for inspection; -1: none. Owner: caller. */
int stage_part_fd(const struct stage *g, const struct entry *e, const struct digest *d);
/* Same content as another object, but other mode or owner: make a copy. Errors: NOTFOUND (there is none). */
NODISCARD int stage_variant(struct stage *g, const struct entry *e, const struct digest *d, struct err *err);

/* A file of the store, mapped; {NULL,0} for an empty one. Owner: caller (stage_unmap). Errors: INVALID
 * (larger than max), IO. */
NODISCARD int stage_map_fd(int fd, uint64_t max, struct buf *ret, struct err *err);
/* The same by name. Errors: NOTFOUND, INVALID (larger than max), IO. */
NODISCARD int stage_map(int dir_fd, const char *name, uint64_t max, struct buf *ret, struct err *err);
void stage_unmap(struct buf *b);

/* ---- pull_old.c: chunks found in an old file ---- */
struct old_chunk {
    uint8_t raw[PACK_RAW_BYTES];
    uint64_t at;
};
struct old_map {
    struct buf bytes; /* borrowed */
    struct old_chunk *list;
    size_t n;
};
/* bytes (borrowed) cut by content according to *cut; freed by pull_old_map_done. */
void pull_old_map_make(struct buf bytes, const struct cdc *cut, struct old_map *ret);
void pull_old_map_done(struct old_map *m);
/* Where this chunk is, going by its hash; false: nowhere. */
bool pull_old_map_find(const struct old_map *m, const struct pack_chunk *c, uint64_t *ret_at);

/* ---- pull_feed.c: chunks of the data, fetched and unpacked ---- */
struct feed {
    const struct store_pack *pack;
    struct fetch_stream stream;
    struct unpack_run unpack;
    bool unpacking;
    uint64_t fetched; /* bytes downloaded for finished requests */
    uint64_t taken;   /* of the current request: chunk bytes taken */
    /* the current request: lines of fetch.h's list, in a sealed memfd */
    int list_fd;
    uint32_t n, next;
    struct buf list; /* mapped */
    size_t lines_len;
    uint8_t lines[64 * FETCH_CHUNK_RECORD]; /* lines not yet in list_fd */
    /* unpacked bytes */
    uint8_t *raw; /* PACK_RAW_MAX */
    size_t raw_at, raw_len;
};
/* Nothing is requested yet; pack is borrowed and outlives *f. End with feed_done. */
void pull_feed_init(struct feed *f, const struct store_pack *pack);
/* List chunks, in ascending order; request the whole list (which may be empty); then pull_feed_next returns
 * each in this order, borrowed until the next call. Errors of feed_next: INVALID (another one than was
 * listed). */
NODISCARD int pull_feed_want(struct feed *f, uint64_t at, const struct pack_chunk *c, struct err *err);
NODISCARD int pull_feed_ask(struct feed *f, struct err *err);
NODISCARD int pull_feed_next(struct feed *f, uint64_t at, const struct pack_chunk *c, struct buf *ret,
                             struct err *err);
/* All were taken: read the verdict. The list is empty again. Errors: those of the fetch and unpack
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
    uint64_t max_bytes, max_inodes; /* as signed in the release */
    int old_root_fd;                /* rootfs of the old image; -1: none */
    int line_fd;
    uint64_t told_ms;
};
/* full: maps the stored tree and table, verified against their digests. End with pull_close, also after a
 * failure. Errors: NOTFOUND, INVALID, INTEGRITY, IO. */
NODISCARD int pull_open(struct pull *p, struct store *s, const struct store_pack *pack, struct stage *stage,
                        int line_fd, struct err *err);
void pull_close(struct pull *p);
/* Check the whole tree before anything is made from it: each entry is allowed, and their totals are within
 * what was signed. Errors: INVALID. */
NODISCARD int pull_judge_tree(const struct pull *p, struct err *err);
/* All objects of the tree that the store lacks, from the chunks of a full pack. *ret_fetched: bytes
 * downloaded. Errors: those of feed_... and stage_.... */
NODISCARD int pull_chunks(struct pull *p, uint64_t *ret_fetched, struct err *err);
/* The cost of that. Errors: INVALID, IO. */
NODISCARD int pull_cost(struct pull *p, struct store_cost *ret, struct err *err);
#define PULL_TREE_FILE \
    "part~tree" /* in staged/, not an object: left alone by stage_open, removed by
                                    * name_object */
/* Write the tree (to PULL_TREE_FILE) and its new objects from a stored patch pack. Maps p->tree. Errors:
 * INVALID, INTEGRITY, NOTFOUND (an old object), NOSPACE, IO. */
NODISCARD int pull_patch(struct pull *p, struct err *err);
/* Bring tree and table of a full pack into blobs/, copying the chunks that the old image's have. Errors: as
 * store_pull_documents. */
NODISCARD int pull_documents(struct store *s, const struct store_pack *pack, uint64_t *ret_fetched,
                             struct err *err);
/* Parse the head of a full pack, and check that it is for the release's tree and data. Errors: INVALID,
 * INTEGRITY. */
NODISCARD int pull_head(const struct store_pack *pack, struct buf head, struct pack_head *ret,
                        struct err *err);
/* The old image's tree ("layers/<digest>"), if it has one. */
bool pull_old_tree(struct store *s, const struct digest *image, struct digest *ret);
/* Print "progress DONE TOTAL FETCHED", unless one was printed recently. */
void pull_tell(struct pull *p, uint64_t done, uint64_t total, uint64_t fetched);
#endif
