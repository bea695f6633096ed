/* tree.h - an image as one flat document (format: pack.h), read from memory. Pure; its digest may be
 * trusted, its contents are not. */
#ifndef OTA_TREE_H
#define OTA_TREE_H
#include "ota/doc/entry.h"
#include "platform/crypto.h"

#define TREE_MAGIC "LPLAYER1" /* a tree is also a layer record: layers/<digest of the tree> */

struct tree_at {     /* read position; zero before the first entry */
    size_t at;       /* offset after the last entry */
    size_t entry_at; /* offset of the last entry: its id in a patch table */
    char before[LIM_PATH_BYTES];
};
/* The next entry: a directory, a link or a file; for a file with content also its digest. 1: *e is the next;
 * 0: the end, exactly at the document's last byte. Errors: INVALID (corrupt, not sorted by path, a kind not
 * allowed here). */
NODISCARD int tree_next(struct buf tree, struct tree_at *t, struct entry *e, struct digest *d,
                        struct err *err);
/* The file with content at this offset. Errors: INVALID (none). */
NODISCARD int tree_file_at(struct buf tree, uint64_t offset, struct entry *e, struct digest *d,
                           struct err *err);
static inline bool tree_is_object(const struct entry *e)
{
    return e->kind == ENTRY_FILE && e->size > 0 && !(e->flags & ENTRY_AGAIN);
}
#endif
