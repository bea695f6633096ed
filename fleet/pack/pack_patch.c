#include "fleet/pack/pack_patch.h"

#include <stdio.h>
#include <stdlib.h>

#include "fleet/pack/patch_make.h"
#include "fleet/pack/similar.h"

_Static_assert(PACK_BASES_MAX == PATCH_BASES, "the table and the stream mean the same");

/* One new object that the old tree lacks, and what it is made of: indices into struct making's files. */
struct work {
    const struct flat_object *object;
    uint64_t packed; /* in the full pack */
    size_t bases[PATCH_BASES];
    unsigned n_bases;
};
struct making {
    const struct pack_patch *in;
    struct flat_objects old, new;
    struct similar_features *features; /* of the files */
    struct similar_file *files;        /* the old objects, then those of work */
    size_t n_files;
    struct work *work;
    size_t n_work;
    uint64_t object_bytes, changed_packed;
};

static int by_digest(const void *a, const void *b)
{
    return memcmp(a, b, SHA256_BYTES);
}

/* The new objects whose content the old tree has not got. */
static void list_work(struct making *m)
{
    struct digest AUTO_MEM *held = mem_need((m->old.n + 1) * sizeof(*held));

    for (size_t i = 0; i < m->old.n; i++)
        held[i] = m->old.list[i].digest;
    qsort(held, m->old.n, sizeof(*held), by_digest);
    m->work = mem_need_zero((m->new.n + 1) * sizeof(*m->work));
    for (size_t i = 0; i < m->new.n; i++) {
        if (bsearch(&m->new.list[i].digest, held, m->old.n, sizeof(*held), by_digest))
            continue;
        m->work[m->n_work++] = (struct work){.object = &m->new.list[i], .packed = m->in->packed[i]};
        m->object_bytes += m->new.list[i].size;
        m->changed_packed += m->in->packed[i];
    }
}

static const struct flat_object *object_of(const struct making *m, size_t file)
{
    return file < m->old.n ? &m->old.list[file] : m->work[file - m->old.n].object;
}

static int load_files(struct making *m, struct err *err)
{
    size_t all = m->n_work ? m->old.n + m->n_work : 0;
    int rc = 0;

    m->features = mem_need_zero((all + 1) * sizeof(*m->features));
    m->files = mem_need_zero((all + 1) * sizeof(*m->files));
    for (; rc == 0 && m->n_files < all; m->n_files += rc == 0) {
        const struct flat_object *o = object_of(m, m->n_files);
        struct similar_file *f = &m->files[m->n_files];
        *f = (struct similar_file){.path = o->path, .features = &m->features[m->n_files]};
        rc = flat_map(m->in->objects_fd, &o->digest, o->size, &f->bytes, err);
        if (rc == 0)
            similar_features(f->bytes, &m->features[m->n_files]);
    }
    return rc;
}

static void unload_files(struct making *m)
{
    for (size_t i = 0; i < m->n_files; i++) {
        flat_unmap(m->files[i].bytes);
        free(m->features[i].h);
    }
    free(m->files);
    free(m->features);
}

/* Among the old files, and the new ones that come before. */
static void choose_bases(struct making *m)
{
    AUTO_FREE(similar) struct similar *s = similar_new(m->files, m->n_files);

    for (size_t i = 0; i < m->n_work; i++)
        m->work[i].n_bases = similar_bases(s, &m->files[m->old.n + i], m->old.n + i, m->work[i].bases);
}

/* The table of bases, and its length before it. */
static int put_table(const struct making *m, struct patch_make *make, struct err *err)
{
    uint8_t AUTO_MEM *table = mem_need((m->n_work + 1) * PACK_PATCHED_MAX);
    uint8_t size[8];
    struct pack_table t = {0};
    size_t len = 0;

    for (size_t i = 0; i < m->n_work; i++) {
        const struct work *w = &m->work[i];
        struct pack_patched p = {.at = w->object->at, .n_bases = w->n_bases};
        for (unsigned b = 0; b < w->n_bases; b++)
            p.bases[b] = w->bases[b] < m->old.n ? PACK_OLD(object_of(m, w->bases[b])->at)
                                                : PACK_NEW(object_of(m, w->bases[b])->at);
        len += pack_patched_encode(&t, &p, table + len);
    }
    len += pack_patched_encode(&t, NULL, table + len);
    if (len > LIM_PATCH_TABLE_BYTES)
        return err_set(err, ERR_NOSPACE, "patch: too many new files");
    for (unsigned i = 0; i < sizeof(size); i++)
        size[i] = (uint8_t)((uint64_t)len >> (8 * i));
    int rc = patch_make_object(make, NULL, 0, buf_of(size, sizeof(size)), NULL, err);
    return rc < 0 ? rc : patch_make_object(make, NULL, 0, buf_of(table, len), NULL, err);
}

static void explain(const struct making *m, const struct work *w, const struct patch_cost *cost, bool gzip)
{
    char how[80];

    if (!m->in->explain)
        return;
    if (w->n_bases == 0)
        (void)str_fmt(how, sizeof(how), "new%s", gzip ? ", gzip" : "");
    else
        (void)str_fmt(how, sizeof(how), "%u cover%s%s%s%s", cost->covers, cost->covers == 1 ? "" : "s",
                      cost->predicted ? ", addresses" : "", w->n_bases > 1 ? ", several files" : "",
                      gzip ? ", gzip" : "");
    m->in->explain(m->in->explain_arg,
                   &(struct pack_patch_line){w->object->path, how,
                                             w->n_bases ? object_of(m, w->bases[0])->path : "",
                                             w->object->size, cost->packed_bytes});
}

static int put_object(const struct making *m, size_t i, struct patch_make *make, struct pack_patch_sum *sum,
                      struct err *err)
{
    const struct work *w = &m->work[i];
    struct buf bases[PATCH_BASES];
    struct patch_cost cost = {0};

    for (unsigned b = 0; b < w->n_bases; b++)
        bases[b] = m->files[w->bases[b]].bytes;
    struct buf bytes = m->files[m->old.n + i].bytes;
    bool gzip = flat_is_gzip(bytes);
    sum->gzips += gzip;
    sum->gzip_bytes += gzip ? bytes.len : 0;
    int rc = patch_make_object(make, bases, w->n_bases, bytes, &cost, err);
    if (rc == 0)
        explain(m, w, &cost, gzip);
    return rc;
}

static int make_stream(struct making *m, struct patch_make *make, struct pack_patch_sum *ret, struct err *err)
{
    uint64_t done = 0;
    int rc = patch_make_object(make, &m->in->old_tree, 1, m->in->new_tree, NULL, err);

    if (rc == 0)
        rc = put_table(m, make, err);
    for (size_t i = 0; rc == 0 && i < m->n_work; i++) {
        rc = put_object(m, i, make, ret, err);
        done += m->work[i].object->size;
        if (m->in->progress.fn)
            m->in->progress.fn(m->in->progress.arg, done, m->object_bytes);
    }
    return rc < 0 ? rc : patch_make_end(make, &ret->bytes, err);
}

static int read_memory(int fd, uint64_t *ret, struct err *err)
{
    uint8_t bytes[PATCH_HEAD_BYTES];
    struct patch_head h;

    if (pread(fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return err_set(err, ERR_IO, "read the patch back");
    int rc = patch_head_decode(bytes, &h, err);
    if (rc == 0)
        *ret = h.memory;
    return rc;
}

int pack_patch_make(const struct pack_patch *p, struct pack_patch_sum *ret, struct err *err)
{
    AUTO_FREE(patch_make) struct patch_make *make = NULL;
    struct making m = {.in = p};
    int rc = flat_list(p->old_tree, &m.old, err);

    if (rc == 0)
        rc = flat_list(p->new_tree, &m.new, err);
    if (rc == 0)
        list_work(&m);
    if (rc == 0)
        rc = load_files(&m, err);
    if (rc == 0)
        choose_bases(&m);
    if (rc == 0)
        rc = patch_make_new(p->codec, p->out_fd, &make, err);
    if (rc == 0)
        rc = make_stream(&m, make, ret, err);
    if (rc == 0)
        rc = read_memory(p->out_fd, &ret->memory_bytes, err);
    ret->objects = (unsigned)m.n_work;
    ret->object_bytes = m.object_bytes;
    ret->changed_packed = m.changed_packed;
    unload_files(&m);
    free(m.work);
    flat_list_done(&m.old);
    flat_list_done(&m.new);
    return rc;
}
