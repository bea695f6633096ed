#include "fleet/pack/measure.h"

#include <string.h>

#include "ota/layer/gunzip.h"
#include "ota/layer/untar.h"
#include "ota/layer/unzstd.h"
#include "platform/fnv.h"
#include "platform/limits.h"

#define CHUNK 32768

struct measure {
    struct gunzip *gz; /* both NULL: a plain tar */
    struct unzstd *zstd;
    struct untar *tar;
    struct sha256 *hash;
    struct measure_sum sum;
    const struct measure_tap *tap;
    uint64_t *seen; /* open addressing over hashes of paths, 0 is free */
    size_t n_seen, cap;
};

struct measure *measure_new(const struct measure_tap *tap)
{
    struct measure *m = mem_need_zero(sizeof(*m));

    m->tap = tap;
    m->sum.inodes = 1;
    return m;
}

static void drop_layer(struct measure *m)
{
    m->gz = gunzip_free(m->gz);
    m->zstd = unzstd_free(m->zstd);
    m->tar = untar_free(m->tar);
    m->hash = sha256_free(m->hash);
}

struct measure *measure_free(struct measure *m)
{
    if (!m)
        return NULL;
    drop_layer(m);
    free(m->seen);
    free(m);
    return NULL;
}

int measure_begin(struct measure *m, enum oci_codec codec, struct err *err)
{
    drop_layer(m);
    if (codec == OCI_TAR_GZIP && gunzip_new(&m->gz, err) < 0)
        return -(int)err->kind;
    if (codec == OCI_TAR_ZSTD && unzstd_new(&m->zstd, err) < 0)
        return -(int)err->kind;
    m->tar = untar_new();
    m->hash = sha256_new();
    return 0;
}

/* Never 0: that is a free place. */
static uint64_t hash_path(const char *p, size_t len)
{
    uint64_t h = fnv64(buf_of(p, len));

    return h ? h : 1;
}

static bool put_hash(uint64_t *table, size_t cap, uint64_t h)
{
    size_t i = h & (cap - 1);

    for (; table[i]; i = (i + 1) & (cap - 1))
        if (table[i] == h)
            return false;
    table[i] = h;
    return true;
}

/* True when the path was not seen before. */
static bool see(struct measure *m, const char *path, size_t len)
{
    if (m->n_seen * 2 >= m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 1024;
        uint64_t *more = mem_need_zero(cap * sizeof(*more));
        for (size_t i = 0; i < m->cap; i++)
            if (m->seen[i])
                (void)put_hash(more, cap, m->seen[i]);
        free(m->seen);
        m->seen = more;
        m->cap = cap;
    }
    if (!put_hash(m->seen, m->cap, hash_path(path, len)))
        return false;
    m->n_seen++;
    return true;
}

static int count_entry(struct measure *m, struct err *err)
{
    struct entry e = *untar_entry(m->tar);

    if (e.kind != ENTRY_SKIPPED && entry_check(&e, err) < 0) /* what is left out may have any name */
        return -(int)err->kind;
    (void)see(m, e.path, strlen(e.path));
    for (const char *slash = strchr(e.path, '/'); slash; slash = strchr(slash + 1, '/'))
        m->sum.inodes += see(m, e.path, (size_t)(slash - e.path));
    m->sum.inodes++;
    if (e.kind == ENTRY_FILE)
        m->sum.bytes += e.size;
    if (m->sum.bytes > LIM_IMAGE_BYTES || m->sum.inodes > LIM_IMAGE_INODES)
        return err_set(err, ERR_NOSPACE, "the image unpacks to more than %llu bytes or %llu entries",
                       LIM_IMAGE_BYTES, LIM_IMAGE_INODES);
    return m->tap ? m->tap->on_entry(m->tap->arg, &e, err) : 0;
}

/* Bytes of the tar itself. */
static int add_tar(struct measure *m, struct buf in, struct err *err)
{
    struct buf content;
    int event;

    if (sha256_add(m->hash, in, err) < 0)
        return -(int)err->kind;
    while ((event = untar_step(m->tar, &in, &content, err)) != UNTAR_NEED) {
        if (event < 0)
            return event;
        if (event == UNTAR_ENTRY && count_entry(m, err) < 0)
            return -(int)err->kind;
        if (event == UNTAR_BYTES && m->tap && m->tap->on_bytes(m->tap->arg, content, err) < 0)
            return -(int)err->kind;
    }
    return 0;
}

static int unpack_some(struct measure *m, struct buf *in, uint8_t out[CHUNK], size_t *ret_len,
                       struct err *err)
{
    return m->gz ? gunzip_step(m->gz, in, out, CHUNK, ret_len, err)
                 : unzstd_step(m->zstd, in, out, CHUNK, ret_len, err);
}

int measure_add(struct measure *m, struct buf bytes, struct err *err)
{
    uint8_t out[CHUNK];
    size_t n = CHUNK;

    if (!m->gz && !m->zstd)
        return add_tar(m, bytes, err);
    while (n == CHUNK) {
        if (unpack_some(m, &bytes, out, &n, err) < 0 || add_tar(m, buf_of(out, n), err) < 0)
            return -(int)err->kind;
    }
    return 0;
}

int measure_end(struct measure *m, struct digest *ret_diff_id, struct err *err)
{
    if ((m->gz && gunzip_end(m->gz, err) < 0) || (m->zstd && unzstd_end(m->zstd, err) < 0) ||
        untar_end(m->tar, err) < 0)
        return -(int)err->kind;
    return sha256_end(m->hash, ret_diff_id, err);
}

struct measure_sum measure_sum(const struct measure *m)
{
    return m->sum;
}
