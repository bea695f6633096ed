#include "fleet/similar.h"

#include "platform/limits.h"

#define WINDOW 16

/* ---- features ---- */

static uint32_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9e3779b97f4a7c15ULL + b * 0xc2b2ae3d27d4eb4fULL;

    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9ULL;
    return (uint32_t)(x >> 32);
}

/* Into a heap whose top is the largest of the smallest. */
static void sift(uint32_t *h, unsigned n, unsigned i)
{
    for (;;) {
        unsigned c = 2 * i + 1;
        if (c >= n)
            return;
        if (c + 1 < n && h[c + 1] > h[c])
            c++;
        if (h[i] >= h[c])
            return;
        uint32_t t = h[i];
        h[i] = h[c];
        h[c] = t;
        i = c;
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static unsigned sort_once(uint32_t *h, unsigned n)
{
    unsigned kept = 0;

    if (n > 0)
        qsort(h, n, sizeof(*h), by_value);
    for (unsigned i = 0; i < n; i++) {
        if (kept == 0 || h[kept - 1] != h[i])
            h[kept++] = h[i];
    }
    return kept;
}

void similar_features(struct buf bytes, struct similar_features *ret)
{
    enum { ROOM = 4 * SIMILAR_FEATURES }; /* the same window often comes many times */
    uint32_t h[ROOM];
    unsigned n = 0;

    for (size_t i = 0; i + WINDOW <= bytes.len; i++) {
        uint64_t a, b;
        memcpy(&a, bytes.p + i, 8);
        memcpy(&b, bytes.p + i + 8, 8);
        if (a == b && (a == 0 || a == UINT64_MAX))
            continue; /* padding says nothing */
        uint32_t v = mix(a, b);
        if (n < ROOM) {
            h[n++] = v;
            if (n == ROOM)
                n = sort_once(h, n);
            if (n == ROOM) {
                for (unsigned k = ROOM / 2; k-- > 0;)
                    sift(h, n, k);
            }
        } else if (v < h[0]) {
            h[0] = v;
            sift(h, n, 0);
        }
    }
    n = sort_once(h, n);
    ret->n = n < SIMILAR_FEATURES ? n : SIMILAR_FEATURES;
    memcpy(ret->h, h, ret->n * sizeof(*h));
}

/* ---- the index ---- */

struct entry {
    uint32_t h, file;
};

struct similar {
    const struct similar_file *files;
    size_t n, n_features, n_names;
    struct entry *features; /* sorted */
    struct entry *paths, *names,
        *plain;       /* hashes: of the path, of the last part, of the path without numbers; sorted */
    uint32_t *shared; /* per file, of the file asked for */
};

static int by_hash(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->h != y->h)
        return x->h < y->h ? -1 : 1;
    return (x->file > y->file) - (x->file < y->file);
}

static uint32_t text_hash(const char *s, bool without_numbers)
{
    uint32_t h = 2166136261U;
    bool digit = false;

    for (; *s; s++) {
        bool is = *s >= '0' && *s <= '9';
        if (without_numbers && is && digit)
            continue;
        digit = is;
        h = (h ^ (uint8_t)(without_numbers && is ? '0' : *s)) * 16777619U;
    }
    return h;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

struct similar *similar_new(const struct similar_file *files, size_t n)
{
    struct similar *s = mem_need_zero(sizeof(*s));
    size_t at = 0;

    s->files = files;
    s->n = n;
    for (size_t i = 0; i < n; i++)
        s->n_features += files[i].features->n;
    s->features = mem_need((s->n_features + 1) * sizeof(*s->features));
    s->paths = mem_need((n + 1) * sizeof(*s->paths));
    s->names = mem_need((n + 1) * sizeof(*s->names));
    s->plain = mem_need((n + 1) * sizeof(*s->plain));
    s->shared = mem_need((n + 1) * sizeof(*s->shared));
    for (size_t i = 0; i < n; i++) {
        for (unsigned k = 0; k < files[i].features->n; k++)
            s->features[at++] = (struct entry){files[i].features->h[k], (uint32_t)i};
        s->paths[i] = (struct entry){text_hash(files[i].path, false), (uint32_t)i};
        s->names[i] = (struct entry){text_hash(last_part(files[i].path), false), (uint32_t)i};
        s->plain[i] = (struct entry){text_hash(files[i].path, true), (uint32_t)i};
    }
    qsort(s->features, s->n_features, sizeof(*s->features), by_hash);
    qsort(s->paths, n, sizeof(*s->paths), by_hash);
    qsort(s->names, n, sizeof(*s->names), by_hash);
    qsort(s->plain, n, sizeof(*s->plain), by_hash);
    return s;
}

struct similar *similar_free(struct similar *s)
{
    if (s) {
        free(s->features);
        free(s->paths);
        free(s->names);
        free(s->plain);
        free(s->shared);
    }
    free(s);
    return NULL;
}

/* The first entry of e[n] that is not below h. */
static size_t lower(const struct entry *e, size_t n, uint32_t h)
{
    size_t lo = 0;

    while (lo < n) {
        size_t mid = lo + (n - lo) / 2;
        if (e[mid].h < h)
            lo = mid + 1;
        else
            n = mid;
    }
    return lo;
}

/* ---- the choice ---- */

/* A feature that hundreds of files have says nothing. */
#define COMMON 200

static void count_shared(struct similar *s, const struct similar_features *f, const bool *done)
{
    memset(s->shared, 0, s->n * sizeof(*s->shared));
    for (unsigned k = 0; k < f->n; k++) {
        size_t at = lower(s->features, s->n_features, f->h[k]), end = at;
        while (end < s->n_features && s->features[end].h == f->h[k] && end - at <= COMMON)
            end++;
        for (; !done[k] && end - at <= COMMON && at < end; at++)
            s->shared[s->features[at].file]++;
    }
}

/* How many of the features of f could be found in o at all: those below what o still lists. */
static unsigned comparable(const struct similar_features *f, const struct similar_features *o)
{
    unsigned n = 0;

    if (o->n < SIMILAR_FEATURES)
        return f->n;
    while (n < f->n && f->h[n] <= o->h[o->n - 1])
        n++;
    return n;
}

/* Share of the new file that old file i holds, in 1/1000. */
static unsigned share(const struct similar *s, const struct similar_file *file, size_t i)
{
    unsigned all = comparable(file->features, s->files[i].features);

    /* one or two may be chance */
    return all == 0 || (s->shared[i] < 3 && all > 8) ? 0 : s->shared[i] * 1000 / all;
}

static bool listed(const size_t *list, unsigned n, size_t i)
{
    for (unsigned k = 0; k < n; k++) {
        if (list[k] == i)
            return true;
    }
    return false;
}

/* Of the files named like this one, the one that shares most (a bonus above the others). */
static void best_named(const struct similar *s, const struct similar_file *file, const struct entry *e,
                       uint32_t h, unsigned bonus, size_t *best, unsigned *best_score)
{
    for (size_t at = lower(e, s->n, h), n = 0; at < s->n && e[at].h == h && n < COMMON; at++, n++) {
        unsigned score = share(s, file, e[at].file) + bonus;
        if (score > *best_score) {
            *best_score = score;
            *best = e[at].file;
        }
    }
}

static unsigned first_base(struct similar *s, const struct similar_file *file, const bool *done, size_t *ret)
{
    unsigned best_score = 20; /* less shared content than that is not worth a look */

    count_shared(s, file->features, done);
    for (size_t i = 0; i < s->n; i++) {
        unsigned score = s->shared[i] > 0 ? share(s, file, i) : 0;
        if (score > best_score) {
            best_score = score;
            *ret = i;
        }
    }
    best_named(s, file, s->names, text_hash(last_part(file->path), false), 100, ret, &best_score);
    best_named(s, file, s->plain, text_hash(file->path, true), 200, ret, &best_score);
    best_named(s, file, s->paths, text_hash(file->path, false), 300, ret, &best_score);
    return best_score > 20;
}

/* Strike out the features of f that file i has. */
static void strike(const struct similar *s, size_t i, const struct similar_features *f, bool *done)
{
    const struct similar_features *o = s->files[i].features;

    for (unsigned k = 0, j = 0; k < f->n; k++) {
        while (j < o->n && o->h[j] < f->h[k])
            j++;
        done[k] |= j < o->n && o->h[j] == f->h[k];
    }
}

unsigned similar_bases(struct similar *s, const struct similar_file *file, size_t ret[PATCH_BASES])
{
    bool done[SIMILAR_FEATURES] = {false};
    uint64_t more = 0;
    unsigned n = 0;

    if (s->n == 0 || first_base(s, file, done, ret) == 0)
        return 0;
    for (n = 1; n < PATCH_BASES; n++) {
        unsigned best = 15; /* of what the new file has: a base brings its name, and time */
        size_t found = s->n;
        strike(s, ret[n - 1], file->features, done);
        count_shared(s, file->features, done);
        for (size_t i = 0; i < s->n; i++) {
            unsigned score = s->shared[i] > 0 ? share(s, file, i) : 0;
            if (score > best && !listed(ret, n, i) && s->files[i].size <= SIMILAR_MORE_BYTES - more) {
                best = score;
                found = i;
            }
        }
        if (found == s->n)
            break;
        more += s->files[found].size;
        ret[n] = found;
    }
    return n;
}
