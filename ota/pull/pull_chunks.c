/* pull_chunks.c - the objects that the store lacks, from the chunks of a full pack: those found in the same
 * file of the old image are copied, the rest is fetched by ranges. The walk over tree and table that decides
 * this runs ahead to request a batch, and again to take it, so that no list grows with the image. */
#include <fcntl.h>
#include <inttypes.h>

#include "ota/pull/pull.h"
#include "platform/clock.h"
#include "platform/job.h"

#define BATCH       4096 /* chunks requested at once: a list of 96 KiB */
#define PROGRESS_MS 200

void pull_tell(struct pull *p, uint64_t done, uint64_t total, uint64_t fetched)
{
    uint64_t now = clock_boot_ms();

    if (p->line_fd < 0 || now - p->told_ms < PROGRESS_MS)
        return;
    p->told_ms = now;
    job_line(p->line_fd, "progress %" PRIu64 " %" PRIu64 " %" PRIu64, done, total, fetched);
}

/* ---- the walk ---- */

enum chunk_from { FROM_PART, FROM_OLD, FROM_DATA };
struct walk {
    struct tree_at at;
    struct entry e;
    struct digest d;
    uint64_t chunk;   /* index of the next one in the table */
    uint64_t data_at; /* its offset in the data */
    uint64_t left;    /* raw bytes of the object still missing; 0: the next object */
    bool lacking;     /* the store lacks it */
    uint64_t kept;    /* correct bytes in its part file */
    /* the current chunk */
    struct pack_chunk c;
    uint64_t at_data, raw_at; /* its offset in the data, in the object */
    uint64_t old_at;          /* FROM_OLD */
    enum chunk_from source;
};
struct walker { /* shared by the walks */
    struct pull *p;
    struct old_map old; /* of the old file with the same path as the object at old_for */
    struct buf old_bytes;
    uint64_t old_for; /* offset of its entry; 0: none */
};

static void drop_old(struct walker *w)
{
    pull_old_map_done(&w->old);
    stage_unmap(&w->old_bytes);
    w->old_for = 0;
}

/* The chunks of the old image's file at this path, if it is large enough to have several. */
static void look_at_old(struct walker *w, const struct walk *k)
{
    AUTO_FD int fd = -1;

    if (w->old_for == k->at.entry_at)
        return;
    drop_old(w);
    w->old_for = k->at.entry_at;
    if (w->p->old_root_fd >= 0 && k->e.size > PACK_WHOLE_BYTES &&
        fs_open_below(w->p->old_root_fd, k->e.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd, NULL) == 0 &&
        stage_map_fd(fd, LIM_IMAGE_BYTES, &w->old_bytes, NULL) == 0 && w->old_bytes.len)
        pull_old_map_make(w->old_bytes, &cdc_object, &w->old);
}

static int chunk_at(const struct pull *p, uint64_t index, struct pack_chunk *ret, struct err *err)
{
    if ((index + 1) * PACK_CHUNK_BYTES > p->table.len)
        return err_set(err, ERR_INVALID, "full pack: its table has fewer chunks than its tree needs");
    return pack_chunk_decode(p->table.p + index * PACK_CHUNK_BYTES, ret, err);
}

static bool chunk_is(const struct pack_chunk *c, struct buf raw)
{
    struct digest d;

    return sha256(raw, &d, NULL) == 0 && memcmp(d.b, c->raw, PACK_RAW_BYTES) == 0;
}

/* Number of correct bytes in a part file left by an earlier try. */
static uint64_t judge_part(const struct pull *p, const struct walk *k)
{
    AUTO_FD int fd = k->e.size > PACK_WHOLE_BYTES ? stage_part_fd(p->stage, &k->e, &k->d) : -1;
    uint8_t AUTO_MEM *raw = fd < 0 ? NULL : mem_need(PACK_RAW_MAX);
    uint64_t kept = 0;
    struct pack_chunk c;

    for (uint64_t i = k->chunk; fd >= 0 && kept < k->e.size && chunk_at(p, i, &c, NULL) == 0; i++) {
        if (c.raw_bytes > k->e.size - kept ||
            pread(fd, raw, c.raw_bytes, (off_t)kept) != (ssize_t)c.raw_bytes ||
            !chunk_is(&c, buf_of(raw, c.raw_bytes)))
            break;
        kept += c.raw_bytes;
    }
    return kept;
}

/* 1: k is at the next object; 0: there is none. */
static int next_object(struct pull *p, struct walk *k, struct err *err)
{
    struct object_at at;
    int rc;

    do
        rc = tree_next(p->tree, &k->at, &k->e, &k->d, err);
    while (rc > 0 && !tree_is_object(&k->e));
    if (rc <= 0)
        return rc;
    k->left = k->e.size;
    k->lacking = !stage_find(p->stage, &k->e, &k->d, &at) && !stage_has_content(p->stage, &k->d);
    k->kept = k->lacking ? judge_part(p, k) : 0;
    return 1;
}

/* 1: the next chunk of an object that the store lacks; 0: the end. */
static int next_chunk(struct walker *w, struct walk *k, struct err *err)
{
    struct pull *p = w->p;
    int rc = 1;

    for (;;) {
        if (k->left == 0 && (rc = next_object(p, k, err)) <= 0)
            break;
        rc = chunk_at(p, k->chunk, &k->c, err);
        if (rc == 0 && (k->c.raw_bytes > k->left || k->c.packed_bytes > p->pack->data_bytes - k->data_at))
            rc = err_set(err, ERR_INVALID, "full pack: a chunk reaches behind its object or the data");
        if (rc < 0)
            break;
        k->at_data = k->data_at;
        k->raw_at = k->e.size - k->left;
        k->chunk++;
        k->data_at += k->c.packed_bytes;
        k->left -= k->c.raw_bytes;
        if (!k->lacking)
            continue;
        look_at_old(w, k);
        k->source = k->raw_at < k->kept                                         ? FROM_PART
                    : w->old.n && pull_old_map_find(&w->old, &k->c, &k->old_at) ? FROM_OLD
                                                                                : FROM_DATA;
        return 1;
    }
    if (rc == 0 && (k->chunk * PACK_CHUNK_BYTES != p->table.len))
        rc = err_set(err, ERR_INVALID, "full pack: its table has more chunks than its tree needs");
    return rc;
}

/* ---- costs ---- */

int pull_cost(struct pull *p, struct store_cost *ret, struct err *err)
{
    struct walk AUTO_MEM *k = mem_need_zero(sizeof(*k));
    struct walker w = {.p = p};
    struct store_cost cost = {0};
    int rc;

    stage_learn(p->stage);
    while ((rc = next_chunk(&w, k, err)) > 0) {
        cost.fetch_bytes += k->source == FROM_DATA ? k->c.packed_bytes : 0;
        cost.write_bytes += k->source == FROM_PART ? 0 : k->c.raw_bytes;
        cost.objects += k->left == 0;
    }
    drop_old(&w);
    if (rc == 0)
        *ret = cost;
    return rc;
}

/* ---- taking the chunks ---- */

static int take(struct walker *w, struct walk *k, struct feed *f, struct err *err)
{
    struct stage *g = w->p->stage;
    struct buf bytes = {NULL, 0};
    int rc = 0;

    if (k->raw_at == 0)
        rc = stage_begin(g, &k->e, &k->d, k->kept, err);
    if (rc == 0 && k->source == FROM_DATA)
        rc = pull_feed_next(f, k->at_data, &k->c, &bytes, err);
    else if (rc == 0 && k->source == FROM_OLD)
        bytes = buf_of(w->old_bytes.p + k->old_at, k->c.raw_bytes);
    if (rc == 0 && bytes.len)
        rc = stage_add(g, bytes, err);
    return rc == 0 && k->left == 0 ? stage_end(g, err) : rc;
}

/* Run ahead from *k until the batch is full; *ahead is then where it stopped. */
static int list_batch(struct walker *w, struct walk *ahead, struct feed *f, struct err *err)
{
    int rc = 1;

    while (rc > 0 && f->n < BATCH) {
        rc = next_chunk(w, ahead, err);
        int asked =
            rc > 0 && ahead->source == FROM_DATA ? pull_feed_want(f, ahead->at_data, &ahead->c, err) : 0;
        rc = asked < 0 ? asked : rc;
    }
    return rc;
}

/* The walk must want the same as when it ran ahead (pull_feed_next checks this). It does not if a tree names
 * one content twice, since the second is present by its turn. */
static int take_batch(struct walker *w, struct walk *k, const struct walk *until, struct feed *f,
                      struct err *err)
{
    int rc = 1;

    while (k->chunk < until->chunk && rc > 0) {
        rc = next_chunk(w, k, err);
        if (rc > 0) {
            int took = take(w, k, f, err);
            rc = took < 0 ? took : rc;
            pull_tell(w->p, k->data_at, w->p->pack->data_bytes, f->fetched + f->taken);
        }
    }
    return rc < 0 ? rc : 0;
}

static int pull_all(struct walker *w, struct feed *f, struct err *err)
{
    struct walk AUTO_MEM *k = mem_need_zero(sizeof(*k)), AUTO_MEM *ahead = mem_need(sizeof(*ahead));
    int rc = 1;

    while (rc > 0) {
        *ahead = *k;
        int more = list_batch(w, ahead, f, err);
        rc = more < 0 ? more : pull_feed_ask(f, err);
        if (rc == 0)
            rc = take_batch(w, k, ahead, f, err);
        if (rc == 0)
            rc = pull_feed_end(f, err);
        if (rc == 0)
            rc = more;
    }
    return rc;
}

int pull_chunks(struct pull *p, uint64_t *ret_fetched, struct err *err)
{
    struct walker w = {.p = p};
    struct feed f;

    pull_feed_init(&f, p->pack);
    stage_learn(p->stage);
    int rc = pull_all(&w, &f, err);
    *ret_fetched = f.fetched + f.taken;
    drop_old(&w);
    pull_feed_done(&f);
    return rc;
}
