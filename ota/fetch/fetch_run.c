/* fetch_run.c - which item from which source, and when to retry. */
#include <errno.h>
#include <inttypes.h>

#include "ota/fetch/fetch_int.h"
#include "platform/clock.h"

#define BACKOFF_MS     1000
#define BACKOFF_MAX_MS 60000
#define MOVED_BYTES    4096 /* if it breaks after so much the link is bad, not the source ... */
#define MOVED_WAIT_MS  100  /* ... and it is retried soon */
#define LAST_TRY_MS    200
#define CHUNK_TRIES    6

/* Discard all of it. */
static int empty(struct fetch_item *it, struct err *err)
{
    if (ftruncate(it->fd, 0) < 0)
        return err_errno(err, errno, "empty the partial file");
    it->have = 0;
    return 0;
}

/* Whether a small document of unsigned size is complete cannot be known: it starts over. So does a blob to be
 * fetched from one source alone, after several together sent a wrong one. */
static int begin(struct fetch_item *it, unsigned index, struct err *err)
{
    bool again = (it->size == 0 || (it->unmixed && it->given_by != index + 1)) && !it->chunks;
    int rc = again && it->have > 0 ? empty(it, err) : 0;

    it->given_by = it->have == 0 || it->given_by == index + 1 ? index + 1 : 0;
    fetch_begin(it);
    return rc;
}

/* All bytes of a blob are there. The digest is root's to verify; it is also checked here if another source
 * could do better. */
static int judge_digest(struct fetch_job *j, struct fetch_item *it, unsigned index, struct err *err)
{
    struct digest got;
    uint64_t len;

    if (it->chunks || j->n_sources < 2)
        return 0;
    int rc = sha256_fd(it->fd, &got, &len, err);
    if (rc < 0 || digest_eq(&got, &it->digest))
        return rc;
    if (it->given_by)
        it->bad[index] = true;
    it->unmixed = true;
    rc = empty(it, err);
    return rc < 0 ? rc : err_set(err, ERR_SOURCE, "other bytes than were signed");
}

static bool nothing_wanted(const struct fetch_item *it)
{
    struct fetch_span span;

    return !fetch_next(it, &span);
}

static int ask(struct fetch_job *j, struct fetch_item *it, unsigned index, struct err *err)
{
    switch (j->sources[index].kind) {
    case SOURCE_REGISTRY:
    case SOURCE_LAYOUT:
        return fetch_http_get(j, it, index, err);
    case SOURCE_FOLDER:
        return fetch_dir_get(j, it, index, err);
    case SOURCE_COAP:
#ifdef LIMPET_COAP
        return fetch_coap_get(j, it, index, err);
#endif
        break;
    case SOURCE_STICK:
        return fetch_usb_get(j, it, index, err);
    }
    return err_set(err, ERR_UNSUPPORTED, "this build has no such source");
}

/* A permanent refusal is only the source's claim: nothing that was signed is wrong. */
static const bool is_refusal[ERR_KIND_COUNT_] = {
    [ERR_INVALID] = true, [ERR_INTEGRITY] = true, [ERR_DENIED] = true};

static int get(struct fetch_job *j, struct fetch_item *it, unsigned index, struct err *err)
{
    struct err why = ERR_INIT;
    int rc = begin(it, index, &why);

    if (rc == 0)
        rc = ask(j, it, index, &why);

    if (nothing_wanted(it))
        rc = 0; /* all that was signed is there; whatever else the source did, the digest decides */
    else if (rc == 0 && it->size)
        rc = err_set(&why, ERR_NET, "ended early, %" PRIu64 " bytes are here", it->have);
    if (rc == 0)
        rc = judge_digest(j, it, index, &why);
    it->complete = rc == 0;
    if (!j->ours && is_refusal[why.kind])
        why.kind = ERR_SOURCE;
    return rc < 0 ? err_set(err, why.kind, "%s: %s", j->names[index], why.msg) : 0;
}

/* Of several failures the most hopeful one is reported, among equals the first. */
static unsigned hope_of(enum err_kind kind)
{
    return kind == ERR_NONE ? 0 : !err_may_retry(kind) ? 1 : kind == ERR_SOURCE ? 2 : 3;
}

/* Result of one round over all sources for one item. */
struct round {
    uint64_t moved;    /* bytes received from sources */
    bool hope;         /* some source failed in a way that may pass */
    bool open;         /* some such source may be asked at any time */
    uint64_t pause_ms; /* clock_boot_ms at which the first of the others may be asked again; 0: none */
    struct err last;
};

/* Record that a source may be tried again: at once, or when. */
static void note_when(const struct fetch_job *j, unsigned index, struct round *round)
{
    uint64_t at = j->pause_ms[index];

    round->hope = true;
    if (at <= clock_boot_ms())
        round->open = true;
    else if (!round->pause_ms || at < round->pause_ms)
        round->pause_ms = at;
}

static void try_sources(struct fetch_job *j, struct fetch_item *it, struct round *round)
{
    for (unsigned i = 0; i < j->n_sources && !it->complete; i++) {
        if (it->bad[i])
            continue;
        if (j->pause_ms[i] > clock_boot_ms()) {
            note_when(j, i, round);
            if (round->last.kind == ERR_NONE)
                (void)err_set(&round->last, ERR_NET, "%s: busy, it asked to be tried again later",
                              j->names[i]);
            continue;
        }
        uint64_t had = it->have + it->held;
        struct err err = ERR_INIT;
        int rc = get(j, it, i, &err);
        if (it->have + it->held > had)
            round->moved += it->have + it->held - had;
        if (rc == 0)
            return;
        if (hope_of(err.kind) > 2 && j->sources[i].kind != SOURCE_STICK)
            note_when(j, i, round);
        if (hope_of(err.kind) > hope_of(round->last.kind))
            round->last = err;
        if (j->ours) {
            round->last = err;
            return;
        }
    }
}

static uint64_t jitter_ms(unsigned tries, uint64_t moved)
{
    uint64_t most = tries < 6 ? (uint64_t)BACKOFF_MS << tries : BACKOFF_MAX_MS, random = 0;

    if (moved >= MOVED_BYTES)
        most = MOVED_WAIT_MS;
    /* without it there is no jitter, which is no reason to stop */
    err_ignore(crypto_random(&random, sizeof(random), NULL));
    return random % (most + 1);
}

/* Delay before the next round. If all sources asked for a pause, the shortest, plus some jitter: other
 * devices were told the same. */
static uint64_t wait_ms(const struct round *round, unsigned tries)
{
    uint64_t jitter = jitter_ms(tries, round->moved), now = clock_boot_ms();

    return !round->open && round->pause_ms > now ? round->pause_ms - now + jitter : jitter;
}

/* Get one item until it is complete, hopeless or too late. */
static int get_item(struct fetch_job *j, struct fetch_item *it, struct err *err)
{
    unsigned tries = 0;

    while (!it->complete) {
        struct round round = {0};
        char hex[SHA256_HEX];
        try_sources(j, it, &round);
        if (it->complete)
            break;
        if (round.last.kind == ERR_NONE)
            (void)err_set(&round.last, ERR_SOURCE, "every source gives other bytes than were signed");
        uint64_t now = clock_boot_ms(), left = j->deadline_ms > now ? j->deadline_ms - now : 0;
        tries = round.moved ? 0 : tries + 1;
        /* an install from chunks sees only the end of the pipe: core reports why, and retries */
        bool tired = it->chunks && tries >= CHUNK_TRIES;
        if (!round.hope || j->ours || tired)
            return err_set(err, round.last.kind, "sha256:%.12s: %s", digest_hex(&it->digest, hex),
                           round.last.msg);
        if (left < LAST_TRY_MS)
            return err_set(err, ERR_TIMEOUT, "sha256:%.12s: deadline; last: %s", digest_hex(&it->digest, hex),
                           round.last.msg);
        uint64_t wait = wait_ms(&round, tries);
        if (wait > left / 2)
            wait = left / 2; /* leave time for one more try */
        fetch_tell_trouble(&round.last, wait);
        fetch_sleep(wait);
    }
    return 0;
}

int fetch_run(struct fetch_job *j, struct err *err)
{
    for (unsigned i = 0; i < j->n_items; i++) {
        struct fetch_item *it = &j->items[i];
        it->complete = nothing_wanted(it);
        int rc = get_item(j, it, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
