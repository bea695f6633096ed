/* patch_make.h - making a patch pack (ota/pack/patch.h): the same input gives the same bytes. */
#ifndef FLEET_PATCH_MAKE_H
#define FLEET_PATCH_MAKE_H
#include "ota/pack/patch.h"

struct patch_make; /* opaque */
struct patch_cost {
    uint64_t raw_bytes;    /* of the stream */
    uint64_t packed_bytes; /* this object alone: about what it adds to the pack */
    uint32_t covers, anchors;
    bool predicted;
};
/* out_fd: an empty file, borrowed; written at the end. codec: PACK_RAW, PACK_LZ4 or PACK_LZMA. Owner: caller.
 * Errors: UNSUPPORTED. */
NODISCARD int patch_make_new(enum pack_codec codec, int out_fd, struct patch_make **ret, struct err *err);
struct patch_make *patch_make_free(struct patch_make *m);
DEFINE_AUTO(patch_make)
/* Without: for comparison only. On by default. */
void patch_make_predict(struct patch_make *m, bool predict);
/* The next object. At most PATCH_BASES bases. What is too large to match (COVER_OLD_MAX) becomes new bytes.
 * ret may be NULL. Errors: INVALID (above PATCH_SIZE_MAX), NOMEM. */
NODISCARD int patch_make_object(struct patch_make *m, const struct buf *bases, unsigned n_bases,
                                struct buf new_bytes, struct patch_cost *ret, struct err *err);
/* Write the pack. *ret_bytes: its size. Errors: IO, NOSPACE. */
NODISCARD int patch_make_end(struct patch_make *m, uint64_t *ret_bytes, struct err *err);
#endif
