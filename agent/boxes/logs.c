/* logs.c - copies a box's output pipes into its log ring. */
#include <stdio.h>

#include "agent/boxes/logs.h"
#include "agent/core.h"
#include "platform/clock.h"
#include "platform/log.h"

/* 64 KiB in 5 ms: 12 MB a second per stream, at a few percent of a CPU. */
#define PIECES  16
#define REST_MS 5

int logs_open(struct app *a, uint64_t bytes, struct err *err)
{
    char name[LIM_NAME_BYTES + 8];

    (void)str_fmt(name, sizeof(name), "%s.log", a->seen.name);
    a->log = logring_free(a->log);
    return logring_open(a->core->app_fd, name, (uint32_t)bytes, &a->log, err);
}

static void end_stream(struct app *a, struct loop_fd *w, int *fd, const char *what)
{
    loop_fd_del(a->core->loop, w);
    keeper_client_drop(a->core, a->seen.name, what);
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* The pipes of an app that floods its log are paused for a moment: that blocks the app, not core or the
 * others. */
static void rest_over(struct loop_timer *t)
{
    struct app *a = container_of(t, struct app, log_rest);
    struct loop_fd *const watches[] = {&a->out_watch, &a->err_watch};

    for (unsigned i = 0; i < COUNT_OF(watches); i++)
        if (watches[i]->fd >= 0)
            err_ignore(loop_fd_mod(a->core->loop, watches[i], EPOLLIN, NULL));
}

static void rest(struct app *a, struct loop_fd *w)
{
    if (w->fd < 0 || loop_fd_mod(a->core->loop, w, 0, NULL) < 0)
        return;
    a->log_rest.on_fire = rest_over;
    if (!a->log_rest.at_ms)
        loop_timer_set(a->core->loop, &a->log_rest, clock_boot_ms() + REST_MS);
}

/* At most this many pieces a turn, so that an app which floods its log does not hold up the others. */
static void pump(struct app *a, struct loop_fd *w, int *fd, char stream, const char *what, unsigned pieces)
{
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < pieces && *fd >= 0; i++) {
        int rc = logring_pump(a->log, *fd, stream, clock_wall_ms(), &err);
        if (rc == -(int)ERR_AGAIN)
            return;
        if (rc <= 0) {
            if (rc < 0)
                log_error("log of %s: %s", a->seen.name, err.msg);
            end_stream(a, w, fd, what);
            return;
        }
    }
    rest(a, w);
}

static void out_ready(struct loop_fd *w, uint32_t events)
{
    struct app *a = container_of(w, struct app, out_watch);

    (void)events;
    pump(a, w, &a->out_fd, 'o', "out", PIECES);
}

static void err_ready(struct loop_fd *w, uint32_t events)
{
    struct app *a = container_of(w, struct app, err_watch);

    (void)events;
    pump(a, w, &a->err_fd, 'e', "err", PIECES);
}

void logs_watch(struct app *a)
{
    struct err err = ERR_INIT;

    a->out_watch = (struct loop_fd){.fd = -1, .on_ready = out_ready};
    a->err_watch = (struct loop_fd){.fd = -1, .on_ready = err_ready};
    if ((a->out_fd >= 0 && loop_fd_add(a->core->loop, &a->out_watch, a->out_fd, EPOLLIN, &err) < 0) ||
        (a->err_fd >= 0 && loop_fd_add(a->core->loop, &a->err_watch, a->err_fd, EPOLLIN, &err) < 0))
        log_error("log of %s: %s", a->seen.name, err.msg);
}

void logs_drain(struct app *a)
{
    if (a->log) {
        pump(a, &a->out_watch, &a->out_fd, 'o', "out", 64);
        pump(a, &a->err_watch, &a->err_fd, 'e', "err", 64);
    }
    end_stream(a, &a->out_watch, &a->out_fd, "out");
    end_stream(a, &a->err_watch, &a->err_fd, "err");
    loop_timer_del(a->core->loop, &a->log_rest);
    a->log = logring_free(a->log);
}
