/* pack_full.h - making a full pack (ota/pack/pack.h) of a tree and its objects: a head and a file of chunks,
 * so that a device with any older image fetches only what it lacks. The same input gives the same bytes. */
#ifndef FLEET_PACK_FULL_H
#define FLEET_PACK_FULL_H
#include "fleet/pack/flat.h"
#include "ota/pack/codec.h"
#include "ota/pack/pack.h"

/* Told while it works; NULL: nobody wants to know. */
struct pack_progress {
    void (*fn)(void *arg, uint64_t done, uint64_t total);
    void *arg;
};
/* data_fd: an empty file, written from its start; borrowed. *ret_head: owner: caller. each (may be NULL):
 * called with the packed bytes of each object, in order. Errors: IO, NOSPACE, UNSUPPORTED (codec). */
struct pack_full {
    int objects_fd, data_fd;
    struct buf tree;
    enum pack_codec codec; /* PACK_LZ4 or PACK_LZMA (with its filters where they help) */
    struct pack_progress progress;
    void (*each)(void *arg, const struct flat_object *o, uint64_t packed_bytes, unsigned chunks);
    void *each_arg;
};
/* *ret: the head, *ret_head: the same packed. Kinds as above. Errors: as above. */
NODISCARD int pack_full_make(const struct pack_full *p, struct pack_head *ret, struct buf *ret_head,
                             struct err *err);
#endif
