/* confine.c - the limits of core itself: one control group with a ceiling for the whole agent, and fewer
 * capabilities than root has. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "agent/core.h"
#include "platform/fs.h"
#include "platform/log.h"

#define APP_PIDS 2048 /* of one app that sets no limit: large multi-threaded programs have several hundred */

/* L5: keeper, core and link in one group, jobs in groups beside it, all below one ceiling. */
int confine_group(struct core *c, struct err *err)
{
    char own[160], path[128];
    struct cgroup *top = NULL, *group = NULL;
    struct cgroup_report report;
    struct cgroup_limits lim = CGROUP_LIMITS_NONE;

    (void)str_fmt(c->cgroup_root, sizeof(c->cgroup_root), "limpet-%s", c->config.device);
    (void)str_fmt(own, sizeof(own), "%s/agent/main", c->cgroup_root);
    int rc = cgroup_detect(&c->cgroups, err);
    if (rc < 0)
        return rc;
    cgroup_host_leave(&c->cgroups, own); /* a restarted core is already in our own group */
    lim.memory_max_bytes = c->config.memory_max_bytes;
    (void)str_fmt(path, sizeof(path), "%s/agent", c->cgroup_root);
    rc = cgroup_make(&c->cgroups, path, &lim, &top, &report, err);
    (void)str_fmt(path, sizeof(path), "%s/agent/main", c->cgroup_root);
    lim = CGROUP_LIMITS_NONE;
    lim.memory_max_bytes = c->config.memory_max_bytes;
    if (rc == 0)
        rc = cgroup_make(&c->cgroups, path, &lim, &group, &report, err);
    if (rc == 0 && (rc = cgroup_attach(group, getpid(), err)) == 0 && c->keeper.is_there)
        rc = cgroup_attach(group, getppid(), err);
    if (rc == 0 && report.memory.state != CGROUP_ENFORCED)
        log_warn("the agent's own memory ceiling is %s: %s", cgroup_state_name(report.memory.state),
                 report.memory.why);
    (void)cgroup_free(group);
    (void)cgroup_free(top);
    return rc;
}

uint64_t confine_apps_memory(uint64_t total_bytes, uint64_t agent_bytes)
{
    uint64_t keep = agent_bytes + total_bytes / 8;

    return total_bytes - (keep < total_bytes / 2 ? keep : total_bytes / 2);
}

/* Half of the processes that the kernel has pids and memory for. */
static uint64_t apps_pids(void)
{
    static const char *const files[] = {"sys/kernel/pid_max", "sys/kernel/threads-max"};
    uint64_t least = 32768, n;
    AUTO_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char text[32];

    for (unsigned i = 0; i < COUNT_OF(files); i++)
        if (fs_read_text(proc, files[i], text, sizeof(text), NULL) > 0 && str_u64(text, 1, UINT32_MAX, &n) &&
            n < least)
            least = n;
    return least / 2;
}

static void make_limits(struct core *c)
{
    struct cgroup_limits *all = &c->confine.all, *one = &c->confine.one;

    *all = *one = CGROUP_LIMITS_NONE;
    all->memory_max_bytes = c->config.apps_memory_bytes
                                ? c->config.apps_memory_bytes
                                : confine_apps_memory(c->memory_total_bytes, c->config.memory_max_bytes);
    all->pids_max = c->config.apps_pids ? c->config.apps_pids : apps_pids();
    one->memory_max_bytes = all->memory_max_bytes - all->memory_max_bytes / 8;
    one->pids_max = all->pids_max / 2 < APP_PIDS ? all->pids_max / 2 : APP_PIDS;
}

void confine_apps(struct core *c)
{
    char path[160];
    struct cgroup *group = NULL;
    struct err err = ERR_INIT;

    if (!c->confine.all.pids_max)
        make_limits(c);
    (void)str_fmt(path, sizeof(path), "%s/app", c->cgroup_root);
    if (cgroup_make(&c->cgroups, path, &c->confine.all, &group, &c->confine.report, &err) < 0) {
        log_warn("a ceiling for all apps: %s", err.msg);
        return;
    }
    (void)cgroup_free(group);
}

/* Leave no group behind: core and keeper return to the group that the keeper was started in. */
void confine_leave(struct core *c)
{
    char path[160];
    struct cgroup *g = NULL;

    (void)str_fmt(path, sizeof(path), "%s/app", c->cgroup_root);
    if (cgroup_open(&c->cgroups, path, &g, NULL) == 0)
        cgroup_remove_if_unused(g);
    g = cgroup_free(g);
    (void)str_fmt(path, sizeof(path), "%s/agent/main", c->cgroup_root);
    if (cgroup_open(&c->cgroups, path, &g, NULL) < 0)
        return;
    cgroup_detach(g, getpid());
    if (c->keeper.is_there)
        cgroup_detach(g, getppid());
    err_ignore(cgroup_remove(g, 200, NULL));
    (void)cgroup_free(g);
}

/* Capabilities that neither core nor its children ever need; manifests that ask for one of them are refused
 * too. */
int confine_capabilities(struct err *err)
{
    static const int never[] = {CAP_SYS_MODULE, CAP_SYS_RAWIO,     CAP_SYS_BOOT,     CAP_SYS_TIME,
                                CAP_SYS_PACCT,  CAP_AUDIT_CONTROL, CAP_MAC_ADMIN,    CAP_MAC_OVERRIDE,
                                CAP_SYSLOG,     CAP_WAKE_ALARM,    CAP_BLOCK_SUSPEND};
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct now[2];

    if (geteuid() != 0)
        return 0;
    if (syscall(SYS_capget, &head, now) < 0)
        return err_errno(err, errno, "capget");
    for (unsigned i = 0; i < COUNT_OF(never); i++) {
        uint32_t bit = ~(1U << (never[i] & 31));
        struct __user_cap_data_struct *d = &now[never[i] >> 5];
        d->effective &= bit;
        d->permitted &= bit;
        d->inheritable &= bit;
        (void)prctl(PR_CAPBSET_DROP, never[i], 0, 0,
                    0); /* one that this kernel does not know does not exist */
    }
    return syscall(SYS_capset, &head, now) < 0 ? err_errno(err, errno, "capset") : 0;
}
