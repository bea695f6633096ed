#include "fleet/pack/patch_make.h"

#include "fleet/pack/codec_make.h"
#include "fleet/pack/patch_object.h"
#include "platform/crypto.h"
#include "platform/fs.h"

#define PASSES 2 /* of matching with comparable addresses: each finds more of them */

struct patch_make {
    enum pack_codec codec;
    int fd;
    bool predict;
    size_t segment_max;
    struct patch_head head;
    struct bytes raw; /* of the segment under way */
    struct bytes table, packed;
    uint8_t *room; /* for one packed segment */
};

int patch_make_new(enum pack_codec codec, int out_fd, struct patch_make **ret, struct err *err)
{
    if (!codec_known(codec) || codec_segment_max(codec) == 0)
        return err_set(err, ERR_UNSUPPORTED, "no patch packs with codec %s", pack_codec_name(codec));
    struct patch_make *m = mem_need_zero(sizeof(*m));
    m->codec = codec;
    m->fd = out_fd;
    m->predict = true;
    m->segment_max = codec_segment_max(codec);
    m->head = (struct patch_head){.codec = codec, .props = CODEC_PROPS};
    m->room = mem_need(codec_make_bound(m->segment_max));
    *ret = m;
    return 0;
}

struct patch_make *patch_make_free(struct patch_make *m)
{
    if (m) {
        bytes_done(&m->raw);
        bytes_done(&m->table);
        bytes_done(&m->packed);
        free(m->room);
    }
    free(m);
    return NULL;
}

void patch_make_predict(struct patch_make *m, bool predict)
{
    m->predict = predict;
}

/* ---- segments ---- */

static void put_u32(struct bytes *b, uint32_t v)
{
    uint8_t one[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};

    bytes_add(b, one, sizeof(one));
}

static int segment_close(struct patch_make *m, struct err *err)
{
    size_t n = 0;
    struct digest d;
    int rc = codec_make_segment(m->codec, m->head.props, buf_of(m->raw.p, m->raw.len), m->room,
                                codec_make_bound(m->segment_max), &n, err);

    if (rc == 0)
        rc = sha256(buf_of(m->room, n), &d, err);
    if (rc < 0)
        return rc;
    put_u32(&m->table, (uint32_t)n);
    put_u32(&m->table, (uint32_t)m->raw.len);
    bytes_add(&m->table, d.b, sizeof(d.b));
    bytes_add(&m->packed, m->room, n);
    m->head.segments++;
    m->head.raw_bytes += m->raw.len;
    m->raw.len = 0;
    return 0;
}

static int stream_add(struct patch_make *m, struct buf bytes, struct err *err)
{
    int rc = 0;

    while (rc == 0 && bytes.len > 0) {
        size_t n = m->segment_max - m->raw.len < bytes.len ? m->segment_max - m->raw.len : bytes.len;
        bytes_add(&m->raw, bytes.p, n);
        bytes = buf_of(bytes.p + n, bytes.len - n);
        if (m->raw.len == m->segment_max)
            rc = segment_close(m, err);
    }
    return rc;
}

/* What a stream would be alone, packed. */
static int packed_size(struct patch_make *m, struct buf stream, uint64_t *ret, struct err *err)
{
    int rc = 0;

    *ret = 0;
    while (rc == 0 && stream.len > 0) {
        size_t n = stream.len < m->segment_max ? stream.len : m->segment_max, len = 0;
        rc = codec_make_segment(m->codec, m->head.props, buf_of(stream.p, n), m->room,
                                codec_make_bound(m->segment_max), &len, err);
        *ret += len;
        stream = buf_of(stream.p + n, stream.len - n);
    }
    return rc;
}

/* ---- an object: try ways, keep the smallest ---- */

struct best {
    struct bytes stream;
    uint64_t packed;
    struct cover_list covers;
    struct patch_anchors anchors;
    size_t pieces;
    bool predicted, any;
};

static struct cover *copy_of(const struct cover *c, size_t n)
{
    struct cover *copy = mem_need((n + 1) * sizeof(*copy));

    if (n > 0)
        memcpy(copy, c, n * sizeof(*copy));
    return copy;
}

static void best_done(struct best *b)
{
    bytes_done(&b->stream);
    free(b->covers.c);
    free(b->anchors.c);
}

static int try_object(struct patch_make *m, const struct patch_object *o, struct best *best, struct err *err)
{
    struct bytes stream = {NULL, 0, 0};
    uint64_t packed = 0;
    int rc = patch_object_build(o, &stream, err);

    if (rc == 0)
        rc = packed_size(m, buf_of(stream.p, stream.len), &packed, err);
    if (rc < 0 || (best->any && packed >= best->packed)) {
        bytes_done(&stream);
        return rc;
    }
    struct best now = {.stream = stream,
                       .packed = packed,
                       .covers = {copy_of(o->covers.c, o->covers.n), o->covers.n},
                       .anchors = {copy_of(o->anchors.c, o->anchors.n), o->anchors.n},
                       .pieces = patch_object_pieces(o),
                       .predicted = o->predicted,
                       .any = true};
    best_done(best);
    *best = now;
    return 0;
}

/* The best way once more without runs: zeros are sent as they are, which LZMA sometimes packs better. */
static int try_without_runs(struct patch_make *m, const struct patch_object *o, struct best *best,
                            struct err *err)
{
    struct patch_object as = *o;
    struct best was = *best;

    as.covers = was.covers;
    as.anchors = was.anchors;
    as.predicted = was.predicted;
    as.runs = false;
    best->covers.c = copy_of(was.covers.c, was.covers.n);
    best->anchors.c = copy_of(was.anchors.c, was.anchors.n);
    int rc = try_object(m, &as, best, err);
    free(was.covers.c);
    free(was.anchors.c);
    return rc;
}

static int find_anchors(struct patch_object *o, struct err *err)
{
    size_t pieces = patch_object_pieces(o);

    return pieces < LIM_PATCH_COVERS ? patch_anchor_find(o, LIM_PATCH_COVERS - pieces, err) : 0;
}

static bool can_predict(const struct patch_make *m, const struct patch_object *o)
{
    return m->predict && predict_head_len(o->fresh) > 0;
}

static void drop_covers(struct patch_object *o)
{
    free(steal_ptr(&o->covers.c));
    free(steal_ptr(&o->anchors.c));
    o->covers.n = o->anchors.n = 0;
}

/* With these covers: predicted or not, with anchors or without. */
static int try_covers(struct patch_make *m, struct patch_object *o, bool plain, struct best *best,
                      struct err *err)
{
    int rc = 0;

    cover_index_thin(&o->covers, LIM_PATCH_COVERS);
    o->run_min = 4;
    o->runs = true;
    o->predicted = false;
    if (plain)
        rc = try_object(m, o, best, err);
    if (rc < 0 || !can_predict(m, o))
        return rc;
    o->predicted = true;
    rc = try_object(m, o, best, err);
    if (rc == 0)
        rc = find_anchors(o, err);
    return rc == 0 && o->anchors.n > 0 ? try_object(m, o, best, err) : rc;
}

/* Once more, with covers of bytes in which addresses are comparable. */
static int try_normal(struct patch_make *m, struct patch_object *o, struct best *best, struct err *err)
{
    uint8_t AUTO_MEM *old = NULL, AUTO_MEM *fresh = NULL;
    struct cover_index AUTO_FREE(cover_index) *index = NULL;
    int rc = patch_normal(o, &old, &fresh, err);

    drop_covers(o);
    if (rc == 0)
        rc = cover_index_new(buf_of(old, o->old.len), &index, err);
    if (rc == 0)
        rc = cover_index_make(index, buf_of(fresh, o->fresh.len), COVER_LIKE, &o->covers, err);
    return rc < 0 ? rc : try_covers(m, o, false, best, err);
}

static int try_matches(struct patch_make *m, struct patch_object *o, struct best *best, struct err *err)
{
    struct cover_index AUTO_FREE(cover_index) *index = NULL;
    int rc = cover_index_new(o->old, &index, err);

    if (rc == 0)
        rc = cover_index_make(index, o->fresh, COVER_LIKE, &o->covers, err);
    if (rc == 0)
        rc = try_covers(m, o, true, best, err);
    for (int pass = 0; rc == 0 && can_predict(m, o) && pass < PASSES; pass++)
        rc = try_normal(m, o, best, err);
    drop_covers(o);
    if (rc == 0 && !can_predict(m, o)) {
        rc = cover_index_make(index, o->fresh, COVER_EXACT, &o->covers, err);
        if (rc == 0)
            rc = try_covers(m, o, true, best, err);
        drop_covers(o);
    }
    return rc < 0 ? rc : try_without_runs(m, o, best, err);
}

int patch_make_object(struct patch_make *m, const struct buf *bases, unsigned n_bases, struct buf new_bytes,
                      struct patch_cost *ret, struct err *err)
{
    struct patch_object o = {.bases = bases, .n_bases = n_bases, .fresh = new_bytes};
    struct bytes joined = {NULL, 0, 0};
    struct best best = {.any = false};
    uint64_t old_len = 0;

    for (unsigned i = 0; i < n_bases; i++)
        old_len += bases[i].len;
    if (n_bases > PATCH_BASES || new_bytes.len > PATCH_SIZE_MAX || old_len > PATCH_SIZE_MAX)
        return err_set(err, ERR_INVALID, "a patch takes %d bases and files below 4 GiB", PATCH_BASES);
    for (unsigned i = 0; n_bases > 1 && i < n_bases; i++)
        bytes_add(&joined, bases[i].p, bases[i].len);
    o.old = n_bases > 1 ? buf_of(joined.p, joined.len) : n_bases == 1 ? bases[0] : buf_of(NULL, 0);
    int rc = 0;
    if (o.old.len == 0 || o.old.len > COVER_OLD_MAX || new_bytes.len == 0)
        rc = try_object(m, &o, &best, err);
    else
        rc = try_matches(m, &o, &best, err);
    if (rc == 0)
        rc = stream_add(m, buf_of(best.stream.p, best.stream.len), err);
    if (rc == 0) {
        m->head.max_covers =
            best.covers.n > m->head.max_covers ? (uint32_t)best.covers.n : m->head.max_covers;
        m->head.max_pieces = best.pieces > m->head.max_pieces ? (uint32_t)best.pieces : m->head.max_pieces;
        m->head.predicted |= best.predicted;
        if (ret)
            *ret = (struct patch_cost){best.stream.len, best.packed, (uint32_t)best.covers.n,
                                       (uint32_t)best.anchors.n, best.predicted};
    }
    best_done(&best);
    bytes_done(&joined);
    return rc;
}

int patch_make_end(struct patch_make *m, uint64_t *ret_bytes, struct err *err)
{
    uint8_t head[PATCH_HEAD_BYTES];
    int rc = m->raw.len > 0 ? segment_close(m, err) : 0;

    /* to the next 16 KiB: structures of another machine may be somewhat larger */
    size_t memory = patch_memory(m->codec, m->head.max_covers, m->head.max_pieces, m->head.predicted);
    m->head.memory = (uint32_t)((memory / 16384 + 1) * 16384);
    patch_head_encode(&m->head, head);
    if (rc == 0)
        rc = fs_write_full(m->fd, buf_of(head, sizeof(head)), err);
    if (rc == 0)
        rc = fs_write_full(m->fd, buf_of(m->table.p, m->table.len), err);
    if (rc == 0)
        rc = fs_write_full(m->fd, buf_of(m->packed.p, m->packed.len), err);
    if (rc == 0)
        *ret_bytes = sizeof(head) + m->table.len + m->packed.len;
    return rc;
}
