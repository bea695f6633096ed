/* fetch_item.c - which bytes of an item are wanted next, and what is done with those received. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/mman.h>
#include <time.h>

#include "ota/doc/entry.h"
#include "ota/fetch/fetch_int.h"
#include "platform/clock.h"
#include "platform/fs.h"

#define PROGRESS_MS 200
#define GAP_BYTES   256 /* between two chunks: cheaper to skip than to send two requests */

static struct fetch_chunk chunk_at(const struct fetch_item *it, uint64_t i)
{
    struct fetch_chunk c;

    fetch_chunk_get(it->chunks + i * FETCH_CHUNK_RECORD, &c);
    return c;
}

int fetch_list(struct fetch_item *it, int fd, uint64_t n, struct err *err)
{
    struct stat st;
    uint64_t end = 0;
    uint32_t longest = 0;

    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < n * FETCH_CHUNK_RECORD)
        return err_set(err, ERR_INVALID, "list of chunks is too short");
    void *at = mmap(NULL, (size_t)n * FETCH_CHUNK_RECORD, PROT_READ, MAP_PRIVATE, fd,
                    0); /* a sealed memfd cannot be mapped shared before Linux 6.7 */
    if (at == MAP_FAILED)
        return err_errno(err, errno, "map the list of chunks");
    it->chunks = at;
    it->n_chunks = n;
    for (uint64_t i = 0; i < n; i++) {
        struct fetch_chunk c = chunk_at(it, i);
        if (c.len == 0 || c.len > LIM_CHUNK_BYTES || c.at < end || c.at > it->size || c.len > it->size - c.at)
            return err_set(err, ERR_INVALID, "chunk %" PRIu64 ": %u bytes at %" PRIu64 " of %" PRIu64, i,
                           c.len, c.at, it->size);
        end = c.at + c.len;
        it->chunk_bytes += c.len;
        longest = c.len > longest ? c.len : longest;
    }
    it->hold = mem_need(longest);
    return 0;
}

bool fetch_next_after(const struct fetch_item *it, uint64_t at, struct fetch_span *ret)
{
    uint64_t i = it->next;
    struct fetch_chunk c = {0};

    if (!it->chunks) {
        *ret = (struct fetch_span){at > it->have ? at : it->have, 0};
        return it->size == 0 || ret->from < it->size;
    }
    for (; i < it->n_chunks; i++) {
        c = chunk_at(it, i);
        if (c.at + c.len > at)
            break;
    }
    if (i == it->n_chunks)
        return false;
    uint64_t from = c.at + (i == it->next ? it->held : 0);
    *ret = (struct fetch_span){from > at ? from : at, c.at + c.len};
    for (i++; i < it->n_chunks; i++) {
        c = chunk_at(it, i);
        if (c.at - ret->to > GAP_BYTES)
            break;
        ret->to = c.at + c.len;
    }
    return true;
}

bool fetch_next(const struct fetch_item *it, struct fetch_span *ret)
{
    return fetch_next_after(it, 0, ret);
}

static void pass_over(struct buf *bytes, uint64_t *at, uint64_t n)
{
    size_t skip = n < bytes->len ? (size_t)n : bytes->len;

    bytes->p += skip;
    bytes->len -= skip;
    *at += skip;
}

static int put(struct fetch_job *j, struct fetch_item *it, struct buf bytes, struct err *err)
{
    int rc = fs_write_full(it->fd, bytes, err);

    if (rc < 0) {
        j->ours = true;
        return rc;
    }
    it->have += bytes.len;
    fetch_tell(j, false);
    return 0;
}

static int take_blob(struct fetch_job *j, struct fetch_item *it, struct buf bytes, struct err *err)
{
    uint64_t most = it->size ? it->size : LIM_ENVELOPE_BYTES;

    bool more = bytes.len > most - it->have;
    if (more) /* what was signed is accepted anyway: the digest decides */
        bytes.len = (size_t)(most - it->have);
    int rc = put(j, it, bytes, err);
    if (rc < 0)
        return rc;
    return more ? err_set(err, ERR_INTEGRITY, "sends more than the %" PRIu64 " bytes that were signed", most)
                : 0;
}

static int chunk_is_full(struct fetch_job *j, struct fetch_item *it, const struct fetch_chunk *c,
                         struct err *err)
{
    struct buf bytes = buf_of(it->hold, c->len);
    struct digest d;
    int rc = sha256(bytes, &d, err);

    bool mixed = it->mixed; /* then it is unknown which source was wrong, and the whole chunk is requested
                             * again */
    it->held = 0;
    it->mixed = false;
    if (rc < 0)
        return rc;
    if (memcmp(d.b, c->check, FETCH_CHUNK_CHECK) != 0)
        return err_set(err, mixed ? ERR_NET : ERR_INTEGRITY,
                       "other bytes than the chunk at %" PRIu64 " should have", c->at);
    rc = put(j, it, bytes, err);
    it->next += rc == 0;
    return rc;
}

static int take_chunks(struct fetch_job *j, struct fetch_item *it, uint64_t at, struct buf bytes,
                       struct err *err)
{
    int rc = 0;

    while (rc == 0 && bytes.len > 0 && it->next < it->n_chunks) {
        struct fetch_chunk c = chunk_at(it, it->next);
        uint64_t want = c.at + it->held;
        if (at > want)
            return err_set(err, ERR_INTEGRITY, "leaves out bytes at %" PRIu64, want);
        pass_over(&bytes, &at, want - at);
        size_t n = c.len - it->held < bytes.len ? c.len - it->held : bytes.len;
        memcpy(it->hold + it->held, bytes.p, n);
        it->held += (uint32_t)n;
        pass_over(&bytes, &at, n);
        if (it->held == c.len)
            rc = chunk_is_full(j, it, &c, err);
    }
    return rc;
}

int fetch_take(struct fetch_job *j, struct fetch_item *it, uint64_t at, struct buf bytes, struct err *err)
{
    j->fetched += bytes.len;
    if (it->chunks)
        return take_chunks(j, it, at, bytes, err);
    if (at > it->have)
        return err_set(err, ERR_INTEGRITY, "leaves out bytes at %" PRIu64, it->have);
    pass_over(&bytes, &at, it->have - at);
    return take_blob(j, it, bytes, err);
}

void fetch_begin(struct fetch_item *it)
{
    it->mixed = it->held > 0;
}

static int no_budget(struct fetch_job *j, struct err *err)
{
    j->ours = true;
    return err_set(err, ERR_DENIED, "byte budget of %" PRIu64 " does not suffice", j->budget);
}

int fetch_count(struct fetch_job *j, uint64_t bytes, struct err *err)
{
    uint64_t now = clock_boot_ms();

    j->from_network += bytes;
    if (j->rate)
        j->brake_ms = (j->brake_ms > now ? j->brake_ms : now) + bytes * 1000 / j->rate;
    return j->budget && j->from_network > j->budget ? no_budget(j, err) : 0;
}

uint64_t fetch_brake_ms(const struct fetch_job *j)
{
    uint64_t now = clock_boot_ms();

    return j->brake_ms > now ? j->brake_ms - now : 0;
}

void fetch_sleep(uint64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    while (ms > 0 && nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

int fetch_afford(struct fetch_job *j, const struct fetch_item *it, struct fetch_span span, struct err *err)
{
    uint64_t to = span.to ? span.to : it->size > span.from ? it->size : span.from;

    return j->budget && to - span.from > j->budget - j->from_network ? no_budget(j, err) : 0;
}

static bool somebody_reads(void)
{
    struct pollfd line = {.fd = FETCH_LINE_FD, .events = POLLOUT};

    return poll(&line, 1, 0) == 1 && (line.revents & POLLOUT);
}

void fetch_tell_trouble(const struct err *why, uint64_t wait_ms)
{
    char shown[ERR_MSG_BYTES];

    if (somebody_reads())
        job_line(FETCH_LINE_FD, "trouble %" PRIu64 " %s %s", wait_ms, err_kind_name(why->kind),
                 entry_printable(why->msg, shown, sizeof(shown)));
}

void fetch_tell(struct fetch_job *j, bool always)
{
    uint64_t now = clock_boot_ms(), done = 0, total = 0;

    if ((!always && now - j->told_ms < PROGRESS_MS) || !somebody_reads())
        return;
    j->told_ms = now;
    for (unsigned i = 0; i < j->n_items; i++) {
        const struct fetch_item *it = &j->items[i];
        done += it->have;
        total += it->chunks ? it->chunk_bytes : it->size ? it->size : it->have;
    }
    job_line(FETCH_LINE_FD, "progress %" PRIu64 " %" PRIu64 " %" PRIu64, done, total, j->from_network);
}
