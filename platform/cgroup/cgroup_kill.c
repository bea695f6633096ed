/* cgroup_kill.c - freeze, thaw, kill, and list the remaining processes. See cgroup.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/cgroup/cgroup_int.h"
#include "platform/mem.h"
#include "platform/patience.h"
#include "platform/sys.h"

#define KILL_ROUNDS 32   /* without freezer: a fork bomb may outrun some of them */
#define FREEZE_MS   100  /* before a kill: without success it continues unfrozen, in rounds */
#define PAUSE_MS    2000 /* on request: what sleeps in a driver or on a network file system needs longer */
#define NUDGE_MS    50   /* v1 may hang in FREEZING until it is set again */

/* v1: FREEZING is not FROZEN yet. The wait is limited: a task in uninterruptible sleep may never freeze. */
static bool wait_frozen(int fd, unsigned limit_ms)
{
    char text[16];

    limit_ms = (unsigned)patience_ms(limit_ms);
    for (unsigned ms = 0; ms < limit_ms; ms++) {
        if (cgroup_get_text(fd, "freezer.state", text, sizeof(text)) > 0 && strcmp(text, "FROZEN\n") == 0)
            return true;
        if (ms % NUDGE_MS == NUDGE_MS - 1)
            err_ignore(cgroup_put(fd, "freezer.state", "FROZEN"));
        cgroup_sleep_ms(1);
    }
    return false;
}

static bool wait_frozen_v2(int fd, unsigned limit_ms)
{
    limit_ms = (unsigned)patience_ms(limit_ms);
    for (unsigned ms = 0; ms < limit_ms; ms++) {
        if (cgroup_get_key(fd, "cgroup.events", "frozen") == 1)
            return true;
        cgroup_sleep_ms(1);
    }
    return false;
}

/* 0 or -errno; *ret_still: nothing in it can fork any more. */
static int freeze(const struct cgroup *c, bool frozen, unsigned limit_ms, bool *ret_still)
{
    const struct cgroup_slot *v2 = cgroup_v2_slot(c), *v1 = cgroup_slot_of(c, CGROUP_FREEZER);
    int rc = -ENOENT;

    *ret_still = false;
    if (v2)
        rc = cgroup_put(v2->fd, "cgroup.freeze", frozen ? "1" : "0");
    if (rc == 0) {
        *ret_still = frozen && wait_frozen_v2(v2->fd, limit_ms);
        return 0;
    }
    if (!v1 || v1->mode != CGROUP_V1)
        return rc;
    rc = cgroup_put(v1->fd, "freezer.state", frozen ? "FROZEN" : "THAWED");
    *ret_still = rc == 0 && frozen && wait_frozen(v1->fd, limit_ms);
    return rc;
}

int cgroup_freeze(struct cgroup *c, bool frozen, struct err *err)
{
    char who[160];
    bool still;
    int rc = freeze(c, frozen, PAUSE_MS, &still);

    if (rc == -ENOENT)
        return err_set(err, ERR_UNSUPPORTED,
                       "this kernel has no freezer (CONFIG_CGROUP_FREEZER, or Linux 5.2)");
    if (rc < 0)
        return err_errno(err, -rc, "%s %s", frozen ? "freeze" : "thaw", c->path);
    if (!frozen || still || cgroup_is_empty(c))
        return 0;
    (void)cgroup_who(c, who, sizeof(who));
    (void)freeze(c, false, 0, &still);
    return err_set(err, ERR_TIMEOUT, "freeze %.100s: does not stop within %d ms: %s", c->path, PAUSE_MS, who);
}

bool cgroup_may_exist(const struct cgroup_host *h, const char *path)
{
    char name[CGROUP_DIR_BYTES];

    return !h->v2_mount[0] ||
           !str_fmt(name, sizeof(name), "%s%s/%s", h->v2_mount, path[0] == '/' ? "" : h->v2_self,
                    path + (path[0] == '/')) ||
           access(name, F_OK) == 0;
}

bool cgroup_freezer_file(const struct cgroup_host *h, const char *path, char *dst, size_t size)
{
    const struct {
        const char *mount, *self, *file;
    } rows[] = {{h->v2_mount, h->v2_self, "cgroup.freeze"},
                {h->ctl[CGROUP_FREEZER].mount, h->ctl[CGROUP_FREEZER].self, "freezer.state"}};

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].mount[0] &&
            str_fmt(dst, size, "%s%s/%s/%s", rows[i].mount, path[0] == '/' ? "" : rows[i].self,
                    path + (path[0] == '/'), rows[i].file) &&
            access(dst, F_OK) == 0)
            return true;
    return false;
}

bool cgroup_file_is_frozen(const char *file)
{
    char text[16];

    return cgroup_get_text(AT_FDCWD, file, text, sizeof(text)) > 0 &&
           (text[0] == '1' || text[0] == 'F'); /* FROZEN, FREEZING */
}

bool cgroup_is_frozen(const struct cgroup_host *h, const char *path)
{
    char file[CGROUP_DIR_BYTES];

    return cgroup_freezer_file(h, path, file, sizeof(file)) && cgroup_file_is_frozen(file);
}

/* One round: freeze, signal all, let them die. True if nothing can have escaped. */
static bool kill_round(struct cgroup *c)
{
    pid_t pids[CGROUP_MAX_PIDS];
    bool still = false, thawed;
    unsigned n = 0, signalled = 0;

    (void)freeze(c, true, FREEZE_MS, &still);
    for (unsigned s = 0; s < c->n_slots && n < CGROUP_MAX_PIDS; s++)
        n += cgroup_pids_below(c->slots[s].fd, pids + n, CGROUP_MAX_PIDS - n, CGROUP_DEPTH);
    for (unsigned i = 0; i < n; i++)
        if (pids[i] != getpid() && kill(pids[i], SIGKILL) == 0)
            signalled++;
    (void)freeze(c, false, 0, &thawed);
    return signalled == 0 || (still && n < CGROUP_MAX_PIDS);
}

int cgroup_kill(struct cgroup *c, struct err *err)
{
    const struct cgroup_slot *v2 = cgroup_v2_slot(c);
    char who[160];

    if (v2 && !sys_denied(SYS_CALL_CGROUP_KILL) && cgroup_put(v2->fd, "cgroup.kill", "1") == 0) {
        bool still;
        if (cgroup_slot_of(c, CGROUP_FREEZER)) /* while frozen in v1 they would not die */
            (void)freeze(c, false, 0, &still);
        return 0;
    }
    for (unsigned round = 0; round < KILL_ROUNDS; round++) {
        if (kill_round(c))
            return 0;
        cgroup_sleep_ms(2);
    }
    return err_set(err, ERR_CONFLICT, "cgroup %.100s: still alive after %d rounds of kills: %s", c->path,
                   KILL_ROUNDS, cgroup_who(c, who, sizeof(who)));
}

/* "1234 sh (D in nfs_wait)"; false if it is gone. */
static bool who_is(pid_t pid, char *dst, size_t size)
{
    char name[40], text[256], wait[48];
    char *open_at, *close_at;

    (void)snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
    if (cgroup_get_text(-1, name, text, sizeof(text)) <= 0 || !(open_at = strchr(text, '(')) ||
        !(close_at = strrchr(text, ')')) || close_at[1] == '\0')
        return false;
    (void)snprintf(name, sizeof(name), "/proc/%d/wchan", (int)pid);
    if (cgroup_get_text(-1, name, wait, sizeof(wait)) <= 0 || wait[0] == '0')
        (void)str_copy(wait, sizeof(wait), "?");
    (void)snprintf(dst, size, "%d %.*s (%c in %s) ", (int)pid, (int)(close_at - open_at - 1), open_at + 1,
                   close_at[2], wait);
    (void)str_clean(dst);
    return true;
}

char *cgroup_who(const struct cgroup *c, char *dst, size_t size)
{
    pid_t pids[8];
    char one[96];
    size_t at = 0;
    unsigned n = 0;

    dst[0] = '\0';
    for (unsigned s = 0; s < c->n_slots && n == 0; s++)
        n = cgroup_pids_below(c->slots[s].fd, pids, COUNT_OF(pids), CGROUP_DEPTH);
    for (unsigned i = 0; i < n; i++)
        if (who_is(pids[i], one, sizeof(one)) && str_fmt(dst + at, size - at, "%s", one))
            at += strlen(one);
        else
            dst[at] = '\0';
    if (at == 0)
        (void)str_copy(dst, size, "nobody that we can see");
    return dst;
}
