#include "ota/pack/tree.h"

#include <inttypes.h>

#define MAGIC_BYTES (sizeof(TREE_MAGIC) - 1)

static int cut_off(struct err *err)
{
    return err_set(err, ERR_INVALID, "tree: ends early");
}

/* Read one record at *at, without further checks. */
static int read_entry(struct buf tree, size_t *at, struct entry *e, struct digest *d, struct err *err)
{
    size_t path_len = 0, link_len = 0, left = tree.len - *at;
    const uint8_t *p = tree.p + *at;

    if (left < ENTRY_HEAD_BYTES)
        return cut_off(err);
    int rc = entry_decode_head(p, e, &path_len, &link_len, err);
    if (rc < 0)
        return rc;
    if (left - ENTRY_HEAD_BYTES < path_len + link_len)
        return cut_off(err);
    rc = entry_decode_names(p + ENTRY_HEAD_BYTES, path_len, link_len, e, err);
    size_t used = ENTRY_HEAD_BYTES + path_len + link_len;
    bool content = rc == 0 && e->kind == ENTRY_FILE && e->size > 0;
    if (content && left - used < SHA256_BYTES)
        return cut_off(err);
    if (content)
        memcpy(d->b, p + used, SHA256_BYTES);
    *at += used + (content ? SHA256_BYTES : 0);
    return rc;
}

int tree_next(struct buf tree, struct tree_at *t, struct entry *e, struct digest *d, struct err *err)
{
    if (t->at == 0) {
        if (tree.len < MAGIC_BYTES || memcmp(tree.p, TREE_MAGIC, MAGIC_BYTES) != 0)
            return err_set(err, ERR_INVALID, "tree: not one that this version knows");
        t->at = MAGIC_BYTES;
    }
    t->entry_at = t->at;
    int rc = read_entry(tree, &t->at, e, d, err);
    if (rc < 0)
        return rc;
    if (e->kind == ENTRY_END)
        return t->at == tree.len ? 0 : err_set(err, ERR_INVALID, "tree: continues after its end");
    if (e->kind != ENTRY_FILE && e->kind != ENTRY_DIR && e->kind != ENTRY_SYMLINK)
        return err_set(err, ERR_INVALID, "tree: an entry of kind %u", (unsigned)e->kind);
    if (e->flags & ~(unsigned)(ENTRY_HAD_XATTR | ENTRY_AGAIN))
        return err_set(err, ERR_INVALID, "tree: an entry with unknown flags %#x", e->flags);
    rc = entry_check(e, err);
    if (rc < 0)
        return rc;
    bool first = t->entry_at == MAGIC_BYTES;
    if (!first && strcmp(e->path, t->before) <= 0)
        return err_set(err, ERR_INVALID, "tree: not sorted by path");
    (void)str_copy(t->before, sizeof(t->before), e->path);
    return 1;
}

int tree_file_at(struct buf tree, uint64_t offset, struct entry *e, struct digest *d, struct err *err)
{
    size_t at = (size_t)offset;

    if (offset < MAGIC_BYTES || offset >= tree.len)
        return err_set(err, ERR_INVALID, "tree: no entry at %" PRIu64, offset);
    int rc = read_entry(tree, &at, e, d, err);
    if (rc == 0)
        rc = entry_check(e, err);
    if (rc == 0 && (e->kind != ENTRY_FILE || e->size == 0))
        rc = err_set(err, ERR_INVALID, "tree: no file at %" PRIu64, offset);
    return rc;
}
