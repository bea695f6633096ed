/* os_act.c - observes and acts for os_update.c: fetches the bundle like any blob, hands it to this device's
 * updater (through its own commands only), reboots, and confirms or goes back. What is remembered is made
 * durable before the step that it records. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "agent/core.h"
#include "agent/turn/uplink.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"
#include "platform/sys.h"

#define OS_FILE         "os"
#define STATUS_BYTES    (64 * 1024)
#define REBOOT_AGAIN_MS 300000 /* after a reboot request without effect */
#define INSTALL_TRIES   3
#define WORDS           4

/* Each updater's commands, unless agentd.json sets others. SWUpdate's daemon knows this device's slots and
 * keys; confirming is up to the boot loader there. */
static const struct updater {
    const char *name;
    const char *words[CONFIG_COMMAND_COUNT_][WORDS];
} updaters[] = {
    {"none", {{NULL}}},
    {"rauc",
     {[CONFIG_OS_INSTALL] = {"rauc", "install"},
      [CONFIG_OS_CONFIRM] = {"rauc", "status", "mark-good"},
      [CONFIG_OS_REVERT] = {"rauc", "status", "mark-bad"}}},
    {"swupdate", {[CONFIG_OS_INSTALL] = {"swupdate-client"}}},
};

/* First word NULL: this device has no such command. */
static const char *const *words_of(const struct core *c, enum config_which which)
{
    const char *const *own = (const char *const *)c->config.commands[which].words;

    return own[0] ? own : c->os.updater->words[which];
}

static bool on_path(const char *program)
{
    char path[300];
    const char *dirs = getenv("PATH");

    for (const char *p = dirs ? dirs : "/usr/bin:/usr/sbin:/bin:/sbin"; *p; p += strcspn(p, ":")) {
        p += *p == ':';
        if (str_fmt(path, sizeof(path), "%.*s/%s", (int)strcspn(p, ":"), p, program) &&
            access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static const struct updater *find_updater(const struct core *c)
{
    const char *asked = c->config.os_updater;

    for (size_t i = 1; i < COUNT_OF(updaters); i++)
        if ((strcmp(asked, "auto") == 0 || strcmp(asked, updaters[i].name) == 0) && on_path(updaters[i].name))
            return &updaters[i];
    return &updaters[0];
}

/* ---- memory ---- */

static int save(struct core *c, struct err *err)
{
    char AUTO_MEM *text = os_memory_build(&c->os.memory);

    return fs_write_durable(c->state.dir_fd, OS_FILE, buf_str(text), 0600, err);
}

static void save_or_tell(struct core *c)
{
    struct err err = ERR_INIT;

    if (save(c, &err) < 0)
        log_error("%s", err.msg);
}

static bool is_rebooted(const struct core *c)
{
    char now[40];

    clock_boot_id(now, sizeof(now));
    return strcmp(now, c->os.memory.boot_id) != 0;
}

void os_open(struct core *c)
{
    uint8_t AUTO_MEM *text = NULL;
    size_t len = 0;
    struct err err = ERR_INIT;
    struct os_memory *m = &c->os.memory;

    int rc = fs_read(c->state.dir_fd, OS_FILE, STATUS_BYTES, &text, &len, &err);
    if (rc == 0)
        rc = os_memory_parse(buf_of(text, len), m, &err);
    if (rc < 0 && err.kind != ERR_NOTFOUND)
        log_error("the saved state of the system's update cannot be read: %s", err.msg);
    if (rc == 0 && m->phase == OS_INSTALLED && is_rebooted(c)) {
        m->trial_starts++;
        save_or_tell(c);
    }
}

/* ---- in a job: the updater's commands ---- */

static void exec_words(const char *const *words, const char *last, int out_fd)
{
    char *argv[WORDS + 12] = {NULL};
    unsigned n = 0;

    for (; words[n] && n < WORDS + 10; n++)
        argv[n] = mem_need_str(words[n]);
    if (last)
        argv[n] = mem_need_str(last);
    (void)setpgid(0, 0); /* what it starts is killed with it */
    sys_reset_signals(-1);
    if (argv[0] && dup2(out_fd, STDOUT_FILENO) >= 0 && dup2(out_fd, STDERR_FILENO) >= 0)
        (void)execvp(argv[0], argv);
    _exit(127);
}

/* Read a command's output until it ends or it is end_ms; if it does not fit the end is kept, where an updater
 * reports why it failed. */
static void read_output(int fd, char *out, size_t size, uint64_t end_ms)
{
    size_t len = 0;
    ssize_t n = 1;

    while (n > 0 || (n < 0 && errno == EINTR)) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        uint64_t now_ms = clock_boot_ms(), left_ms = end_ms > now_ms ? end_ms - now_ms : 0;
        if (left_ms == 0)
            break;
        n = poll(&ready, 1, left_ms < 60000 ? (int)left_ms : 60000);
        if (n == 0)
            n = 1; /* not yet */
        else if (n > 0)
            n = read(fd, out + len, size - 1 - len);
        len += n > 0 && ready.revents ? (size_t)n : 0;
        if (len == size - 1) {
            memmove(out, out + size / 2, len - size / 2);
            len -= size / 2;
        }
    }
    out[len] = '\0';
}

/* No words: nothing to do. Its output goes to out (the end of it, if longer than size). A nonzero status is
 * an error with the end of the output; a command still running after limit_s is killed. Errors: IO, NOMEM,
 * TIMEOUT. */
static int run_words(const char *const *words, const char *last, uint64_t limit_s, char *out, size_t size,
                     struct err *err)
{
    uint64_t now_ms, end_ms = clock_boot_ms() + limit_s * 1000;
    int fds[2], status = 0;
    bool ended = true;

    if (!words[0])
        return 0;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, errno, "pipe");
    pid_t pid = fork();
    if (pid == 0)
        exec_words(words, last, fds[1]);
    (void)close(fds[1]);
    if (pid > 0) {
        read_output(fds[0], out, size, end_ms);
        now_ms = clock_boot_ms(); /* it may have closed its output and still run */
        ended = sys_wait_child(pid, now_ms < end_ms ? end_ms - now_ms : 0, &status);
        if (!ended) {
            (void)kill(-pid, SIGKILL);
            (void)sys_wait_child(pid, UINT64_MAX, &status);
        }
    }
    (void)close(fds[0]);
    if (pid < 0)
        return err_set(err, ERR_NOMEM, "fork");
    const char *said = os_updater_complaint(out), *sep = said[0] ? ": " : "";
    if (!ended)
        return err_set(err, ERR_TIMEOUT, "%s had not ended after %" PRIu64 " s (os_install_s)%s%.150s",
                       words[0], limit_s, sep, said);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return err_set(err, ERR_IO, "%s ended with status %d%s%.150s", words[0],
                   WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), sep, said);
}

static int look_job(const struct core *c, int line_fd, char *out, struct err *err)
{
    static const char *const status[] = {"rauc", "status", "--output-format=json", NULL};
    char slot[OS_SLOT_BYTES] = "";
    int rc = 0;

    if (strcmp(c->os.updater->name, "rauc") == 0) {
        rc = run_words(status, NULL, c->config.os_install_s, out, STATUS_BYTES, err);
        if (rc == 0)
            rc = os_rauc_slot(buf_str(out), slot, sizeof(slot), err);
    } else if (fs_read_text(AT_FDCWD, "/proc/cmdline", out, STATUS_BYTES, NULL) < 0 ||
               !os_cmdline_root(out, slot, sizeof(slot))) {
        rc = err_set(err, ERR_UNSUPPORTED, "the kernel was started without root=");
    }
    if (rc == 0)
        job_line(line_fd, "slot %s", slot);
    return rc;
}

/* A release key must have signed the bundle, as everything that runs as root: its release names these
 * bytes. */
static int check_release(const struct core *c, struct err *err)
{
    const struct os *o = &c->os;
    struct release AUTO_MEM *rel = mem_need(sizeof(*rel));
    int rc = images_release(c, &o->want, true, rel, err);

    if (rc == 0 &&
        (rel->bundle.bytes != o->blobs[0].size_bytes || !digest_eq(&rel->bundle.digest, &o->blobs[0].digest)))
        rc = err_set(err, ERR_DENIED, "release of os: %s %" PRIu64 " is not of this bundle", rel->name,
                     rel->counter);
    return rc;
}

/* All bytes are there: are they the right ones? */
static int take_bundle(const struct core *c, struct err *err)
{
    const struct os *o = &c->os;
    int rc = crypto_init(err);

    if (rc == 0 && store_has_blob(c->store, &o->want.release) != 1)
        rc = download_commit(c->store, &o->want.release, o->want.release_bytes, err);
    if (rc == 0)
        rc = check_release(c, err);
    if (rc == 0)
        rc = download_commit(c->store, &o->blobs[0].digest, o->blobs[0].size_bytes, err);
    return rc;
}

static int install_bundle(const struct core *c, const char *path, char *out, struct err *err)
{
    int rc = crypto_init(err);

    if (rc == 0)
        rc = check_release(c, err); /* its keys may have been revoked in the meantime */
    return rc < 0 ? rc
                  : run_words(words_of(c, CONFIG_OS_INSTALL), path, c->config.os_install_s, out, STATUS_BYTES,
                              err);
}

static int os_job(void *arg, int line_fd, struct err *err)
{
    const struct core *c = arg;
    const struct os *o = &c->os;
    char AUTO_MEM *out = mem_need(STATUS_BYTES);
    char path[400], hex[SHA256_HEX];

    (void)str_fmt(path, sizeof(path), "%s/store/blobs/%s", c->config.state_dir,
                  digest_hex(&o->blobs[0].digest, hex));
    switch (o->step) {
    case OS_FETCH:
        return take_bundle(c, err);
    case OS_LOOK:
        return look_job(c, line_fd, out, err);
    case OS_INSTALL:
        return install_bundle(c, path, out, err);
    case OS_CONFIRM:
        return run_words(words_of(c, CONFIG_OS_CONFIRM), NULL, c->config.os_install_s, out, STATUS_BYTES,
                         err);
    case OS_REVERT:
        return run_words(words_of(c, CONFIG_OS_REVERT), NULL, c->config.os_install_s, out, STATUS_BYTES, err);
    case OS_REBOOT:
        return run_words(words_of(c, CONFIG_REBOOT), NULL, c->config.os_install_s, out, STATUS_BYTES, err);
    default:
        return 0;
    }
}

/* ---- in core ---- */

static const struct want_os *wanted(const struct core *c)
{
    const struct ledger *l = &c->state.ledger;
    bool settled =
        c->sets.candidate.arena && l->candidate_verdict == VERDICT_CONVERGED && !l->follow_previous;

    return settled && c->sets.candidate.d.has_os ? &c->sets.candidate.d.os : NULL;
}

static void fail(struct core *c, const char *why)
{
    struct os_memory *m = &c->os.memory;

    m->phase = OS_FAILED;
    (void)str_fmt(m->why, sizeof(m->why), "%s", why);
    (void)str_clean(m->why);
    save_or_tell(c);
    images_leave_garbage(c);
    events_add(c, "os-failed", NULL, "%s: %s", m->version, m->why);
}

/* Bytes of the bundle still missing. */
static uint64_t missing(const struct core *c)
{
    uint64_t have = store_partial_bytes(c->store, &c->os.blobs[0].digest);

    return c->os.blobs[0].size_bytes > have ? c->os.blobs[0].size_bytes - have : 0;
}

/* The manifest's byte budget is too small: no verdict on the bundle, the next manifest may allow more. */
static bool exceeds_budget(struct core *c)
{
    return missing(c) > budget_left(c);
}

static void fault(struct core *c, const struct err *why)
{
    struct os *o = &c->os;

    jobs_fault(c, OWNER_SYSTEM, "", why);
    log_warn("os %s: %s", os_step_name(o->step), why->msg);
    (void)str_fmt(o->memory.why, sizeof(o->memory.why), "%s", why->msg);
    (void)str_clean(o->memory.why);
    bool final = o->step == OS_FETCH
                     ? !err_may_retry(why->kind) && why->kind != ERR_NOTFOUND && !exceeds_budget(c)
                 : o->step == OS_INSTALL
                     ? jobs_fault_of(c, OWNER_SYSTEM)->tries >= INSTALL_TRIES || why->kind == ERR_DENIED
                     : false;
    if (final)
        fail(c, why->msg);
}

static void went_well(struct core *c)
{
    struct os *o = &c->os;

    jobs_fault_clear(c, OWNER_SYSTEM);
    o->reboot_ms = 0;
    o->memory.why[0] = '\0';
    switch (o->step) {
    case OS_INSTALL:
        o->memory.phase = OS_INSTALLED;
        save_or_tell(c);
        events_add(c, "os-installed", NULL, "%s: the next boot is into it", o->memory.version);
        break;
    case OS_CONFIRM:
        o->memory.phase = OS_GOOD;
        save_or_tell(c);
        if (o->memory.release[0] && ledger_raise(&c->state.ledger, o->memory.release, o->memory.counter))
            intake_save(c);
        images_leave_garbage(c);
        if (!words_of(c, CONFIG_OS_CONFIRM)[0])
            (void)str_fmt(o->memory.why, sizeof(o->memory.why),
                          "the boot loader was not informed (os_confirm_command is not set)");
        events_add(c, "os-confirmed", NULL, "%s runs in %s and is good", o->memory.version, o->slot);
        break;
    case OS_REVERT: /* the next boot is into the old system */
        fail(c, "it did not become healthy");
        o->reboot = true;
        break;
    case OS_REBOOT:
        o->reboot_ms = clock_boot_ms() + REBOOT_AGAIN_MS;
        break;
    default:
        break;
    }
}

static void on_line(void *arg, const char *line)
{
    struct core *c = arg;
    struct os *o = &c->os;

    if (strncmp(line, "slot ", 5) == 0) {
        (void)str_fmt(o->slot, sizeof(o->slot), "%s", line + 5);
        (void)str_clean(o->slot);
        o->slot_known = true;
    }
}

static void on_done(void *arg, const struct job_verdict *v)
{
    struct core *c = arg;

    if (v->err.kind != ERR_NONE)
        fault(c, &v->err);
    else
        went_well(c);
    core_store_changed(c);
}

static int start_job(struct core *c, struct err *err)
{
    const struct job_calls calls = {on_line, on_done, c};

    return jobs_run(c, "os", os_job, LIM_OS_BYTES, &calls, err);
}

static void fetched(void *arg, const struct job_verdict *v)
{
    struct core *c = arg;
    struct job_verdict failed = *v;

    budget_close(c);
    if (v->err.kind == ERR_NONE && start_job(c, &failed.err) == 0)
        return;
    fault(c, &failed.err);
}

static void on_fetch_line(void *arg, const char *line)
{
    struct core *c = arg;

    (void)budget_line(c, &c->os.download.told, line);
}

static int start_fetch(struct core *c, const struct want_os *w, struct err *err)
{
    struct os *o = &c->os;
    const struct job_calls calls = {on_fetch_line, fetched, c};
    unsigned n = store_has_blob(c->store, &w->want.release) == 1 ? 1 : 2;
    int rc = store_check_space(c->store, missing(c), 1, err);

    if (rc < 0)
        return rc;
    download_init(c, &w->want, o->blobs, n, c->config.fetch_rate, &o->download);
    return jobs_fetch(c, &o->download.request, &calls, err);
}

/* The old slot and this boot are durable before the updater writes anything: after a power cut we know which
 * they were. */
static int begin_install(struct core *c, const struct want_os *w, struct err *err)
{
    struct os_memory *m = &c->os.memory;

    *m = (struct os_memory){.phase = OS_INSTALLING, .bundle = w->bundle, .was_online = uplink_is_up(c)};
    (void)str_fmt(m->version, sizeof(m->version), "%s", w->version);
    (void)str_copy(m->release, sizeof(m->release), w->want.release_name);
    m->counter = w->want.counter;
    (void)str_copy(m->slot, sizeof(m->slot), c->os.slot);
    clock_boot_id(m->boot_id, sizeof(m->boot_id));
    int rc = save(c, err);
    return rc < 0 ? rc : start_job(c, err);
}

/* Does this device have a reboot command? */
static bool can_reboot(const struct core *c)
{
    return words_of(c, CONFIG_REBOOT)[0] != NULL;
}

/* Copy what a job uses: the manifest may be replaced meanwhile. */
static void remember_want(struct core *c, const struct want_os *w, enum os_step step)
{
    struct os *o = &c->os;

    o->blobs[0] = (struct fetch_blob){w->bundle, w->bundle_bytes, false};
    o->blobs[1] = (struct fetch_blob){w->want.release, w->want.release_bytes, false};
    (void)str_copy(o->release_name, sizeof(o->release_name), w->want.release_name);
    o->want = (struct want){.name = "os",
                            .release_name = o->release_name,
                            .counter = w->want.counter,
                            .release = w->want.release,
                            .release_bytes = w->want.release_bytes};
    if (!os_is_about(&o->memory, w) && step == OS_FETCH) { /* a new one: the old state is obsolete */
        o->memory = (struct os_memory){.phase = OS_NONE, .bundle = w->bundle};
        (void)str_fmt(o->memory.version, sizeof(o->memory.version), "%s", w->version);
    }
}

static int start_step(struct core *c, const struct step *s, const struct want_os *w, struct err *err)
{
    jobs_begin(c, &(struct jobs_about){OWNER_SYSTEM, s->kind, "", false});
    if (s->os == OS_FETCH)
        return start_fetch(c, w, err);
    return s->os == OS_INSTALL ? begin_install(c, w, err) : start_job(c, err);
}

void os_do(struct core *c, const struct step *s)
{
    struct os *o = &c->os;
    const struct want_os *w = wanted(c);
    struct err err = ERR_INIT;

    if (s->kind == STEP_WAIT) {
        if (s->os == OS_REBOOT)
            (void)str_fmt(o->memory.why, sizeof(o->memory.why),
                          "waits for a reboot (reboot_command is not set)");
        return;
    }
    if (!w && (s->os == OS_FETCH || s->os == OS_INSTALL)) /* the manifest was replaced meanwhile */
        return;
    o->step = s->os;
    if (w)
        remember_want(c, w, s->os);
    log_info("os: %s", os_step_name(s->os));
    core_tell(c);
    if (s->os == OS_FELL_BACK)
        fail(c, plan_why_text(s->why));
    else if (s->os == OS_REFUSE)
        (void)str_fmt(o->memory.why, sizeof(o->memory.why), "%s", plan_why_text(s->why));
    else if (start_step(c, s, w, &err) < 0)
        fault(c, &err);
}

void os_observe(struct core *c, struct os_facts *ret)
{
    struct os *o = &c->os;
    const struct want_os *w = wanted(c);

    if (!o->updater)
        o->updater = find_updater(c);
    *ret = (struct os_facts){
        .want = w,
        .memory = &o->memory,
        .has_updater = words_of(c, CONFIG_OS_INSTALL)[0] != NULL && strcmp(c->config.os_updater, "none") != 0,
        .held =
            w && store_has_blob(c->store, &w->bundle) == 1 && store_has_blob(c->store, &w->want.release) == 1,
        .rebooted = o->memory.phase != OS_NONE && is_rebooted(c),
        .slot_known = o->slot_known,
        .slot_changed = strcmp(o->slot, o->memory.slot) != 0,
        .trial_over = clock_boot_ms() - c->started_ms > c->config.os_confirm_s * 1000,
        .probation_ms = c->sets.candidate.arena ? c->sets.candidate.d.probation_ms : 60000,
        .online = !o->memory.was_online || uplink_is_up(c),
        .refused = o->step == OS_REFUSE,
        .revert_reboot = o->reboot,
        .can_reboot = can_reboot(c),
        .again_ms = jobs_again_ms(c, OWNER_SYSTEM),
        .turn_ms = c->intake.turn_ms,
        .reboot_ms = o->reboot_ms,
        .healthy_since_ms = o->healthy_ms};
}

void os_judged(struct core *c, bool healthy)
{
    uint64_t since = c->os.healthy_ms;

    c->os.healthy_ms = !healthy ? 0 : since ? since : clock_boot_ms();
}

void os_keep(const struct core *c, struct keep *k)
{
    const struct want_os *w =
        c->sets.candidate.arena && c->sets.candidate.d.has_os ? &c->sets.candidate.d.os : NULL;
    bool done = w && os_is_about(&c->os.memory, w) &&
                (c->os.memory.phase == OS_GOOD || c->os.memory.phase == OS_FAILED);

    if (!w || done)
        return;
    keep_add(k, &w->bundle);
    keep_add(k, &w->want.release);
}

static const char *phase_word(const struct core *c, const struct want_os *w)
{
    const struct os *o = &c->os;
    bool about = !w || os_is_about(&o->memory, w);

    if (about && o->memory.phase == OS_INSTALLED)
        return is_rebooted(c) ? "trial" : "rebooting";
    if (about && o->memory.phase != OS_NONE)
        return os_phase_name(o->memory.phase);
    if (o->step == OS_REFUSE)
        return "unsupported";
    return jobs_is_of(c, OWNER_SYSTEM) && o->step == OS_FETCH ? "downloading" : "pending";
}

struct cJSON *os_report(const struct core *c)
{
    const struct want_os *w = wanted(c);
    const struct os *o = &c->os;

    if (!w && o->memory.phase == OS_NONE)
        return NULL;
    struct cJSON *r = json_obj();
    json_put_str(r, "version", w ? w->version : o->memory.version);
    json_put_str(r, "phase", phase_word(c, w));
    if (o->slot[0])
        json_put_str(r, "slot", o->slot);
    if (o->memory.why[0])
        json_put_str(r, "why", o->memory.why);
    return r;
}
