/* similar.h - which old files are the best bases for a new one: the one of the same path, of the same name elsewhere, of
 * the same name but for a version, and those that share most content, also when a file was moved, split or merged. Pure.
 * Compressed files (gzip members) share nothing that this or a patch could see. */
#ifndef FLEET_SIMILAR_H
#define FLEET_SIMILAR_H
#include "ota/predict.h"

#define SIMILAR_FEATURES   256
#define SIMILAR_MORE_BYTES ((uint64_t)64 << 20) /* bases beyond the first, together */

struct similar_features { /* the smallest hashes of all windows of 16 bytes, sorted, each once */
    unsigned n;
    uint32_t h[SIMILAR_FEATURES];
};
void similar_features(struct buf bytes, struct similar_features *ret);

struct similar_file {
    const char *path;
    uint64_t size;
    const struct similar_features *features;
};

struct similar; /* opaque: an index of old files */
/* files, their paths and features are borrowed and outlive *ret. Never NULL. Owner: caller. */
struct similar *similar_new(const struct similar_file *files, size_t n);
struct similar *similar_free(struct similar *s);
DEFINE_AUTO(similar)
/* Indices of old files, the best first; returns how many (0: none is any use). The same file is not given twice; two
 * old files of the same content may be, so tell each content once. */
unsigned similar_bases(struct similar *s, const struct similar_file *file, size_t ret[PATCH_BASES]);
#endif
