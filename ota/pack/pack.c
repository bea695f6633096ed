#include "ota/pack/pack.h"

#include <inttypes.h>

#include "ota/pack/cdc.h"

#define MAGIC      "LPFULL01"
#define CODECS_MAX 16 /* which of them this version can decode is up to the codec */

static uint8_t *put(uint8_t *p, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
    return p + bytes;
}

static uint64_t get(const uint8_t **p, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)(*p)[i] << (8 * i);
    *p += bytes;
    return v;
}

void pack_chunk_encode(const struct pack_chunk *c, uint8_t dst[PACK_CHUNK_BYTES])
{
    uint8_t *p = put(dst, c->packed_bytes, 4);

    p = put(p, c->raw_bytes, 3);
    p = put(p, c->codec, 1);
    memcpy(p, c->check, PACK_CHECK_BYTES);
    memcpy(p + PACK_CHECK_BYTES, c->raw, PACK_RAW_BYTES);
}

int pack_chunk_decode(const uint8_t src[PACK_CHUNK_BYTES], struct pack_chunk *ret, struct err *err)
{
    const uint8_t *p = src;
    struct pack_chunk c;

    c.packed_bytes = (uint32_t)get(&p, 4);
    c.raw_bytes = (uint32_t)get(&p, 3);
    c.codec = (unsigned)get(&p, 1);
    memcpy(c.check, p, PACK_CHECK_BYTES);
    memcpy(c.raw, p + PACK_CHECK_BYTES, PACK_RAW_BYTES);
    if (c.packed_bytes == 0 || c.raw_bytes == 0 || c.packed_bytes > c.raw_bytes || c.raw_bytes > PACK_RAW_MAX)
        return err_set(err, ERR_INVALID, "chunk of %u packed and %u raw bytes", c.packed_bytes, c.raw_bytes);
    if (c.codec >= CODECS_MAX)
        return err_set(err, ERR_INVALID, "chunk of codec %u", c.codec);
    *ret = c;
    return 0;
}

size_t pack_head_size(const struct pack_head *h)
{
    return PACK_HEAD_BYTES + ((size_t)h->tree.n_chunks + h->table.n_chunks) * PACK_CHUNK_BYTES;
}

static uint8_t *put_digest(uint8_t *p, uint64_t bytes, const struct digest *d)
{
    p = put(p, bytes, 8);
    memcpy(p, d->b, SHA256_BYTES);
    return p + SHA256_BYTES;
}

void pack_head_encode(const struct pack_head *h, uint8_t dst[PACK_HEAD_BYTES])
{
    uint8_t *p = dst + 8;

    memset(dst, 0, PACK_HEAD_BYTES);
    memcpy(dst, MAGIC, 8);
    p = put(p, h->codec, 1);
    p = put(p, h->properties, 1);
    p = put(p, 0, 2);
    p = put(p, h->tree.n_chunks, 4);
    p = put(p, h->table.n_chunks, 4);
    p = put(p, 0, 4);
    p = put_digest(p, h->tree.bytes, &h->tree.digest);
    p = put_digest(p, h->table.bytes, &h->table.digest);
    p = put_digest(p, h->data_bytes, &h->data);
    p = put(p, h->object_bytes, 8);
    (void)put(p, h->documents_at, 8);
}

static uint64_t get_digest(const uint8_t **p, struct digest *ret)
{
    uint64_t bytes = get(p, 8);

    memcpy(ret->b, *p, SHA256_BYTES);
    *p += SHA256_BYTES;
    return bytes;
}

static int check_head(const struct pack_head *h, struct buf head, struct err *err)
{
    if (h->tree.bytes > LIM_TREE_BYTES || h->table.bytes > LIM_TREE_BYTES ||
        h->data_bytes > LIM_IMAGE_BYTES || h->object_bytes > LIM_IMAGE_BYTES ||
        h->documents_at > h->data_bytes)
        return err_set(err, ERR_INVALID, "full pack: larger than any image may be");
    if (h->table.bytes % PACK_CHUNK_BYTES != 0)
        return err_set(err, ERR_INVALID, "full pack: a table of %" PRIu64 " bytes", h->table.bytes);
    if (h->tree.n_chunks > LIM_TREE_CHUNKS || h->table.n_chunks > LIM_TREE_CHUNKS ||
        head.len != pack_head_size(h))
        return err_set(err, ERR_INVALID, "full pack: a head of %zu bytes for %u and %u chunks", head.len,
                       h->tree.n_chunks, h->table.n_chunks);
    return 0;
}

/* Do the chunks of a document add up to what the head says? Then nothing is fetched, written or requested
 * that cannot be right. */
static int check_chunks(const struct pack_document *d, const char *name, const uint8_t *records,
                        uint64_t *data_left, struct err *err)
{
    uint64_t raw = 0;
    struct pack_chunk c;

    if (d->n_chunks > d->bytes / cdc_document.min + 1)
        return err_set(err, ERR_INVALID, "full pack: %u chunks for a %s of %" PRIu64 " bytes", d->n_chunks,
                       name, d->bytes);
    for (uint32_t i = 0; i < d->n_chunks; i++) {
        int rc = pack_chunk_decode(records + (size_t)i * PACK_CHUNK_BYTES, &c, err);
        if (rc < 0)
            return rc;
        if (c.packed_bytes > *data_left)
            return err_set(err, ERR_INVALID, "full pack: its %s reaches behind the data", name);
        *data_left -= c.packed_bytes;
        raw += c.raw_bytes;
    }
    return raw == d->bytes ? 0
                           : err_set(err, ERR_INVALID,
                                     "full pack: chunks of %" PRIu64 " bytes for a %s of %" PRIu64 " bytes",
                                     raw, name, d->bytes);
}

int pack_head_decode(struct buf head, struct pack_head *ret, struct err *err)
{
    struct pack_head h;
    const uint8_t *p = head.p + 8;

    if (head.len < PACK_HEAD_BYTES || memcmp(head.p, MAGIC, 8) != 0)
        return err_set(err, ERR_INVALID, "no head of a full pack that this version knows");
    h.codec = (unsigned)get(&p, 1);
    h.properties = (unsigned)get(&p, 1);
    (void)get(&p, 2);
    h.tree.n_chunks = (uint32_t)get(&p, 4);
    h.table.n_chunks = (uint32_t)get(&p, 4);
    (void)get(&p, 4);
    h.tree.bytes = get_digest(&p, &h.tree.digest);
    h.table.bytes = get_digest(&p, &h.table.digest);
    h.data_bytes = get_digest(&p, &h.data);
    h.object_bytes = get(&p, 8);
    h.documents_at = get(&p, 8);
    int rc = check_head(&h, head, err);
    uint64_t left = rc == 0 ? h.data_bytes - h.documents_at : 0;
    const uint8_t *records = head.p + PACK_HEAD_BYTES;
    if (rc == 0)
        rc = check_chunks(&h.tree, "tree", records, &left, err);
    if (rc == 0)
        rc =
            check_chunks(&h.table, "table", records + (size_t)h.tree.n_chunks * PACK_CHUNK_BYTES, &left, err);
    if (rc == 0)
        *ret = h;
    return rc;
}

/* ---- the table of a patch pack ---- */

static size_t put_varint(uint64_t v, uint8_t *dst)
{
    size_t n = 0;

    for (; v >= 128; v >>= 7)
        dst[n++] = (uint8_t)(v | 128);
    dst[n++] = (uint8_t)v;
    return n;
}

static int get_varint(struct buf table, size_t *used, uint64_t *ret, struct err *err)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 63; shift += 7) {
        if (*used == table.len)
            return err_set(err, ERR_INVALID, "patch table: ends early");
        uint8_t b = table.p[(*used)++];
        v |= (uint64_t)(b & 127) << shift;
        if (b < 128) {
            *ret = v;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID, "patch table: a number is too large");
}

size_t pack_patched_encode(struct pack_table *t, const struct pack_patched *p, uint8_t dst[PACK_PATCHED_MAX])
{
    size_t n = put_varint(p ? p->at - t->at : 0, dst);

    if (!p)
        return n;
    t->at = p->at;
    dst[n++] = (uint8_t)p->n_bases;
    for (unsigned i = 0; i < p->n_bases; i++) {
        int64_t by = (int64_t)(p->bases[i] - t->base);
        n += put_varint(((uint64_t)by << 1) ^ (uint64_t)(by >> 63), dst + n);
        t->base = p->bases[i];
    }
    return n;
}

int pack_patched_decode(struct pack_table *t, struct buf table, struct pack_patched *ret, struct err *err)
{
    struct pack_patched p = {0};
    uint64_t v = 0;
    int rc = get_varint(table, &t->used, &v, err);

    if (rc < 0)
        return rc;
    if (v == 0)
        return t->used == table.len ? 0 : err_set(err, ERR_INVALID, "patch table: continues after its end");
    if (v > LIM_TREE_BYTES || t->used == table.len || table.p[t->used] > PACK_BASES_MAX)
        return err_set(err, ERR_INVALID, "patch table: too far or too many bases");
    p.at = t->at + v;
    p.n_bases = table.p[t->used++];
    for (unsigned i = 0; i < p.n_bases; i++) {
        rc = get_varint(table, &t->used, &v, err);
        if (rc < 0)
            return rc;
        t->base += (v >> 1) ^ (0 - (v & 1));
        if (t->base > PACK_NEW(LIM_TREE_BYTES))
            return err_set(err, ERR_INVALID, "patch table: a base outside of any tree");
        p.bases[i] = t->base;
    }
    t->at = p.at;
    *ret = p;
    return 1;
}
