/* core_main.c - agentd-core: opens what it needs, takes over from its predecessor, then runs the loop.
 * Started by the keeper with one socket (fd 3); without one (by hand) it runs alone. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "agent/boxes/apps.h"
#include "agent/core.h"
#include "agent/keeper/keeper.h"
#include "agent/turn/check.h"
#include "agent/turn/commands.h"
#include "agent/turn/ctl.h"
#include "agent/turn/uplink.h"
#include "agent/update/self_start.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"
#include "platform/patience.h"
#include "runtime/box/exe_guard.h"

#define DAY_MS  (24ULL * 3600 * 1000)
#define TURN_MS 12000 /* for all waits of one turn: with the pace, well below the keeper's timeout */

static_assert(TURN_MS + KEEPER_PACE_MIN_MS < KEEPER_DEAD_MIN_MS - 5000 &&
                  TURN_MS + KEEPER_PACE_MS < KEEPER_DEAD_MS - 5000,
              "the keeper sees a slow turn through");

/* ---- from other processes ---- */

static void on_kept(struct core *c)
{
    struct err err = ERR_INIT;

    if (events_open(c, &err) < 0)
        log_error("%s", err.msg);
    adopt_boxes(c);
    self_took_over(c);
    if (c->keeper.cores_before > 0)
        events_add(c, "agent-restart", NULL, "core was started again (%" PRIu64 "); containers went on",
                   c->keeper.cores_before);
}

static const struct keeper_client_calls keeper_calls = {.on_ready = on_kept, .on_exit = apps_exit_known};

/* Refusals are reported where they occur. */
static void on_document(struct core *c, const char *source, const struct envelope *e)
{
    struct err err = ERR_INIT;

    err_ignore(intake_document(c, source, e, &err));
}

static const struct uplink_calls uplink_calls = {
    .on_document = on_document, .on_clear = intake_clear, .answer = commands_answer};

static void after_turn(void *core)
{
    struct core *c = core;

    act_turn(c);
    uplink_turn(c);
    publish_turn(c);
    uint64_t now = clock_boot_ms(), due_ms = intake_due_ms(c);
    if (c->alive.at_ms > now && c->alive.at_ms - now > due_ms)
        loop_timer_set(c->loop, &c->alive, now + due_ms);
}

/* The keeper feeds the watchdog device but parses no settings, so core opens it. EBUSY: the keeper has it
 * from an earlier core. */
static void give_watchdog(struct core *c)
{
    if (!c->keeper.is_there || !c->config.watchdog[0])
        return;
    AUTO_FD int fd = open(c->config.watchdog, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        keeper_client_say(c, "watchdog", fd);
    else if (errno != EBUSY)
        log_error("watchdog %s: %s", c->config.watchdog, strerror(errno));
}

/* ---- timers ---- */

static void alive_fired(struct loop_timer *t)
{
    struct core *c = container_of(t, struct core, alive);

    keeper_client_say(c, "alive", -1);
    if (c->intake.unsaved)
        intake_save(c);
    intake_turn(c);
    mem_give_back(); /* memory used for reports and requests since the last time */
    loop_timer_set(c->loop, t,
                   clock_boot_ms() + (c->config.watchdog[0] ? KEEPER_PACE_MIN_MS : c->keeper.pace_ms));
}

static void daily_fired(struct loop_timer *t)
{
    struct core *c = container_of(t, struct core, daily);

    intake_time_tick(c); /* the clock of a device without RTC never falls back by more than a day (L12) */
    publish_again(c);
    loop_timer_set(c->loop, t, clock_boot_ms() + DAY_MS);
}

static void on_signal(void *arg, int sig)
{
    (void)sig;
    act_stop(arg);
}

/* ---- start ---- */

/* A job of a killed core dies with it, but not at once: its locks may be held a moment longer. */
static bool wait_for_dead(int rc, unsigned *tries)
{
    const struct timespec pause_100ms = {0, 100000000};

    return rc == -(int)ERR_CONFLICT && (*tries)++ < 50 && nanosleep(&pause_100ms, NULL) == 0;
}

static int lock_state(struct core *c, struct err *err)
{
    unsigned tries = 0;
    int rc = fs_lock(c->state_fd, "lock", &c->lock_fd, err);

    if (rc == -(int)ERR_CONFLICT)
        keeper_client_ask(c); /* its keeper was killed: let it hand the boxes' fds to its successor */
    while (rc < 0 && wait_for_dead(rc, &tries))
        rc = fs_lock(c->state_fd, "lock", &c->lock_fd, err);
    return rc < 0 ? err_wrap(err, "%s", c->config.state_dir) : 0;
}

static int open_store(struct core *c, int fd, struct err *err)
{
    unsigned tries = 0;
    int rc;

    do
        rc = store_new(fd, &c->store, err); /* fd stays open as long as the process */
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
    if (rc == 0 && fchmod(c->run_fd, 0755) < 0) /* link must traverse it, whoever created it */
        rc = err_errno(err, errno, "chmod %s", c->config.run_dir);
    return rc;
}

static int find_user(struct core *c, struct err *err)
{
    const char *name = c->config.user;
    const struct passwd *p = getpwnam(name[0] ? name : "limpet");
    uint64_t id;

    if (!p && !name[0]) /* shared with other processes that could reach its files */
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

/* At boot, or a new start of the agent alone: count boots, and those of a trial. */
static void count_boot(struct core *c)
{
    struct ledger *l = &c->state.ledger;
    struct err err = ERR_INIT;
    char id[40] = "";
    bool again = faccessat(c->run_fd, "started", F_OK, 0) == 0;

    clock_boot_id(id, sizeof(id));
    if (again && strcmp(id, l->boot_id) == 0)
        return;
    ledger_count_boot(l, id, c->sets.candidate.arena != NULL);
    if (state_save(&c->state, &err) < 0)
        log_error("%s", err.msg);
    err_ignore(fs_write_atomic(c->run_fd, "started", BUF_LIT("1"), 0600, NULL));
}

/* The trust document shipped with the device, until a newer one takes over. */
static void first_trust(struct core *c)
{
    struct err err = ERR_INIT;
    uint8_t AUTO_MEM *text = NULL;
    size_t len;

    AUTO_FREE(envelope) struct envelope *e = NULL;
    if (c->state.has_trust || c->intake.trust_hurt)
        return;
    if (fs_read(AT_FDCWD, c->config.trust, LIM_ENVELOPE_BYTES, &text, &len, &err) < 0 ||
        envelope_parse(buf_of(text, len), &e, &err) < 0 || intake_document(c, "local", e, &err) < 0)
        log_error("trust: %s: nothing will be installed; what runs continues", err.msg);
}

static int open_state(struct core *c, struct err *err)
{
    char note[200];
    AUTO_FD int store_fd = -1;
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

    c->alive.on_fire = alive_fired;
    c->daily.on_fire = daily_fired;
    loop_timer_set(c->loop, &c->alive, now + 1);
    loop_timer_set(c->loop, &c->daily, now + 60000);
}

static int watch(struct core *c, struct err *err)
{
    static const int sigs[] = {SIGTERM, SIGINT};
    int rc = loop_new(&c->loop, err);

    if (rc == 0) {
        loop_patience(c->loop, TURN_MS);
        rc = loop_signals(c->loop, sigs, COUNT_OF(sigs), on_signal, c, err);
    }
    return rc < 0 ? rc : keeper_client_open(c, &keeper_calls, err);
}

static int start(struct core *c, bool *ret_bad_settings, struct err *err)
{
    struct sysinfo si;

    c->started_ms = clock_boot_ms();
    patience_begin(TURN_MS); /* waiting for the previous core's locks has its own budget */
    images_leave_garbage(c);
    if (sysinfo(&si) == 0)
        c->memory_total_bytes = (uint64_t)si.totalram * si.mem_unit;
    machine_words(c->arch, c->variant);
    int rc = config_read(c->config_path, &c->config, err);
    if (rc == 0)
        log_init("core", (enum log_level)c->config.log_level, getenv("JOURNAL_STREAM") != NULL);
    if (rc == 0)
        rc = find_user(c, err);
    *ret_bad_settings = rc < 0;
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
    act_open(c);
    publish_open(c);
    scrub_job_open(c);
    os_open(c);
    self_open(c);
    loop_after_turn(c->loop, after_turn, c);
    first_trust(c);
    rc = uplink_start(c, &uplink_calls, err);
    keeper_client_alone(c);
    return rc;
}

static void end(struct core *c)
{
    if (!c->stopping)
        return;
    struct err err = ERR_INIT;
    if (c->keeper.ready)
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
    static struct core core; /* one per process, half a megabyte of it images and plans: too big for a
                              * stack */
    struct core *c = &core;
    struct err err = ERR_INIT;
    const char *image = NULL, *base = "";
    bool bad_settings = false; /* restarting is useless until they are fixed */

    exe_guard_self(argv); /* our children enter boxes */
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
            image = argv[i + 1];
        else if (strcmp(argv[i], "--base") == 0)
            base = argv[i + 1];
        else if (strcmp(argv[i], "--check") == 0)
            return check_state(c, argv[i + 1]);
    }
    keeper_client_look(c);
    self_start(c, image, base);
    if (start(c, &bad_settings, &err) < 0 || loop_run(c->loop, &err) < 0) {
        log_error("%s", err.msg);
        return bad_settings && !image ? KEEPER_BAD_SETTINGS : 1; /* the base system's core may accept them */
    }
    end(c);
    return 0;
}
