/* self_start.c - which core runs. The keeper always starts the base system's core; before opening anything it
 * reads what is remembered of the agent's own update and becomes the newer core by exec, in the same process
 * with the same socket. So the program that rolls back is never the replaced one, and the keeper knows no
 * path. If anything is not in order (memory, owner, mode, a missing or damaged image) the base system's core
 * keeps running. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/core.h"
#include "agent/keeper/keeper.h"
#include "agent/update/self_start.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"
#include "platform/msg.h"

#define MEMORY_FILE  "state/agent"
#define MEMORY_BYTES 8192
#define STARTS_FILE  "agent-starts" /* in run_dir: a reboot clears it */

int self_load(int state_fd, struct self_memory *ret, struct err *err)
{
    uint8_t AUTO_MEM *text = NULL;
    size_t len = 0;
    int rc = fs_read(state_fd, MEMORY_FILE, MEMORY_BYTES, &text, &len, err);

    return rc < 0 ? rc : self_memory_parse(buf_of(text, len), ret, err);
}

int self_save(int state_fd, const struct self_memory *m, struct err *err)
{
    char AUTO_MEM *text = self_memory_build(m);

    return fs_write_durable(state_fd, MEMORY_FILE, buf_str(text), 0600, err);
}

/* Owned by root, and writable by nobody else. */
static bool is_ours(int dir_fd, const char *path, mode_t type)
{
    struct stat st;

    return fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == type &&
           st.st_uid == 0 && (st.st_mode & 022) == 0;
}

/* Check an image's programs: every directory on the path and every program, none may be a symlink. */
static int check_image(int state_fd, const char *hex, struct err *err)
{
    static const char *const below[] = {"", "/rootfs", "/rootfs/usr", "/rootfs/usr/libexec",
                                        "/rootfs/usr/libexec/limpet"};
    static const char *const programs[] = {"core", "link", "fetch", "untar", "unpack"};
    char path[200];

    if (str_fmt(path, sizeof(path), "store/images/%s/damaged", hex) &&
        faccessat(state_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return err_set(err, ERR_INTEGRITY, "the image is damaged");
    for (unsigned i = 0; i < COUNT_OF(below); i++)
        if (!str_fmt(path, sizeof(path), "store/images/%s%s", hex, below[i]) ||
            !is_ours(state_fd, path, S_IFDIR))
            return err_set(err, ERR_DENIED, "%s: missing, or writable by others than root", path);
    for (unsigned i = 0; i < COUNT_OF(programs); i++)
        if (!str_fmt(path, sizeof(path), "store/images/%s/rootfs/" SELF_FOLDER "/agentd-%s", hex,
                     programs[i]) ||
            !is_ours(state_fd, path, S_IFREG) || faccessat(state_fd, path, X_OK, 0) < 0)
            return err_set(err, ERR_DENIED, "%s: missing, or writable by others than root, or not executable",
                           path);
    return 0;
}

/* A core that keeps ending within a minute is abandoned: counted in run_dir, which wears no flash. */
static uint64_t count_start(const struct core *c, bool add)
{
    char path[300], text[24] = "";
    uint64_t n = 0;

    if (!str_fmt(path, sizeof(path), "%s/" STARTS_FILE, c->config.run_dir))
        return 0;
    err_ignore(fs_read_text(AT_FDCWD, path, text, sizeof(text), NULL));
    (void)str_u64(text, 0, UINT32_MAX, &n);
    if (add && str_fmt(text, sizeof(text), "%" PRIu64, n + 1))
        err_ignore(fs_write_atomic(AT_FDCWD, path, buf_str(text), 0600, NULL));
    return n;
}

void self_settled(struct core *c)
{
    (void)unlinkat(c->run_fd, STARTS_FILE, 0);
}

/* Returns only on failure. */
static void become(struct core *c, const struct self_image *i, uint64_t trial_ms, struct err *err)
{
    char hex[SHA256_HEX], text[32], path[300], name[] = "agentd: core";
    char config_word[] = "--config", libexec_word[] = "--libexec", image_word[] = "--image",
         base_word[] = "--base", base[] = LIMPET_VERSION;

    (void)digest_hex(&i->image, hex);
    if (!str_fmt(c->libexec, sizeof(c->libexec), "%s/store/images/%s/rootfs/" SELF_FOLDER,
                 c->config.state_dir, hex) ||
        !str_fmt(path, sizeof(path), "%s/agentd-core", c->libexec)) {
        (void)err_set(err, ERR_INVALID, "state_dir is too long");
        return;
    }
    if (trial_ms && str_fmt(text, sizeof(text), "trial %" PRIu64, trial_ms))
        err_ignore(msg_send(KEEPER_FD, buf_str(text), NULL, 0, NULL));
    char *argv[] = {name,       config_word, c->config_path, libexec_word, c->libexec,
                    image_word, hex,         base_word,      base,         NULL};
    (void)execv(path, argv);
    if (trial_ms)
        err_ignore(msg_send(KEEPER_FD, buf_str("good"), NULL, 0, NULL));
    (void)err_errno(err, errno, "start %s", path);
}

static void forget(struct self_memory *m)
{
    m->phase = SELF_NONE;
    m->now = m->next = (struct self_image){0};
}

/* The start is made durable before it happens, so that one which brings the device down is counted. */
static void start_next(struct core *c, int state_fd, struct self_memory *m, const char *boot_id,
                       uint64_t now_ms, struct err *err)
{
    char hex[SHA256_HEX];

    bool rebooted = strcmp(m->boot_id, boot_id) != 0;
    if (rebooted) {
        (void)str_copy(m->boot_id, sizeof(m->boot_id), boot_id);
        m->boxes = 0; /* none survives a reboot */
    }
    if (rebooted || m->starts == 0)
        m->began_ms = now_ms;
    m->starts++;
    if (check_image(state_fd, digest_hex(&m->next.image, hex), err) == 0 && self_save(state_fd, m, err) == 0)
        become(c, &m->next, self_trial_left_ms(m, boot_id, now_ms) + SELF_KEEPER_MORE_MS, err);
    self_roll_back(m, err->msg); /* exec failed */
}

static void start_now(struct core *c, int state_fd, struct self_memory *m, struct err *err)
{
    char hex[SHA256_HEX];

    if (check_image(state_fd, digest_hex(&m->now.image, hex), err) == 0) {
        (void)count_start(c, true);
        become(c, &m->now, 0, err);
    }
    forget(m); /* it is brought in again, on trial again */
    log_error("the updated agent cannot be started: %s", err->msg);
}

/* One decision; false: this core runs. */
static bool one_round(struct core *c, int state_fd, struct self_memory *m)
{
    struct err err = ERR_INIT;
    char boot[40], why[100];
    struct self_start_facts f = {.memory = m,
                                 .base = LIMPET_VERSION,
                                 .boot_id = boot,
                                 .now_ms = clock_boot_ms(),
                                 .crashes = count_start(c, false)};

    clock_boot_id(boot, sizeof(boot));
    switch (self_start_decide(&f)) {
    case SELF_START_BUILT_IN:
        return false;
    case SELF_START_NOW:
        start_now(c, state_fd, m, &err);
        break;
    case SELF_START_NEXT:
        start_next(c, state_fd, m, boot, f.now_ms, &err);
        break;
    case SELF_FORGET:
        forget(m);
        break;
    case SELF_GIVE_UP:
        if (self_trial_left_ms(m, boot, f.now_ms) == 0)
            (void)str_fmt(why, sizeof(why), "it did not say within %" PRIu64 " s that it is good",
                          m->confirm_s);
        else
            (void)str_fmt(why, sizeof(why), "it ended %" PRIu64 " times", m->starts);
        self_roll_back(m, why);
        break;
    case SELF_LEAVE_NOW:
        self_drop_now(m, "it ended again and again soon after its start");
        break;
    }
    if (self_save(state_fd, m, &err) < 0)
        log_error("%s", err.msg);
    return true;
}

void self_start(struct core *c, const char *image, const char *base)
{
    struct self_memory m = {.phase = SELF_NONE};
    struct err err = ERR_INIT;
    AUTO_FD int state_fd = -1;

    c->self.image_arg = image;
    (void)str_copy(c->self.base, sizeof(c->self.base), image ? base : LIMPET_VERSION);
    if (image)
        return;
    if (!c->keeper.is_there || config_read(c->config_path, &c->config, &err) < 0 ||
        fs_open_dir(AT_FDCWD, c->config.state_dir, false, 0, &state_fd, &err) < 0)
        return; /* start() has reported it */
    if (self_load(state_fd, &m, &err) < 0) {
        if (err.kind != ERR_NOTFOUND)
            log_error("the saved state of the agent's update cannot be read: %s", err.msg);
        return;
    }
    char libexec[sizeof(c->libexec)];
    (void)str_copy(libexec, sizeof(libexec), c->libexec);
    for (unsigned i = 0; i < 4 && one_round(c, state_fd, &m); i++)
        ;
    (void)str_copy(c->libexec, sizeof(c->libexec), libexec);
}
