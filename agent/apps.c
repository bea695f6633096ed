/* apps.c - boxes: start, stop, what happens when they end, and taking them over after a restart of core. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/core.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"
#include "platform/sys.h"

#define EXIT_WAIT_MS 1000 /* for the keeper's word on how a process ended that is not our child */
#define CLOSE_MS \
    2000 /* for what a box leaves: zombies stay in a group until somebody has read their status */
#define CLOSE_AGAIN_MS 20
#define OOM_WAIT_MS    200 /* for the victim of the kernel to be dead */

struct app *app_find(struct core *c, const char *name)
{
    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used && strcmp(c->apps[i].seen.name, name) == 0)
            return &c->apps[i];
    return NULL;
}

const struct want *app_want(struct core *c, const char *name)
{
    return desired_find(c->plan.run, name);
}

bool apps_any_box(const struct core *c)
{
    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used && c->apps[i].seen.box != BOX_NONE)
            return true;
    return false;
}

/* A free place, or that of an app which is neither wanted nor running. */
static struct app *app_new(struct core *c, const char *name)
{
    struct app *a = app_find(c, name);
    for (unsigned i = 0; !a && i < LIM_APPS; i++)
        if (!c->apps[i].used || (c->apps[i].seen.box == BOX_NONE && !app_want(c, c->apps[i].seen.name)))
            a = &c->apps[i];
    if (!a || (a->used && strcmp(a->seen.name, name) == 0))
        return a;
    free(a->probe);
    devices_none(a);
    *a = (struct app){.used = true, .core = c, .pidfd = -1, .out_fd = -1, .err_fd = -1};
    a->exit_watch.fd = a->out_watch.fd = a->err_watch.fd = a->oom_watch.fd = -1;
    (void)str_copy(a->seen.name, sizeof(a->seen.name), name);
    return a;
}

/* ---- the file of an app: what a successor of core needs ---- */

void app_save(struct app *a)
{
    char name[LIM_NAME_BYTES + 8], hex[SHA256_TEXT];
    struct err err = ERR_INIT;
    const struct seen *s = &a->seen;
    struct cJSON *o = json_obj();
    json_put_bool(o, "box", s->box != BOX_NONE);
    json_put_bool(o, "stopping", s->box == BOX_STOPPING);
    json_put_bool(o, "by_us", a->stop_by_us);
    json_put_u64(o, "kill_at_ms", s->kill_at_ms);
    json_put_i64(o, "pid", a->box.pid);
    json_put_u64(o, "start_ticks", a->box.start_ticks);
    json_put_str(o, "cgroup", a->box.cgroup_path);
    json_put_u64(o, "net", a->box.net);
    json_put_str(o, "ip", a->box.host_ip);
    json_put_str(o, "ip6", a->box.host_ip6);
    json_put_str(o, "network", a->network);
    json_put_str(o, "hash", digest_text(&s->hash, hex));
    json_put_str(o, "release", digest_text(&a->release, hex));
    json_put_str(o, "manifest", digest_text(&a->manifest, hex));
    json_put_str(o, "version", a->version);
    json_put_u64(o, "counter", a->counter);
    json_put_u64(o, "restarts", a->restarts);
    json_put_u64(o, "started_ms", s->started_ms);
    json_put_u64(o, "in_row", s->deaths.in_row);
    json_put_u64(o, "deaths", s->deaths.total);
    json_put_u64(o, "oom", s->deaths.oom);
    json_put_u64(o, "peak", a->peak_bytes);
    json_put_u64(o, "last_exit_s", a->last_exit_s);
    json_put_i64(o, "last_code", s->deaths.last.code);
    json_put_i64(o, "last_signal", s->deaths.last.signal);
    json_put_bool(o, "last_oom", s->deaths.last.oom);
    json_put_bool(o, "last_known", s->deaths.last.known);
    json_put_bool(o, "last_by_us", s->deaths.last.by_us);
    json_put_u64(o, "last_at_ms", s->deaths.last.at_ms);
    (void)json_put(o, "enforce", report_fields(&a->report));
    devices_save(o, a);
    char AUTO_MEM *text = json_print(o, false);
    (void)json_free(o);
    (void)str_fmt(name, sizeof(name), "%s.json", s->name);
    if (fs_write_atomic(a->core->app_fd, name, buf_str(text), 0600, &err) < 0)
        log_error("%s", err.msg);
}

static int get_digest(const struct json_cur *o, const char *key, struct digest *ret)
{
    const char *text;
    return json_get_str(o, key, JSON_REQUIRED, 80, &text, NULL) > 0 ? digest_parse(text, ret, NULL) : -1;
}

static bool get_copy(const struct json_cur *o, const char *key, char *dst, size_t size)
{
    const char *text;
    return json_get_str(o, key, JSON_REQUIRED, size - 1, &text, NULL) > 0 && str_copy(dst, size, text);
}

static uint64_t get_number(const struct json_cur *o, const char *key)
{
    uint64_t v = 0;
    err_ignore(json_get_u64(o, key, JSON_OPTIONAL, 0, 1ULL << 53, &v, NULL));
    return v;
}

static bool get_flag(const struct json_cur *o, const char *key)
{
    bool v = false;
    err_ignore(json_get_bool(o, key, JSON_OPTIONAL, &v, NULL));
    return v;
}

static bool app_read(struct app *a, const struct json_cur *o)
{
    struct json_cur enforce;
    struct ending *last = &a->seen.deaths.last;
    if (get_digest(o, "hash", &a->seen.hash) < 0 || get_digest(o, "release", &a->release) < 0 ||
        get_digest(o, "manifest", &a->manifest) < 0 ||
        !get_copy(o, "cgroup", a->box.cgroup_path, sizeof(a->box.cgroup_path)) ||
        !get_copy(o, "ip", a->box.host_ip, sizeof(a->box.host_ip)) ||
        !get_copy(o, "version", a->version, sizeof(a->version)))
        return false;
    (void)get_copy(o, "ip6", a->box.host_ip6, sizeof(a->box.host_ip6));
    (void)get_copy(o, "network", a->network, sizeof(a->network));
    (void)str_copy(a->box.id, sizeof(a->box.id), a->seen.name);
    a->seen.box = !get_flag(o, "box") ? BOX_NONE : get_flag(o, "stopping") ? BOX_STOPPING : BOX_RUNNING;
    a->stop_by_us = get_flag(o, "by_us");
    a->seen.kill_at_ms = get_number(o, "kill_at_ms");
    a->box.pid = (pid_t)get_number(o, "pid");
    a->box.start_ticks = get_number(o, "start_ticks");
    a->box.net = (enum spec_net)get_number(o, "net");
    a->counter = get_number(o, "counter");
    a->restarts = get_number(o, "restarts");
    a->seen.started_ms = get_number(o, "started_ms");
    a->seen.deaths.in_row = (unsigned)get_number(o, "in_row");
    a->seen.deaths.total = (unsigned)get_number(o, "deaths");
    a->seen.deaths.oom = (unsigned)get_number(o, "oom");
    a->peak_bytes = get_number(o, "peak");
    a->last_exit_s = get_number(o, "last_exit_s");
    *last = (struct ending){(int)get_number(o, "last_code"), (int)get_number(o, "last_signal"),
                            get_flag(o, "last_oom"),         get_flag(o, "last_by_us"),
                            get_flag(o, "last_known"),       get_number(o, "last_at_ms")};
    if (json_get_object(o, "enforce", JSON_OPTIONAL, &enforce, NULL) > 0)
        report_fields_read(&enforce, &a->report);
    devices_read(o, a);
    return true;
}

/* ---- the end of a box ---- */

/* Nothing of the box is left. */
static void box_closed(struct app *a)
{
    struct core *c = a->core;
    const struct ending *e = &a->end.e;
    const struct want *w = app_want(c, a->seen.name);
    uint64_t lived_ms = e->at_ms - a->seen.started_ms;
    a->end.pending = false;
    core_drop(c, a->seen.name, "pid");
    deaths_add(&a->seen.deaths, e, lived_ms, w ? w->restart.stable_ms : 60000);
    a->last_exit_s = clock_wall_s();
    a->seen.box = BOX_NONE;
    a->stop_by_us = false;
    names_changed(c, a->network);
    devices_none(a); /* they went with its /dev and its group */
    if (e->oom)
        event_add(c, "oom", a->seen.name, "killed inside its ceiling: peak %llu of %llu bytes",
                  (unsigned long long)a->peak_bytes, (unsigned long long)a->end.limit_bytes);
    else if (!e->by_us)
        event_add(c, "exit", a->seen.name, "ended %s %d after %llu s",
                  !e->known   ? "somehow, status"
                  : e->signal ? "by signal"
                              : "with status",
                  e->signal ? e->signal : e->code, (unsigned long long)lived_ms / 1000);
    if (!e->by_us && a->seen.deaths.in_row == 5)
        event_add(c, "crash-loop", a->seen.name, "ended 5 times in a row");
    app_save(a);
    core_touch(c);
}

/* What the box leaves goes as soon as its last process has: looked at now and then, core goes on meanwhile. */
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
    probe_stop(a);
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
    if (box_kill(&c->cgroups, &a->box, &err) < 0) /* what pid 1 left behind */
        log_warn("%s: %s", a->seen.name, err.msg);
    logs_drain(a);
    a->exit_wait.on_fire = close_box;
    close_box(&a->exit_wait);
}

static void exit_wait_over(struct loop_timer *t)
{
    app_ended(container_of(t, struct app, exit_wait), 0, false);
}

void app_exit_known(struct core *c, pid_t pid, int status)
{
    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used && c->apps[i].seen.box != BOX_NONE && c->apps[i].box.pid == pid &&
            c->apps[i].exit_wait.at_ms)
            app_ended(&c->apps[i], status, true);
}

static const struct core_exit *find_exit(const struct core *c, pid_t pid)
{
    for (unsigned i = 0; i < c->n_exits; i++)
        if (c->exits[i].pid == pid)
            return &c->exits[i];
    return NULL;
}

/* pid 1 of the box is gone: our child, or (started by a predecessor) the keeper's. */
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
    pid_t got = waitpid(a->box.pid, &status, WNOHANG);
    const struct core_exit *e = find_exit(a->core, a->box.pid);
    if (got == a->box.pid || e) {
        app_ended(a, got == a->box.pid ? status : e->status, true);
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

/* Without pidfds (before 5.3) a look once a second. */
static void poll_exit(struct loop_timer *t)
{
    struct app *a = container_of(t, struct app, exit_wait);
    if (box_is_alive(&a->box))
        loop_timer_set(a->core->loop, t, clock_boot_ms() + 1000);
    else
        box_gone(a);
}

/* The kernel says that the ceiling was met before its victim is dead. When pid 1 is the victim the box's end tells it; else one process
 * of it was killed and the box lives on. */
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
    event_add(a->core, "oom", a->seen.name,
              "a process was killed inside the ceiling: peak %llu of %llu bytes",
              (unsigned long long)a->peak_bytes, (unsigned long long)u.memory_limit_bytes);
    app_save(a);
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

/* ---- start ---- */

static void app_run(struct app *a, const struct want *w, const struct box_started *b,
                    const struct image *image)
{
    core_point(a->core, "box-started");
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
    app_save(a); /* before the keeper's copies: a successor looks for the file first */
    core_point(a->core, "box-saved");
    core_keep(a->core, w->name, "pid", a->pidfd);
    core_keep(a->core, w->name, "out", a->out_fd);
    core_keep(a->core, w->name, "err", a->err_fd);
    watch_box(a);
    logs_watch(a);
    names_changed(a->core, a->network);
    health_start(&a->seen.health, &w->health, a->seen.started_ms);
    probe_start(a);
}

int app_start(struct core *c, const struct want *w, struct err *err)
{
    struct app *a = app_new(c, w->name);
    const struct image *image = images_of(c, w);
    struct box_started b = {.pidfd = -1, .out_fd = -1, .err_fd = -1};
    if (!a || !image)
        return err_set(err, ERR_NOSPACE, "start %s: no place for one more app", w->name);
    if (!digest_eq(&a->seen.hash, &w->hash)) { /* another release or setting: its history starts anew */
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
        app_save(a);
        return err_wrap(err, "start %s", w->name);
    }
    app_run(a, w, &b, image);
    return 0;
}

/* ---- stop ---- */

void app_stop(struct app *a, const char *why, bool by_us)
{
    struct err err = ERR_INIT;
    const struct want *w = desired_find(&a->core->candidate.d, a->seen.name);
    uint64_t grace = 10000;
    int sig = SIGTERM;
    if (!w || !digest_eq(&w->hash, &a->seen.hash))
        w = desired_find(&a->core->good.d, a->seen.name);
    if (w) {
        grace = w->stop_grace_ms;
        sig = w->stop_signal ? w->stop_signal : sig;
    }
    probe_stop(a);
    a->stop_by_us = by_us;
    a->seen.box = BOX_STOPPING;
    a->seen.kill_at_ms = clock_boot_ms() + grace;
    log_info("stop %s: %s", a->seen.name, why);
    core_point(a->core, "stop-decided");
    if (box_signal(&a->box, a->pidfd, sig, &err) < 0 && err.kind != ERR_NOTFOUND)
        log_warn("stop %s: %s", a->seen.name, err.msg);
    app_save(a);
    core_touch(a->core);
}

void app_kill(struct app *a)
{
    struct err err = ERR_INIT;
    if (box_kill(&a->core->cgroups, &a->box, &err) < 0)
        log_warn("kill %s: %s", a->seen.name, err.msg);
    a->seen.kill_at_ms = clock_boot_ms() + 1000; /* again, if it is still there then */
}

/* ---- after a restart of core ---- */

static int kept_fd(const char *app, const char *what, const int *fds, const char (*names)[80], unsigned n)
{
    char name[96];
    (void)str_fmt(name, sizeof(name), "app.%s.%s", app, what);
    for (unsigned i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
    return -1;
}

static void adopt_box(struct app *a, const int *fds, const char (*names)[80], unsigned n)
{
    struct err err = ERR_INIT;
    a->pidfd = kept_fd(a->seen.name, "pid", fds, names, n);
    a->out_fd = kept_fd(a->seen.name, "out", fds, names, n);
    a->err_fd = kept_fd(a->seen.name, "err", fds, names, n);
    if (a->pidfd < 0 && box_is_alive(&a->box)) /* neither keeper nor predecessor had it */
        a->pidfd = sys_pidfd_open(a->box.pid);
    const struct want *w = app_want(a->core, a->seen.name);
    if (logs_open(a, w ? w->log_bytes : LIM_LOG_RING_BYTES, &err) < 0)
        log_error("log of %s: %s", a->seen.name, err.msg);
    if (a->log)
        logs_watch(a);
    if (!box_is_alive(&a->box)) { /* it ended while there was no core */
        box_gone(a);
        return;
    }
    struct cgroup_usage u;
    box_usage(&a->core->cgroups, &a->box, &u);
    a->ooms_seen = u.oom_kills == CGROUP_UNSET ? 0 : u.oom_kills;
    watch_box(a);
    core_keep(a->core, a->seen.name, "pid", a->pidfd); /* a keeper of its own may not have them yet */
    core_keep(a->core, a->seen.name, "out", a->out_fd);
    core_keep(a->core, a->seen.name, "err", a->err_fd);
    log_info("took over %s, pid %d", a->seen.name, (int)a->box.pid);
}

static void adopt_file(struct core *c, const char *file, const int *fds, const char (*names)[80], unsigned n)
{
    char name[LIM_NAME_BYTES];
    uint8_t AUTO_MEM *text = NULL;
    size_t len, stem = strlen(file) - 5;
    struct json_cur root = {.node = NULL};
    struct err err = ERR_INIT;
    if (!str_fmt(name, sizeof(name), "%.*s", (int)stem, file) || !str_is_name(name))
        return;
    struct app *a = app_new(c, name);
    if (!a || fs_read(c->app_fd, file, LIM_ENVELOPE_BYTES, &text, &len, &err) < 0 ||
        json_parse(buf_of(text, len), &json_limits_signed, &root, &err) < 0 || !app_read(a, &root)) {
        log_error("the file of %s cannot be used: %s", name, err.msg);
        if (a)
            a->used = false;
    } else if (a->seen.box != BOX_NONE) {
        adopt_box(a, fds, names, n);
    }
    (void)json_free(root.node);
}

/* Groups of ours that no app file speaks of: a core died between starting a box and writing its file. */
static void kill_orphans(struct core *c)
{
    const struct desired *sets[] = {&c->candidate.d, &c->good.d, &c->previous.d};
    for (unsigned i = 0; i < COUNT_OF(sets); i++)
        for (unsigned k = 0; k < sets[i]->n; k++) {
            struct app *a = app_find(c, sets[i]->apps[k].name);
            struct box_id b = {.pid = -1};
            struct cgroup *g = NULL;
            if (a && a->seen.box != BOX_NONE)
                continue;
            (void)str_copy(b.id, sizeof(b.id), sets[i]->apps[k].name);
            (void)str_fmt(b.cgroup_path, sizeof(b.cgroup_path), "%s/app/%s", c->cgroup_root, b.id);
            b.net = sets[i]->apps[k].net == NET_CNI      ? SPEC_NET_CNI
                    : sets[i]->apps[k].net == NET_BRIDGE ? SPEC_NET_BRIDGE /* at an address nobody knows */
                                                         : SPEC_NET_NONE;
            if (cgroup_open(&c->cgroups, b.cgroup_path, &g, NULL) < 0)
                continue;
            log_warn("%s was half started when core died: removed", b.id);
            err_ignore(box_kill(&c->cgroups, &b, NULL));
            err_ignore(box_cleanup(&c->cgroups, &b, NULL));
            (void)cgroup_free(g);
        }
}

void apps_sync(struct core *c)
{
    for (unsigned i = 0; i < LIM_APPS; i++) {
        struct app *a = &c->apps[i];
        const struct want *w = a->used && a->seen.box == BOX_RUNNING ? app_want(c, a->seen.name) : NULL;
        if (!w || !digest_eq(&w->hash, &a->seen.hash) || w->health.kind == HEALTH_NONE ||
            a->seen.health.state != HEALTH_UNKNOWN)
            continue; /* watched already, or nothing to watch */
        health_start(&a->seen.health, &w->health, a->seen.started_ms);
        probe_start(a);
    }
}

/* Plugins look at what they made for a box that was taken over: one box a turn, since that may take its time. */
static void check_next(struct loop_timer *t)
{
    struct core *c = container_of(t, struct core, net_check);
    struct cgroup_field *f;
    struct err err = ERR_INIT;
    struct app *a = NULL;
    for (unsigned i = 0; i < LIM_APPS && !a; i++)
        if (c->apps[i].used && c->apps[i].seen.box == BOX_RUNNING && !c->apps[i].net_known)
            a = &c->apps[i];
    if (!a)
        return;
    a->net_known = true;
    f = &a->report.network;
    if (box_net_check(&a->box, &err) < 0) {
        *f = (struct cgroup_field){.state = CGROUP_DEGRADED};
        (void)str_fmt(f->why, sizeof(f->why), "%.90s", err.msg);
        (void)str_clean(f->why);
        event_add(c, "network-bad", a->seen.name, "%s", f->why);
    } else if (a->box.net == SPEC_NET_CNI) {
        *f = (struct cgroup_field){.state = CGROUP_ENFORCED};
    }
    app_save(a);
    c->report_dirty = true;
    loop_timer_set(c->loop, t, clock_boot_ms() + 1);
}

void apps_adopt(struct core *c, const int *fds, const char (*names)[80], unsigned n)
{
    char list[LIM_APPS][LIM_NAME_BYTES + 8];
    unsigned found = fs_list(c->app_fd, ".json", &list[0][0], sizeof(list[0]), LIM_APPS);
    for (unsigned i = 0; i < found; i++)
        adopt_file(c, list[i], fds, names, n);
    names_changed(c, NULL); /* who ended meanwhile */
    kill_orphans(c);
    struct err err = ERR_INIT;
    if (box_sweep(&err) < 0)
        log_warn("networks of boxes that have gone: %s", err.msg);
    c->net_check.on_fire = check_next;
    loop_timer_set(c->loop, &c->net_check, clock_boot_ms() + 1);
}
