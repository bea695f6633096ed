/* flat.h - an image's layers laid over each other into one tree (ota/pack/pack.h), with the contents of its
 * files in a directory by digest. The same rules as the device's own laying of layers (ota/store/lay.c), so
 * that both ways give the same rootfs. The same layers give the same bytes. */
#ifndef FLEET_FLAT_H
#define FLEET_FLAT_H
#include "ota/doc/entry.h"
#include "platform/crypto.h"

struct flat; /* opaque: one image */
/* objects_fd: a directory for the contents (named by the hex digits of their digests); borrowed. -1: contents
 * do not matter, only whether the layers fit on each other; flat_end is not for that. Never NULL. */
struct flat *flat_new(int objects_fd);
struct flat *flat_free(struct flat *f);
DEFINE_AUTO(flat)
/* The next entry of a layer (checked by entry_check), then the content of a file in pieces; layers come
 * lowest first. Errors of the content: IO, NOSPACE. */
void flat_entry(struct flat *f, const struct entry *e);
/* The next bytes of that content, borrowed for the call. Errors: IO, NOSPACE. */
NODISCARD int flat_bytes(struct flat *f, struct buf bytes, struct err *err);
/* The layer is whole: it is laid, its deletions first, as on a device. Errors: INVALID (a parent is no
 * directory ...). */
NODISCARD int flat_layer(struct flat *f, struct err *err);
/* All layers were given: the tree, owner: caller. Errors: NOTFOUND, IO. */
NODISCARD int flat_end(struct flat *f, struct buf *ret_own, struct err *err);

/* The objects of a tree, in its order. */
struct flat_object {
    const char *path;
    struct digest digest;
    uint64_t size, at; /* at: offset of its entry in the tree */
};
struct flat_objects {
    struct flat_object *list; /* with the paths: owner is this */
    size_t n;
    uint64_t bytes;
    char *paths;
};
/* Of a tree's bytes; end with flat_list_done. Errors: INVALID (damaged). */
NODISCARD int flat_list(struct buf tree, struct flat_objects *ret, struct err *err);
void flat_list_done(struct flat_objects *o);
/* The content of an object, mapped: end with flat_unmap. Errors: NOTFOUND, IO. */
NODISCARD int flat_map(int objects_fd, const struct digest *d, uint64_t size, struct buf *ret,
                       struct err *err);
void flat_unmap(struct buf bytes);
/* Does it begin like a gzip file? Then a patch sees nothing of what it has in common with another. Pure. */
bool flat_is_gzip(struct buf bytes);
#endif
