/* patch_normal.c - executables with their addresses made comparable. The first covers, found among bytes that
 * moved addresses disturb, say where addresses went; with every address written as the one of the old file,
 * the second ones are better. */
#include "fleet/pack/patch_object.h"
#include "ota/pack/predict_int.h"

struct normal {
    const struct patch_object *o;
    struct predict *predict;
    struct cover *anchors; /* in order of new_at */
    const struct elf *elf; /* the file under way: */
    uint8_t *to, *section; /* its copy, and the section's place there */
    unsigned image;
    bool is_new;
};

static int by_new(const void *a, const void *b)
{
    const struct cover *x = a, *y = b;

    return (x->new_at > y->new_at) - (x->new_at < y->new_at);
}

/* The last of c[n] that begins at or before new_key; NULL: none. */
static const struct cover *before(const struct cover *c, size_t n, uint64_t new_key)
{
    size_t lo = 0;

    while (lo < n) {
        size_t mid = lo + (n - lo) / 2;
        if (c[mid].new_at <= new_key)
            lo = mid + 1;
        else
            n = mid;
    }
    return lo > 0 ? &c[lo - 1] : NULL;
}

/* Where a new offset was in the old bytes. What is new gets a number that no old one has. */
static uint64_t came_from(const struct normal *k, uint64_t key)
{
    const struct patch_object *o = k->o;
    const struct cover *c = before(k->anchors, o->anchors.n, key);

    if (c && key - c->new_at < c->len)
        return c->old_at + (key - c->new_at);
    if (key >= o->fresh.len)
        return o->old.len + (key - o->fresh.len);
    c = before(o->covers.c, o->covers.n, key);
    return c ? c->old_at + (key - c->new_at) : key + (1U << 31);
}

static bool key_of(const struct normal *k, uint64_t va, uint64_t *ret)
{
    if (!k->is_new)
        return predict_old_key(k->predict, k->image, va, ret);
    if (!predict_new_key(k->predict, va, ret))
        return false;
    *ret = came_from(k, *ret);
    return true;
}

static void write_site(void *arg, const struct site *s)
{
    const struct normal *k = arg;
    uint64_t key = s->target, base = 0;

    if (s->field == FIELD_FILE64 || !key_of(k, s->target, &key) ||
        (s->base > 0 && !key_of(k, s->base, &base)))
        return;
    predict_field_fill(s, k->section + s->at, key - base);
}

static void write_file(struct normal *k, struct buf file)
{
    for (unsigned i = 0; i < k->elf->n_sections; i++) {
        const struct elf_section *s = &k->elf->sections[i];
        struct window w = {k->elf, s, file.p + s->at, s->len, s->va, 0};
        if (s->at > file.len || s->len > file.len - s->at)
            continue;
        k->section = k->to + s->at;
        predict_window_sites(&w, write_site, k);
    }
}

static int read_bytes(void *arg, uint64_t at, void *dst, size_t len, struct err *err)
{
    const struct buf *b = arg;

    if (at > b->len || len > b->len - at)
        return err_set(err, ERR_INVALID, "bytes outside of a file");
    memcpy(dst, b->p + at, len);
    return 0;
}

static int write_one(struct normal *k, struct buf file, uint8_t *to, struct err *err)
{
    struct elf elf;
    struct predict_source src = {.n_bases = 1, .sizes = {file.len}, .read = read_bytes, .arg = &file};
    int rc = predict_elf_read(&src, 0, file.len, &elf, err);

    k->elf = &elf;
    k->to = to;
    if (rc == 0 && elf.machine != ELF_NONE)
        write_file(k, file);
    k->elf = NULL;
    return rc;
}

int patch_normal(const struct patch_object *o, uint8_t **ret_old, uint8_t **ret_new, struct err *err)
{
    struct predict AUTO_FREE(predict) *predict = predict_new(o->covers.n + 1);
    struct cover AUTO_MEM *anchors = mem_need((o->anchors.n + 1) * sizeof(*anchors));
    uint8_t AUTO_MEM *old = mem_need(o->old.len + 1), AUTO_MEM *fresh = mem_need(o->fresh.len + 1);
    struct normal k = {.o = o, .predict = predict, .anchors = anchors};
    uint64_t at = 0;

    memcpy(old, o->old.p, o->old.len);
    memcpy(fresh, o->fresh.p, o->fresh.len);
    if (o->anchors.n > 0) {
        memcpy(anchors, o->anchors.c, o->anchors.n * sizeof(*anchors));
        qsort(anchors, o->anchors.n, sizeof(*anchors), by_new);
    }
    int rc = patch_object_predict(o, predict, err);
    for (; rc == 0 && k.image < o->n_bases; at += o->bases[k.image++].len)
        rc = write_one(&k, o->bases[k.image], old + at, err);
    k.is_new = true;
    if (rc == 0)
        rc = write_one(&k, o->fresh, fresh, err);
    if (rc < 0)
        return rc;
    *ret_old = steal_ptr(&old);
    *ret_new = steal_ptr(&fresh);
    return 0;
}
