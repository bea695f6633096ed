#include "fleet/pack/similar.h"

#include "platform/fnv.h"
#include "platform/limits.h"

#define WINDOW       16
#define FEATURES_MIN ((size_t)256)
#define FEATURES_MAX ((size_t)8192)

/* ---- features ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9e3779b97f4a7c15ULL + b * 0xc2b2ae3d27d4eb4fULL;

    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9ULL;
    return (x ^ x >> 32) | 1;
}

/* Into a heap whose top is the largest of the smallest. */
static void sift(uint32_t *h, size_t n, size_t i)
{
    for (;;) {
        size_t c = 2 * i + 1;
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

static size_t sort_once(uint32_t *h, size_t n)
{
    size_t kept = 0;

    if (n > 0)
        qsort(h, n, sizeof(*h), by_value);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || h[kept - 1] != h[i])
            h[kept++] = h[i];
    }
    return kept;
}

/* Windows of 16 bytes of the file that are not in set; all when set is NULL. */
struct set {
    uint8_t *bits;
    uint64_t mask;
};

static uint64_t window_hash(const uint8_t *p)
{
    uint64_t a, b;

    memcpy(&a, p, 8);
    memcpy(&b, p + 8, 8);
    return a == b && (a == 0 || a == UINT64_MAX) ? 0 : mix(a, b); /* 0: padding says nothing */
}

static bool set_has(const struct set *s, uint64_t h)
{
    uint64_t a = h & s->mask, b = (h >> 32 ^ h * 5) & s->mask;

    return s->bits[a / 8] >> a % 8 & 1 && s->bits[b / 8] >> b % 8 & 1;
}

static void set_add(struct set *s, struct buf bytes)
{
    for (size_t i = 0; i + WINDOW <= bytes.len; i++) {
        uint64_t h = window_hash(bytes.p + i), a = h & s->mask, b = (h >> 32 ^ h * 5) & s->mask;
        s->bits[a / 8] |= (uint8_t)(1U << a % 8);
        s->bits[b / 8] |= (uint8_t)(1U << b % 8);
    }
}

/* The k smallest; *ret_windows (may be NULL): how many windows there were. */
static void smallest(struct buf bytes, const struct set *without, size_t k, struct similar_features *ret,
                     size_t *ret_windows)
{
    size_t room = 4 * k, n = 0, windows = 0; /* the same window often comes many times */
    uint32_t *h = mem_need(room * sizeof(*h));

    for (size_t i = 0; i + WINDOW <= bytes.len; i++) {
        uint64_t full = window_hash(bytes.p + i);
        uint32_t v = (uint32_t)(full >> 32);
        if (full == 0 || (without && set_has(without, full)))
            continue;
        windows++;
        if (n < room) {
            h[n++] = v;
            if (n == room)
                n = sort_once(h, n);
            for (size_t j = room / 2; n == room && j-- > 0;)
                sift(h, n, j);
        } else if (v < h[0]) {
            h[0] = v;
            sift(h, n, 0);
        }
    }
    n = sort_once(h, n);
    *ret = (struct similar_features){n < k ? n : k, h};
    if (ret_windows)
        *ret_windows = windows;
}

void similar_features(struct buf bytes, struct similar_features *ret)
{
    size_t k = bytes.len / 1024;

    smallest(bytes, NULL, k < FEATURES_MIN ? FEATURES_MIN : k > FEATURES_MAX ? FEATURES_MAX : k, ret, NULL);
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
    uint32_t h = FNV32_INIT;
    bool digit = false;

    for (; *s; s++) {
        bool is = *s >= '0' && *s <= '9';
        if (without_numbers && is && digit)
            continue;
        digit = is;
        h = fnv32_add(h, (uint8_t)(without_numbers && is ? '0' : *s));
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
        for (size_t k = 0; k < files[i].features->n; k++)
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

static void count_shared(struct similar *s, const struct similar_features *f, size_t usable)
{
    memset(s->shared, 0, s->n * sizeof(*s->shared));
    for (size_t k = 0; k < f->n; k++) {
        size_t at = lower(s->features, s->n_features, f->h[k]), end = at;
        while (end < s->n_features && s->features[end].h == f->h[k] && end - at <= COMMON)
            end++;
        for (; end - at <= COMMON && at < end; at++)
            s->shared[s->features[at].file] += s->features[at].file < usable;
    }
}

/* How many of the features of f could be found in o at all: those below what o still lists. */
static size_t comparable(const struct similar_features *f, const struct similar_features *o)
{
    size_t lo = 0, hi = f->n;

    if (o->n < FEATURES_MIN)
        return f->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (f->h[mid] <= o->h[o->n - 1])
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Share of what f is of that file i holds, in 1/1000. */
static unsigned share(const struct similar *s, const struct similar_features *f, size_t i)
{
    size_t all = comparable(f, s->files[i].features);

    /* one or two may be chance */
    return all == 0 || (s->shared[i] < 3 && all > 8) ? 0 : (unsigned)(s->shared[i] * 1000 / all);
}

/* Of the files named like this one, the one that shares most (a bonus above the others). */
static void best_named(const struct similar *s, const struct similar_file *file, const struct entry *e,
                       uint32_t h, size_t usable, unsigned bonus, size_t *best, unsigned *best_score)
{
    for (size_t at = lower(e, s->n, h), n = 0; at < s->n && e[at].h == h && n < COMMON; at++, n++) {
        unsigned score = share(s, file->features, e[at].file) + bonus;
        if (e[at].file < usable && score > *best_score) {
            *best_score = score;
            *best = e[at].file;
        }
    }
}

static bool first_base(struct similar *s, const struct similar_file *file, size_t usable, size_t *ret)
{
    unsigned best_score = 20; /* less shared content than that is not worth a look */

    count_shared(s, file->features, usable);
    for (size_t i = 0; i < usable; i++) {
        unsigned score = s->shared[i] > 0 ? share(s, file->features, i) : 0;
        if (score > best_score) {
            best_score = score;
            *ret = i;
        }
    }
    best_named(s, file, s->names, text_hash(last_part(file->path), false), usable, 100, ret, &best_score);
    best_named(s, file, s->plain, text_hash(file->path, true), usable, 200, ret, &best_score);
    best_named(s, file, s->paths, text_hash(file->path, false), usable, 300, ret, &best_score);
    return best_score > 20;
}

static bool listed(const size_t *list, unsigned n, size_t i)
{
    for (unsigned k = 0; k < n; k++) {
        if (list[k] == i)
            return true;
    }
    return false;
}

/* The file that holds most of what the bases so far do not: s->n when none is worth its place. */
static size_t next_base(struct similar *s, const struct similar_features *rest, size_t windows, size_t usable,
                        const size_t *have, unsigned n, uint64_t room)
{
    uint64_t best = 150; /* bytes that a base must bring: it costs some, and time */
    size_t found = s->n;

    count_shared(s, rest, usable);
    for (size_t i = 0; i < usable; i++) {
        uint64_t brings = s->shared[i] > 0 ? (uint64_t)share(s, rest, i) * windows / 1000 : 0;
        if (brings > best && !listed(have, n, i) && s->files[i].bytes.len <= room) {
            best = brings;
            found = i;
        }
    }
    return found;
}

unsigned similar_bases(struct similar *s, const struct similar_file *file, size_t usable,
                       size_t ret[PATCH_BASES])
{
    uint64_t room = SIMILAR_MORE_BYTES, bits = 1024;
    struct set set;
    unsigned n = 0;

    if (usable == 0 || !first_base(s, file, usable, ret))
        return 0;
    while (bits < 16 * (s->files[ret[0]].bytes.len + file->bytes.len))
        bits *= 2;
    set = (struct set){mem_need_zero(bits / 8), bits - 1};
    for (n = 1; n < PATCH_BASES; n++) {
        struct similar_features rest;
        size_t windows = 0;
        set_add(&set, s->files[ret[n - 1]].bytes);
        smallest(file->bytes, &set, FEATURES_MAX, &rest, &windows);
        size_t found = next_base(s, &rest, windows, usable, ret, n, room);
        free(rest.h);
        if (found == s->n)
            break;
        room -= s->files[found].bytes.len;
        ret[n] = found;
    }
    free(set.bits);
    return n;
}
