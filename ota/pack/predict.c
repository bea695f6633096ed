#include "ota/pack/predict.h"

#include "ota/pack/predict_int.h"

#define BEFORE     256U  /* bytes of context in a window before its piece: the code leading up to it */
#define BEFORE_X64 64U   /* a dozen instructions, to synchronise the decoder */
#define BEFORE_ARM 1120U /* a literal pool is loaded from up to 1 KiB before it */
#define AFTER      64U
/* an address between two covers moves with the one before it, if that is no farther */
#define FAR (1U << 20)

struct image {
    uint64_t at, size; /* in the old bytes */
    uint64_t bss_key;  /* old offset of its .bss */
    struct elf elf;
};

struct predict {
    size_t max, n, n_anchors; /* of map: covers first, ordered by old_at; then anchors, ordered by old_at */
    unsigned n_images;
    struct predict_source src;
    uint64_t new_size;
    struct elf fresh;
    struct image images[PATCH_BASES];
    uint8_t old[BEFORE_ARM + PREDICT_PIECE + AFTER], out[BEFORE_ARM + PREDICT_PIECE + AFTER];
    struct cover map[];
};

size_t predict_memory(size_t max_pieces)
{
    return sizeof(struct predict) + max_pieces * sizeof(struct cover);
}

struct predict *predict_new(size_t max_pieces)
{
    struct predict *p = mem_need_zero(predict_memory(max_pieces));

    p->max = max_pieces;
    return p;
}

struct predict *predict_free(struct predict *p)
{
    free(p);
    return NULL;
}

uint32_t predict_head_len(struct buf start)
{
    return predict_elf_head_len(start);
}

/* ---- one object ---- */

int predict_begin(struct predict *p, const struct predict_source *src, struct err *err)
{
    uint64_t at = 0;
    int rc = 0;

    p->n = p->n_anchors = 0;
    p->src = *src;
    p->n_images = src->n_bases;
    for (unsigned i = 0; rc == 0 && i < src->n_bases; i++) {
        struct image *m = &p->images[i];
        m->at = at;
        m->size = src->sizes[i];
        at += m->size;
        rc = predict_elf_read(src, m->at, m->size, &m->elf, err);
    }
    for (unsigned i = 0; i < p->n_images; i++) {
        p->images[i].bss_key = at;
        at += p->images[i].elf.bss_len;
    }
    return rc;
}

int predict_head(struct predict *p, struct buf head, uint64_t new_size, struct err *err)
{
    p->new_size = new_size;
    return predict_elf_head(head, &p->fresh)
               ? 0
               : err_set(err, ERR_INVALID, "no executable that addresses are known of");
}

/* Order by old_at; of those with the same start the longest first. */
static bool less(const struct cover *a, const struct cover *b)
{
    if (a->old_at != b->old_at)
        return a->old_at < b->old_at;
    if (a->len != b->len)
        return a->len > b->len;
    return a->new_at < b->new_at;
}

static void sift(struct cover *c, size_t n, size_t i)
{
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= n)
            return;
        if (k + 1 < n && less(&c[k], &c[k + 1]))
            k++;
        if (!less(&c[i], &c[k]))
            return;
        struct cover t = c[i];
        c[i] = c[k];
        c[k] = t;
        i = k;
    }
}

/* In place, and never slow. */
static void sort(struct cover *c, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(c, n, i);
    while (n > 1) {
        n--;
        struct cover t = c[0];
        c[0] = c[n];
        c[n] = t;
        sift(c, n, 0);
    }
}

static uint64_t old_end(const struct cover *c)
{
    return (uint64_t)c->old_at + c->len;
}

/* Sorted covers may overlap: the longer one keeps the common bytes. Returns how many are left in c. */
static size_t settle(struct cover *c, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        struct cover v = c[i];
        while (kept > 0 && v.len > 0 && v.old_at < old_end(&c[kept - 1])) {
            struct cover *last = &c[kept - 1];
            if (old_end(&v) <= old_end(last)) {
                v.len = 0;
            } else if (v.len > last->len) {
                last->len = v.old_at > last->old_at ? v.old_at - last->old_at : 0;
                kept -= last->len == 0;
            } else {
                uint32_t cut = (uint32_t)(old_end(last) - v.old_at);
                v = (struct cover){v.new_at + cut, v.old_at + cut, v.len - cut};
            }
        }
        if (v.len > 0)
            c[kept++] = v;
    }
    return kept;
}

int predict_covers(struct predict *p, const struct cover *covers, size_t n, struct err *err)
{
    size_t have = 0;

    for (size_t i = 0; i < n; i++) {
        if (covers[i].len < PREDICT_COVER_MIN)
            continue;
        if (have == p->max)
            return err_set(err, ERR_INVALID, "more than %zu pieces of an address map", p->max);
        p->map[have++] = covers[i];
    }
    sort(p->map, have);
    p->n = settle(p->map, have);
    p->n_anchors = 0;
    return 0;
}

int predict_anchor(struct predict *p, const struct cover *anchor, struct err *err)
{
    struct cover *to = &p->map[p->n + p->n_anchors];

    if (p->n + p->n_anchors >= p->max)
        return err_set(err, ERR_INVALID, "more than %zu pieces of an address map", p->max);
    if (anchor->len == 0 || (p->n_anchors > 0 && anchor->old_at < old_end(to - 1)))
        return err_set(err, ERR_INVALID, "the anchors are not in order");
    *to = *anchor;
    p->n_anchors++;
    return 0;
}

/* ---- the map ---- */

/* The last of c[n] that starts at or before key; NULL: none. */
static const struct cover *before(const struct cover *c, size_t n, uint64_t key)
{
    size_t lo = 0;

    while (lo < n) {
        size_t mid = lo + (n - lo) / 2;
        if (c[mid].old_at <= key)
            lo = mid + 1;
        else
            n = mid;
    }
    return lo > 0 ? &c[lo - 1] : NULL;
}

bool predict_map(const struct predict *p, uint64_t old_key, uint64_t *ret)
{
    const struct cover *c = before(p->map + p->n, p->n_anchors, old_key);

    if (c && old_key < old_end(c)) {
        *ret = c->new_at + (old_key - c->old_at);
        return true;
    }
    for (unsigned i = 0; i < p->n_images; i++) {
        const struct image *m = &p->images[i];
        if (old_key >= m->bss_key && old_key - m->bss_key <= m->elf.bss_len) {
            *ret = p->new_size + (old_key - m->bss_key);
            return true;
        }
    }
    c = before(p->map, p->n, old_key);
    if (!c || old_key - c->old_at > (uint64_t)c->len + FAR)
        return false;
    *ret = c->new_at + (old_key - c->old_at);
    return *ret < p->new_size;
}

bool predict_old_key(const struct predict *p, unsigned image, uint64_t va, uint64_t *ret)
{
    const struct image *m = &p->images[image];

    if (predict_elf_va_to_at(&m->elf, va, ret)) {
        *ret += m->at;
        return *ret < m->at + m->size;
    }
    if (m->elf.bss_len == 0 || va < m->elf.bss_va || va - m->elf.bss_va > m->elf.bss_len)
        return false;
    *ret = m->bss_key + (va - m->elf.bss_va);
    return true;
}

bool predict_new_key(const struct predict *p, uint64_t va, uint64_t *ret)
{
    if (predict_elf_va_to_at(&p->fresh, va, ret))
        return *ret < p->new_size;
    if (p->fresh.bss_len == 0 || va < p->fresh.bss_va || va - p->fresh.bss_va > p->fresh.bss_len)
        return false;
    *ret = p->new_size + (va - p->fresh.bss_va);
    return true;
}

static bool new_va(const struct predict *p, uint64_t key, uint64_t *ret)
{
    if (key < p->new_size)
        return predict_elf_at_to_va(&p->fresh, key, ret);
    *ret = p->fresh.bss_va + (key - p->new_size);
    return p->fresh.bss_len > 0 && key - p->new_size <= p->fresh.bss_len;
}

/* Maps an image's old address to its new one. */
static bool moved(const struct predict *p, unsigned image, uint64_t va, uint64_t *ret)
{
    uint64_t key;

    return predict_old_key(p, image, va, &key) && predict_map(p, key, &key) && new_va(p, key, ret);
}

/* ---- a piece ---- */

/* The part of a cover within one section, or in none. */
struct part {
    unsigned image;
    const struct elf_section *section; /* NULL: none, or nothing to predict */
    uint64_t at;                       /* in the image */
    uint32_t new_at;
    size_t len;
};

static struct part part_of(const struct predict *p, uint32_t old_at, uint32_t new_at, size_t len)
{
    struct part t = {.new_at = new_at, .len = len};

    while (t.image + 1 < p->n_images && old_at >= p->images[t.image].at + p->images[t.image].size)
        t.image++;
    const struct image *m = &p->images[t.image];
    t.at = old_at - m->at;
    if (t.len > m->size - t.at)
        t.len = (size_t)(m->size - t.at);
    for (unsigned i = 0; m->elf.machine == p->fresh.machine && i < m->elf.n_sections; i++) {
        const struct elf_section *s = &m->elf.sections[i];
        uint64_t end = (uint64_t)s->at + s->len;
        if (t.at >= end)
            continue;
        if (t.at < s->at) {
            t.len = t.len < s->at - t.at ? t.len : (size_t)(s->at - t.at);
            return t;
        }
        t.len = t.len < end - t.at ? t.len : (size_t)(end - t.at);
        t.section = s;
        return t;
    }
    return t;
}

struct view {
    struct predict *p;
    struct window w;
    struct predict_look look;
    look_fn *fn; /* NULL: rewrite */
    void *arg;
};

/* Read the window of a part. *ret_use false: nothing can be predicted there. */
static int view_open(struct view *v, const struct part *t, bool *ret_use, struct err *err)
{
    struct predict *p = v->p;
    const struct elf_section *s = t->section;
    const struct image *m = &p->images[t->image];
    uint64_t in = t->at - s->at, left = s->len - in - t->len, at_va = 0;
    size_t lead = p->fresh.machine == ELF_ARM   ? BEFORE_ARM
                  : p->fresh.machine == ELF_X64 ? BEFORE_X64
                                                : BEFORE;
    size_t from = in < lead ? (size_t)in : lead, tail = left < AFTER ? (size_t)left : AFTER;

    *ret_use = s->va == 0 || predict_elf_at_to_va(&p->fresh, t->new_at, &at_va);
    if (s->what == ELF_CODE &&
        (at_va - (s->va + in)) & (p->fresh.machine == ELF_A64 ? 3 : p->fresh.machine != ELF_X64))
        *ret_use = false;
    v->w = (struct window){&m->elf, s, p->old, from + t->len + tail, s->va + in - from, (size_t)in - from};
    v->look = (struct predict_look){.window = &v->w,
                                    .new_va = at_va - from,
                                    .from = from,
                                    .to = from + t->len,
                                    .new_at = t->new_at,
                                    .image = t->image};
    return p->src.read(p->src.arg, m->at + t->at - from, p->old, v->w.len, err);
}

static void rewrite(void *arg, const struct site *s)
{
    struct view *v = arg;
    struct predict *p = v->p;
    uint64_t target, base = 0, key;

    if (s->at >= v->look.to || s->at + predict_field_bytes((enum field)s->field) <= v->look.from)
        return;
    if (s->field == FIELD_FILE64) {
        const struct image *m = &p->images[v->look.image];
        if (s->target < m->size && predict_map(p, m->at + s->target, &key) && key < p->new_size)
            (void)predict_field_put(s, p->out + s->at, 0, key, 0);
        return;
    }
    if (!moved(p, v->look.image, s->target, &target) ||
        (s->base > 0 && !moved(p, v->look.image, s->base, &base)))
        return;
    (void)predict_field_put(s, p->out + s->at, v->look.new_va + s->at, target, base);
}

static void look_at(void *arg, const struct site *s)
{
    struct view *v = arg;
    struct predict *p = v->p;

    if (s->at < v->look.from + s->back || s->at + predict_field_bytes((enum field)s->field) > v->look.to)
        return;
    if (s->field == FIELD_FILE64 || !predict_old_key(p, v->look.image, s->target, &v->look.old_key))
        return;
    v->look.base_va = 0;
    if (s->base == 0 || moved(p, v->look.image, s->base, &v->look.base_va))
        v->fn(v->arg, &v->look, s);
}

/* Call fn for the sites of each part; with dst also write the bytes to it. */
static int each_part(struct predict *p, uint32_t old_at, uint32_t new_at, uint8_t *dst, size_t len,
                     struct view *v, struct err *err)
{
    int rc = 0;

    for (size_t done = 0; rc == 0 && done < len;) {
        struct part t = part_of(p, old_at + (uint32_t)done, new_at + (uint32_t)done, len - done);
        bool use = false;
        if (t.len == 0)
            return err_set(err, ERR_INVALID, "a cover is outside of its bases");
        if (t.section)
            rc = view_open(v, &t, &use, err);
        if (rc == 0 && use && dst)
            memcpy(p->out, p->old, v->w.len);
        if (rc == 0 && use)
            predict_window_sites(&v->w, dst ? rewrite : look_at, v);
        if (rc == 0 && use && dst)
            memcpy(dst + done, p->out + v->look.from, t.len);
        else if (rc == 0 && dst)
            rc = p->src.read(p->src.arg, old_at + done, dst + done, t.len, err);
        done += t.len;
    }
    return rc;
}

int predict_bytes(struct predict *p, uint32_t old_at, uint32_t new_at, uint8_t *dst, size_t len,
                  struct err *err)
{
    struct view v = {.p = p};

    if (len > PREDICT_PIECE)
        return err_set(err, ERR_INVALID, "a piece of %zu bytes", len);
    return each_part(p, old_at, new_at, dst, len, &v, err);
}

int predict_look(struct predict *p, uint32_t old_at, uint32_t new_at, size_t len, look_fn *fn, void *arg,
                 struct err *err)
{
    struct view v = {.p = p, .fn = fn, .arg = arg};

    return each_part(p, old_at, new_at, NULL, len, &v, err);
}
