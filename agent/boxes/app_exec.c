/* app_exec.c - an additional process in a box, for agentctl exec and for checks. Core never waits for it:
 * what runs in the box can stop, starve or kill a process that enters, so entering is watched by the loop,
 * has a deadline, and holds nothing of core's. */
#include <errno.h>
#include <inttypes.h>
#include <sys/wait.h>

#include "agent/boxes/start.h"
#include "agent/core.h"
#include "platform/clock.h"
#include "platform/log.h"

#define REPORTS 3 /* at most this many per process */

struct app_exec {
    struct core *core;
    char app[LIM_NAME_BYTES];
    uint64_t enter_ms;
    struct box_entry entry;
    struct loop_fd report;
    struct loop_child helper, child;
    struct loop_timer deadline;
    bool helper_gone, child_watched, child_gone;
    bool stopped; /* ending; callbacks are no longer called */
    void (*on_end)(void *arg, int status, const struct err *err);
    void *arg;
};

/* Entering has ended, successfully or not. */
static void end_entry(struct app_exec *e)
{
    loop_timer_del(e->core->loop, &e->deadline);
    loop_fd_del(e->core->loop, &e->report);
}

static void free_if_gone(struct app_exec *e)
{
    if (!e->helper_gone || (e->entry.pid > 0 && e->child_watched && !e->child_gone))
        return;
    struct app *a = app_find(e->core, e->app);
    if (a && a->n_execs > 0)
        a->n_execs--;
    e->core->execs.n--;
    box_entry_done(&e->entry);
    free(e);
}

static void child_ended(struct loop_child *c, int status)
{
    struct app_exec *e = container_of(c, struct app_exec, child);
    struct err err = ERR_INIT;
    int rc = 1;

    e->child_gone = true;
    box_entry_pid_ended(&e->entry);
    if (!e->stopped) {
        for (unsigned i = 0; rc > 0 && i < REPORTS && e->report.fd >= 0; i++)
            rc = box_entry_step(&e->entry, &err); /* its last report may still be in the pipe */
        app_exec_stop(e);                         /* kill what it started too, if it has a group of its own */
        e->on_end(e->arg, status, rc < 0 && err.kind != ERR_IO ? &err : NULL);
    }
    free_if_gone(e);
}

static void watch_child(struct app_exec *e)
{
    struct err err = ERR_INIT;

    if (e->entry.pid <= 0 || e->child_watched)
        return;
    e->child.on_exit = child_ended;
    e->child_watched = loop_child_add(e->core->loop, &e->child, e->entry.pid, &err) == 0;
    if (!e->child_watched)
        log_error("%s: exec: %s", e->app, err.msg);
}

static void helper_ended(struct loop_child *c, int status)
{
    struct app_exec *e = container_of(c, struct app_exec, helper);

    (void)status;
    e->helper_gone = true;
    box_entry_helper_ended(&e->entry);
    watch_child(e);
    if (e->stopped && e->entry.pid > 0 && !e->child_gone) /* it appeared after we gave up */
        (void)kill(e->entry.pid, SIGKILL);
    if (e->stopped)
        free_if_gone(e);
}

void app_exec_stop(struct app_exec *e)
{
    if (e->stopped)
        return;
    e->stopped = true;
    end_entry(e);
    box_entry_kill(&e->entry);
}

static void failed(struct app_exec *e, const struct err *err)
{
    app_exec_stop(e);
    watch_child(e);
    e->on_end(e->arg, -1, err);
    free_if_gone(e);
}

static void report_ready(struct loop_fd *w, uint32_t events)
{
    struct app_exec *e = container_of(w, struct app_exec, report);
    struct err err = ERR_INIT;
    int rc = box_entry_step(&e->entry, &err);

    (void)events;
    if (rc > 0)
        return;
    if (rc == 0) {
        end_entry(e);
        watch_child(e);
        if (e->child_watched)
            return;
        (void)err_set(&err, ERR_IO, "it cannot be watched");
    }
    failed(e, &err);
}

static void too_late(struct loop_timer *t)
{
    struct app_exec *e = container_of(t, struct app_exec, deadline);
    struct err err = ERR_INIT;

    (void)err_set(&err, ERR_TIMEOUT,
                  "%s: the program did not start within %" PRIu64
                  " s (the app is stopped, paused, or uses up its share "
                  "of the processor)",
                  e->app, e->enter_ms / 1000);
    failed(e, &err);
}

static int watch(struct app_exec *e, struct err *err)
{
    struct loop *l = e->core->loop;

    e->report = (struct loop_fd){.fd = -1, .on_ready = report_ready};
    e->helper.on_exit = helper_ended;
    e->deadline.on_fire = too_late;
    int rc = loop_child_add(l, &e->helper, e->entry.helper, err);
    if (rc == 0 && (rc = loop_fd_add(l, &e->report, e->entry.report_fd, EPOLLIN, err)) < 0)
        loop_child_del(l, &e->helper);
    if (rc == 0)
        loop_timer_set(l, &e->deadline, clock_boot_ms() + e->enter_ms);
    return rc;
}

int app_exec_start(struct app *a, const char *const *args, struct box_exec *x,
                   const struct app_exec_calls *calls, struct app_exec **ret, struct err *err)
{
    struct core *c = a->core;

    if (c->execs.n >= LIM_EXECS)
        return err_set(err, ERR_CONFLICT, "%u programs in apps are not over yet", c->execs.n);
    if (a->n_execs >= LIM_APP_EXECS)
        return err_set(err, ERR_CONFLICT, "%s: %u programs in it are not over yet", a->seen.name, a->n_execs);
    struct app_exec *e = mem_need_zero(sizeof(*e));
    e->core = c;
    e->enter_ms = calls->enter_ms;
    e->on_end = calls->on_end;
    e->arg = calls->arg;
    (void)str_copy(e->app, sizeof(e->app), a->seen.name);
    int rc = start_exec(a, args, x, &e->entry, err);
    if (rc == 0 && (rc = watch(e, err)) < 0) {
        box_entry_kill(&e->entry);
        (void)waitpid(e->entry.helper, NULL, WNOHANG);
        box_entry_done(&e->entry);
    }
    if (rc < 0) {
        free(e);
        return rc;
    }
    c->execs.n++;
    a->n_execs++;
    *ret = e;
    return 0;
}
