/* keeper.c - agentd: starts and restarts core, holds duplicates of each container's fds so that a crash of
 * core loses neither container nor log line nor exit status, reaps the orphans of a dead core (it is the
 * subreaper), feeds the watchdogs. Static memory; no allocation after start; parses nothing but the messages
 * in keeper.h; opens no network socket. */
#include "agent/keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"
#include "platform/msg.h"
#include "platform/sys.h"

#define BACKOFF_MIN_MS    100
#define BACKOFF_MAX_MS    10000
#define BACKOFF_STABLE_MS 60000
#define TRIAL_MAX_MS      86400000
#define ENDED_MAX         (2 * LIM_APPS)

/* What core is doing, and what happens to it; the transitions are in the table below. */
enum state {
    STAY,    /* no change */
    DOWN,    /* no core; one starts when it is due */
    UP,      /* core runs */
    AGAIN,   /* it runs, and will exit to be replaced */
    LEAVING, /* it runs, and agentd will exit with it */
    OVER,
    STATE_COUNT
};
enum event {
    DUE,        /* time for the next core */
    STARTED,    /* it runs */
    EXITED,     /* it ended */
    EXITED_BAD, /* it rejected these settings, and no core ever ran */
    SAID_AGAIN,
    SAID_BYE,
    TERM,   /* SIGTERM, SIGINT */
    HUP,    /* SIGHUP: a new binary */
    SILENT, /* nothing from core for too long */
    LATE,   /* its trial is over, and it did not report good */
    EVENT_COUNT
};

static struct keeper {
    enum state state;
    struct {
        char name[KEEPER_NAME_BYTES];
        int fd;
    } kept[LIM_STORED_FDS];
    struct {
        pid_t pid;
        int status;
    } ended[ENDED_MAX]; /* the newest exits; each new core gets all of them and picks its own by pid */
    unsigned n_ended, told;
    pid_t core;
    int core_fd, signal_fd, watchdog_fd;
    int core_status; /* of the last core that exited */
    uint64_t core_since_ms, alive_ms, start_at_ms, backoff_ms, starts, trial_at_ms; /* 0: none */
    bool was_up, bad_settings; /* a core ran before; the last one rejected its settings */
    const char *program;
    char **argv;
} k; /* set_up */

static void happen(enum event e);

static void notify(const char *text) /* sd_notify: one datagram, no library */
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    if (!path || !*path || !str_copy(a.sun_path, sizeof(a.sun_path), path))
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (a.sun_path[0] == '@')
        a.sun_path[0] = '\0';
    AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a, len);
}

static void put(const char *name, int take_fd)
{
    int free_at = -1;

    for (int i = 0; i < LIM_STORED_FDS; i++) {
        if (k.kept[i].name[0] == '\0') {
            free_at = free_at < 0 ? i : free_at;
        } else if (strcmp(k.kept[i].name, name) == 0) {
            (void)close(k.kept[i].fd);
            free_at = i;
            break;
        }
    }
    if (free_at < 0 || !str_copy(k.kept[free_at].name, KEEPER_NAME_BYTES, name)) {
        log_error("no room to keep fd \"%s\"", name);
        (void)close(take_fd);
        return;
    }
    k.kept[free_at].fd = take_fd;
}

static void drop(const char *name)
{
    for (int i = 0; i < LIM_STORED_FDS; i++)
        if (strcmp(k.kept[i].name, name) == 0 && name[0]) {
            (void)close(k.kept[i].fd);
            k.kept[i].name[0] = '\0';
        }
}

static void tell(const char *text, int fd)
{
    if (k.core_fd >= 0)
        err_ignore(msg_send(k.core_fd, buf_str(text), &fd, fd >= 0 ? 1 : 0, NULL));
}

/* Short with a hardware watchdog, else half of systemd's watchdog interval, as systemd advises. */
static unsigned pace_ms(void)
{
    const char *text = getenv("WATCHDOG_USEC");
    uint64_t us = 0;

    if (k.watchdog_fd >= 0)
        return KEEPER_PACE_MIN_MS;
    if (!text || !str_u64(text, 1, UINT64_MAX, &us) || us / 2000 > KEEPER_PACE_MS)
        return KEEPER_PACE_MS;
    return us / 2000 < KEEPER_PACE_MIN_MS ? KEEPER_PACE_MIN_MS : (unsigned)(us / 2000);
}

static uint64_t dead_at_ms(void)
{
    return k.alive_ms + (k.watchdog_fd >= 0 ? KEEPER_DEAD_MIN_MS : KEEPER_DEAD_MS);
}

static void tell_ended(void)
{
    char text[64];

    for (; k.core_fd >= 0 && k.told < k.n_ended; k.told++)
        if (str_fmt(text, sizeof(text), "exit %d %d", (int)k.ended[k.told].pid, k.ended[k.told].status))
            tell(text, -1);
}

static void feed_watchdogs(void)
{
    notify("WATCHDOG=1");
    if (k.watchdog_fd >= 0)
        (void)!write(k.watchdog_fd, "", 1);
}

static void hear(char *text, const int *fds, unsigned n_fds)
{
    uint64_t ms = 0;

    if (strncmp(text, "put ", 4) == 0 && n_fds == 1) {
        put(text + 4, fds[0]);
        return;
    }
    if (strcmp(text, "watchdog") == 0 && n_fds == 1 && k.watchdog_fd < 0) {
        k.watchdog_fd = fds[0];
        return;
    }
    for (unsigned i = 0; i < n_fds; i++)
        (void)close(fds[i]);
    if (strncmp(text, "drop ", 5) == 0) {
        drop(text + 5);
    } else if (strcmp(text, "alive") == 0) {
        k.alive_ms = clock_boot_ms();
        if (!k.was_up)
            notify("READY=1");
        k.was_up = true;
        feed_watchdogs();
    } else if (strncmp(text, "trial ", 6) == 0 && str_u64(text + 6, 1, TRIAL_MAX_MS, &ms)) {
        k.trial_at_ms = clock_boot_ms() + ms;
    } else if (strcmp(text, "good") == 0) {
        k.trial_at_ms = 0;
    } else if (strcmp(text, "again") == 0) {
        happen(SAID_AGAIN);
    } else if (strcmp(text, "bye") == 0) {
        happen(SAID_BYE);
    } else {
        log_error("unexpected message from core");
    }
}

static void core_readable(void)
{
    char text[KEEPER_NAME_BYTES + 16];
    int fds[LIM_MSG_FDS];
    unsigned n_fds = 0;
    size_t len = 0;

    for (;;) {
        int rc = msg_recv(k.core_fd, text, sizeof(text) - 1, &len, fds, &n_fds, NULL);
        if (rc == 1) {
            text[len] = '\0';
            hear(text, fds, n_fds);
        } else if (rc != -(int)ERR_INVALID) {
            return; /* nothing more for now, or core is gone: SIGCHLD reports its exit */
        }
    }
}

static void core_main(int fd)
{
    (void)prctl(PR_SET_PDEATHSIG, 0);
    int rc = sys_exec(k.program, k.argv, environ, &fd, 1);
    log_error("start %s: %s", k.program, strerror(-rc));
    _exit(127);
}

static void start_core(void)
{
    int mine, theirs;
    struct err err = ERR_INIT;
    char text[KEEPER_NAME_BYTES + 16];

    k.start_at_ms = clock_boot_ms() + (k.backoff_ms ? k.backoff_ms : BACKOFF_MIN_MS); /* in case this fails */
    if (msg_pair(&mine, &theirs, &err) < 0) {
        log_error("start core: %s", err.msg);
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        core_main(theirs);
    (void)close(theirs);
    if (pid < 0) {
        log_error("start core: fork: %s", strerror(errno));
        (void)close(mine);
        return;
    }
    (void)fcntl(mine, F_SETFL, O_NONBLOCK);
    k.core = pid;
    k.core_fd = mine;
    k.core_since_ms = k.alive_ms = clock_boot_ms();
    for (int i = 0; i < LIM_STORED_FDS; i++)
        if (k.kept[i].name[0] && str_fmt(text, sizeof(text), "fd %s", k.kept[i].name))
            tell(text, k.kept[i].fd);
    k.told = 0;
    tell_ended();
    if (str_fmt(text, sizeof(text), "ready %" PRIu64 " %u", k.starts++, pace_ms()))
        tell(text, -1);
    happen(STARTED);
}

/* ---- actions ---- */

static void start_at_once(void)
{
    k.backoff_ms = 0;
    k.start_at_ms = clock_boot_ms();
}

static void back_off(void)
{
    uint64_t now = clock_boot_ms(), ms = now - k.core_since_ms > BACKOFF_STABLE_MS ? 0 : k.backoff_ms * 2;
    int status = k.core_status;

    k.backoff_ms = ms < BACKOFF_MIN_MS ? BACKOFF_MIN_MS : ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ms;
    k.start_at_ms = now + k.backoff_ms;
    log_warn("core ended (%s %d); restarting it in %" PRIu64 " ms, containers keep running",
             WIFSIGNALED(status) ? "signal" : "status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), k.backoff_ms);
}

static void give_up(void)
{
    k.bad_settings = true;
}

static void kill_core(void)
{
    (void)kill(k.core, SIGKILL);
}

static void stop_core(void)
{
    notify("STOPPING=1");
    if (k.core)
        (void)kill(k.core, SIGTERM);
}

static void kill_silent(void)
{
    log_error("core has not answered for %d s: killed", KEEPER_DEAD_MS / 1000);
    k.alive_ms = clock_boot_ms();
    kill_core();
}

static void kill_late(void)
{
    log_error("the new core did not say in time that it is good: killed");
    k.trial_at_ms = 0;
    kill_core();
}

/* Events not listed change nothing. */
static const struct {
    enum state next;
    void (*act)(void);
} machine[STATE_COUNT][EVENT_COUNT] = {
    [DOWN] = {[DUE] = {STAY, start_core}, [STARTED] = {UP, NULL}, [TERM] = {OVER, stop_core}},
    [UP] = {[EXITED] = {DOWN, back_off},
            [EXITED_BAD] = {OVER, give_up},
            [SAID_AGAIN] = {AGAIN, NULL},
            [SAID_BYE] = {LEAVING, NULL},
            [TERM] = {LEAVING, stop_core},
            [HUP] = {STAY, kill_core},
            [SILENT] = {STAY, kill_silent},
            [LATE] = {STAY, kill_late}},
    [AGAIN] = {[EXITED] = {DOWN, start_at_once},
               [EXITED_BAD] = {OVER, give_up},
               [SAID_BYE] = {LEAVING, NULL},
               [TERM] = {LEAVING, stop_core},
               [HUP] = {STAY, kill_core},
               [SILENT] = {STAY, kill_silent},
               [LATE] = {STAY, kill_late}},
    [LEAVING] = {[EXITED] = {OVER, NULL},
                 [EXITED_BAD] = {OVER, NULL},
                 [TERM] = {STAY, stop_core},
                 [HUP] = {STAY, kill_core},
                 [SILENT] = {STAY, kill_silent},
                 [LATE] = {STAY, kill_late}},
};

static void happen(enum event e)
{
    enum state was = k.state;

    if (machine[was][e].next != STAY)
        k.state = machine[was][e].next;
    if (machine[was][e].act)
        machine[was][e].act();
}

/* ---- events ---- */

static void core_ended(int status)
{
    core_readable(); /* its last messages */
    (void)close(k.core_fd);
    k.core_fd = -1;
    k.core = 0;
    k.trial_at_ms = 0;
    k.core_status = status;
    happen(WIFEXITED(status) && WEXITSTATUS(status) == KEEPER_BAD_SETTINGS && !k.was_up ? EXITED_BAD
                                                                                        : EXITED);
}

static void reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == k.core) {
            core_ended(status);
            continue;
        }
        if (k.n_ended == ENDED_MAX) { /* drop the oldest */
            memmove(&k.ended[0], &k.ended[1], (ENDED_MAX - 1) * sizeof(k.ended[0]));
            k.n_ended--;
            k.told -= k.told > 0;
        }
        k.ended[k.n_ended].pid = pid;
        k.ended[k.n_ended++].status = status;
    }
    tell_ended();
}

static void signal_readable(void)
{
    struct signalfd_siginfo s;

    while (read(k.signal_fd, &s, sizeof(s)) == (ssize_t)sizeof(s)) {
        if (s.ssi_signo == SIGCHLD)
            reap();
        else
            happen(s.ssi_signo == SIGHUP ? HUP : TERM);
    }
}

static int wait_ms(void)
{
    uint64_t now = clock_boot_ms();
    uint64_t at = k.core ? dead_at_ms() : k.start_at_ms;

    if (k.core && k.trial_at_ms && k.trial_at_ms < at)
        at = k.trial_at_ms;
    int rest_ms = mem_rest(now, at);
    return at <= now ? 0 : rest_ms >= 0 ? rest_ms : (int)(at - now);
}

static void turn(void)
{
    struct pollfd p[2] = {{k.signal_fd, POLLIN, 0}, {k.core_fd, POLLIN, 0}};

    if (poll(p, k.core_fd >= 0 ? 2 : 1, wait_ms()) < 0 && errno != EINTR)
        log_error("poll: %s", strerror(errno));
    if (p[1].revents & POLLIN)
        core_readable();
    if (p[0].revents & POLLIN)
        signal_readable();
    uint64_t now = clock_boot_ms();
    if (now >= dead_at_ms())
        happen(SILENT);
    if (k.trial_at_ms && now >= k.trial_at_ms)
        happen(LATE);
    if (now >= k.start_at_ms)
        happen(DUE);
}

static int usage(FILE *f, int rc)
{
    (void)fprintf(f, "usage: agentd [--config FILE] [--libexec DIR] [--watchdog DEVICE] [--version]\n"
                     "The device daemon: keeps core, link and the containers alive. See agentd(8).\n");
    return rc;
}

/* --name value pairs into the settings; 0, or the exit status plus one. */
static int read_args(int argc, char **argv, char **ret_config, const char **ret_libexec,
                     const char **ret_watchdog)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0)
            return 1 + (printf("agentd %s\n", LIMPET_VERSION) < 0);
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return 1 + usage(stdout, 0);
        if (i + 1 >= argc)
            return 1 + usage(stderr, 2);
        const char *name = argv[i++];
        if (strcmp(name, "--config") == 0)
            *ret_config = argv[i];
        else if (strcmp(name, "--libexec") == 0)
            *ret_libexec = argv[i];
        else if (strcmp(name, "--watchdog") == 0)
            *ret_watchdog = argv[i];
        else
            return 1 + usage(stderr, 2);
    }
    return 0;
}

static int set_up(const char *watchdog)
{
    static const int sigs[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    sigset_t set;

    k.state = DOWN;
    k.core_fd = k.watchdog_fd = -1;
    (void)sigemptyset(&set);
    for (unsigned i = 0; i < COUNT_OF(sigs); i++)
        (void)sigaddset(&set, sigs[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    k.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (k.signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        log_error("start: %s", strerror(errno));
        return 1;
    }
    if (watchdog && (k.watchdog_fd = open(watchdog, O_WRONLY | O_CLOEXEC)) < 0)
        log_error("open watchdog %s: %s", watchdog, strerror(errno));
    return 0;
}

int main(int argc, char **argv)
{
    char program[300], core_name[] = "agentd: core", config[] = "/etc/limpet/agentd.json", libexec_text[256];
    char config_word[] = "--config", libexec_word[] = "--libexec", *config_path = config;
    const char *libexec = LIMPET_LIBEXECDIR, *watchdog = NULL;
    int rc = read_args(argc, argv, &config_path, &libexec, &watchdog);

    if (rc)
        return rc - 1;
    log_init("keeper", LOG_INFO_, getenv("JOURNAL_STREAM") != NULL);
    if (!str_copy(libexec_text, sizeof(libexec_text), libexec) ||
        !str_fmt(program, sizeof(program), "%s/agentd-core", libexec))
        return usage(stderr, 2);
    char *core_argv[] = {core_name, config_word, config_path, libexec_word, libexec_text, NULL};
    k.program = program;
    k.argv = core_argv;
    if (set_up(watchdog))
        return 1;
    happen(DUE);
    while (k.state != OVER)
        turn();
    if (k.watchdog_fd >= 0)
        (void)!write(k.watchdog_fd, "V", 1); /* magic close: an orderly stop must not reset the device */
    if (k.bad_settings)
        log_error("core cannot start with its settings: agentd exits; fix them and restart it");
    return k.bad_settings ? KEEPER_BAD_SETTINGS : 0;
}
