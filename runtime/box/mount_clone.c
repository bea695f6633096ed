/* mount_clone.c - see mount_clone.h. */
#include "runtime/box/mount_clone.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <unistd.h>

#include "platform/sys.h"

static void close_tree(int *fd)
{
    if (*fd >= 0)
        (void)close(steal_fd(fd));
}

void mount_clone_close(struct child_trees *t)
{
    close_tree(&t->root);
    for (size_t i = 0; i < COUNT_OF(t->mounts); i++)
        close_tree(&t->mounts[i]);
}

/* MS_RDONLY .. MS_NOEXEC have the same bits as mount attributes; the others are translated. */
static uint64_t attributes(unsigned long flags)
{
    static const struct {
        unsigned long flag;
        uint64_t attr;
    } moved[] = {{MS_NOATIME, MOUNT_ATTR_NOATIME},
                 {MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
                 {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
                 {256 /* MS_NOSYMFOLLOW */, 0x00200000 /* MOUNT_ATTR_NOSYMFOLLOW */}};
    uint64_t a = flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);

    for (size_t i = 0; i < COUNT_OF(moved); i++)
        a |= flags & moved[i].flag ? moved[i].attr : 0;
    return a;
}

/* 0 if there is nothing to set. */
static int set(int fd, unsigned deep, const struct sys_mount_attr *a)
{
    if (!(a->attr_set | a->attr_clr | a->propagation))
        return 0;
    return sys_mount_setattr(fd, "", AT_EMPTY_PATH | deep, a);
}

int mount_clone_one(const struct spec_mount *m)
{
    bool hears = m->propagation & (MS_SHARED | MS_SLAVE);
    struct sys_mount_attr alone = {.propagation = hears ? 0 : MS_PRIVATE};
    struct sys_mount_attr top = {.attr_set = attributes(ops_mount_flags(m)),
                                 .attr_clr = attributes(m->clear)};
    struct sys_mount_attr events = {.propagation = m->propagation & ~(unsigned long)MS_REC};
    struct sys_mount_attr all = {.attr_set = m->all_set, .attr_clr = m->all_clear};
    unsigned tree = m->recursive ? SYS_RECURSIVE : 0;
    AUTO_FD int fd =
        sys_open_tree(m->source_fd >= 0 ? m->source_fd : AT_FDCWD, m->source_fd >= 0 ? "" : m->source,
                      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | tree);

    if (top.attr_set & MOUNT_ATTR__ATIME)
        top.attr_clr |= MOUNT_ATTR__ATIME;
    if (fd < 0 || set(fd, tree, &alone) != 0 || set(fd, 0, &top) != 0 ||
        set(fd, m->propagation & MS_REC ? SYS_RECURSIVE : 0, &events) != 0 ||
        set(fd, SYS_RECURSIVE, &all) != 0)
        return -1;
    return steal_fd(&fd);
}

/* Probed without any descriptor: EBADF if the call exists. It may be missing alone, because of an outer
 * filter. */
static bool can_move(void)
{
    return sys_move_mount(-1, "", -1, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0 ||
           errno != ENOSYS;
}

/* sysfs cannot be mounted for a network namespace of another user namespace: use the host's, without
 * submounts. What is mounted below it, above all the control groups, stays outside; only a copy made among
 * the host's mounts can do that. */
static int clone_sysfs(const struct spec_mount *m)
{
    struct spec_mount sys = *m;

    sys.source = "/sys";
    sys.source_fd = -1;
    sys.recursive = false;
    sys.flags |= MS_RDONLY;
    return mount_clone_one(&sys);
}

int mount_clone_open(const struct spec *s, int rootfs_fd, struct child_trees *t, struct err *err)
{
    struct spec_mount root = {
        .source_fd = rootfs_fd, .recursive = !s->rootfs_idmap, .flags = s->rootfs_no_dev ? MS_NODEV : 0};

    t->root = mount_clone_one(&root);
    if (t->root < 0 || !can_move()) {
        mount_clone_close(t);
        return 0;
    }
    for (unsigned i = 0; i < s->n_mounts; i++) {
        const struct spec_mount *m = &s->mounts[i];
        if (m->kind == SPEC_MOUNT_SYSFS && s->ns[SPEC_NS_USER].own && !s->ns[SPEC_NS_NET].own)
            t->mounts[i] = clone_sysfs(m);
        if (m->kind != SPEC_MOUNT_BIND)
            continue;
        t->mounts[i] = mount_clone_one(m);
        if (t->mounts[i] < 0)
            return err_errno(err, errno, "mounts[%u]: source %s for %s", i, m->source ? m->source : "(fd)",
                             m->target);
    }
    return 1;
}
