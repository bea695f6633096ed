/* box_probe.c - what this kernel can do, determined by trying. See box.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "platform/fs.h"
#include "platform/sys.h"
#include "runtime/box/box_int.h"
#include "runtime/net/net.h"

/* Can a mount from this directory's file system be idmapped with this process's user namespace? */
static bool can_idmap(pid_t pid, const char *dir)
{
    struct sys_mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP};
    AUTO_FD int tree = -1;
    AUTO_FD int ns = -1;
    char name[40];

    (void)snprintf(name, sizeof(name), "/proc/%d/uid_map", (int)pid);
    if (fs_write_text(AT_FDCWD, name, "0 1000000 65536\n", NULL) < 0)
        return false;
    (void)snprintf(name, sizeof(name), "/proc/%d/gid_map", (int)pid);
    if (fs_write_text(AT_FDCWD, name, "0 1000000 65536\n", NULL) < 0)
        return false;
    (void)snprintf(name, sizeof(name), "/proc/%d/ns/user", (int)pid);
    ns = openat(AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    tree = sys_open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (ns < 0 || tree < 0)
        return false;
    attr.userns_fd = (uint64_t)ns;
    return sys_mount_setattr(tree, "", AT_EMPTY_PATH, &attr) == 0;
}

static void probe_userns(struct box_caps *c, const char *dir)
{
    pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_NEWUSER | SIGCHLD), 0UL, 0UL, 0UL, 0UL);

    if (pid == 0)
        for (;;)
            (void)pause();
    if (pid < 0)
        return;
    c->userns = true;
    c->idmap = can_idmap(pid, dir);
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static void probe_cgroups(const struct cgroup_host *h, struct box_caps *c, struct err *err)
{
    struct cgroup_limits lim = CGROUP_LIMITS_NONE;
    struct cgroup_report rep;
    struct cgroup *g = NULL;
    char path[48];

    lim.memory_max_bytes = 64 << 20;
    lim.swap_max_bytes = 0;
    lim.cpu_quota_us = 50000;
    lim.pids_max = 64;
    (void)snprintf(path, sizeof(path), "limpet/probe-%d", (int)getpid());
    if (cgroup_make(h, path, &lim, &g, &rep, err) < 0)
        return;
    c->cgroup_memory = rep.memory.state == CGROUP_ENFORCED;
    c->cgroup_swap = rep.swap.state == CGROUP_ENFORCED;
    c->cgroup_cpu = rep.cpu.state == CGROUP_ENFORCED;
    c->cgroup_pids = rep.pids.state == CGROUP_ENFORCED;
    err_ignore(cgroup_remove(g, 500, NULL));
    (void)cgroup_free(g);
}

int box_probe(const struct cgroup_host *h, const char *images_dir, struct box_caps *ret, struct err *err)
{
    struct box_caps c = {.seccomp = box_has_seccomp()};

    probe_userns(&c, images_dir ? images_dir : "/");
    probe_cgroups(h, &c, err);
    c.bridge = net_has_bridge();
    c.nat = net_has_nat();
    (void)str_copy(c.cgroup_mode, sizeof(c.cgroup_mode), h->name);
    *ret = c;
    return 0;
}
