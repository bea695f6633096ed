/* pull.c - the store's interface for packs (store.h); the caller chooses the route. */
#include <fcntl.h>
#include <inttypes.h>

#include "ota/pull/pull.h"

int store_has_tree(struct store *s, const struct digest *tree)
{
    char hex[SHA256_HEX];

    return faccessat(s->layers_fd, digest_hex(tree, hex), F_OK, 0) == 0;
}

int store_tree_is_whole(struct store *s, const struct digest *tree)
{
    return store_has_tree(s, tree) && record_is_whole(s, tree, NULL);
}

static int read_head(struct store *s, const struct store_pack *pack, struct pack_head *ret, struct err *err)
{
    uint8_t AUTO_MEM *head = NULL;
    size_t len = 0;
    int rc = store_read_blob(s, &pack->pack, LIM_PACK_HEAD_BYTES, &head, &len, err);

    return rc < 0 ? rc : pull_head(pack, buf_of(head, len), ret, err);
}

int store_has_documents(struct store *s, const struct store_pack *pack)
{
    struct pack_head h;

    return read_head(s, pack, &h, NULL) == 0 && store_has_blob(s, &h.tree.digest) &&
           store_has_blob(s, &h.table.digest);
}

int store_pull_documents(struct store *s, const struct store_pack *pack, uint64_t *ret_fetched,
                         struct err *err)
{
    int rc = pull_documents(s, pack, ret_fetched, err);

    return rc < 0 ? err_wrap(err, "full pack's documents") : 0;
}

/* Map a stored document, and verify its bytes against its name again. */
static int map_held(int dir_fd, const struct digest *d, struct buf *ret, struct err *err)
{
    struct digest got;
    char hex[SHA256_HEX];
    int rc = stage_map(dir_fd, digest_hex(d, hex), LIM_TREE_BYTES, ret, err);

    if (rc == 0)
        rc = sha256(*ret, &got, err);
    if (rc == 0 && !digest_eq(&got, d)) {
        (void)unlinkat(dir_fd, hex, 0);
        rc = err_set(err, ERR_INTEGRITY, "document %.12s is damaged on disk", hex);
    }
    return rc;
}

int pull_open(struct pull *p, struct store *s, const struct store_pack *pack, struct stage *stage,
              int line_fd, struct err *err)
{
    struct pack_head h;

    *p = (struct pull){.s = s, .pack = pack, .stage = stage, .old_root_fd = -1, .line_fd = line_fd};
    /* an old image that is not present has nothing to offer */
    err_ignore(store_open_rootfs(s, &pack->old_image, &p->old_root_fd, NULL));
    if (pack->held)
        return map_held(s->layers_fd, &pack->tree, &p->tree, err);
    if (pack->patch)
        return 0;
    int rc = read_head(s, pack, &h, err);
    if (rc == 0)
        rc = map_held(s->blobs_fd, &h.tree.digest, &p->tree, err);
    if (rc == 0)
        p->table_is = h.table.digest;
    return rc < 0 ? rc : map_held(s->blobs_fd, &p->table_is, &p->table, err);
}

int pull_judge_tree(const struct pull *p, struct err *err)
{
    struct tree_at AUTO_MEM *t = mem_need_zero(sizeof(*t));
    struct entry AUTO_MEM *e = mem_need(sizeof(*e));
    uint64_t bytes_left = p->max_bytes, inodes_left = p->max_inodes;
    struct digest d;
    int rc;

    while ((rc = tree_next(p->tree, t, e, &d, err)) > 0) {
        uint64_t size = tree_is_object(e) ? e->size : 0;
        if (size > bytes_left || inodes_left == 0)
            return err_set(err, ERR_INVALID,
                           "the tree is more than the %" PRIu64 " bytes and %" PRIu64
                           " entries that were signed",
                           p->max_bytes, p->max_inodes);
        bytes_left -= size;
        inodes_left--;
    }
    return rc;
}

void pull_close(struct pull *p)
{
    stage_unmap(&p->tree);
    stage_unmap(&p->table);
    mem_auto_close_(&p->old_root_fd);
    p->old_root_fd = -1;
}

int store_pack_cost(struct store *s, const struct digest *image, const struct store_pack *pack,
                    struct store_cost *ret, struct err *err)
{
    struct stage g = {.dir_fd = -1, .fd = -1};
    struct pull p;
    char hex[SHA256_HEX];
    int rc = stage_open(s, image, &g, err);

    if (rc == 0) {
        rc = pull_open(&p, s, pack, &g, -1, err);
        if (rc == 0)
            rc = pull_cost(&p, ret, err);
        pull_close(&p);
    }
    stage_close(&g);
    (void)unlinkat(s->staged_fd, digest_hex(image, hex), AT_REMOVEDIR); /* it stays if it is not empty */
    return rc;
}
