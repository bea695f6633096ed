/* logring.c - the last output of an app, exactly once, whatever kills the writer. See logring.h.
 *
 * The file, mapped shared, consists of: a header page; two stages (pages) for each of the two streams; the
 * ring of records. read(2) from the pipe goes directly into the live stage of its stream: from that moment
 * the bytes outlive us. Lines in the stage are written as records after the committed head, the rest of the
 * stage is copied to the spare stage, and ONE 32-bit store (the commit word: head and which stages are live)
 * makes both effective together. A writer killed before it has lost nothing and stored nothing; killed after
 * it, only the old stage must still be wiped, which the next open does. The fill level of a stage is not
 * stored anywhere: it is filled with NO_BYTE, and its bytes end at the last one that differs. So trailing
 * 0xff bytes, which no UTF-8 text has, are lost if the writer is killed then, and only then. Stored zero
 * bytes show as '?'.
 *
 * Positions count units of 8 bytes and wrap at 2^30, of which the capacity (a power of two) is a divisor. */
#include "runtime/box/logring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "platform/fs.h"
#include "platform/limits.h"

#define MAGIC       0x32474e524d494cULL /* "LIMRNG2" */
#define PAGE        4096u
#define RING_AT     (5 * PAGE)
#define UNIT        8u
#define POS_MASK    ((1u << 30) - 1)
#define LIVE_BIT(s) (1u << (30 + (s))) /* stream s: which of its stages is live */
#define MIN_BYTES   (16u * 1024)
#define NO_BYTE     0xff

struct head_page {
    uint64_t magic;
    uint32_t ring_bytes;
    uint32_t commit; /* head position and live stages: the one store that commits */
    uint32_t tail;   /* position of the oldest record */
    uint32_t spare;
    uint64_t next_seq; /* lower bound: kept for a ring that was emptied */
    uint64_t wall_ms;  /* of the read that filled a stage */
};
struct record {
    uint64_t seq, wall_ms;
    uint16_t len;
    char stream; /* 'o', 'e', 0: filler to the end of the ring */
    uint8_t partial;
    uint32_t units; /* of the whole record */
};
static_assert(sizeof(struct record) == 3 * UNIT, "a record's head is three units");
static_assert(LIM_LOG_LINE_BYTES == PAGE, "a stage holds one longest line");

struct logring {
    uint8_t *map;
    size_t map_bytes;
    uint32_t cap; /* units */
    uint64_t next_seq;
    uint32_t fill[2]; /* bytes in the live stages */
    uint32_t at;      /* reader: position of the record with seq at_seq */
    uint64_t at_seq;
    uint8_t *copy; /* of the record read last; not used by a writer */
};

static struct head_page *page_of(const struct logring *r)
{
    return (struct head_page *)(void *)r->map;
}

static uint32_t load(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static uint32_t head_of(const struct logring *r)
{
    return load(&page_of(r)->commit) & POS_MASK;
}

static uint8_t *stage(const struct logring *r, unsigned stream, unsigned which)
{
    return r->map + PAGE + (2 * stream + which) * PAGE;
}

static unsigned live_of(const struct logring *r, unsigned stream)
{
    return load(&page_of(r)->commit) & LIVE_BIT(stream) ? 1 : 0;
}

static struct record *record_at(const struct logring *r, uint32_t pos)
{
    return (struct record *)(void *)(r->map + RING_AT + (size_t)(pos & (r->cap - 1)) * UNIT);
}

static uint32_t distance(uint32_t from, uint32_t to)
{
    return (to - from) & POS_MASK;
}

/* Units from pos to the next record. If the last units of the ring are too few for a head they are skipped
 * unwritten. 0: not a record. */
static uint32_t units_at(const struct logring *r, uint32_t pos)
{
    uint32_t left = r->cap - (pos & (r->cap - 1)), units;

    if (left < sizeof(struct record) / UNIT)
        return left;
    units = record_at(r, pos)->units;
    return units < sizeof(struct record) / UNIT || units > left ? 0 : units;
}

/* Is there a record with text (not a filler)? */
static bool is_text(const struct logring *r, uint32_t pos)
{
    const struct record *rec = record_at(r, pos);

    return r->cap - (pos & (r->cap - 1)) >= sizeof(*rec) / UNIT && rec->stream != 0 &&
           rec->len <= (rec->units * UNIT) - sizeof(*rec) && rec->len <= PAGE;
}

/* ---- writing ---- */

/* Records of one commit: between the committed head and the new one. */
struct batch {
    uint32_t head;
    uint64_t seq;
};

/* Drop the oldest records until `units` more fit after head. The tail moves first: readers notice and step
 * aside. */
static void make_room(struct logring *r, uint32_t head, uint32_t units)
{
    struct head_page *p = page_of(r);
    uint32_t tail = p->tail;

    while (distance(tail, head) + units > r->cap) {
        uint32_t n = units_at(r, tail);
        tail = n ? (tail + n) & POS_MASK : head_of(r);
    }
    if (tail == p->tail)
        return;
    p->next_seq = r->next_seq;
    store(&p->tail, tail);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void append(struct logring *r, struct batch *b, char stream, uint64_t wall_ms, bool partial,
                   const uint8_t *text, uint32_t len)
{
    uint32_t units = (uint32_t)(sizeof(struct record) + len + UNIT - 1) / UNIT;
    uint32_t left = r->cap - (b->head & (r->cap - 1));
    uint32_t filler = left < units ? left : 0;
    struct record *rec;

    make_room(r, b->head, filler + units);
    if (filler >= sizeof(*rec) / UNIT)
        *record_at(r, b->head) = (struct record){.units = filler};
    b->head = (b->head + filler) & POS_MASK;
    rec = record_at(r, b->head);
    *rec = (struct record){.seq = b->seq++,
                           .wall_ms = wall_ms,
                           .len = (uint16_t)len,
                           .stream = stream,
                           .partial = partial,
                           .units = units};
    for (uint32_t i = 0; i < len; i++)
        ((uint8_t *)(rec + 1))[i] = text[i] ? text[i] : '?';
    b->head = (b->head + units) & POS_MASK;
}

/* Store the contents of the live stage: whole lines, or all of it. At most half a ring at a time, so that a
 * stage of very short lines never overruns itself. True if lines are left for another round. */
static bool file_stage(struct logring *r, unsigned stream, uint64_t wall_ms, bool all)
{
    struct head_page *p = page_of(r);
    unsigned live = live_of(r, stream);
    uint8_t *from = stage(r, stream, live), *to = stage(r, stream, !live);
    struct batch b = {head_of(r), r->next_seq};
    uint32_t used = 0, fill = r->fill[stream], start = b.head, rest;
    bool more = false;

    while (used < fill) {
        const uint8_t *end = memchr(from + used, '\n', fill - used);
        uint32_t len = (uint32_t)(end ? end - (from + used) : (ptrdiff_t)(fill - used));
        bool full = !end && used == 0 && fill == PAGE;
        if (!end && !full && !all)
            break;
        if (distance(start, b.head) + 2 * (len / UNIT + 4) > r->cap / 2 && b.head != start) {
            more = true;
            break;
        }
        append(r, &b, stream ? 'e' : 'o', wall_ms, full, from + used, len);
        used += len + (end ? 1 : 0);
    }
    if (used == 0)
        return false;
    rest = fill - used;
    memcpy(to, from + used, rest);
    store(&p->commit,
          b.head | (load(&p->commit) & ~POS_MASK & ~LIVE_BIT(stream)) | (live ? 0 : LIVE_BIT(stream)));
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the wipe below must not overtake the commit */
    memset(from, NO_BYTE, PAGE);
    r->fill[stream] = rest;
    r->next_seq = b.seq;
    return more;
}

static void file_all(struct logring *r, unsigned stream, uint64_t wall_ms, bool all)
{
    while (file_stage(r, stream, wall_ms, all))
        ;
}

int logring_pump(struct logring *r, int pipe_fd, char stream, uint64_t wall_ms, struct err *err)
{
    unsigned s = stream == 'e' ? 1 : 0;
    uint32_t room = PAGE - r->fill[s];
    ssize_t n;

    page_of(r)->wall_ms = wall_ms;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    do
        n = read(pipe_fd, stage(r, s, live_of(r, s)) + r->fill[s], room);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, errno, "read output");
    r->fill[s] += (uint32_t)n;
    file_all(r, s, wall_ms, n == 0);
    return (int)n;
}

/* ---- opening ---- */

/* The bytes of a stage end at the last one that is not NO_BYTE. */
static uint32_t stage_fill(const uint8_t *at)
{
    uint32_t n = PAGE;

    while (n > 0 && at[n - 1] == NO_BYTE)
        n--;
    return n;
}

/* After a killed writer: wipe spare stages, count the live ones, find the next number, store whole lines. */
static void recover(struct logring *r)
{
    struct head_page *p = page_of(r);
    uint32_t head = head_of(r), pos = p->tail;

    r->next_seq = p->next_seq ? p->next_seq : 1;
    while (pos != head) {
        uint32_t n = units_at(r, pos);
        if (n == 0 || distance(pos, head) < n) { /* not ours: none of it can be trusted */
            store(&p->tail, head);
            break;
        }
        if (is_text(r, pos) && record_at(r, pos)->seq >= r->next_seq)
            r->next_seq = record_at(r, pos)->seq + 1;
        pos = (pos + n) & POS_MASK;
    }
    for (unsigned s = 0; s < 2; s++) {
        memset(stage(r, s, !live_of(r, s)), NO_BYTE, PAGE);
        r->fill[s] = stage_fill(stage(r, s, live_of(r, s)));
        file_all(r, s, p->wall_ms, false);
    }
}

/* Not more than requested, but the longest line must fit wherever the ring ends. */
static uint32_t round_size(uint32_t bytes)
{
    uint32_t size = MIN_BYTES;

    while (size <= bytes / 2 && size < LIM_LOG_RING_MAX_BYTES)
        size *= 2;
    return size;
}

static int map_file(int fd, uint32_t ring_bytes, bool write, struct logring **ret, struct err *err)
{
    size_t bytes = RING_AT + (size_t)ring_bytes;
    void *map = mmap(NULL, bytes, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    struct logring *r;

    if (map == MAP_FAILED)
        return err_errno(err, errno, "map log");
    r = mem_need_zero(sizeof(*r));
    r->map = map;
    r->map_bytes = bytes;
    r->cap = ring_bytes / UNIT;
    *ret = r;
    return 0;
}

/* The ring size in an open file, 0 if it is not one of ours. */
static uint32_t size_in_file(int fd)
{
    struct head_page p;
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || pread(fd, &p, sizeof(p), 0) != sizeof(p) ||
        p.magic != MAGIC)
        return 0;
    if (p.ring_bytes != round_size(p.ring_bytes) || st.st_size != (off_t)(RING_AT + (size_t)p.ring_bytes))
        return 0;
    return p.ring_bytes;
}

/* A fresh ring under a temporary name; its blocks are allocated, so that no write to the mapping can fail. */
static int make_file(int dir_fd, const char *name, uint32_t ring_bytes, struct logring **ret, struct err *err)
{
    AUTO_FD int fd = -1;
    int rc;

    (void)unlinkat(dir_fd, name, 0);
    fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_errno(err, errno, "make log %s", name);
    rc = posix_fallocate(fd, 0, (off_t)(RING_AT + (size_t)ring_bytes));
    if (rc != 0)
        return err_errno(err, rc, "make log %s", name);
    if ((rc = map_file(fd, ring_bytes, true, ret, err)) < 0)
        return rc;
    memset((*ret)->map + PAGE, NO_BYTE, RING_AT - PAGE);
    page_of(*ret)->ring_bytes = ring_bytes;
    page_of(*ret)->next_seq = 1;
    page_of(*ret)->magic = MAGIC;
    return 0;
}

/* Copy to a ring of another size: the records, then what is in the stages. */
static void copy_ring(const struct logring *from, struct logring *to)
{
    struct batch b = {0, 1};
    uint32_t head = head_of(from), pos = page_of(from)->tail,
             commit = load(&page_of(from)->commit) & ~POS_MASK;

    while (pos != head) {
        const struct record *rec = record_at(from, pos);
        uint32_t n = units_at(from, pos);
        if (n == 0 || distance(pos, head) < n)
            break;
        if (is_text(from, pos)) {
            b.seq = rec->seq;
            append(to, &b, rec->stream, rec->wall_ms, rec->partial, (const uint8_t *)(rec + 1), rec->len);
            to->next_seq = b.seq;
            store(&page_of(to)->commit, b.head);
        }
        pos = (pos + n) & POS_MASK;
    }
    memcpy(to->map + PAGE, from->map + PAGE, (size_t)4 * PAGE);
    page_of(to)->wall_ms = page_of(from)->wall_ms;
    page_of(to)->next_seq = page_of(from)->next_seq > to->next_seq ? page_of(from)->next_seq : to->next_seq;
    store(&page_of(to)->commit, head_of(to) | commit);
}

/* No file yet, another size, or not a ring: make a new one and rename it into place. */
static int replace_file(int dir_fd, const char *name, int old_fd, uint32_t old_bytes, uint32_t ring_bytes,
                        struct logring **ret, struct err *err)
{
    AUTO_FREE(logring) struct logring *fresh = NULL;
    AUTO_FREE(logring) struct logring *old = NULL;
    char temp[256];
    int rc;

    if (!str_fmt(temp, sizeof(temp), "%s.new", name))
        return err_set(err, ERR_INVALID, "log name too long");
    if ((rc = make_file(dir_fd, temp, ring_bytes, &fresh, err)) < 0)
        return rc;
    fresh->next_seq = 1;
    if (old_bytes != 0 && map_file(old_fd, old_bytes, false, &old, NULL) == 0)
        copy_ring(old, fresh);
    if (renameat(dir_fd, temp, dir_fd, name) != 0)
        return err_errno(err, errno, "name log %s", name);
    *ret = steal_ptr(&fresh);
    return 0;
}

int logring_open(int dir_fd, const char *name, uint32_t bytes, struct logring **ret, struct err *err)
{
    AUTO_FD int fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    uint32_t want = round_size(bytes), have = fd < 0 ? 0 : size_in_file(fd);
    struct logring *r = NULL;
    int rc;

    if (fd < 0 && errno != ENOENT)
        return err_errno(err, errno, "open log %s", name);
    rc = have == want ? map_file(fd, have, true, &r, err)
                      : replace_file(dir_fd, name, fd, have, want, &r, err);
    if (rc < 0)
        return rc;
    recover(r);
    *ret = r;
    return 0;
}

struct logring *logring_free(struct logring *r)
{
    if (r) {
        (void)munmap(r->map, r->map_bytes);
        free(r->copy);
        free(r);
    }
    return NULL;
}

/* ---- reading ---- */

int logring_open_read(int dir_fd, const char *name, struct logring **ret, struct err *err)
{
    AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    uint32_t have;

    if (fd < 0)
        return err_errno(err, errno, "open log %s", name);
    have = size_in_file(fd);
    if (have == 0)
        return err_set(err, ERR_INVALID, "%s is not one of our own logs", name);
    return map_file(fd, have, false, ret, err);
}

/* Copy the record at pos. False if the writer overwrote it meanwhile, or it is not a record. */
static bool copy_record(struct logring *r, uint32_t pos, struct record *ret)
{
    const struct head_page *p = page_of(r);
    uint32_t tail;

    *ret = *record_at(r, pos);
    if (ret->len > PAGE || (size_t)(r->cap - (pos & (r->cap - 1))) * UNIT < sizeof(*ret) + ret->len)
        return false;
    if (!r->copy)
        r->copy = mem_need(PAGE);
    memcpy(r->copy, record_at(r, pos) + 1, ret->len);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    tail = load(&p->tail);
    return distance(tail, pos) <= r->cap;
}

/* Advance to the first text record with at least this seq, from the reader's position or from the oldest. */
static bool find(struct logring *r, uint64_t seq, struct record *ret)
{
    const struct head_page *p = page_of(r);
    uint32_t head = head_of(r), tail = load(&p->tail), pos = tail;

    if (r->at_seq == seq && seq != 0 && distance(tail, r->at) <= distance(tail, head))
        pos = r->at;
    while (pos != head) {
        uint32_t n = units_at(r, pos);
        if (n == 0 || distance(pos, head) < n)
            return false;
        if (is_text(r, pos)) {
            if (!copy_record(r, pos, ret))
                return false;
            if (ret->seq >= seq) {
                r->at = (pos + n) & POS_MASK;
                r->at_seq = ret->seq + 1;
                return true;
            }
        }
        pos = (pos + n) & POS_MASK;
    }
    return false;
}

int logring_next(struct logring *r, uint64_t *seq, struct logring_line *ret)
{
    struct record rec;

    for (int tries = 0; tries < 8;
         tries++) { /* a writer at full speed may overtake us: restart from the oldest */
        if (find(r, *seq, &rec)) {
            *ret = (struct logring_line){.seq = rec.seq,
                                         .wall_ms = rec.wall_ms,
                                         .stream = rec.stream,
                                         .partial = rec.partial != 0,
                                         .text = (const char *)r->copy,
                                         .len = rec.len,
                                         .lost = *seq != 0 && rec.seq > *seq ? rec.seq - *seq : 0};
            *seq = rec.seq + 1;
            return 1;
        }
        if (r->at_seq == 0)
            break;
        r->at_seq = 0;
    }
    return 0;
}

uint64_t logring_tail(struct logring *r, uint32_t n)
{
    uint64_t seq = 0, first = 0, last = 0;
    struct logring_line line;

    r->at_seq = 0;
    while (logring_next(r, &seq, &line) == 1) {
        first = first ? first : line.seq;
        last = line.seq;
    }
    r->at_seq = 0;
    if (last == 0)
        return 0;
    return last - first + 1 <= n ? first : last + 1 - n;
}
