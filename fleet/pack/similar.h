/* similar.h - which old files are the best bases for a new one: the one of the same path, of the same name
 * elsewhere, of the same name but for a version, and those that share most content, also when a file was
 * moved, split or merged. Pure. Compressed files (gzip members) share nothing that this or a patch could
 * see. */
#ifndef FLEET_SIMILAR_H
#define FLEET_SIMILAR_H
#include "ota/pack/predict.h"

#define SIMILAR_MORE_BYTES ((uint64_t)64 << 20) /* bases beyond the first, together */

/* The smallest hashes of all windows of 16 bytes, sorted, each once: some for each KiB. */
struct similar_features {
    size_t n;
    uint32_t *h; /* malloc'd */
};
/* Owner: caller (free ret->h). */
void similar_features(struct buf bytes, struct similar_features *ret);

struct similar_file {
    const char *path;
    struct buf bytes;
    const struct similar_features *features;
};

struct similar; /* opaque: an index of files */
/* files with their paths, bytes and features are borrowed and outlive *ret. Never NULL. Owner: caller. */
struct similar *similar_new(const struct similar_file *files, size_t n);
struct similar *similar_free(struct similar *s);
DEFINE_AUTO(similar)
/* The best bases of *file among the first `usable` files of the index (so that it may also hold new files, of
 * which those made before can be bases): their indices, the best first; returns how many (0: none is any
 * use). No file is given twice; tell each content once. */
unsigned similar_bases(struct similar *s, const struct similar_file *file, size_t usable,
                       size_t ret[PATCH_BASES]);
#endif
