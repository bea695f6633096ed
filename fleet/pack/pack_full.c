#include "fleet/pack/pack_full.h"

#include "fleet/base/bytes.h"
#include "fleet/pack/codec_make.h"
#include "ota/pack/cdc.h"
#include "platform/fs.h"

struct make {
    const struct pack_full *in;
    struct sha256 *hash; /* of the data */
    uint64_t data_bytes;
    uint8_t *packed[2];
    size_t room;
};

/* The filter for machine code that may help this file; PACK_RAW: none. */
static enum pack_codec filter_of(struct buf file)
{
    static const struct {
        uint8_t machine;
        enum pack_codec codec;
    } table[] = {{62, PACK_LZMA_X86}, {3, PACK_LZMA_X86}, {40, PACK_LZMA_THUMB}, {183, PACK_LZMA_ARM64}};

    if (file.len < 20 || memcmp(file.p, "\177ELF", 4) != 0 || file.p[5] != 1)
        return PACK_RAW;
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (file.p[18] == table[i].machine && file.p[19] == 0 && codec_known(table[i].codec))
            return table[i].codec;
    return PACK_RAW;
}

/* Pack one chunk as small as it goes and append it to the data. whole: its object has no other. */
static int add_chunk(struct make *m, struct buf raw, enum pack_codec filter, bool whole,
                     struct bytes *records, uint64_t *packed_bytes, struct err *err)
{
    const enum pack_codec codecs[] = {m->in->codec, filter};
    struct pack_chunk c = {.codec = PACK_RAW, .raw_bytes = (uint32_t)raw.len};
    struct buf best = raw;
    struct digest d;
    size_t len = 0;
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < COUNT_OF(codecs); i++) {
        if (codecs[i] == PACK_RAW || (i > 0 && m->in->codec != PACK_LZMA))
            continue;
        rc = codec_make_chunk(codecs[i], raw, m->packed[i], m->room, &len, err);
        if (rc == 0 && len < best.len) {
            best = buf_of(m->packed[i], len);
            c.codec = codecs[i];
        }
    }
    c.packed_bytes = (uint32_t)best.len;
    if (rc == 0)
        rc = sha256(best, &d, err);
    memcpy(c.check, d.b, sizeof(c.check));
    if (rc == 0 && !whole) {
        rc = sha256(raw, &d, err);
        memcpy(c.raw, d.b, sizeof(c.raw));
    }
    if (rc == 0)
        rc = sha256_add(m->hash, best, err);
    if (rc == 0)
        rc = fs_write_full(m->in->data_fd, best, err);
    m->data_bytes += best.len;
    *packed_bytes += best.len;
    pack_chunk_encode(&c, bytes_more(records, PACK_CHUNK_BYTES));
    return rc;
}

/* Cut bytes and append the chunks; records gets a record for each. */
static int add_cut(struct make *m, const struct cdc *cut, struct buf bytes, enum pack_codec filter,
                   struct bytes *records, uint64_t *packed_bytes, struct err *err)
{
    int rc = 0;

    while (rc == 0 && bytes.len > 0) {
        size_t len = cdc_cut(cut, bytes);
        rc = add_chunk(m, buf_of(bytes.p, len), filter, false, records, packed_bytes, err);
        bytes = buf_of(bytes.p + len, bytes.len - len);
    }
    return rc;
}

static int add_object(struct make *m, const struct flat_object *o, struct bytes *records, struct err *err)
{
    struct buf bytes;
    uint64_t packed = 0;
    size_t before = records->len;
    int rc = flat_map(m->in->objects_fd, &o->digest, o->size, &bytes, err);

    if (rc < 0)
        return rc;
    if (bytes.len <= PACK_WHOLE_BYTES)
        rc = add_chunk(m, bytes, filter_of(bytes), true, records, &packed, err);
    else
        rc = add_cut(m, &cdc_object, bytes, filter_of(bytes), records, &packed, err);
    flat_unmap(bytes);
    if (rc == 0 && m->in->each)
        m->in->each(m->in->each_arg, o, packed, (unsigned)((records->len - before) / PACK_CHUNK_BYTES));
    return rc;
}

static int document(struct buf bytes, size_t records, struct pack_document *ret, struct err *err)
{
    ret->bytes = bytes.len;
    ret->n_chunks = (uint32_t)(records / PACK_CHUNK_BYTES);
    return sha256(bytes, &ret->digest, err);
}

/* Objects first, then the documents that speak of them: the table is only known when all is packed. */
static int make(struct make *m, const struct flat_objects *objects, struct pack_head *h,
                struct bytes *records, struct err *err)
{
    struct bytes table = {0};
    uint64_t done = 0, packed = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < objects->n; i++) {
        rc = add_object(m, &objects->list[i], &table, err);
        done += objects->list[i].size;
        if (m->in->progress.fn)
            m->in->progress.fn(m->in->progress.arg, done, objects->bytes);
    }
    h->documents_at = m->data_bytes;
    if (rc == 0)
        rc = add_cut(m, &cdc_document, m->in->tree, PACK_RAW, records, &packed, err);
    if (rc == 0)
        rc = document(m->in->tree, records->len, &h->tree, err);
    size_t before = records->len;
    if (rc == 0)
        rc = add_cut(m, &cdc_document, buf_of(table.p, table.len), PACK_RAW, records, &packed, err);
    if (rc == 0)
        rc = document(buf_of(table.p, table.len), records->len - before, &h->table, err);
    free(table.p);
    h->object_bytes = objects->bytes;
    h->data_bytes = m->data_bytes;
    return rc == 0 ? sha256_end(m->hash, &h->data, err) : rc;
}

int pack_full_make(const struct pack_full *p, struct pack_head *ret, struct buf *ret_head, struct err *err)
{
    struct make m = {.in = p, .room = codec_make_bound(PACK_RAW_MAX)};
    struct pack_head h = {.codec = p->codec, .properties = CODEC_PROPS};
    struct flat_objects objects = {0};
    struct bytes records = {0};
    int rc = flat_list(p->tree, &objects, err);

    m.hash = sha256_new();
    for (unsigned i = 0; i < COUNT_OF(m.packed); i++)
        m.packed[i] = mem_need(m.room);
    if (rc == 0)
        rc = make(&m, &objects, &h, &records, err);
    if (rc == 0 && (h.tree.n_chunks > LIM_TREE_CHUNKS || h.table.n_chunks > LIM_TREE_CHUNKS))
        rc = err_set(err, ERR_NOSPACE, "full pack: the image has too many files");
    if (rc == 0) {
        uint8_t *head = mem_need(pack_head_size(&h));
        pack_head_encode(&h, head);
        if (records.len)
            memcpy(head + PACK_HEAD_BYTES, records.p, records.len);
        *ret_head = buf_of(head, pack_head_size(&h));
        *ret = h;
    }
    free(records.p);
    for (unsigned i = 0; i < COUNT_OF(m.packed); i++)
        free(m.packed[i]);
    (void)sha256_free(m.hash);
    flat_list_done(&objects);
    return rc;
}
