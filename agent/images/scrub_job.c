/* scrub_job.c - when there is nothing else to do, a little of the store is verified against its names
 * (ota/store/scrub.c). Damage is reported; images made from it no longer count as installed in the plan, so
 * that their layers are fetched again and they are repaired in place, while boxes that run from them keep
 * running. */
#include <inttypes.h>
#include <stdio.h>

#include "agent/core.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"

#define CURSOR_FILE "scrub"

static void fired(struct loop_timer *t)
{
    core_touch(container_of(t, struct core, scrub.timer));
}

void scrub_job_open(struct core *c)
{
    struct scrub *s = &c->scrub;

    err_ignore(fs_read_text(c->run_fd, CURSOR_FILE, s->cursor, sizeof(s->cursor), NULL));
    s->timer.on_fire = fired;
    s->next_ms = clock_boot_ms() + c->config.scrub_interval_s * 1000;
    if (c->config.scrub_interval_s > 0)
        loop_timer_set(c->loop, &s->timer, s->next_ms);
}

bool scrub_job_is_due(const struct core *c)
{
    return c->config.scrub_interval_s > 0 && c->scrub.timer.on_fire && clock_boot_ms() >= c->scrub.next_ms;
}

/* ---- in the job ---- */

struct telling {
    int line_fd;
};

static void tell_bad(void *arg, const char *name, const char *why)
{
    const struct telling *t = arg;

    job_line(t->line_fd, "bad %s: %s", name, why);
}

static int scrub_job(void *arg, int line_fd, struct err *err)
{
    const struct core *c = arg;
    struct telling t = {line_fd};
    struct store_scrub sc = {.max_bytes = c->config.scrub_bytes, .on_bad = tell_bad, .arg = &t};
    int rc = crypto_init(err);

    (void)str_copy(sc.cursor, sizeof(sc.cursor), c->scrub.cursor);
    if (rc == 0)
        rc = store_scrub(c->store, &sc, err);
    if (rc == 0)
        job_line(line_fd, "read %" PRIu64 " %" PRIu64 " %" PRIu64 " %d %s", sc.bytes, sc.bad, sc.images,
                 sc.ended, sc.cursor);
    return rc;
}

/* ---- in core ---- */

static void on_line(void *arg, const char *line)
{
    struct core *c = arg;
    struct scrub *s = &c->scrub;
    unsigned long long bytes, bad, images;
    int ended, at = 0;

    if (strncmp(line, "bad ", 4) == 0) {
        (void)str_fmt(s->last_bad, sizeof(s->last_bad), "%.*s", (int)sizeof(s->last_bad) - 1, line + 4);
        (void)str_clean(s->last_bad);
        events_add(c, "scrub", NULL, "%s", s->last_bad);
    } else if (sscanf(line, "read %llu %llu %llu %d %n", &bytes, &bad, &images, &ended, &at) == 4 && at > 0) {
        s->bytes += bytes;
        s->bad += bad;
        s->images += images;
        s->rounds += ended == 1;
        (void)str_copy(s->cursor, sizeof(s->cursor), line + at);
        err_ignore(fs_write_atomic(c->run_fd, CURSOR_FILE, buf_str(s->cursor), 0600, NULL));
    }
}

static void on_done(void *arg, const struct job_verdict *v)
{
    struct core *c = arg;
    struct scrub *s = &c->scrub;

    if (v->err.kind != ERR_NONE && v->err.kind != ERR_TIMEOUT) /* cancelled for something more important */
        log_warn("scrub: %s", v->err.msg);
    jobs_fault_clear(c, OWNER_STORE);
    s->next_ms = clock_boot_ms() + c->config.scrub_interval_s * 1000;
    loop_timer_set(c->loop, &s->timer, s->next_ms);
    core_store_changed(c);
}

int scrub_job_start(struct core *c, struct err *err)
{
    const struct job_calls calls = {on_line, on_done, c};

    jobs_begin(c, &(struct jobs_about){OWNER_STORE, STEP_SCRUB, "", false});
    c->scrub.next_ms = clock_boot_ms() + c->config.scrub_interval_s * 1000;
    loop_timer_set(c->loop, &c->scrub.timer, c->scrub.next_ms);
    return jobs_run(c, "scrub", scrub_job, LIM_INSTALL_BYTES, &calls, err);
}
