/* box_id.c - a running box: find it again, signal it, measure it, clean up after it. See box.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "platform/fs.h"
#include "platform/sys.h"
#include "runtime/box/box_int.h"
#include "runtime/net/net.h"

#define REMOVE_MS 2000 /* zombies leave a group when their parent, or init, has read their status */

/* 'R', 'S', 'Z' ...; 0 if there is no such process. */
static char state_of(pid_t pid)
{
    char name[32], text[512];
    const char *end;

    (void)snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
    if (fs_read_text(AT_FDCWD, name, text, sizeof(text), NULL) < 0)
        return 0;
    end = strrchr(text, ')');
    return end && end[1] == ' ' ? end[2] : 0;
}

bool box_is_alive(const struct box_id *b)
{
    char state;

    if (b->pid <= 0 || sys_proc_start(b->pid) != b->start_ticks)
        return false;
    state = state_of(b->pid);
    return state != 0 && state != 'Z' && state != 'X';
}

int box_signal(const struct box_id *b, int pidfd, int sig, struct err *err)
{
    AUTO_FD int own = pidfd < 0 ? sys_pidfd_open(b->pid) : -1;

    /* with a pidfd held, the process checked is the process signalled */
    if (!box_is_alive(b))
        return err_set(err, ERR_NOTFOUND, "%s does not run", b->id);
    if (sys_kill_fd(pidfd < 0 ? own : pidfd, b->pid, sig) == 0)
        return 0;
    return errno == ESRCH ? err_set(err, ERR_NOTFOUND, "%s does not run", b->id)
                          : err_errno(err, errno, "signal %d to %s", sig, b->id);
}

int box_kill(const struct cgroup_host *h, const struct box_id *b, struct err *err)
{
    struct cgroup *c = NULL;
    int rc = b->cgroup_path[0] ? cgroup_open(h, b->cgroup_path, &c, err) : -ERR_NOTFOUND;

    if (rc == 0) {
        rc = cgroup_kill(c, err);
        (void)cgroup_free(c);
    }
    /* no cgroup on this machine: killing its first process ends the pid namespace */
    if (box_is_alive(b)) {
        int killed = box_signal(b, -1, SIGKILL, rc == -ERR_NOTFOUND ? err : NULL);
        if (rc == -ERR_NOTFOUND)
            rc = killed;
    }
    return rc == -ERR_NOTFOUND ? 0 : rc;
}

void box_usage(const struct cgroup_host *h, const struct box_id *b, struct cgroup_usage *ret)
{
    struct cgroup *c = NULL;

    memset(ret, 0xff, sizeof(*ret)); /* all CGROUP_UNSET */
    if (cgroup_open(h, b->cgroup_path, &c, NULL) < 0)
        return;
    cgroup_usage(c, ret);
    (void)cgroup_free(c);
}

static int cleanup(const struct cgroup_host *h, const struct box_id *b, unsigned limit_ms, struct err *err)
{
    struct cgroup *c = NULL;
    int rc = 0, net;

    if (box_is_alive(b))
        return err_set(err, ERR_CONFLICT, "%s still runs", b->id);
    if (b->cgroup_path[0] && cgroup_open(h, b->cgroup_path, &c, NULL) == 0) {
        err_ignore(cgroup_kill(c, NULL)); /* what it left, if it had no pid namespace of its own */
        rc = cgroup_remove(c, limit_ms, err);
        (void)cgroup_free(c);
    }
    if (rc == 0)
        cgroup_sweep(h, b->cgroup_path);
    if (rc == -ERR_CONFLICT && limit_ms == 0)
        return rc;
    net = net_detach(b->net, b->id, b->host_ip, rc < 0 ? NULL : err);
    return rc < 0 ? rc : net;
}

int box_cleanup(const struct cgroup_host *h, const struct box_id *b, struct err *err)
{
    return cleanup(h, b, REMOVE_MS, err);
}

int box_cleanup_now(const struct cgroup_host *h, const struct box_id *b, struct err *err)
{
    return cleanup(h, b, 0, err);
}

int box_sweep(struct err *err)
{
    return net_sweep(err);
}
