/* core_main.c - agentd-core: opens what it needs, takes over what its predecessor left, then turns the loop.
 * Started by the keeper with one socket (fd 3); without one (by hand) it runs alone. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <time.h>

#include "agent/check.h"
#include "agent/core.h"
#include "agent/ctl.h"
#include "agent/keeper.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"
#include "platform/msg.h"
#include "platform/patience.h"
#include "runtime/box/exe_guard.h"

#define REPORT_EVERY_MS   500 /* a burst of changes is one report */
#define DAY_MS            (24ULL * 3600 * 1000)
#define PROGRESS_EVERY_MS 2000
#define TURN_MS           12000 /* for all that one turn waits for: with KEEPER_ALIVE_MS well below KEEPER_DEAD_MS */
#define HANDOVER_S        2 /* for each word of a core that is to hand over */

static_assert(TURN_MS + KEEPER_ALIVE_MS < KEEPER_DEAD_MS - 5000, "the keeper sees a slow turn through");

/* fds that the predecessor kept at the keeper, until they are taken over */
static struct adopted {
    int fds[LIM_STORED_FDS];
    char names[LIM_STORED_FDS][KEEPER_NAME_BYTES];
    unsigned n;
} adopted;

/* ---- the keeper ---- */

static void keeper_say(struct core *c, const char *text, int fd)
{
    if (c->has_keeper) /* that it is gone is seen by reading */
        err_ignore(msg_send(KEEPER_FD, buf_str(text), &fd, fd >= 0 ? 1 : 0, NULL));
}

void core_keep(struct core *c, const char *app, const char *what, int fd)
{
    char text[KEEPER_NAME_BYTES + 16];
    if (fd >= 0 && str_fmt(text, sizeof(text), "put app.%s.%s", app, what))
        keeper_say(c, text, fd);
}

void core_drop(struct core *c, const char *app, const char *what)
{
    char text[KEEPER_NAME_BYTES + 16];
    if (str_fmt(text, sizeof(text), "drop app.%s.%s", app, what))
        keeper_say(c, text, -1);
}

static void note_exit(struct core *c, pid_t pid, int status)
{
    if (c->n_exits == COUNT_OF(c->exits)) {
        memmove(&c->exits[0], &c->exits[1], (c->n_exits - 1) * sizeof(c->exits[0]));
        c->n_exits--;
    }
    c->exits[c->n_exits++] = (struct core_exit){pid, status};
    app_exit_known(c, pid, status);
}

static void keeper_ready(struct core *c, unsigned long long starts)
{
    struct err err = ERR_INIT;
    c->cores_before = starts;
    c->keeper_ready = true;
    if (events_open(c, &err) < 0)
        log_error("%s", err.msg);
    apps_adopt(c, adopted.fds, (const char(*)[80])adopted.names, adopted.n);
    for (unsigned i = 0; i < adopted.n; i++)
        (void)close(adopted.fds[i]);
    adopted.n = 0;
    if (starts > 0)
        event_add(c, "agent-restart", NULL, "core was started again (%llu); containers went on", starts);
    core_touch(c);
}

static void keeper_heard(struct core *c, char *text, const int *fds, unsigned n_fds)
{
    int pid, status;
    unsigned long long starts;
    if (strncmp(text, "fd ", 3) == 0 && n_fds == 1 && adopted.n < LIM_STORED_FDS) {
        adopted.fds[adopted.n] = fds[0];
        (void)str_copy(adopted.names[adopted.n++], KEEPER_NAME_BYTES, text + 3);
        return;
    }
    for (unsigned i = 0; i < n_fds; i++)
        (void)close(fds[i]);
    if (sscanf(text, "exit %d %d", &pid, &status) == 2)
        note_exit(c, pid, status);
    else if (sscanf(text, "ready %llu", &starts) == 1)
        keeper_ready(c, starts);
}

/* The keeper is gone and nobody would start a successor: stay, so that no pipe of a box closes, until the
 * next agentd asks. */
static void keeper_lost(struct core *c)
{
    log_error("the keeper is gone; this core goes on until agentd is started again");
    loop_fd_del(c->loop, &c->keeper);
    (void)close(KEEPER_FD);
    c->has_keeper = false;
    core_touch(c);
}

int core_hand_over(struct core *c, int sock_fd, struct err *err)
{
    static const char *const what[] = {"pid", "out", "err"};
    char text[KEEPER_NAME_BYTES + 16];
    if (c->has_keeper)
        return err_set(err, ERR_DENIED, "this agent has a keeper; end it first");
    for (unsigned i = 0; i < LIM_APPS; i++)
        for (unsigned k = 0; k < COUNT_OF(what); k++) {
            const struct app *a = &c->apps[i];
            const int fds[] = {a->pidfd, a->out_fd, a->err_fd};
            if (a->used && a->seen.box != BOX_NONE && fds[k] >= 0 &&
                str_fmt(text, sizeof(text), "=fd app.%s.%s", a->seen.name, what[k]))
                err_ignore(msg_send(sock_fd, buf_str(text), &fds[k], 1, NULL));
        }
    log_info("handing over to the next core");
    loop_stop(c->loop);
    return 0;
}

void core_leave(struct core *c)
{
    if (c->unsaved)
        intake_save(c);
    keeper_say(c, "again", -1);
    loop_stop(c->loop);
}

void core_is_good(struct core *c)
{
    keeper_say(c, "good", -1);
}

static void keeper_readable(struct loop_fd *w, uint32_t events)
{
    struct core *c = container_of(w, struct core, keeper);
    char text[KEEPER_NAME_BYTES + 16];
    int fds[LIM_MSG_FDS];
    unsigned n_fds = 0;
    size_t len = 0;
    (void)events;
    for (;;) {
        int rc = msg_recv(KEEPER_FD, text, sizeof(text) - 1, &len, fds, &n_fds, NULL);
        if (rc == 1) {
            text[len] = '\0';
            keeper_heard(c, text, fds, n_fds);
        } else if (rc == 0) {
            keeper_lost(c);
            return;
        } else if (rc != -(int)ERR_INVALID) {
            return;
        }
    }
}

/* The keeper feeds the device and parses no settings: core opens it. EBUSY: the keeper has it from an earlier
 * core. */
static void give_watchdog(struct core *c)
{
    if (!c->has_keeper || !c->config.watchdog[0])
        return;
    int AUTO_FD fd = open(c->config.watchdog, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        keeper_say(c, "watchdog", fd);
    else if (errno != EBUSY)
        log_error("watchdog %s: %s", c->config.watchdog, strerror(errno));
}

/* ---- timers ---- */

static void wake_fired(struct loop_timer *t)
{
    core_touch(container_of(t, struct core, wake));
}

static void alive_fired(struct loop_timer *t)
{
    struct core *c = container_of(t, struct core, alive);
    keeper_say(c, "alive", -1);
    if (c->unsaved)
        intake_save(c);
    intake_turn(c);
    events_send(c);  /* what link could not hand on then */
    mem_give_back(); /* what reports and questions since the last time needed */
    loop_timer_set(c->loop, t, clock_boot_ms() + KEEPER_ALIVE_MS);
}

void core_progress(struct core *c)
{
    uint64_t now = clock_boot_ms();
    if (!c->job || c->job_step == STEP_SCRUB || c->job_step == STEP_WAIT || now < c->progress_at_ms)
        return;
    c->progress_at_ms = now + PROGRESS_EVERY_MS;
    struct cJSON *o = json_obj();
    json_put_u64(o, "v", 1);
    json_put_u64(o, "rev", c->plan.aim ? c->plan.aim->rev : 0);
    json_put_str(o, "step",
                 c->job_step == STEP_FETCH || c->job_fetches ? "download"
                 : c->job_step == STEP_INSTALL               ? "install"
                                                             : "collect");
    json_put_str(o, "app", c->job_app);
    json_put_u64(o, "done", c->job_done);
    json_put_u64(o, "total", c->job_total);
    char AUTO_MEM *text = json_print(o, false);
    (void)json_free(o);
    (void)uplink_publish(c, "progress", text, 0, false, 60, 0);
}

static void publish_state(struct core *c)
{
    c->report_dirty = false;
    c->report_at_ms = clock_boot_ms() + REPORT_EVERY_MS;
    report_save(c);
    struct digest now = {{0}};
    struct cJSON *o = report_state(c);
    char AUTO_MEM *text = json_print(o, false);
    bool same = report_digest(o, &now, NULL) == 0 && digest_eq(&now, &c->report_digest);
    (void)json_free(o);
    if (!same || !c->report_told)
        c->report_told = uplink_publish(c, "state", text, 1, true, 30 * 24 * 3600, 0);
    c->report_digest = now;
    core_progress(c);
}

static void report_fired(struct loop_timer *t)
{
    publish_state(container_of(t, struct core, report));
}

static void daily_fired(struct loop_timer *t)
{
    struct core *c = container_of(t, struct core, daily);
    core_time_tick(c); /* the clock of a device without RTC never goes back further than a day (L12) */
    c->report_dirty = true;
    c->report_told = false; /* once a day in any case */
    loop_timer_set(c->loop, t, clock_boot_ms() + DAY_MS);
}

static void health_fired(struct loop_timer *t)
{
    struct core *c = container_of(t, struct core, health);
    if (uplink_is_up(c)) {
        struct cJSON *o = report_health(c);
        char AUTO_MEM *text = json_print(o, false);
        (void)json_free(o);
        (void)uplink_publish(c, "health", text, 0, false, 600, 0);
    }
    loop_timer_set(c->loop, t, clock_boot_ms() + c->config.health_interval_s * 1000);
}

/* ---- stop ---- */

static void stop_now(struct loop_timer *t)
{
    struct core *c = container_of(t, struct core, wake);
    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used && c->apps[i].seen.box != BOX_NONE &&
            clock_boot_ms() >= c->apps[i].seen.kill_at_ms)
            app_kill(&c->apps[i]);
    loop_timer_set(c->loop, t, clock_boot_ms() + 250);
}

void core_stop(struct core *c)
{
    if (c->stopping)
        return;
    log_info("stopping: apps are asked to end");
    c->stopping = true;
    ctl_close(c);
    uplink_stop(c);
    if (c->job)
        job_cancel(c->job, "the agent stops");
    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used && c->apps[i].seen.box == BOX_RUNNING)
            app_stop(&c->apps[i], "the agent stops", true);
    c->wake.on_fire = stop_now;
    loop_timer_set(c->loop, &c->wake, clock_boot_ms() + 250);
    keeper_say(c, "bye", -1);
}

static void on_signal(void *arg, int sig)
{
    (void)sig;
    core_stop(arg);
}

/* ---- start ---- */

/* A job of a killed core dies with it, but not in the same instant: its locks may be held a moment longer. */
static bool wait_for_dead(int rc, unsigned *tries)
{
    const struct timespec pause_100ms = {0, 100000000};
    return rc == -(int)ERR_CONFLICT && (*tries)++ < 50 && nanosleep(&pause_100ms, NULL) == 0;
}

/* A core whose keeper was killed holds the lock and the boxes' fds: it gives both to its successor. One that stands still gives
 * nothing, and is not waited for: the lock decides. */
static void ask_for_fds(struct core *c)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char text[KEEPER_NAME_BYTES + 16];
    int fds[LIM_MSG_FDS];
    unsigned n_fds = 0;
    size_t len = 0;
    (void)str_fmt(a.sun_path, sizeof(a.sun_path), "%s/%s", c->config.run_dir, CTL_SOCKET);
    const struct timeval patience = {HANDOVER_S, 0};
    uint64_t end = clock_boot_ms() + HANDOVER_S * 2000;
    int AUTO_FD sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
        setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
        connect(sock, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        msg_send(sock, buf_of("handover", 9), NULL, 0, NULL) < 0)
        return;
    while (clock_boot_ms() < end && msg_recv(sock, text, sizeof(text) - 1, &len, fds, &n_fds, NULL) == 1 &&
           text[0] == '=') {
        text[len] = '\0';
        keeper_heard(c, text + 1, fds, n_fds);
    }
}

static int lock_state(struct core *c, struct err *err)
{
    unsigned tries = 0;
    int rc = fs_lock(c->state_fd, "lock", &c->lock_fd, err);
    if (rc == -(int)ERR_CONFLICT)
        ask_for_fds(c);
    while (rc < 0 && wait_for_dead(rc, &tries))
        rc = fs_lock(c->state_fd, "lock", &c->lock_fd, err);
    return rc < 0 ? err_wrap(err, "%s", c->config.state_dir) : 0;
}

static int open_store(struct core *c, int fd, struct err *err)
{
    unsigned tries = 0;
    int rc;
    do
        rc = store_new(fd, &c->store, err); /* fd lives as long as we */
    while (wait_for_dead(rc, &tries));
    return rc;
}

static int open_folders(struct core *c, struct err *err)
{
    int rc = fs_open_dir(AT_FDCWD, c->config.state_dir, true, 0700, &c->state_fd, err);
    if (rc == 0)
        rc = lock_state(c, err);
    if (rc == 0)
        rc = fs_open_dir(AT_FDCWD, c->config.run_dir, true, 0755, &c->run_fd, err);
    if (rc == 0)
        rc = fs_open_dir(c->run_fd, "app", true, 0755, &c->app_fd, err);
    if (rc == 0)
        rc = fs_open_dir(c->state_fd, "volumes", true, 0700, &c->volumes_fd, err);
    if (rc == 0 &&
        (fchmod(c->state_fd, 0700) < 0 || fchmod(c->volumes_fd, 0700) < 0)) /* boxes get fds, not paths */
        rc = err_errno(err, errno, "chmod %s", c->config.state_dir);
    if (rc == 0 && fchmod(c->run_fd, 0755) < 0) /* link passes through, whoever made it */
        rc = err_errno(err, errno, "chmod %s", c->config.run_dir);
    return rc;
}

static int find_user(struct core *c, struct err *err)
{
    const char *name = c->config.user;
    const struct passwd *p = getpwnam(name[0] ? name : "limpet");
    uint64_t id;
    if (!p && !name[0]) /* shared with others, who may reach what is its own */
        p = getpwnam(name = "nobody");
    if (p && p->pw_uid == 0)
        return err_set(err, ERR_INVALID, "user: link and fetch need one that is not root");
    if (p) {
        c->uid = p->pw_uid;
        c->gid = p->pw_gid;
    } else if (str_u64(c->config.user, 1, UINT32_MAX - 1, &id)) {
        c->uid = c->gid = (uid_t)id;
    } else {
        return err_set(err, ERR_NOTFOUND,
                       "user: there is no user \"%s\" (link and fetch need one that is not root)", name);
    }
    return 0;
}

/* Fresh boot of the machine or of the agent alone: counters of a trial and of boots. */
static void count_boot(struct core *c)
{
    struct ledger *l = &c->state.ledger;
    struct err err = ERR_INIT;
    char id[40] = "";
    bool again = faccessat(c->run_fd, "started", F_OK, 0) == 0;
    clock_boot_id(id, sizeof(id));
    if (again && strcmp(id, l->boot_id) == 0)
        return;
    l->boots++;
    (void)str_copy(l->boot_id, sizeof(l->boot_id), id);
    if (c->candidate.arena && l->candidate_verdict == VERDICT_NONE)
        l->trial_boots++;
    if (state_save(&c->state, &err) < 0)
        log_error("%s", err.msg);
    err_ignore(fs_write_atomic(c->run_fd, "started", BUF_LIT("1"), 0600, NULL));
}

/* The trust document that came with the device, until a newer one was walked to. */
static void first_trust(struct core *c)
{
    struct err err = ERR_INIT;
    uint8_t AUTO_MEM *text = NULL;
    size_t len;
    AUTO_FREE(envelope) struct envelope *e = NULL;
    if (c->state.has_trust || c->trust_hurt)
        return;
    if (fs_read(AT_FDCWD, c->config.trust, LIM_ENVELOPE_BYTES, &text, &len, &err) < 0 ||
        envelope_parse(buf_of(text, len), &e, &err) < 0 || intake_document(c, "local", e, &err) < 0)
        log_error("trust: %s: nothing will be installed; what runs goes on", err.msg);
}

static int open_state(struct core *c, struct err *err)
{
    char note[200];
    int AUTO_FD store_fd = -1;
    int rc = state_open(c->state_fd, &c->state, note, err);
    if (note[0])
        log_error("%s", note);
    if (rc == 0) {
        budget_open(c);
        idrange_open(c);
    }
    if (rc == 0)
        rc = fs_open_dir(c->state_fd, "store", true, 0700, &store_fd, err);
    if (rc == 0)
        rc = open_store(c, steal_fd(&store_fd), err);
    if (rc == 0)
        rc = intake_load(c, err);
    if (rc == 0)
        count_boot(c);
    return rc;
}

static void arm_timers(struct core *c)
{
    uint64_t now = clock_boot_ms();
    c->wake.on_fire = wake_fired;
    c->alive.on_fire = alive_fired;
    c->daily.on_fire = daily_fired;
    c->health.on_fire = health_fired;
    c->report.on_fire = report_fired;
    loop_timer_set(c->loop, &c->alive, now + 1);
    loop_timer_set(c->loop, &c->daily, now + 60000);
    loop_timer_set(c->loop, &c->health, now + c->config.health_interval_s * 1000);
}

static int watch(struct core *c, struct err *err)
{
    static const int sigs[] = {SIGTERM, SIGINT};
    int rc = loop_new(&c->loop, err);
    if (rc == 0) {
        loop_patience(c->loop, TURN_MS);
        rc = loop_signals(c->loop, sigs, COUNT_OF(sigs), on_signal, c, err);
    }
    c->keeper = (struct loop_fd){.fd = -1, .on_ready = keeper_readable};
    if (rc == 0 && c->has_keeper) {
        (void)fcntl(KEEPER_FD, F_SETFL, O_NONBLOCK);
        (void)fcntl(KEEPER_FD, F_SETFD, FD_CLOEXEC);
        rc = loop_fd_add(c->loop, &c->keeper, KEEPER_FD, EPOLLIN, err);
    }
    return rc;
}

static int start(struct core *c, struct err *err)
{
    struct sysinfo si;
    c->started_ms = clock_boot_ms();
    patience_begin(TURN_MS); /* locks of the core before have their own time */
    c->has_garbage = true;
    if (sysinfo(&si) == 0)
        c->memory_total_bytes = (uint64_t)si.totalram * si.mem_unit;
    machine_words(c->arch, c->variant);
    int rc = config_read(c->config_path, &c->config, err);
    if (rc == 0)
        log_init("core", (enum log_level)c->config.log_level, getenv("JOURNAL_STREAM") != NULL);
    if (rc == 0)
        rc = find_user(c, err);
    c->bad_settings = rc < 0;
    if (rc == 0)
        rc = open_folders(c, err);
    if (rc == 0)
        rc = confine_group(c, err);
    if (rc == 0) {
        confine_apps(c);
        rc = crypto_init(err);
    }
    if (rc == 0)
        rc = confine_capabilities(err);
    if (rc == 0)
        rc = box_probe(&c->cgroups, c->config.state_dir, &c->caps, err);
    if (rc == 0)
        rc = watch(c, err);
    if (rc == 0)
        rc = open_state(c, err);
    if (rc == 0)
        rc = ctl_open(c, err);
    if (rc < 0)
        return rc;
    give_watchdog(c);
    arm_timers(c);
    scrub_open(c);
    os_open(c);
    self_open(c);
    loop_after_turn(c->loop, act_turn, c);
    first_trust(c);
    rc = uplink_start(c, err);
    if (!c->has_keeper)
        keeper_ready(c, 0);
    return rc;
}

static void end(struct core *c)
{
    if (!c->stopping)
        return;
    struct err err = ERR_INIT;
    if (c->keeper_ready)
        publish_state(c);
    err_ignore(fs_remove_tree(c->run_fd, "started", &err));
    self_settled(c);
    devices_close(c);
    c->store = store_free(c->store);
    state_close(&c->state);
    confine_leave(c);
}

int main(int argc, char **argv)
{
    static struct core core; /* one a process, half a megabyte of it images and plans: not for a stack */
    struct core *c = &core;
    struct err err = ERR_INIT;
    exe_guard_self(argv); /* boxes are entered by children of ours */
    mem_stay_small();
    log_init("core", LOG_INFO_, getenv("JOURNAL_STREAM") != NULL);
    (void)prctl(PR_SET_NAME, "agentd-core");
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(022);
    (void)str_copy(c->config_path, sizeof(c->config_path), CONFIG_PATH);
    (void)str_copy(c->libexec, sizeof(c->libexec), LIMPET_LIBEXECDIR);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--config") == 0)
            (void)str_copy(c->config_path, sizeof(c->config_path), argv[i + 1]);
        else if (strcmp(argv[i], "--libexec") == 0)
            (void)str_copy(c->libexec, sizeof(c->libexec), argv[i + 1]);
        else if (strcmp(argv[i], "--image") == 0)
            c->self.image_arg = argv[i + 1];
        else if (strcmp(argv[i], "--base") == 0)
            (void)str_copy(c->self.base, sizeof(c->self.base), argv[i + 1]);
        else if (strcmp(argv[i], "--check") == 0)
            return check_state(c, argv[i + 1]);
    }
    c->has_keeper = fcntl(KEEPER_FD, F_GETFD) >= 0;
    self_start(c);
    if (start(c, &err) < 0 || loop_run(c->loop, &err) < 0) {
        log_error("%s", err.msg);
        return c->bad_settings && !c->self.image_arg ? KEEPER_BAD_SETTINGS
                                                     : 1; /* the base system's core may read them */
    }
    end(c);
    return 0;
}
