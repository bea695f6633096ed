/* pack_patch.h - making a patch pack (ota/pack/patch.h, ota/pack/pack.h) from an old tree to a new one: which
 * old files a new one is best made of, and the stream that says how. The same input gives the same bytes. */
#ifndef FLEET_PACK_PATCH_H
#define FLEET_PACK_PATCH_H
#include "fleet/pack/flat.h"
#include "fleet/pack/pack_full.h"

/* What it costs to carry one object, for --explain. */
struct pack_patch_line {
    const char *path, *how, *base;
    uint64_t bytes, packed_bytes;
};
struct pack_patch {
    int objects_fd, out_fd; /* both borrowed; out_fd: an empty file */
    struct buf old_tree, new_tree;
    enum pack_codec codec;
    const uint64_t *packed; /* of each object of the new tree, what it costs in the full pack */
    struct pack_progress progress;
    void (*explain)(void *arg, const struct pack_patch_line *l);
    void *explain_arg;
};
struct pack_patch_sum {
    uint64_t bytes;          /* of the patch */
    unsigned objects;        /* that it makes */
    uint64_t object_bytes;   /* of these */
    uint64_t changed_packed; /* what they cost in the full pack */
    uint64_t memory_bytes;   /* that applying needs */
    unsigned gzips;          /* of the objects: gzip files ... */
    uint64_t gzip_bytes;     /* ... and their bytes, which no patch makes smaller */
};
/* Write the patch to out_fd. Errors: UNSUPPORTED (codec), INVALID (a tree), NOTFOUND (an object), NOSPACE,
 * NOMEM, IO. */
NODISCARD int pack_patch_make(const struct pack_patch *p, struct pack_patch_sum *ret, struct err *err);
#endif
