/* fetch_run.c - which item from which source, and when to try again. */
#include <errno.h>
#include <time.h>

#include "ota/fetch_int.h"
#include "platform/clock.h"
#include "platform/fs.h"

#define LINE_FD        3
#define PROGRESS_MS    200
#define BACKOFF_MS     1000
#define BACKOFF_MAX_MS 60000
#define LAST_TRY_MS    200

static void tell_progress(struct fetch_job *j, bool always)
{
    uint64_t now = clock_boot_ms(), done = 0, total = 0;

    if (!always && now - j->told_ms < PROGRESS_MS)
        return;
    j->told_ms = now;
    for (unsigned i = 0; i < j->n_items; i++) {
        done += j->items[i].have;
        total += j->items[i].size ? j->items[i].size : j->items[i].have;
    }
    job_line(LINE_FD, "progress %llu %llu", (unsigned long long)done, (unsigned long long)total);
}

int fetch_take(struct fetch_job *j, struct fetch_item *it, struct buf bytes, struct err *err)
{
    uint64_t most = it->size ? it->size : LIM_ENVELOPE_BYTES;

    bool more = bytes.len > most - it->have;
    if (more) /* what was signed is taken all the same: the digest decides over it */
        bytes.len = (size_t)(most - it->have);
    int r = fs_write_full(it->fd, bytes, err);
    if (r < 0)
        return r;
    it->have += bytes.len;
    tell_progress(j, false);
    return more ? err_set(err, ERR_INTEGRITY, "sends more than the %llu bytes that were signed",
                          (unsigned long long)most)
                : 0;
}

/* Of a small document whose size nobody signed it cannot be known whether it is whole: it starts again. */
static int start_again(struct fetch_item *it, struct err *err)
{
    if (it->size > 0 || it->have == 0)
        return 0;
    if (ftruncate(it->fd, 0) < 0)
        return err_errno(err, errno, "empty the partial file");
    it->have = 0;
    return 0;
}

static int get(struct fetch_job *j, struct fetch_item *it, unsigned index, struct err *err)
{
    const char *source = j->sources[index];
    struct err why = ERR_INIT;
    int r = start_again(it, &why);

    if (r == 0)
        r = strncmp(source, "dir:", 4) == 0 ? dir_get(j, it, index, &why) : http_get(j, it, source, &why);

    if (it->size && it->have == it->size)
        r = 0; /* all that was signed is here; whatever the source did then, the digest decides */
    else if (r == 0 && it->size)
        r = err_set(&why, ERR_NET, "ended after %llu of %llu bytes", (unsigned long long)it->have,
                    (unsigned long long)it->size);
    it->complete = r == 0;
    return r < 0 ? err_set(err, why.kind, "%s: %s", source, why.msg) : 0;
}

/* What one round over all sources came to for one item. */
struct round {
    bool moved; /* some source sent something */
    bool hope;  /* some source failed in a way that may pass */
    struct err last;
};

static void try_sources(struct fetch_job *j, struct fetch_item *it, struct round *round)
{
    for (unsigned i = 0; i < j->n_sources && !it->complete; i++) {
        uint64_t had = it->have;
        struct err err = ERR_INIT;
        int r = get(j, it, i, &err);
        round->moved |= it->have > had;
        if (r == 0)
            return;
        round->hope |= err_may_retry(err.kind);
        /* what is told is the most hopeful failure, and of equals the first */
        if (round->last.kind == ERR_NONE || (err_may_retry(err.kind) && !err_may_retry(round->last.kind)))
            round->last = err;
        if (err.kind == ERR_NOSPACE)
            return; /* ours, not the source's */
    }
}

static uint64_t jitter_ms(unsigned tries)
{
    uint64_t most = tries < 6 ? (uint64_t)BACKOFF_MS << tries : BACKOFF_MAX_MS, random = 0;

    (void)crypto_random(&random, sizeof(random), NULL);
    return random % (most + 1);
}

static void sleep_ms(uint64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

/* One item until it is complete, hopeless or too late. */
static int get_item(struct fetch_job *j, struct fetch_item *it, struct err *err)
{
    unsigned tries = 0;

    while (!it->complete) {
        struct round round = {0};
        char hex[65];
        try_sources(j, it, &round);
        if (it->complete)
            break;
        uint64_t now = clock_boot_ms(), left = j->deadline_ms > now ? j->deadline_ms - now : 0;
        if (!round.hope || round.last.kind == ERR_NOSPACE)
            return err_set(err, round.last.kind, "sha256:%.12s: %s", digest_hex(&it->digest, hex),
                           round.last.msg);
        if (left < LAST_TRY_MS)
            return err_set(err, ERR_TIMEOUT, "sha256:%.12s: deadline; last: %s", digest_hex(&it->digest, hex),
                           round.last.msg);
        tries = round.moved ? 0 : tries + 1;
        uint64_t wait = jitter_ms(tries);
        if (wait > left / 2)
            wait = left / 2; /* one more try fits in */
        sleep_ms(wait);
    }
    return 0;
}

int fetch_run(struct fetch_job *j, struct err *err)
{
    for (unsigned i = 0; i < j->n_items; i++) {
        struct fetch_item *it = &j->items[i];
        it->complete = it->size > 0 && it->have == it->size;
        int r = get_item(j, it, err);
        if (r < 0)
            return r;
    }
    tell_progress(j, true);
    return 0;
}
