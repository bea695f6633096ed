#include "fleet/repo/packing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "fleet/base/ctx.h"
#include "fleet/base/out.h"
#include "fleet/pack/pack_full.h"
#include "fleet/pack/pack_patch.h"
#include "platform/fs.h"
#include "platform/limits.h"

#define PATCH_WORTH_PERCENT 80 /* of the changed objects in the full pack */
#define GZIP_TELL_PERCENT   5  /* of the patch: less is not worth a word */

struct packing {
    char path[300];
    int dir_fd, objects_fd;
};

int packing_new(struct packing **ret, struct err *err)
{
    AUTO_FREE(packing) struct packing *p = mem_need_zero(sizeof(*p));
    const char *tmp = getenv("TMPDIR");

    p->dir_fd = p->objects_fd = -1;
    if (!str_fmt(p->path, sizeof(p->path), "%s/fleetctl.XXXXXX", tmp && *tmp ? tmp : "/tmp") ||
        !mkdtemp(p->path)) {
        int rc = err_errno(err, errno, "create a directory in %s", tmp && *tmp ? tmp : "/tmp");
        p->path[0] = '\0';
        return rc;
    }
    int rc = fs_open_dir(AT_FDCWD, p->path, false, 0, &p->dir_fd, err);
    if (rc == 0)
        rc = fs_open_dir(p->dir_fd, "objects", true, 0700, &p->objects_fd, err);
    if (rc == 0)
        *ret = steal_ptr(&p);
    return rc;
}

struct packing *packing_free(struct packing *p)
{
    if (!p)
        return NULL;
    mem_auto_close_(&p->objects_fd);
    mem_auto_close_(&p->dir_fd);
    if (p->path[0])
        err_ignore(fs_remove_tree(AT_FDCWD, p->path, NULL));
    free(p);
    return NULL;
}

int packing_objects_fd(const struct packing *p)
{
    return p->objects_fd;
}

/* ---- one file of the working directory ---- */

static int work_file(const struct packing *p, int *ret_fd, struct err *err)
{
    *ret_fd = openat(p->dir_fd, "pack", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return *ret_fd < 0 ? err_errno(err, errno, "create %s/pack", p->path) : 0;
}

struct making {
    struct packing *p;
    struct repo *r;
    const struct packing_opts *o;
    struct release_platform *platform;
    const struct image *img;
    unsigned index; /* of the platform */
    struct packing_blob *blobs;
    unsigned *n_blobs;
    enum pack_codec codec;
    /* packed bytes of each object of the new tree, in the full pack of this codec */
    uint64_t *packed;
    size_t n_packed;
    char label[80];
    bool explained; /* of this codec: the last, which is the smallest */
};

static int put_bytes(struct making *m, const char *type, struct buf bytes, struct release_blob *ret,
                     struct err *err)
{
    int rc = repo_put_blob(m->r, bytes, &ret->digest, err);

    if (rc < 0)
        return rc;
    ret->bytes = bytes.len;
    m->blobs[(*m->n_blobs)++] = (struct packing_blob){type, ret->digest, bytes.len};
    return 0;
}

static int put_file(struct making *m, const char *type, int fd, struct release_blob *ret, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "look at a pack");
    if (st.st_size == 0) /* an image without a single byte */
        return put_bytes(m, type, buf_of(NULL, 0), ret, err);
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return err_errno(err, errno, "map a pack");
    int rc = put_bytes(m, type, buf_of(map, (size_t)st.st_size), ret, err);
    (void)munmap(map, (size_t)st.st_size);
    return rc;
}

static void tell(void *arg, uint64_t done, uint64_t total)
{
    out_progress(((struct making *)arg)->label, done, total);
}

static void said(const struct making *m, const char *what, uint64_t bytes, const char *more)
{
    char size[16];

    out_progress(NULL, 0, 0);
    out_note("%s/%s: %s, %s: %s%s", m->platform->os, m->platform->architecture, what,
             pack_codec_name(m->codec), out_size(bytes, size), more);
}

/* ---- full ---- */

static void note_packed(void *arg, const struct flat_object *o, uint64_t packed_bytes, unsigned chunks)
{
    struct making *m = arg;
    char how[40];
    struct buf bytes;

    m->packed[m->n_packed++] = packed_bytes;
    if (!m->o->explain || !m->explained || m->o->n_olds > 0)
        return;
    bool mapped = flat_map(m->p->objects_fd, &o->digest, o->size, &bytes, NULL) == 0;
    (void)str_fmt(how, sizeof(how), "%u chunk%s%s", chunks, chunks == 1 ? "" : "s",
                  mapped && flat_is_gzip(bytes) ? ", gzip" : "");
    if (mapped)
        flat_unmap(bytes);
    m->o->explain(m->o->explain_arg, &(struct pack_patch_line){o->path, how, "", o->size, packed_bytes});
}

static int make_full(struct making *m, struct err *err)
{
    struct release_pack *pack = &m->platform->packs[m->platform->n_packs];
    AUTO_BUF head = {NULL, 0};
    AUTO_FD int fd = -1;
    struct pack_head h;
    struct pack_full full = {.objects_fd = m->p->objects_fd,
                             .tree = m->img->trees[m->index],
                             .codec = m->codec,
                             .progress = {tell, m},
                             .each = note_packed,
                             .each_arg = m};
    int rc = work_file(m->p, &fd, err);

    (void)str_fmt(m->label, sizeof(m->label), "full pack, %s", pack_codec_name(m->codec));
    full.data_fd = fd;
    if (rc == 0)
        rc = pack_full_make(&full, &h, &head, err);
    *pack = (struct release_pack){.kind = RELEASE_PACK_FULL, .codec = (int)m->codec};
    if (rc == 0)
        rc = put_bytes(m, PACKING_TYPE_HEAD, head, &pack->blob, err);
    if (rc == 0)
        rc = put_file(m, PACKING_TYPE_DATA, fd, &pack->data, err);
    if (rc < 0)
        return rc;
    pack->memory_bytes = codec_memory(m->codec) + 2 * PACK_RAW_MAX;
    m->platform->tree = (struct release_blob){h.tree.digest, h.tree.bytes};
    m->platform->object_bytes = h.object_bytes;
    m->platform->n_packs++;
    said(m, "full pack", pack->data.bytes + pack->blob.bytes, "");
    return 0;
}

/* ---- patches ---- */

static const struct image *same_platform(const struct making *m, const struct image *old, unsigned *ret_index)
{
    for (unsigned i = 0; i < old->n_platforms; i++)
        if (strcmp(old->platforms[i].os, m->platform->os) == 0 &&
            strcmp(old->platforms[i].architecture, m->platform->architecture) == 0 &&
            strcmp(old->platforms[i].variant, m->platform->variant) == 0) {
            *ret_index = i;
            return old;
        }
    return NULL;
}

/* Where it is worth a word. */
static void tell_gzip(const struct making *m, const struct pack_patch_sum *sum)
{
    char size[16];

    if (sum->gzip_bytes * 100 >= sum->bytes * GZIP_TELL_PERCENT && sum->gzips > 0)
        out_note("%s/%s: %u of the new files %s gzip (%s): a patch cannot see into them, put them into the "
                 "image unpacked",
                 m->platform->os, m->platform->architecture, sum->gzips, sum->gzips == 1 ? "is" : "are",
                 out_size(sum->gzip_bytes, size));
}

static int make_patch(struct making *m, struct buf old_tree, struct err *err)
{
    struct release_pack *pack = &m->platform->packs[m->platform->n_packs];
    AUTO_FD int fd = -1;
    struct pack_patch_sum sum = {0};
    struct pack_patch patch = {.objects_fd = m->p->objects_fd,
                               .old_tree = old_tree,
                               .new_tree = m->img->trees[m->index],
                               .codec = m->codec,
                               .packed = m->packed,
                               .progress = {tell, m},
                               .explain = m->explained ? m->o->explain : NULL,
                               .explain_arg = m->o->explain_arg};
    char more[80], size[16];
    int rc = work_file(m->p, &fd, err);

    (void)str_fmt(m->label, sizeof(m->label), "patch, %s", pack_codec_name(m->codec));
    patch.out_fd = fd;
    if (rc == 0)
        rc = pack_patch_make(&patch, &sum, err);
    if (rc < 0)
        return rc;
    (void)str_fmt(more, sizeof(more), ", for %u new file%s of %s in the full pack", sum.objects,
                  sum.objects == 1 ? "" : "s", out_size(sum.changed_packed, size));
    if (m->explained)
        tell_gzip(m, &sum);
    if (sum.bytes * 100 > sum.changed_packed * PATCH_WORTH_PERCENT) {
        said(m, "a patch is not worth it", sum.bytes, more);
        return 0;
    }
    *pack = (struct release_pack){.kind = RELEASE_PACK_PATCH,
                                  .codec = (int)m->codec,
                                  .from = {.bytes = old_tree.len},
                                  .memory_bytes = sum.memory_bytes,
                                  .write_bytes = sum.object_bytes};
    rc = sha256(old_tree, &pack->from.digest, err);
    if (rc == 0)
        rc = put_file(m, PACKING_TYPE_PATCH, fd, &pack->blob, err);
    if (rc == 0) {
        m->platform->n_packs++;
        said(m, "patch pack", sum.bytes, more);
    }
    return rc;
}

static int make_patches(struct making *m, struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < m->o->n_olds; i++) {
        unsigned index = 0;
        const struct image *old = same_platform(m, &m->o->olds[i], &index);
        if (!old || buf_eq(old->trees[index], m->img->trees[m->index]))
            continue;
        if (m->platform->n_packs == RELEASE_PACKS)
            return err_set(err, ERR_NOSPACE, "more than %d packs for one platform: fewer --from or codecs",
                           RELEASE_PACKS);
        rc = make_patch(m, old->trees[index], err);
    }
    return rc;
}

static int make_platform(struct making *m, struct err *err)
{
    struct flat_objects objects = {0};
    int rc = flat_list(m->img->trees[m->index], &objects, err);

    m->packed = mem_need_zero((objects.n + 1) * sizeof(*m->packed));
    flat_list_done(&objects);
    for (unsigned i = 0; rc == 0 && i < COUNT_OF(m->o->codecs); i++) {
        if (!m->o->codecs[i])
            continue;
        m->codec = i == 0 ? PACK_LZ4 : PACK_LZMA;
        m->explained = i == 1 || !m->o->codecs[1];
        m->n_packed = 0;
        rc = make_full(m, err);
        if (rc == 0)
            rc = make_patches(m, err);
    }
    free(m->packed);
    m->packed = NULL;
    return rc;
}

int packing_make(struct packing *p, struct repo *r, const struct image *img, const struct packing_opts *o,
                 struct release *rel, struct packing_blob *blobs, unsigned *ret_n, struct err *err)
{
    struct making m = {.p = p, .r = r, .o = o, .img = img, .blobs = blobs, .n_blobs = ret_n};
    int rc = 0;

    *ret_n = 0;
    for (m.index = 0; rc == 0 && m.index < img->n_platforms; m.index++) {
        m.platform = &rel->platforms[m.index];
        rc = make_platform(&m, err);
    }
    out_progress(NULL, 0, 0);
    return rc < 0 ? err_wrap(err, "packs") : 0;
}
