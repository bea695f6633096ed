/* patch_anchor.c - anchors of an object: every address in a copied piece of old code votes for where it went
 * in the new file; where most votes for one target disagree with the map, an anchor says so. */
#include "fleet/pack/patch_object.h"
#include "ota/pack/predict_int.h"

#define NEAR 4096U /* keys of one anchor lie no farther apart */
#define PAYS 3U    /* votes that an anchor must win: it costs about four bytes */

struct vote {
    uint64_t old_key, new_key;
};

struct votes {
    const struct patch_object *o;
    struct predict *predict;
    struct vote *v;
    size_t n, room;
};

static void look(void *arg, const struct predict_look *l, const struct site *s)
{
    struct votes *vs = arg;
    const uint8_t *fresh = vs->o->fresh.p + l->new_at + (s->at - l->from);
    uint64_t target, key;

    if (!predict_field_get(s, fresh, l->window->p + s->at, l->new_va + s->at, l->base_va, &target) ||
        !predict_new_key(vs->predict, target, &key))
        return;
    if (vs->n == vs->room) {
        vs->room = vs->room * 2 + 4096;
        struct vote *more = mem_need(vs->room * sizeof(*more));
        if (vs->n > 0)
            memcpy(more, vs->v, vs->n * sizeof(*more));
        free(vs->v);
        vs->v = more;
    }
    vs->v[vs->n++] = (struct vote){l->old_key, key};
}

static int by_keys(const void *a, const void *b)
{
    const struct vote *x = a, *y = b;

    if (x->old_key != y->old_key)
        return x->old_key < y->old_key ? -1 : 1;
    return (x->new_key > y->new_key) - (x->new_key < y->new_key);
}

/* The votes for one old key, which begin at *at: where most go, and how many more these are than for what the
 * map says. */
static struct vote winner(const struct votes *vs, size_t *at, size_t *ret_gain)
{
    uint64_t key = vs->v[*at].old_key, mapped = UINT64_MAX;
    size_t best = 0, as_mapped = 0;
    struct vote w = vs->v[*at];

    (void)predict_map(vs->predict, key, &mapped);
    while (*at < vs->n && vs->v[*at].old_key == key) {
        uint64_t to = vs->v[*at].new_key;
        size_t n = 0;
        for (; *at < vs->n && vs->v[*at].old_key == key && vs->v[*at].new_key == to; n++)
            ++*at;
        if (to == mapped)
            as_mapped = n;
        if (n > best || (n == best && to == mapped)) {
            best = n;
            w.new_key = to;
        }
    }
    *ret_gain = w.new_key == mapped ? 0 : best - as_mapped;
    return w;
}

struct found {
    struct cover c;
    size_t gain;
};

static int by_gain(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    if (x->gain != y->gain)
        return x->gain < y->gain ? 1 : -1;
    return (x->c.old_at > y->c.old_at) - (x->c.old_at < y->c.old_at);
}

static int by_old(const void *a, const void *b)
{
    const struct cover *x = a, *y = b;

    return (x->old_at > y->old_at) - (x->old_at < y->old_at);
}

/* Runs of keys that went the same way, into f; returns how many. */
static size_t runs(const struct votes *vs, struct found *f)
{
    struct found run = {.gain = 0};
    size_t n = 0;

    for (size_t at = 0; at < vs->n;) {
        size_t gain = 0;
        struct vote w = winner(vs, &at, &gain);
        uint64_t end = (uint64_t)run.c.old_at + run.c.len;
        if (w.old_key > UINT32_MAX - 1 || w.new_key > UINT32_MAX - NEAR)
            break;
        if (run.c.len > 0 && w.old_key < end + NEAR && w.old_key - run.c.old_at == w.new_key - run.c.new_at) {
            run.c.len = (uint32_t)(w.old_key - run.c.old_at + 1);
            run.gain += gain;
            continue;
        }
        if (run.gain >= PAYS)
            f[n++] = run;
        run = (struct found){.gain = gain};
        if (gain > 0)
            run.c = (struct cover){(uint32_t)w.new_key, (uint32_t)w.old_key, 1};
    }
    if (run.gain >= PAYS)
        f[n++] = run;
    return n;
}

int patch_anchor_find(struct patch_object *o, size_t max, struct err *err)
{
    struct predict AUTO_FREE(predict) *predict = predict_new(o->covers.n + 1);
    struct votes vs = {.o = o, .predict = predict};
    int rc = patch_object_predict(o, predict, err);

    for (size_t i = 0; rc == 0 && i < o->covers.n; i++) {
        const struct cover *c = &o->covers.c[i];
        for (uint32_t done = 0; rc == 0 && done < c->len; done += PREDICT_PIECE) {
            uint32_t n = c->len - done < PREDICT_PIECE ? c->len - done : PREDICT_PIECE;
            rc = predict_look(predict, c->old_at + done, c->new_at + done, n, look, &vs, err);
        }
    }
    if (rc == 0 && vs.n > 0) {
        struct found AUTO_MEM *f = mem_need(vs.n * sizeof(*f));
        qsort(vs.v, vs.n, sizeof(*vs.v), by_keys);
        size_t n = runs(&vs, f);
        qsort(f, n, sizeof(*f), by_gain);
        n = n < max ? n : max;
        o->anchors = (struct patch_anchors){mem_need((n + 1) * sizeof(struct cover)), n};
        for (size_t i = 0; i < n; i++)
            o->anchors.c[i] = f[i].c;
        qsort(o->anchors.c, n, sizeof(struct cover), by_old);
    }
    free(vs.v);
    return rc;
}
