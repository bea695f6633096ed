#include "agent/boxes/apps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/base/test_point.h"
#include "agent/boxes/app_file.h"
#include "agent/boxes/health_probe.h"
#include "agent/boxes/logs.h"
#include "agent/boxes/names.h"
#include "agent/boxes/start.h"
#include "agent/core.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"
#include "platform/sys.h"

#define EXIT_WAIT_MS   1000 /* for the keeper to report how a process that is not our child ended */
#define CLOSE_MS       2000 /* for what a box leaves: zombies stay in a group until they are reaped */
#define CLOSE_AGAIN_MS 20
#define OOM_WAIT_MS    200 /* for the kernel's OOM victim to be dead */

/* ---- the end of a box ---- */

/* Nothing of the box is left. */
static void box_closed(struct app *a)
{
    struct core *c = a->core;
    const struct ending *e = &a->end.e;
    const struct want *w = sets_want(c, a->seen.name);
    uint64_t lived_ms = e->at_ms - a->seen.started_ms;

    a->end.pending = false;
    keeper_client_drop(c, a->seen.name, "pid");
    restart_deaths_add(&a->seen.deaths, e, lived_ms, w ? w->restart.stable_ms : 60000);
    a->last_exit_s = clock_wall_s();
    a->seen.box = BOX_NONE;
    a->seen.device_lost = false;
    a->stop_by_us = false;
    names_changed(c, a->network);
    app_no_devices(a); /* they are gone with its /dev and its group */
    if (e->oom)
        events_add(c, "oom", a->seen.name, "killed inside its ceiling: peak %" PRIu64 " of %" PRIu64 " bytes",
                   a->peak_bytes, a->end.limit_bytes);
    else if (!e->by_us)
        events_add(c, "exit", a->seen.name, "ended %s %d after %" PRIu64 " s",
                   !e->known   ? "somehow, status"
                   : e->signal ? "by signal"
                               : "with status",
                   e->signal ? e->signal : e->code, lived_ms / 1000);
    if (!e->by_us && a->seen.deaths.in_row == 5)
        events_add(c, "crash-loop", a->seen.name, "ended 5 times in a row");
    app_file_save(a);
    core_touch(c);
}

/* Remove what is left of the box once its last process is gone: polled, while core continues. */
static void close_box(struct loop_timer *t)
{
    struct app *a = container_of(t, struct app, exit_wait);
    struct core *c = a->core;
    struct err err = ERR_INIT;
    int rc = box_cleanup_now(&c->cgroups, &a->box, &err);

    if (rc == -(int)ERR_CONFLICT && clock_boot_ms() < a->end.until_ms) {
        loop_timer_set(c->loop, t, clock_boot_ms() + CLOSE_AGAIN_MS);
        return;
    }
    if (rc == -(int)ERR_CONFLICT)
        rc = box_cleanup(&c->cgroups, &a->box, &err);
    if (rc < 0)
        log_warn("%s: %s", a->seen.name, err.msg);
    box_closed(a);
}

static void app_ended(struct app *a, int status, bool known)
{
    struct core *c = a->core;
    struct err err = ERR_INIT;
    struct cgroup_usage u;
    uint64_t now = clock_boot_ms();

    if (a->end.pending)
        return;
    loop_timer_del(c->loop, &a->exit_wait);
    loop_timer_del(c->loop, &a->oom_wait);
    health_probe_stop(a);
    box_usage(&c->cgroups, &a->box, &u);
    a->end.e = (struct ending){.known = known, .by_us = a->stop_by_us, .at_ms = now};
    a->end.e.oom = u.oom_kills != CGROUP_UNSET && u.oom_kills > a->ooms_seen;
    a->end.e.code = known && WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    a->end.e.signal = known && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    a->end.limit_bytes = u.memory_limit_bytes;
    a->end.until_ms = now + CLOSE_MS;
    a->end.pending = true;
    if (u.memory_peak_bytes != CGROUP_UNSET)
        a->peak_bytes = u.memory_peak_bytes;
    if (box_kill(&c->cgroups, &a->box, &err) < 0) /* whatever pid 1 left behind */
        log_warn("%s: %s", a->seen.name, err.msg);
    logs_drain(a);
    a->exit_wait.on_fire = close_box;
    close_box(&a->exit_wait);
}

static void exit_wait_over(struct loop_timer *t)
{
    app_ended(container_of(t, struct app, exit_wait), 0, false);
}

void apps_exit_known(struct core *c, pid_t pid, int status)
{
    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used && c->apps[i].seen.box != BOX_NONE && c->apps[i].box.pid == pid &&
            c->apps[i].exit_wait.at_ms)
            app_ended(&c->apps[i], status, true);
}

/* pid 1 of the box has ended: our child, or (started by a predecessor) the keeper's. */
static void box_gone(struct app *a)
{
    int status;
    int fds[] = {a->exit_watch.fd, a->oom_watch.fd};

    loop_fd_del(a->core->loop, &a->exit_watch);
    loop_fd_del(a->core->loop, &a->oom_watch);
    for (unsigned i = 0; i < COUNT_OF(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    a->pidfd = -1;
    if (waitpid(a->box.pid, &status, WNOHANG) == a->box.pid ||
        keeper_client_exit(a->core, a->box.pid, &status)) {
        app_ended(a, status, true);
        return;
    }
    a->exit_wait.on_fire = exit_wait_over;
    loop_timer_set(a->core->loop, &a->exit_wait, clock_boot_ms() + EXIT_WAIT_MS);
}

static void exit_ready(struct loop_fd *w, uint32_t events)
{
    (void)events;
    box_gone(container_of(w, struct app, exit_watch));
}

/* Without pidfds (before Linux 5.3), poll once a second. */
static void poll_exit(struct loop_timer *t)
{
    struct app *a = container_of(t, struct app, exit_wait);

    if (box_is_alive(&a->box))
        loop_timer_set(a->core->loop, t, clock_boot_ms() + 1000);
    else
        box_gone(a);
}

/* The kernel reports the OOM event before its victim is dead. If the victim is pid 1, the end of the box
 * reports it; otherwise one process was killed and the box continues. */
static void oom_told(struct loop_timer *t)
{
    struct app *a = container_of(t, struct app, oom_wait);
    struct cgroup_usage u;

    box_usage(&a->core->cgroups, &a->box, &u);
    if (u.oom_kills == CGROUP_UNSET || u.oom_kills <= a->ooms_seen || !box_is_alive(&a->box))
        return;
    a->ooms_seen = u.oom_kills;
    a->seen.deaths.oom++;
    a->peak_bytes = u.memory_peak_bytes != CGROUP_UNSET ? u.memory_peak_bytes : a->peak_bytes;
    events_add(a->core, "oom", a->seen.name,
               "a process was killed inside the ceiling: peak %" PRIu64 " of %" PRIu64 " bytes",
               a->peak_bytes, u.memory_limit_bytes);
    app_file_save(a);
    core_touch(a->core);
}

static void oom_ready(struct loop_fd *w, uint32_t events)
{
    struct app *a = container_of(w, struct app, oom_watch);
    uint64_t n;

    (void)events;
    (void)!read(w->fd, &n, sizeof(n));
    a->oom_wait.on_fire = oom_told;
    if (!a->oom_wait.at_ms)
        loop_timer_set(a->core->loop, &a->oom_wait, clock_boot_ms() + OOM_WAIT_MS);
}

static void watch_box(struct app *a)
{
    struct err err = ERR_INIT;
    uint32_t events;

    a->exit_watch = (struct loop_fd){.fd = -1, .on_ready = exit_ready};
    a->oom_watch = (struct loop_fd){.fd = -1, .on_ready = oom_ready};
    if (a->pidfd < 0) {
        a->exit_wait.on_fire = poll_exit;
        loop_timer_set(a->core->loop, &a->exit_wait, clock_boot_ms() + 1000);
    } else if (loop_fd_add(a->core->loop, &a->exit_watch, a->pidfd, EPOLLIN, &err) < 0) {
        log_error("%s: %s", a->seen.name, err.msg);
    }
    struct cgroup *group = NULL;
    if (cgroup_open(&a->core->cgroups, a->box.cgroup_path, &group, &err) < 0)
        return;
    int fd = cgroup_oom_fd(group, &events); /* outlives the handle */
    (void)cgroup_free(group);
    if (fd >= 0 && loop_fd_add(a->core->loop, &a->oom_watch, fd, events, &err) < 0) {
        log_error("%s: %s", a->seen.name, err.msg);
        (void)close(fd);
    }
}

static void keep_fds(const struct app *a)
{
    keeper_client_keep(a->core, a->seen.name, "pid", a->pidfd);
    keeper_client_keep(a->core, a->seen.name, "out", a->out_fd);
    keeper_client_keep(a->core, a->seen.name, "err", a->err_fd);
}

/* ---- start ---- */

static void app_run(struct app *a, const struct want *w, const struct box_started *b,
                    const struct image *image)
{
    test_point(a->core, "box-started");
    a->box = b->id;
    a->report = b->report;
    a->pidfd = b->pidfd;
    a->out_fd = b->out_fd;
    a->err_fd = b->err_fd;
    a->release = w->release;
    a->manifest = image->manifest;
    a->counter = w->counter;
    (void)str_copy(a->version, sizeof(a->version), image->version);
    a->net_known = true;
    (void)str_copy(a->network, sizeof(a->network), names_network(a->core, w));
    a->seen.box = BOX_RUNNING;
    a->seen.started_ms = clock_boot_ms();
    a->seen.start_failures = 0;
    a->ooms_seen = 0;
    app_file_save(a); /* before the keeper's copies: a successor looks for the file first */
    test_point(a->core, "box-saved");
    keep_fds(a);
    watch_box(a);
    logs_watch(a);
    names_changed(a->core, a->network);
    health_start(&a->seen.health, &w->health, a->seen.started_ms);
    health_probe_start(a);
}

int apps_start(struct core *c, const struct want *w, struct err *err)
{
    struct app *a = app_new(c, w->name);
    const struct image *image = images_of(c, w);
    struct box_started b = {.pidfd = -1, .out_fd = -1, .err_fd = -1};

    if (!a || !image)
        return err_set(err, ERR_NOSPACE, "start %s: no room for another app", w->name);
    if (!digest_eq(&a->seen.hash, &w->hash)) { /* another release or other settings: its history starts
                                                * over */
        a->seen.deaths = (struct deaths){0};
        a->seen.start_failures = 0;
        a->restarts = 0;
        a->seen.hash = w->hash;
    } else if (a->seen.deaths.last.at_ms) {
        a->restarts++;
    }
    int rc = start_box(a, w, &image->manifest, &b, err);
    if (rc < 0) {
        a->log = logring_free(a->log);
        a->seen.start_failures++;
        a->seen.start_failed_ms = clock_boot_ms();
        app_file_save(a);
        (void)err_wrap(err, "start %s", w->name);
        (void)str_fmt(a->start_why, sizeof(a->start_why), "%s", err->msg);
        (void)str_clean(a->start_why);
        return rc;
    }
    app_run(a, w, &b, image);
    return 0;
}

/* ---- stop ---- */

void apps_stop(struct app *a, const char *why, bool by_us)
{
    struct err err = ERR_INIT;
    const struct want *w = manifest_find(&a->core->sets.candidate.d, a->seen.name);
    uint64_t grace = 10000;
    int sig = SIGTERM;

    if (!w || !digest_eq(&w->hash, &a->seen.hash))
        w = manifest_find(&a->core->sets.good.d, a->seen.name);
    if (w) {
        grace = w->stop_grace_ms;
        sig = w->stop_signal ? w->stop_signal : sig;
    }
    health_probe_stop(a);
    a->stop_by_us = by_us;
    a->seen.box = BOX_STOPPING;
    a->seen.kill_at_ms = clock_boot_ms() + grace;
    log_info("stop %s: %s", a->seen.name, why);
    test_point(a->core, "stop-decided");
    if (box_signal(&a->box, a->pidfd, sig, &err) < 0 && err.kind != ERR_NOTFOUND)
        log_warn("stop %s: %s", a->seen.name, err.msg);
    app_file_save(a);
    core_touch(a->core);
}

void apps_kill(struct app *a)
{
    struct err err = ERR_INIT;

    if (box_kill(&a->core->cgroups, &a->box, &err) < 0)
        log_warn("kill %s: %s", a->seen.name, err.msg);
    a->seen.kill_at_ms = clock_boot_ms() + 1000; /* retry then if it is still there */
}

/* ---- after a restart of core ---- */

void apps_adopt(struct app *a)
{
    struct core *c = a->core;
    const struct want *w = sets_want(c, a->seen.name);
    struct err err = ERR_INIT;
    struct cgroup_usage u;

    a->pidfd = keeper_client_kept(c, a->seen.name, "pid");
    a->out_fd = keeper_client_kept(c, a->seen.name, "out");
    a->err_fd = keeper_client_kept(c, a->seen.name, "err");
    if (a->pidfd < 0 && box_is_alive(&a->box)) /* neither the keeper nor the predecessor passed it on */
        a->pidfd = sys_pidfd_open(a->box.pid);
    if (logs_open(a, w ? w->log_bytes : LIM_LOG_RING_BYTES, &err) < 0)
        log_error("log of %s: %s", a->seen.name, err.msg);
    if (a->log)
        logs_watch(a);
    if (!box_is_alive(&a->box)) { /* it ended while no core was running */
        box_gone(a);
        return;
    }
    box_usage(&c->cgroups, &a->box, &u);
    a->ooms_seen = u.oom_kills == CGROUP_UNSET ? 0 : u.oom_kills;
    watch_box(a);
    keep_fds(a); /* a newly started keeper may not have them yet */
    log_info("took over %s, pid %d", a->seen.name, (int)a->box.pid);
}

void apps_sync(struct core *c)
{
    for (unsigned i = 0; i < LIM_APPS; i++) {
        struct app *a = &c->apps[i];
        const struct want *w = a->used && a->seen.box == BOX_RUNNING ? sets_want(c, a->seen.name) : NULL;
        if (!w || !digest_eq(&w->hash, &a->seen.hash) || w->health.kind == HEALTH_NONE ||
            a->seen.health.state != HEALTH_UNKNOWN)
            continue; /* already watched, or nothing to watch */
        health_start(&a->seen.health, &w->health, a->seen.started_ms);
        health_probe_start(a);
    }
}
