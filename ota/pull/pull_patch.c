/* pull_patch.c - new objects from a stored patch pack: this side reads which old files each is made from and
 * opens them, the unpack program makes the bytes, this side hashes them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "ota/pull/pull.h"

#define TABLE_BYTES 8 /* the second item of the stream: the length of the third, the table */

struct patching {
    struct pull *p;
    struct unpack_run unpack;
    struct buf old_tree, table;
    uint8_t bytes[32 * 1024]; /* half a pipe: less would wake the other side for each quarter */
};

/* Read one item of the stream into memory. */
static int take_all(struct patching *x, uint8_t *dst, uint64_t size, struct err *err)
{
    int rc = unpack_object(&x->unpack, NULL, NULL, 0, size, err);

    for (uint64_t have = 0; rc == 0 && have < size;) {
        ssize_t n = unpack_take(&x->unpack, dst + have, (size_t)(size - have), err);
        rc = n < 0 ? (int)n : 0;
        have += n < 0 ? 0 : (uint64_t)n;
    }
    return rc;
}

static int open_old_tree(struct patching *x, int *ret_fd, struct err *err)
{
    const struct store *s = x->p->s;
    struct digest got;
    char hex[SHA256_HEX];
    uint64_t len = 0;
    int rc = 0;

    *ret_fd = openat(s->layers_fd, digest_hex(&x->p->pack->old_tree, hex), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (*ret_fd < 0)
        return err_set(err, ERR_NOTFOUND, "the tree that the patch starts from is missing");
    rc = sha256_fd(*ret_fd, &got, &len, err);
    if (rc == 0 && !digest_eq(&got, &x->p->pack->old_tree))
        rc = err_set(err, ERR_INTEGRITY, "the tree that the patch starts from is damaged on disk");
    return rc == 0 ? stage_map_fd(*ret_fd, LIM_TREE_BYTES, &x->old_tree, err) : rc;
}

/* The new tree comes first: written to a file, and verified against the signed digest. */
static int take_tree(struct patching *x, struct err *err)
{
    const struct store_pack *pack = x->p->pack;
    AUTO_FD int base = -1;
    AUTO_FD int fd = -1;
    struct digest got;
    uint64_t len = 0;
    int rc = stage_create(x->p->stage, PULL_TREE_FILE, 0600, &fd, err);

    if (rc == 0)
        rc = open_old_tree(x, &base, err);

    if (rc == 0)
        rc = unpack_object(&x->unpack, &base, &(uint64_t){x->old_tree.len}, 1, pack->tree_bytes, err);
    for (uint64_t have = 0; rc == 0 && have < pack->tree_bytes;) {
        ssize_t n = unpack_take(&x->unpack, x->bytes, sizeof(x->bytes), err);
        rc = n < 0 ? (int)n : fs_write_full(fd, buf_of(x->bytes, (size_t)n), err);
        have += n < 0 ? 0 : (uint64_t)n;
    }
    if (rc == 0)
        rc = sha256_fd(fd, &got, &len, err);
    if (rc == 0 && (!digest_eq(&got, &pack->tree) || len != pack->tree_bytes))
        rc = err_set(err, ERR_INTEGRITY, "the patch makes another tree than the release names");
    return rc == 0 ? stage_map_fd(fd, LIM_TREE_BYTES, &x->p->tree, err) : rc;
}

static int take_table(struct patching *x, struct err *err)
{
    uint8_t size[TABLE_BYTES] = {0};
    uint64_t len = 0;
    int rc = take_all(x, size, sizeof(size), err);

    for (unsigned i = 0; i < sizeof(size); i++)
        len |= (uint64_t)size[i] << (8 * i);
    if (rc == 0 && (len == 0 || len > LIM_PATCH_TABLE_BYTES))
        rc = err_set(err, ERR_INVALID, "patch: a table of %" PRIu64 " bytes", len);
    if (rc < 0)
        return rc;
    uint8_t *table = mem_need((size_t)len);
    x->table = buf_of(table, (size_t)len);
    return take_all(x, table, len, err);
}

static int open_base(struct patching *x, uint64_t base, int *ret_fd, uint64_t *ret_size, struct err *err)
{
    bool new = base & 1;
    struct entry AUTO_MEM *e = mem_need(sizeof(*e));
    struct object_at at;
    struct digest d;
    char shown[120];
    int rc = tree_file_at(new ? x->p->tree : x->old_tree, base >> 1, e, &d, err);

    if (rc < 0)
        return rc;
    if (!stage_find(x->p->stage, e, &d, &at))
        return err_set(err, ERR_NOTFOUND, "%s of the %s image is not in the store",
                       entry_printable(e->path, shown, sizeof(shown)), new ? "new" : "old");
    *ret_fd = openat(at.dir_fd, at.path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    *ret_size = e->size;
    return *ret_fd < 0 ? err_errno(err, errno, "open an old file") : 0;
}

/* Request one object; its bases are open only during this call. */
static int ask_object(struct patching *x, const struct pack_patched *p, uint64_t size, struct err *err)
{
    int fds[PACK_BASES_MAX];
    uint64_t sizes[PACK_BASES_MAX];
    unsigned n = 0;
    int rc = 0;

    for (; rc == 0 && n < p->n_bases; n += rc == 0)
        rc = open_base(x, p->bases[n], &fds[n], &sizes[n], err);
    if (rc == 0)
        rc = unpack_object(&x->unpack, fds, sizes, n, size, err);
    for (unsigned i = 0; i < n; i++)
        (void)close(fds[i]);
    return rc;
}

/* One new object. The bytes of one already present (from an earlier try, or another image) are skipped. */
static int take_object(struct patching *x, const struct pack_patched *p, const struct entry *e,
                       const struct digest *d, struct err *err)
{
    struct stage *g = x->p->stage;
    struct object_at at;
    bool held = stage_find(g, e, d, &at);
    int rc = held ? 0 : stage_begin(g, e, d, 0, err);

    if (rc == 0)
        rc = ask_object(x, p, e->size, err);
    for (uint64_t left = e->size; rc == 0 && left > 0;) {
        size_t want = left < sizeof(x->bytes) ? (size_t)left : sizeof(x->bytes);
        ssize_t n = unpack_take(&x->unpack, x->bytes, want, err);
        rc = n < 0 ? (int)n : held ? 0 : stage_add(g, buf_of(x->bytes, (size_t)n), err);
        left -= n < 0 ? 0 : (uint64_t)n;
    }
    return rc == 0 && !held ? stage_end(g, err) : rc;
}

/* Advance in the tree to the object that the table names: both are in the same order, so only entries of the
 * tree are ever made. */
static int find_object(struct buf tree, struct tree_at *t, uint64_t at, struct entry *e, struct digest *d,
                       struct err *err)
{
    int rc;

    do
        rc = tree_next(tree, t, e, d, err);
    while (rc > 0 && t->entry_at < at);
    if (rc >= 0 && (rc == 0 || t->entry_at != at || !tree_is_object(e)))
        rc = err_set(err, ERR_INVALID, "patch table: no object of the tree at %" PRIu64, at);
    return rc < 0 ? rc : 0;
}

static int take_objects(struct patching *x, struct err *err)
{
    struct entry AUTO_MEM *e = mem_need(sizeof(*e));
    struct tree_at AUTO_MEM *in_tree = mem_need_zero(sizeof(*in_tree));
    struct pack_table t = {0};
    struct pack_patched one;
    struct digest d;
    uint64_t done = 0;
    int rc;

    while ((rc = pack_patched_decode(&t, x->table, &one, err)) > 0) {
        rc = find_object(x->p->tree, in_tree, one.at, e, &d, err);
        if (rc == 0 && e->size > x->p->pack->write_bytes - done)
            rc = err_set(err, ERR_INVALID, "it makes more than the %" PRIu64 " bytes that the release says",
                         x->p->pack->write_bytes);
        if (rc == 0)
            rc = take_object(x, &one, e, &d, err);
        if (rc < 0)
            return rc;
        done += e->size;
        pull_tell(x->p, done, x->p->pack->write_bytes, 0);
    }
    return rc;
}

static int run(struct patching *x, int pack_fd, struct err *err)
{
    struct err own = ERR_INIT;
    int rc = unpack_patch(&x->unpack, pack_fd, &own);

    if (rc == 0)
        rc = take_tree(x, &own);
    if (rc == 0)
        rc = pull_judge_tree(x->p, &own);
    if (rc == 0)
        rc = take_table(x, &own);
    if (rc == 0)
        rc = take_objects(x, &own);
    if (rc == 0)
        rc = unpack_finish(&x->unpack, &own);
    if (rc < 0 && own.kind != ERR_IO) /* our own verdict, unless it is that the program is gone */
        return err_set(err, own.kind, "%s", own.msg);
    int said = unpack_end(&x->unpack, err);
    return said < 0 || rc == 0 ? said : err_set(err, own.kind, "%s", own.msg);
}

int pull_patch(struct pull *p, struct err *err)
{
    struct patching AUTO_MEM *x = mem_need_zero(sizeof(*x));
    struct digest got;
    uint64_t len = 0;
    char hex[SHA256_HEX];
    AUTO_FD int fd =
        openat(p->s->blobs_fd, digest_hex(&p->pack->pack, hex), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int rc = fd < 0 ? err_errno(err, errno, "open patch %.12s", hex) : sha256_fd(fd, &got, &len, err);

    if (rc == 0 && !digest_eq(&got, &p->pack->pack)) {
        (void)unlinkat(p->s->blobs_fd, hex, 0);
        rc = err_set(err, ERR_INTEGRITY, "patch %.12s is damaged on disk", hex);
    }
    x->p = p;
    x->unpack = (struct unpack_run){.child = CHILD_NONE, .ask_fd = -1};
    if (rc == 0)
        rc = unpack_start(p->pack->unpack_argv, &x->unpack, err);
    if (rc == 0)
        rc = run(x, fd, err);
    unpack_done(&x->unpack);
    free((void *)(uintptr_t)x->table.p);
    stage_unmap(&x->old_tree);
    return rc < 0 ? err_wrap(err, "patch") : 0;
}
