#include "ota/pack/patch.h"

#include <errno.h>
#include <sys/stat.h>

#include "ota/pack/varint.h"
#include "platform/crypto.h"

#define IN_BYTES  ((size_t)16 * 1024)
#define RAW_BYTES ((size_t)4 * 1024)
#define OLD_BYTES ((size_t)4 * 1024) /* read from an old file at once even if less is wanted */

struct patch {
    int fd;
    struct patch_head head;
    /* the segments */
    uint32_t segment;             /* the next one */
    uint64_t table_at, at;        /* in the pack: of the next segment's table row, of the next read */
    uint64_t raw_left;            /* of the stream, not in segments opened so far */
    uint32_t packed_left, raw_of; /* of the open segment: still to read, still to unpack */
    struct codec *codec;
    struct buf in;          /* packed bytes in in_bytes */
    size_t raw_at, raw_len; /* unpacked bytes in raw */
    uint8_t in_bytes[IN_BYTES], raw[RAW_BYTES], old[OLD_BYTES];
    /* the current object */
    const struct patch_base *bases;
    unsigned n_bases;
    uint64_t old_size, new_size;
    unsigned old_of;         /* which base the bytes in old are from */
    uint64_t old_at, old_to; /* their range in it */
    bool predicted, runs;
    uint32_t head_len;
    uint32_t n_covers, first; /* first: the first cover that ends after the block's start */
    struct cover *covers;
    struct predict *predict;
    uint8_t differs[PATCH_BLOCK / 8]; /* one bit per byte of the block */
    uint8_t out[PATCH_BLOCK];
};

/* ---- the beginning ---- */

size_t patch_memory(enum pack_codec codec, uint32_t max_covers, uint32_t max_pieces, bool predicted)
{
    return sizeof(struct patch) + codec_memory(codec) + (size_t)max_covers * sizeof(struct cover) +
           (predicted ? predict_memory(max_pieces) : 0);
}

static int broken(struct err *err, const char *what)
{
    return err_set(err, ERR_INVALID, "patch pack: %s", what);
}

static int read_at(int fd, uint64_t at, void *dst, size_t len, const char *what, struct err *err)
{
    uint8_t *to = dst;

    while (len > 0) {
        ssize_t n = pread(fd, to, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "read %s", what);
        if (n == 0)
            return err_set(err, ERR_IO, "read %s: it is shorter than announced", what);
        to += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

/* Do the lengths in the segment table add up to the file and the stream? */
static int check_table(struct patch *p, struct err *err)
{
    const uint64_t per_read = IN_BYTES / PATCH_SEGMENT_BYTES;
    uint64_t packed = p->at, raw = 0;
    size_t max = codec_segment_max(p->head.codec);
    struct stat st;

    for (uint64_t i = 0; i < p->head.segments; i++) {
        const uint8_t *line = p->in_bytes + i % per_read * PATCH_SEGMENT_BYTES;
        if (i % per_read == 0) {
            uint64_t n = p->head.segments - i < per_read ? p->head.segments - i : per_read;
            int rc = read_at(p->fd, p->table_at + i * PATCH_SEGMENT_BYTES, p->in_bytes,
                             (size_t)n * PATCH_SEGMENT_BYTES, "the pack's table", err);
            if (rc < 0)
                return rc;
        }
        uint32_t one_packed = u32_get(line), one_raw = u32_get(line + 4);
        if (one_packed == 0 || one_packed > 2 * max || one_raw == 0 || one_raw > max)
            return broken(err, "a segment's length is out of range");
        packed += one_packed;
        raw += one_raw;
    }
    if (fstat(p->fd, &st) != 0)
        return err_errno(err, errno, "patch pack");
    if (raw != p->head.raw_bytes || packed != (uint64_t)st.st_size)
        return broken(err, "the segments' lengths do not make up the pack");
    return 0;
}

int patch_new(int pack_fd, struct patch **ret, struct err *err)
{
    uint8_t head[PATCH_HEAD_BYTES];
    struct patch_head h = {.segments = 0};
    int rc = read_at(pack_fd, 0, head, sizeof(head), "the pack's head", err);

    if (rc == 0)
        rc = patch_head_decode(head, &h, err);
    if (rc < 0)
        return rc;
    struct patch AUTO_FREE(patch) *p = mem_need_zero(sizeof(*p));
    p->fd = pack_fd;
    p->head = h;
    p->table_at = PATCH_HEAD_BYTES;
    p->at = PATCH_HEAD_BYTES + (uint64_t)h.segments * PATCH_SEGMENT_BYTES;
    p->raw_left = h.raw_bytes;
    if (h.max_covers > 0)
        p->covers = mem_need(h.max_covers * sizeof(*p->covers));
    if (h.predicted)
        p->predict = predict_new(h.max_pieces);
    rc = check_table(p, err);
    if (rc == 0)
        rc = codec_new(h.codec, &p->codec, err);
    if (rc == 0 && h.codec == PACK_LZMA)
        rc = codec_set_props(p->codec, h.props, err);
    if (rc == 0)
        *ret = steal_ptr(&p);
    return rc;
}

struct patch *patch_free(struct patch *p)
{
    if (p) {
        (void)codec_free(p->codec);
        (void)predict_free(p->predict);
        free(p->covers);
    }
    free(p);
    return NULL;
}

const struct patch_head *patch_head(const struct patch *p)
{
    return &p->head;
}

/* ---- the raw stream ---- */

static int in_more(struct patch *p, struct err *err)
{
    size_t n = p->packed_left < IN_BYTES ? p->packed_left : IN_BYTES;
    int rc = read_at(p->fd, p->at, p->in_bytes, n, "the pack", err);

    if (rc < 0)
        return rc;
    p->at += n;
    p->packed_left -= (uint32_t)n;
    p->in = buf_of(p->in_bytes, n);
    return 0;
}

static int segment_hash(struct patch *p, struct digest *ret, struct err *err)
{
    struct sha256 AUTO_FREE(sha256) *h = sha256_new();
    uint64_t at = p->at;
    uint32_t left = p->packed_left;
    int rc = 0;

    while (rc == 0 && p->packed_left > 0) {
        rc = in_more(p, err);
        if (rc == 0)
            rc = sha256_add(h, p->in, err);
    }
    p->at = at;
    p->packed_left = left;
    p->in.len = 0;
    return rc < 0 ? rc : sha256_end(h, ret, err);
}

static int segment_open(struct patch *p, struct err *err)
{
    uint8_t line[PATCH_SEGMENT_BYTES];
    struct digest want, have;

    if (p->segment == p->head.segments)
        return broken(err, "the stream ends too early");
    int rc = read_at(p->fd, p->table_at, line, sizeof(line), "the pack's table", err);
    if (rc < 0)
        return rc;
    p->packed_left = u32_get(line);
    uint32_t raw = u32_get(line + 4);
    memcpy(want.b, line + 8, sizeof(want.b));
    rc = segment_hash(p, &have, err);
    if (rc == 0 && !digest_eq(&want, &have))
        return err_set(err, ERR_INTEGRITY, "patch pack: segment %u has another hash", p->segment);
    if (rc == 0 && raw > p->raw_left)
        return broken(err, "the table has changed");
    if (rc == 0)
        rc = codec_begin(p->codec, raw, err);
    if (rc < 0)
        return rc;
    p->raw_of = raw;
    p->raw_left -= raw;
    p->segment++;
    p->table_at += PATCH_SEGMENT_BYTES;
    return 0;
}

/* The open segment is unpacked: nothing may be left over. */
static int segment_close(struct patch *p, struct err *err)
{
    int rc = 0;

    if (p->packed_left > IN_BYTES) /* far more than an end marker */
        return broken(err, "a segment has bytes behind its end");
    if (p->in.len > 0 && p->packed_left > 0) { /* the end marker, split across two reads */
        uint8_t tail[64];
        size_t had = p->in.len;
        if (had + p->packed_left > sizeof(tail))
            return broken(err, "a segment has bytes behind its end");
        memcpy(tail, p->in.p, had);
        rc = read_at(p->fd, p->at, tail + had, p->packed_left, "the pack", err);
        if (rc == 0)
            rc = codec_end(p->codec, buf_of(tail, had + p->packed_left), err);
        p->at += p->packed_left;
        p->packed_left = 0;
    } else {
        rc = p->packed_left > 0 ? in_more(p, err) : 0;
        if (rc == 0)
            rc = codec_end(p->codec, p->in, err);
    }
    p->in.len = 0;
    return rc;
}

/* Get more bytes into raw, at least one. */
static int raw_more(struct patch *p, struct err *err)
{
    size_t n = 0;
    int rc = 0;

    p->raw_at = p->raw_len = 0;
    if (p->raw_of == 0)
        rc = segment_open(p, err);
    while (rc == 0 && n == 0) {
        if (p->in.len == 0 && p->packed_left > 0)
            rc = in_more(p, err);
        size_t had = p->in.len;
        if (rc == 0)
            rc = codec_step(p->codec, &p->in, p->raw, RAW_BYTES, &n, err);
        if (rc == 0 && n == 0 && p->packed_left == 0 && (had == 0 || p->in.len == had))
            return broken(err, "a segment is cut off");
    }
    if (rc < 0)
        return rc;
    p->raw_len = n;
    p->raw_of -= (uint32_t)n;
    return p->raw_of == 0 ? segment_close(p, err) : 0;
}

static int get_bytes(struct patch *p, uint8_t *dst, size_t len, struct err *err)
{
    while (len > 0) {
        if (p->raw_at == p->raw_len) {
            int rc = raw_more(p, err);
            if (rc < 0)
                return rc;
        }
        size_t n = p->raw_len - p->raw_at < len ? p->raw_len - p->raw_at : len;
        memcpy(dst, p->raw + p->raw_at, n);
        p->raw_at += n;
        dst += n;
        len -= n;
    }
    return 0;
}

static int get_number(struct patch *p, uint64_t max, uint64_t *ret, struct err *err)
{
    uint64_t v = 0;

    for (unsigned shift = 0;; shift += 7) {
        uint8_t b;
        int rc = get_bytes(p, &b, 1, err);
        if (rc < 0)
            return rc;
        if (shift > 56)
            return broken(err, "a number is too long");
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            break;
    }
    if (v > max)
        return broken(err, "a number is out of range");
    *ret = v;
    return 0;
}

/* ---- the head of an object ---- */

/* Columns of covers or anchors: gaps, lengths, distances; the sides end at new_end and old_end. */
static int get_covers(struct patch *p, struct cover *c, uint32_t n, uint64_t new_end, uint64_t old_end,
                      struct err *err)
{
    uint64_t v, new_at = 0, old_at = 0;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        rc = get_number(p, new_end, &v, err);
        if (rc == 0)
            c[i].new_at = (uint32_t)v;
    }
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        rc = get_number(p, new_end, &v, err);
        if (rc < 0)
            return rc;
        new_at += c[i].new_at;
        if (v == 0 || new_at + v > new_end)
            return broken(err, "a cover is out of range");
        c[i] = (struct cover){.new_at = (uint32_t)new_at, .len = (uint32_t)v};
        new_at += v;
    }
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        rc = get_number(p, 4 * PATCH_SIZE_MAX, &v, err);
        if (rc < 0)
            return rc;
        old_at += (uint64_t)varint_signed(v);
        if (old_at > old_end || c[i].len > old_end - old_at)
            return broken(err, "a cover is outside of its bases");
        c[i].old_at = (uint32_t)old_at;
        old_at += c[i].len;
    }
    return rc;
}

/* Read len bytes of base i. Covers are many and short, and mostly adjacent. */
static int base_read_one(struct patch *p, unsigned i, uint64_t at, void *dst, size_t len, struct err *err)
{
    uint64_t left = p->bases[i].size - at;
    int rc = 0;

    if (len > OLD_BYTES / 2)
        return read_at(p->bases[i].fd, at, dst, len, "an old file", err);
    if (p->old_of != i || at < p->old_at || at + len > p->old_to) {
        p->old_of = i;
        p->old_at = at;
        p->old_to = at + (left < OLD_BYTES ? left : OLD_BYTES);
        rc = read_at(p->bases[i].fd, at, p->old, (size_t)(p->old_to - at), "an old file", err);
    }
    if (rc == 0)
        memcpy(dst, p->old + (at - p->old_at), len);
    return rc;
}

static int base_read(void *arg, uint64_t at, void *dst, size_t len, struct err *err)
{
    struct patch *p = arg;
    uint8_t *to = dst;

    for (unsigned i = 0; i < p->n_bases && len > 0; i++) {
        if (at >= p->bases[i].size) {
            at -= p->bases[i].size;
            continue;
        }
        size_t n = p->bases[i].size - at < len ? (size_t)(p->bases[i].size - at) : len;
        int rc = base_read_one(p, i, at, to, n, err);
        if (rc < 0)
            return rc;
        to += n;
        len -= n;
        at = 0;
    }
    return len == 0 ? 0 : broken(err, "a cover is outside of its bases");
}

static int object_head(struct patch *p, struct err *err)
{
    uint8_t flags;
    uint64_t n;
    int rc = get_bytes(p, &flags, 1, err);

    if (rc == 0)
        rc = get_number(p, p->head.max_covers, &n, err);
    if (rc < 0)
        return rc;
    p->predicted = flags & PATCH_PREDICTED;
    p->runs = flags & PATCH_RUNS;
    if (flags & ~(PATCH_PREDICTED | PATCH_RUNS) || (p->predicted && !p->predict))
        return broken(err, "unknown flags of an object");
    p->n_covers = (uint32_t)n;
    p->first = 0;
    p->head_len = 0;
    return get_covers(p, p->covers, p->n_covers, p->new_size, p->old_size, err);
}

/* ---- blocks ---- */

/* The part of cover i within [from, to) of the new file; false: none, and none of later covers. */
static bool part_of(const struct patch *p, uint32_t i, uint64_t from, uint64_t to, struct cover *ret)
{
    if (i >= p->n_covers || p->covers[i].new_at >= to)
        return false;
    *ret = p->covers[i];
    if (ret->new_at < from) {
        uint32_t cut = (uint32_t)(from - ret->new_at);
        *ret = (struct cover){ret->new_at + cut, ret->old_at + cut, ret->len - cut};
    }
    if (ret->len > to - ret->new_at)
        ret->len = (uint32_t)(to - ret->new_at);
    return true;
}

/* Copy the old bytes of one part to their place; off: which units are not predicted. */
static int part_read(struct patch *p, const struct cover *c, uint64_t from, uint8_t off, struct err *err)
{
    uint32_t done = 0;
    int rc = 0;

    while (rc == 0 && done < c->len) {
        size_t at = c->new_at + done - from;
        size_t n = c->len - done;
        if (!p->predicted || off == 0xff) {
            rc = base_read(p, (uint64_t)c->old_at + done, p->out + at, n, err);
        } else {
            size_t unit = at / PATCH_UNIT;
            n = (unit + 1) * PATCH_UNIT - at < n ? (unit + 1) * PATCH_UNIT - at : n;
            rc = off >> unit & 1
                     ? base_read(p, (uint64_t)c->old_at + done, p->out + at, n, err)
                     : predict_bytes(p->predict, c->old_at + done, c->new_at + done, p->out + at, n, err);
        }
        done += (uint32_t)n;
    }
    return rc;
}

/* Mark which covered bytes of the block differ, as bits. */
static int get_runs(struct patch *p, uint64_t from, uint64_t to, uint64_t covered, struct err *err)
{
    struct cover c;
    uint64_t equal = 0, differ = 0;

    memset(p->differs, 0, sizeof(p->differs));
    for (uint32_t i = p->first; part_of(p, i, from, to, &c); i++) {
        for (size_t at = c.new_at - from; c.len > 0;) {
            if (equal == 0 && differ == 0) {
                int rc = get_number(p, covered, &equal, err);
                if (rc == 0 && equal < covered)
                    rc = get_number(p, covered - equal, &differ, err);
                if (rc < 0)
                    return rc;
                if (equal + differ == 0)
                    return broken(err, "an empty run");
                covered -= equal + differ;
            }
            uint64_t *run = equal > 0 ? &equal : &differ;
            uint32_t n = *run < c.len ? (uint32_t)*run : c.len;
            for (size_t b = at; run == &differ && b < at + n; b++)
                p->differs[b / 8] |= (uint8_t)(1U << b % 8);
            *run -= n;
            at += n;
            c.len -= n;
        }
    }
    return 0;
}

/* Add the differences of one part: n bytes at out[at]. */
static int add_differences(struct patch *p, size_t at, size_t n, struct err *err)
{
    for (size_t i = at; i < at + n; i++) {
        if (p->runs && !(p->differs[i / 8] >> i % 8 & 1)) {
            if (p->differs[i / 8] == 0)
                i |= 7; /* none of these eight */
            continue;
        }
        if (p->raw_at == p->raw_len) {
            int rc = raw_more(p, err);
            if (rc < 0)
                return rc;
        }
        p->out[i] = (uint8_t)(p->out[i] + p->raw[p->raw_at++]);
    }
    return 0;
}

/* Read the new bytes of the block: everything outside covers. */
static int get_new(struct patch *p, uint64_t from, uint64_t to, struct err *err)
{
    uint64_t at = from;
    struct cover c;
    int rc = 0;

    for (uint32_t i = p->first; rc == 0 && part_of(p, i, from, to, &c); i++) {
        rc = get_bytes(p, p->out + (at - from), (size_t)(c.new_at - at), err);
        at = (uint64_t)c.new_at + c.len;
    }
    return rc < 0 ? rc : get_bytes(p, p->out + (at - from), (size_t)(to - at), err);
}

static int block(struct patch *p, uint64_t from, uint64_t to, struct err *err)
{
    uint64_t covered = 0;
    uint8_t off = 0xff;
    struct cover c;
    int rc = 0;

    while (p->first < p->n_covers && (uint64_t)p->covers[p->first].new_at + p->covers[p->first].len <= from)
        p->first++;
    if (p->predicted && from >= p->head_len)
        rc = get_bytes(p, &off, 1, err);
    for (uint32_t i = p->first; rc == 0 && part_of(p, i, from, to, &c); i++) {
        covered += c.len;
        rc = part_read(p, &c, from, off, err);
    }
    if (rc == 0 && p->runs && covered > 0)
        rc = get_runs(p, from, to, covered, err);
    for (uint32_t i = p->first; rc == 0 && part_of(p, i, from, to, &c); i++)
        rc = add_differences(p, c.new_at - from, c.len, err);
    return rc < 0 ? rc : get_new(p, from, to, err);
}

/* What prediction needs in addition to covers. */
static int get_anchors(struct patch *p, struct predict_source *src, struct err *err)
{
    uint64_t head_len = 0, n = 0;
    int rc = get_number(p, PREDICT_HEAD_MAX, &head_len, err);

    if (rc == 0)
        rc = get_number(p, p->head.max_pieces, &n, err);
    *src = (struct predict_source){.n_bases = p->n_bases, .read = base_read, .arg = p};
    for (unsigned i = 0; i < p->n_bases; i++)
        src->sizes[i] = p->bases[i].size;
    if (rc == 0)
        rc = predict_begin(p->predict, src, err);
    if (rc == 0)
        rc = predict_covers(p->predict, p->covers, p->n_covers, err);
    for (uint64_t i = 0, new_at = 0, old_at = 0; rc == 0 && i < n; i++) {
        uint64_t gap = 0, len = 0, new_way = 0;
        rc = get_number(p, PATCH_SIZE_MAX, &gap, err);
        if (rc == 0)
            rc = get_number(p, PATCH_SIZE_MAX, &len, err);
        if (rc == 0)
            rc = get_number(p, 4 * PATCH_SIZE_MAX, &new_way, err);
        if (rc < 0)
            return rc;
        old_at += gap;
        new_at += (uint64_t)varint_signed(new_way);
        if (old_at > UINT32_MAX || len > UINT32_MAX - old_at || new_at > UINT32_MAX ||
            len > UINT32_MAX - new_at)
            return broken(err, "an anchor is out of range");
        struct cover c = {(uint32_t)new_at, (uint32_t)old_at, (uint32_t)len};
        rc = predict_anchor(p->predict, &c, err);
        old_at += len;
        new_at += len;
    }
    if (rc == 0 && (head_len > p->new_size || (head_len == 0 && p->new_size > 0)))
        return broken(err, "a head is out of range");
    p->head_len = (uint32_t)head_len;
    return rc;
}

int patch_object(struct patch *p, const struct patch_base *bases, unsigned n_bases, uint64_t new_size,
                 int (*sink)(void *arg, struct buf bytes, struct err *err), void *arg, struct err *err)
{
    p->bases = bases;
    p->n_bases = n_bases;
    p->new_size = new_size;
    p->old_size = p->old_to = 0;
    if (n_bases > PATCH_BASES || new_size > PATCH_SIZE_MAX)
        return broken(err, "an object is out of range");
    for (unsigned i = 0; i < n_bases; i++) {
        if (bases[i].size > PATCH_SIZE_MAX - p->old_size)
            return broken(err, "the bases are too large");
        p->old_size += bases[i].size;
    }
    struct predict_source src;
    int rc = object_head(p, err);
    if (rc == 0 && p->predicted)
        rc = get_anchors(p, &src, err);
    for (uint64_t at = 0; rc == 0 && at < new_size;) {
        uint64_t to = at < p->head_len ? p->head_len : (at / PATCH_BLOCK + 1) * PATCH_BLOCK;
        if (to > new_size)
            to = new_size;
        rc = block(p, at, to, err);
        if (rc == 0 && at < p->head_len)
            rc = predict_head(p->predict, buf_of(p->out, p->head_len), new_size, err);
        if (rc == 0)
            rc = sink(arg, buf_of(p->out, (size_t)(to - at)), err);
        at = to;
    }
    return rc;
}

int patch_end(struct patch *p, struct err *err)
{
    if (p->segment < p->head.segments || p->raw_of > 0 || p->raw_at < p->raw_len)
        return broken(err, "the stream continues after the last object");
    return 0;
}
