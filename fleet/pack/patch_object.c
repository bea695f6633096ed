#include "fleet/pack/patch_object.h"

#include "ota/pack/varint.h"

/* ---- bytes that grow ---- */

void bytes_add(struct bytes *b, const void *p, size_t len)
{
    if (b->len + len > b->room) {
        size_t room = (b->len + len) * 2 + 256;
        uint8_t *more = mem_need(room);
        if (b->len > 0)
            memcpy(more, b->p, b->len);
        free(b->p);
        b->p = more;
        b->room = room;
    }
    if (len > 0)
        memcpy(b->p + b->len, p, len);
    b->len += len;
}

void bytes_number(struct bytes *b, uint64_t v)
{
    uint8_t one[10];
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        one[n++] = (uint8_t)(v | 0x80);
    one[n++] = (uint8_t)v;
    bytes_add(b, one, n);
}

void bytes_done(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes){NULL, 0, 0};
}

/* ---- the head ---- */

static void add_columns(struct bytes *out, const struct cover *c, size_t n)
{
    uint64_t new_at = 0;
    int64_t old_at = 0;

    for (size_t i = 0; i < n; i++) {
        bytes_number(out, c[i].new_at - new_at);
        new_at = (uint64_t)c[i].new_at + c[i].len;
    }
    for (size_t i = 0; i < n; i++)
        bytes_number(out, c[i].len);
    for (size_t i = 0; i < n; i++) {
        bytes_number(out, varint_zigzag((int64_t)c[i].old_at - old_at));
        old_at = (int64_t)c[i].old_at + c[i].len;
    }
}

static void add_anchors(struct bytes *out, const struct patch_anchors *a)
{
    uint64_t old_at = 0;
    int64_t new_at = 0;

    for (size_t i = 0; i < a->n; i++) {
        bytes_number(out, a->c[i].old_at - old_at);
        bytes_number(out, a->c[i].len);
        bytes_number(out, varint_zigzag((int64_t)a->c[i].new_at - new_at));
        old_at = (uint64_t)a->c[i].old_at + a->c[i].len;
        new_at = (int64_t)a->c[i].new_at + a->c[i].len;
    }
}

size_t patch_object_pieces(const struct patch_object *o)
{
    size_t n = o->anchors.n;

    if (!o->predicted)
        return 0;
    for (size_t i = 0; i < o->covers.n; i++)
        n += o->covers.c[i].len >= PREDICT_COVER_MIN;
    return n;
}

/* ---- blocks ---- */

struct build {
    const struct patch_object *o;
    struct bytes *out;
    struct predict *predict; /* NULL: no prediction */
    uint32_t head_len;
    size_t first; /* the first cover that ends behind the block's start */
    uint8_t diff[PATCH_BLOCK], plain[PATCH_BLOCK];
    uint8_t is_new[PATCH_BLOCK];
};

static int read_old(void *arg, uint64_t at, void *dst, size_t len, struct err *err)
{
    const struct patch_object *o = arg;

    if (at > o->old.len || len > o->old.len - at)
        return err_set(err, ERR_INVALID, "old bytes outside of the bases");
    memcpy(dst, o->old.p + at, len);
    return 0;
}

static bool part_of(const struct build *b, size_t i, uint64_t start, uint64_t end, struct cover *ret)
{
    if (i >= b->o->covers.n || b->o->covers.c[i].new_at >= end)
        return false;
    *ret = b->o->covers.c[i];
    if (ret->new_at < start) {
        uint32_t cut = (uint32_t)(start - ret->new_at);
        *ret = (struct cover){ret->new_at + cut, ret->old_at + cut, ret->len - cut};
    }
    if (ret->len > end - ret->new_at)
        ret->len = (uint32_t)(end - ret->new_at);
    return true;
}

/* Differences of [start, end) from the old bytes as they are, into plain, and as they are predicted, into
 * diff. */
static int differences(struct build *b, uint64_t start, uint64_t end, struct err *err)
{
    const uint8_t *fresh = b->o->fresh.p;
    struct cover c;
    int rc = 0;

    memset(b->is_new, 1, end - start);
    for (size_t i = b->first; rc == 0 && part_of(b, i, start, end, &c); i++) {
        for (uint32_t k = 0; k < c.len; k++)
            b->plain[c.new_at - start + k] = (uint8_t)(fresh[c.new_at + k] - b->o->old.p[c.old_at + k]);
        memset(b->is_new + (c.new_at - start), 0, c.len);
        for (uint32_t done = 0, n; rc == 0 && b->predict && start >= b->head_len && done < c.len; done += n) {
            size_t at = c.new_at + done - start, unit_end = (at / PATCH_UNIT + 1) * PATCH_UNIT;
            n = unit_end - at < c.len - done ? (uint32_t)(unit_end - at) : c.len - done;
            rc = predict_bytes(b->predict, c.old_at + done, c.new_at + done, b->diff + at, n, err);
            for (uint32_t k = 0; k < n; k++)
                b->diff[at + k] = (uint8_t)(fresh[c.new_at + done + k] - b->diff[at + k]);
        }
    }
    return rc;
}

/* Per unit the better of both, in diff. Returns the bits of those not predicted. */
static uint8_t choose(struct build *b, size_t len)
{
    uint8_t off = 0;

    for (size_t u = 0; u * PATCH_UNIT < len; u++) {
        size_t end = (u + 1) * PATCH_UNIT < len ? (u + 1) * PATCH_UNIT : len;
        size_t plain = 0, guess = 0;
        for (size_t i = u * PATCH_UNIT; i < end; i++) {
            plain += !b->is_new[i] && b->plain[i] != 0;
            guess += !b->is_new[i] && b->diff[i] != 0;
        }
        if (plain < guess) {
            off |= (uint8_t)(1U << u);
            memcpy(b->diff + u * PATCH_UNIT, b->plain + u * PATCH_UNIT, end - u * PATCH_UNIT);
        }
    }
    return off;
}

/* Runs of equal and different bytes, then the different ones. d: all covered bytes of the block. */
static void add_runs(struct build *b, const uint8_t *d, size_t len)
{
    struct bytes literals = {NULL, 0, 0};
    size_t at = 0;

    while (at < len) {
        size_t equal = at, differ;
        while (equal < len && d[equal] == 0)
            equal++;
        for (differ = equal; differ < len;) { /* up to the next run_min equal ones */
            size_t zeros = differ;
            while (zeros < len && d[zeros] == 0)
                zeros++;
            if (zeros - differ >= b->o->run_min || zeros == len)
                break;
            differ = zeros + 1;
        }
        bytes_number(b->out, equal - at);
        if (equal < len)
            bytes_number(b->out, differ - equal);
        bytes_add(&literals, d + equal, differ - equal);
        at = differ;
    }
    bytes_add(b->out, literals.p, literals.len);
    bytes_done(&literals);
}

static int add_block(struct build *b, uint64_t start, uint64_t end, struct err *err)
{
    const struct cover_list *c = &b->o->covers;
    size_t len = end - start, covered = 0;
    uint8_t *d = b->diff;

    while (b->first < c->n && (uint64_t)c->c[b->first].new_at + c->c[b->first].len <= start)
        b->first++;
    int rc = differences(b, start, end, err);
    if (rc < 0)
        return rc;
    if (b->predict && start >= b->head_len) {
        uint8_t off = choose(b, len);
        bytes_add(b->out, &off, 1);
    } else {
        d = b->plain;
    }
    for (size_t i = 0; i < len; i++) {
        if (!b->is_new[i])
            d[covered++] = d[i];
    }
    if (b->o->runs && covered > 0)
        add_runs(b, d, covered);
    else
        bytes_add(b->out, d, covered);
    for (size_t i = 0; i < len;) {
        size_t n = i;
        while (n < len && b->is_new[n])
            n++;
        bytes_add(b->out, b->o->fresh.p + start + i, n - i);
        i = n > i ? n : i + 1;
    }
    return 0;
}

/* ---- the object ---- */

int patch_object_predict(const struct patch_object *o, struct predict *p, struct err *err)
{
    struct predict_source src = {.n_bases = o->n_bases, .read = read_old, .arg = (void *)(uintptr_t)o};

    for (unsigned i = 0; i < o->n_bases; i++)
        src.sizes[i] = o->bases[i].len;
    int rc = predict_begin(p, &src, err);
    if (rc == 0)
        rc = predict_covers(p, o->covers.c, o->covers.n, err);
    return rc < 0 ? rc : predict_head(p, buf_of(o->fresh.p, predict_head_len(o->fresh)), o->fresh.len, err);
}

static int start_prediction(struct build *b, struct err *err)
{
    const struct patch_object *o = b->o;
    int rc = patch_object_predict(o, b->predict, err);

    b->head_len = predict_head_len(o->fresh);
    bytes_number(b->out, b->head_len);
    bytes_number(b->out, o->anchors.n);
    add_anchors(b->out, &o->anchors);
    for (size_t i = 0; rc == 0 && i < o->anchors.n; i++)
        rc = predict_anchor(b->predict, &o->anchors.c[i], err);
    return rc;
}

int patch_object_build(const struct patch_object *o, struct bytes *ret, struct err *err)
{
    struct predict AUTO_FREE(predict) *predict = o->predicted ? predict_new(patch_object_pieces(o)) : NULL;
    struct build AUTO_MEM *b = mem_need_zero(sizeof(*b));
    uint8_t flags = (uint8_t)((o->predicted ? PATCH_PREDICTED : 0) | (o->runs ? PATCH_RUNS : 0));
    int rc = 0;

    b->o = o;
    b->out = ret;
    b->predict = predict;
    bytes_add(ret, &flags, 1);
    bytes_number(ret, o->covers.n);
    add_columns(ret, o->covers.c, o->covers.n);
    if (o->predicted)
        rc = start_prediction(b, err);
    for (uint64_t at = 0; rc == 0 && at < o->fresh.len;) {
        uint64_t end = at < b->head_len ? b->head_len : (at / PATCH_BLOCK + 1) * PATCH_BLOCK;
        if (end > o->fresh.len)
            end = o->fresh.len;
        rc = add_block(b, at, end, err);
        at = end;
    }
    return rc;
}
