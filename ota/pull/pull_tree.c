/* pull_tree.c - tree and table of a full pack. Both are cut by content, and the old image has kept its own:
 * unchanged chunks are copied from there, so that checking for changes costs little even with ten thousand
 * files. */
#include <fcntl.h>

#include "ota/pull/pull.h"

bool pull_old_tree(struct store *s, const struct digest *image, struct digest *ret)
{
    struct store_meta AUTO_MEM *m = mem_need_zero(sizeof(*m));
    char hex[SHA256_HEX];

    if (store_meta_read(s, digest_hex(image, hex), m, NULL) < 0 || m->n_layers != 1)
        return false;
    *ret = m->layers[0];
    return faccessat(s->layers_fd, digest_hex(ret, hex), F_OK, 0) == 0;
}

/* The old image's document of the same kind; empty if it has none or it cannot be read. */
static void map_old(struct store *s, const struct store_pack *pack, bool tree, struct buf *ret)
{
    struct digest d;
    char hex[SHA256_HEX], path[80];

    *ret = buf_of(NULL, 0);
    if (tree && pull_old_tree(s, &pack->old_image, &d))
        err_ignore(stage_map(s->layers_fd, digest_hex(&d, hex), LIM_TREE_BYTES, ret, NULL));
    (void)str_fmt(path, sizeof(path), "%s/table", digest_hex(&pack->old_image, hex));
    if (!tree)
        err_ignore(stage_map(s->images_fd, path, LIM_TREE_BYTES, ret, NULL));
}

int pull_head(const struct store_pack *pack, struct buf head, struct pack_head *ret, struct err *err)
{
    struct pack_head h;
    int rc = pack_head_decode(head, &h, err);

    if (rc == 0 && (!digest_eq(&h.tree.digest, &pack->tree) || !digest_eq(&h.data, &pack->data) ||
                    h.tree.bytes != pack->tree_bytes || h.data_bytes != pack->data_bytes))
        rc = err_set(err, ERR_INTEGRITY,
                     "full pack: its head is not of the tree and data that the release names");
    if (rc == 0)
        *ret = h;
    return rc;
}

struct document {
    struct store *s;
    const struct pack_document *doc;
    const uint8_t *records; /* n_chunks of them */
    uint64_t data_at;       /* offset of the first chunk */
    struct old_map old;
    struct feed *feed;
};

static int chunk_of(const struct document *d, uint32_t i, struct pack_chunk *ret, struct err *err)
{
    return pack_chunk_decode(d->records + (size_t)i * PACK_CHUNK_BYTES, ret, err);
}

static int ask(struct document *d, struct err *err)
{
    uint64_t at = d->data_at, old_at;
    struct pack_chunk c;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < d->doc->n_chunks; i++) {
        rc = chunk_of(d, i, &c, err);
        if (rc == 0 && !pull_old_map_find(&d->old, &c, &old_at))
            rc = pull_feed_want(d->feed, at, &c, err);
        at += rc == 0 ? c.packed_bytes : 0;
    }
    return rc == 0 ? pull_feed_ask(d->feed, err) : rc;
}

static int write_document(struct document *d, int fd, struct err *err)
{
    struct pack_chunk c;
    struct buf bytes;
    uint64_t at = d->data_at, old_at;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < d->doc->n_chunks; i++) {
        rc = chunk_of(d, i, &c, err);
        if (rc < 0)
            break;
        if (pull_old_map_find(&d->old, &c, &old_at))
            bytes = buf_of(d->old.bytes.p + old_at, c.raw_bytes);
        else
            rc = pull_feed_next(d->feed, at, &c, &bytes, err);
        if (rc == 0)
            rc = fs_write_full(fd, bytes, err);
        at += c.packed_bytes;
    }
    return rc == 0 ? pull_feed_end(d->feed, err) : rc;
}

static int pull_document(struct document *d, struct err *err)
{
    AUTO_FD int fd = -1;
    int rc;

    if (store_has_blob(d->s, &d->doc->digest))
        return 0;
    rc = store_check_space(d->s, d->doc->bytes, 1, err);
    if (rc == 0)
        rc = store_partial_open(d->s, &d->doc->digest, d->doc->bytes, &fd, err);
    if (rc == 0 && ftruncate(fd, 0) < 0)
        rc = err_set(err, ERR_IO, "empty a partial document");
    if (rc == 0)
        rc = ask(d, err);
    if (rc == 0)
        rc = write_document(d, fd, err);
    return rc < 0 ? rc : store_partial_commit(d->s, &d->doc->digest, d->doc->bytes, err);
}

int pull_documents(struct store *s, const struct store_pack *pack, uint64_t *ret_fetched, struct err *err)
{
    uint8_t AUTO_MEM *head = NULL;
    size_t head_len = 0;
    struct pack_head h;
    struct feed f;
    int rc = store_read_blob(s, &pack->pack, LIM_PACK_HEAD_BYTES, &head, &head_len, err);

    if (rc == 0)
        rc = pull_head(pack, buf_of(head, head_len), &h, err);
    if (rc < 0)
        return rc;
    pull_feed_init(&f, pack);
    struct document d = {
        .s = s, .doc = &h.tree, .records = head + PACK_HEAD_BYTES, .data_at = h.documents_at, .feed = &f};
    for (unsigned i = 0; rc == 0 && i < 2; i++) {
        struct buf old = {NULL, 0};
        map_old(s, pack, i == 0, &old);
        pull_old_map_make(old, &cdc_document, &d.old);
        rc = pull_document(&d, err);
        pull_old_map_done(&d.old);
        stage_unmap(&old);
        for (uint32_t n = 0; rc == 0 && i == 0 && n < h.tree.n_chunks; n++) {
            struct pack_chunk c;
            rc = chunk_of(&d, n, &c, err);
            d.data_at += rc == 0 ? c.packed_bytes : 0;
        }
        d.records += (size_t)h.tree.n_chunks * PACK_CHUNK_BYTES;
        d.doc = &h.table;
    }
    *ret_fetched = f.fetched + f.taken;
    pull_feed_done(&f);
    return rc;
}
