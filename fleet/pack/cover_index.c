#include "fleet/pack/cover_index.h"

#include <divsufsort.h>

#define PAIRS ((size_t)65536)

struct cover_index {
    struct buf old;
    saidx_t *order; /* suffixes of old, sorted */
    uint32_t
        *pair; /* pair[v]: where in order the suffixes begin whose first two bytes are v; PAIRS + 1 of them */
};

/* ---- the index ---- */

static void index_pairs(struct cover_index *m)
{
    size_t n = m->old.len;
    const uint8_t *p = m->old.p;
    uint32_t at = 0;

    memset(m->pair, 0, (PAIRS + 1) * sizeof(*m->pair));
    for (size_t i = 0; i + 1 < n; i++)
        m->pair[(size_t)p[i] << 8 | p[i + 1]]++;
    for (size_t v = 0; v < PAIRS; v++) {
        uint32_t count = m->pair[v];
        if (n > 0 && v == (size_t)p[n - 1] << 8)
            at++; /* the last byte alone sorts before all pairs that begin with it */
        m->pair[v] = at;
        at += count;
    }
    m->pair[PAIRS] = at;
}

int cover_index_new(struct buf old, struct cover_index **ret, struct err *err)
{
    if (old.len > COVER_OLD_MAX)
        return err_set(err, ERR_INVALID, "%zu old bytes are too many to match against", old.len);
    struct cover_index AUTO_FREE(cover_index) *m = mem_need_zero(sizeof(*m));
    m->old = old;
    m->order = malloc((old.len + 1) * sizeof(*m->order));
    m->pair = mem_need((PAIRS + 1) * sizeof(*m->pair));
    if (!m->order)
        return err_set(err, ERR_NOMEM, "no memory to match against %zu bytes", old.len);
    if (old.len > 0 && divsufsort(old.p, m->order, (saidx_t)old.len) != 0)
        return err_set(err, ERR_NOMEM, "no memory to sort %zu bytes", old.len);
    index_pairs(m);
    *ret = steal_ptr(&m);
    return 0;
}

struct cover_index *cover_index_free(struct cover_index *m)
{
    if (m) {
        free(m->order);
        free(m->pair);
    }
    free(m);
    return NULL;
}

/* Equal bytes of a and b from their start, the first `from` of which are known to be. */
static size_t common(struct buf a, struct buf b, size_t from)
{
    size_t n = a.len < b.len ? a.len : b.len, i = from;

    for (; i + 8 <= n; i += 8) {
        uint64_t x, y;
        memcpy(&x, a.p + i, 8);
        memcpy(&y, b.p + i, 8);
        if (x != y)
            break;
    }
    while (i < n && a.p[i] == b.p[i])
        i++;
    return i;
}

static struct buf suffix(const struct cover_index *m, size_t i)
{
    size_t at = (size_t)m->order[i];

    return buf_of(m->old.p + at, m->old.len - at);
}

size_t cover_index_longest(const struct cover_index *m, struct buf bytes, uint32_t *ret_at)
{
    if (bytes.len < 2)
        return 0;
    size_t v = (size_t)bytes.p[0] << 8 | bytes.p[1], lo = m->pair[v], hi = m->pair[v + 1];
    size_t at_lo = 2, at_hi = 2, best = 0, best_at = 0;

    /* the pair after this one may begin behind a suffix of one byte */
    while (hi > lo && suffix(m, hi - 1).len < 2)
        hi--;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        struct buf s = suffix(m, mid);
        size_t n = common(s, bytes, at_lo < at_hi ? at_lo : at_hi);
        if (n > best) {
            best = n;
            best_at = (size_t)m->order[mid];
        }
        if (n == bytes.len)
            break;
        if (n == s.len || s.p[n] < bytes.p[n]) {
            lo = mid + 1;
            at_lo = n;
        } else {
            hi = mid;
            at_hi = n;
        }
    }
    *ret_at = (uint32_t)best_at;
    return best;
}

/* ---- covers ---- */

static void add(struct cover_list *m, size_t *room, struct cover c)
{
    if (c.len == 0)
        return;
    if (m->n == *room) {
        *room = *room * 2 + 64;
        struct cover *more = mem_need(*room * sizeof(*more));
        if (m->n > 0)
            memcpy(more, m->c, m->n * sizeof(*more));
        free(m->c);
        m->c = more;
    }
    m->c[m->n++] = c;
}

/* How far an alignment extends from (new_at, old_at): the length with the most equal above half of the
 * bytes. */
static size_t grow_on(struct buf a, struct buf b)
{
    size_t n = a.len < b.len ? a.len : b.len, best = 0;
    long score = 0, best_score = 0;

    for (size_t i = 0; i < n; i++) {
        score += a.p[i] == b.p[i] ? 1 : -1;
        if (score > best_score) {
            best_score = score;
            best = i + 1;
        }
    }
    return best;
}

/* The same backwards from the ends of a and b. */
static size_t grow_back(struct buf a, struct buf b)
{
    size_t n = a.len < b.len ? a.len : b.len, best = 0;
    long score = 0, best_score = 0;

    for (size_t i = 1; i <= n; i++) {
        score += a.p[a.len - i] == b.p[b.len - i] ? 1 : -1;
        if (score > best_score) {
            best_score = score;
            best = i;
        }
    }
    return best;
}

/* Two neighbours both want `over` bytes: how many of them stay with the first. */
static size_t share(struct buf fresh, const uint8_t *first, const uint8_t *second, size_t over)
{
    long score = 0, best_score = 0;
    size_t best = 0;

    for (size_t i = 0; i < over; i++) {
        score += (fresh.p[i] == first[i]) - (fresh.p[i] == second[i]);
        if (score > best_score) {
            best_score = score;
            best = i + 1;
        }
    }
    return best;
}

struct scan {
    const struct cover_index *m;
    struct buf fresh; /* the new bytes */
    struct cover_list *ret;
    size_t room;
    size_t new_at, old_at; /* where the last alignment begins that is not yet a cover */
};

static struct buf from(struct buf b, size_t at)
{
    return at < b.len ? buf_of(b.p + at, b.len - at) : buf_of(b.p, 0);
}

/* The last alignment grows on, the next one (new_at, old_at) grows back, and the last becomes a cover. */
static void settle(struct scan *s, size_t new_at, size_t old_at)
{
    struct buf old = s->m->old;
    struct buf gap = buf_of(s->fresh.p + s->new_at, new_at - s->new_at);
    size_t on = grow_on(gap, from(old, s->old_at)), back = 0;

    if (new_at < s->fresh.len)
        back = grow_back(gap, buf_of(old.p, old_at));
    if (on + back > gap.len) {
        size_t over = on + back - gap.len;
        size_t keep =
            share(from(s->fresh, new_at - back), old.p + s->old_at + on - over, old.p + old_at - back, over);
        on = on - over + keep;
        back -= keep;
    }
    add(s->ret, &s->room, (struct cover){(uint32_t)s->new_at, (uint32_t)s->old_at, (uint32_t)on});
    s->new_at = new_at - back;
    s->old_at = old_at - back;
}

static bool same(const struct scan *s, size_t at)
{
    size_t o = at - s->new_at + s->old_at;

    return o < s->m->old.len && s->m->old.p[o] == s->fresh.p[at];
}

/* A match counts when it explains clearly more than extending the last alignment would. */
static void scan_like(struct scan *s)
{
    const size_t clearly = 8;
    size_t at = 0, len = 0, scored = 0, old_score = 0;
    uint32_t found = 0;

    while (at < s->fresh.len) {
        at += len;
        scored = at;
        old_score = 0;
        for (; at < s->fresh.len; at++) {
            len = cover_index_longest(s->m, from(s->fresh, at), &found);
            for (; scored < at + len; scored++)
                old_score += same(s, scored);
            if ((len == old_score && len > 0) || len > old_score + clearly)
                break;
            old_score -= scored > at && same(s, at);
            if (scored == at)
                scored++;
        }
        if (len != old_score || at >= s->fresh.len)
            settle(s, at < s->fresh.len ? at : s->fresh.len, at < s->fresh.len ? found : 0);
    }
}

/* Longest first come, first served; a match one byte further on wins when it is longer by more. */
static void scan_exact(struct scan *s)
{
    const size_t least = 24;
    uint32_t found = 0, next = 0;

    for (size_t at = 0; at < s->fresh.len;) {
        struct buf here = from(s->fresh, at);
        size_t len = common(from(s->m->old, s->old_at + (at - s->new_at)), here, 0);
        found = (uint32_t)(s->old_at + (at - s->new_at));
        if (len < least)
            len = cover_index_longest(s->m, here, &found);
        if (len < least) {
            at++;
            continue;
        }
        while (at + 1 < s->fresh.len && len < 256) {
            size_t n = cover_index_longest(s->m, from(s->fresh, at + 1), &next);
            if (n < len + 2)
                break;
            at++;
            len = n;
            found = next;
        }
        add(s->ret, &s->room, (struct cover){(uint32_t)at, found, (uint32_t)len});
        at += len;
        s->new_at = at;
        s->old_at = found + len;
    }
}

int cover_index_make(const struct cover_index *m, struct buf new_bytes, enum cover_how how,
                     struct cover_list *ret, struct err *err)
{
    struct cover_list out = {NULL, 0};
    struct scan s = {.m = m, .fresh = new_bytes, .ret = &out};

    if (new_bytes.len > UINT32_MAX)
        return err_set(err, ERR_INVALID, "a file of %zu bytes is too large for a patch", new_bytes.len);
    if (m->old.len > 0 && how == COVER_EXACT)
        scan_exact(&s);
    else if (m->old.len > 0)
        scan_like(&s);
    *ret = out;
    return 0;
}

static int by_len(const void *a, const void *b)
{
    const struct cover *x = a, *y = b;

    if (x->len != y->len)
        return x->len < y->len ? 1 : -1;
    return (x->new_at > y->new_at) - (x->new_at < y->new_at);
}

static int by_place(const void *a, const void *b)
{
    const struct cover *x = a, *y = b;

    return (x->new_at > y->new_at) - (x->new_at < y->new_at);
}

void cover_index_thin(struct cover_list *m, size_t max)
{
    if (m->n <= max)
        return;
    qsort(m->c, m->n, sizeof(*m->c), by_len);
    m->n = max;
    qsort(m->c, m->n, sizeof(*m->c), by_place);
}
