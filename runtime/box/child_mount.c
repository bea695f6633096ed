/* child_mount.c - builds the container's tree below one descriptor. A path from the image is never used as a
 * path of the host: targets are opened below the rootfs, and mounted on by descriptor. Descriptors opened by
 * the child's steps stay open: OP_CLOSE closes all of them at once. See child_mount.h. */
#include "runtime/box/child_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "platform/fs.h"
#include "platform/sys.h"

/* A descriptor as a path for mount(2): relative to the host's procfs, which is our working directory and was
 * verified. */
const char *child_fd_text(int fd, char dst[CHILD_FD_TEXT])
{
    (void)snprintf(dst, CHILD_FD_TEXT, "self/fd/%d", fd);
    return dst;
}

int child_open_proc(int *ret_fd, struct err *err)
{
    AUTO_FD int fd = openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct statfs st;

    if (fd < 0 || fstatfs(fd, &st) != 0 || st.f_type != PROC_SUPER_MAGIC)
        return err_set(err, ERR_UNSUPPORTED, "/proc of the host is not procfs");
    *ret_fd = fd > 2 ? steal_fd(&fd) : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return *ret_fd >= 0 ? 0 : err_errno(err, errno, "/proc");
}

/* Do mount events of the host propagate into it, for volumes that follow its mounts? */
static bool hears_host(const struct spec *s)
{
    unsigned long all = s->propagation;

    for (unsigned i = 0; i < s->n_mounts; i++)
        all |= s->mounts[i].propagation;
    return (all & (MS_SHARED | MS_SLAVE)) != 0;
}

int child_op_private(struct child *c, const struct op *op, struct err *err)
{
    int rc;

    (void)op;
    if (mount(NULL, "/", NULL, MS_REC | (hears_host(c->spec) ? MS_SLAVE : MS_PRIVATE), NULL) != 0)
        return err_errno(err, errno, "mount");
    if ((rc = child_open_proc(&c->proc_fd, err)) < 0)
        return rc;
    return fchdir(c->proc_fd) == 0 ? 0 : err_errno(err, errno, "/proc");
}

/* Reopen in our mount namespace what fd refers to in the parent's; verified to be the same file. */
static int reopen_here(int fd, const char *path, int *ret_fd, struct err *err)
{
    char name[LIM_PATH_BYTES], link[CHILD_FD_TEXT];
    struct stat want, got;
    AUTO_FD int here = -1;

    if (fd >= 0) {
        ssize_t n = readlink(child_fd_text(fd, link), name, sizeof(name) - 1);
        if (n <= 0)
            return err_errno(err, n < 0 ? errno : ENOENT, "descriptor %d", fd);
        name[n] = '\0';
        path = name;
    }
    here = openat(AT_FDCWD, path, O_PATH | O_CLOEXEC);
    if (here < 0)
        return err_errno(err, errno, "%s", path);
    if (fd >= 0 && (fstat(fd, &want) != 0 || fstat(here, &got) != 0 || want.st_dev != got.st_dev ||
                    want.st_ino != got.st_ino))
        return err_set(err, ERR_CONFLICT, "%s is not what it was", path);
    *ret_fd = steal_fd(&here);
    return 0;
}

int child_op_find_root(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    return reopen_here(c->spec->rootfs_fd, c->spec->rootfs_path, &c->place_fd, err);
}

int child_remount(int fd, unsigned long add, unsigned long clear, struct err *err)
{
    static const unsigned long pairs[][2] = {{ST_NOSUID, MS_NOSUID},    {ST_NODEV, MS_NODEV},
                                             {ST_NOEXEC, MS_NOEXEC},    {ST_RDONLY, MS_RDONLY},
                                             {ST_NOATIME, MS_NOATIME},  {ST_NODIRATIME, MS_NODIRATIME},
                                             {ST_RELATIME, MS_RELATIME}};
    char link[CHILD_FD_TEXT];
    struct statvfs st;

    if (fstatvfs(fd, &st) != 0)
        return err_errno(err, errno, "statvfs");
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        if (st.f_flag & pairs[i][0] && !(clear & pairs[i][1]))
            add |= pairs[i][1];
    if (mount(NULL, child_fd_text(fd, link), NULL, MS_REMOUNT | MS_BIND | add, NULL) != 0)
        return err_errno(err, errno, "remount");
    return 0;
}

int child_op_root(struct child *c, const struct op *op, struct err *err)
{
    char link[CHILD_FD_TEXT];
    int fd = -1, rc;

    (void)op;
    if (c->trees.root >= 0) {
        if (sys_move_mount(c->trees.root, "", c->place_fd, "",
                           MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
            return err_errno(err, errno, "move");
        c->root_fd = c->trees.root;
        return 0;
    }
    child_fd_text(c->place_fd, link);
    if (mount(link, link, NULL, MS_BIND | MS_REC, NULL) != 0)
        return err_errno(err, errno, "bind");
    rc = reopen_here(c->spec->rootfs_fd, c->spec->rootfs_path, &fd, err); /* now the top of the new mount */
    if (rc < 0)
        return rc;
    c->root_fd = fd;
    return c->spec->rootfs_no_dev ? child_remount(fd, MS_NODEV, 0, err) : 0;
}

static const char *below(const char *path)
{
    return path + strspn(path, "/");
}

int child_make_parents(int root_fd, const char *path, int *ret_fd, const char **ret_last, struct err *err)
{
    char part[LIM_PATH_BYTES];
    const char *slash;
    int at = root_fd, next, rc;

    for (path = below(path); (slash = strchr(path, '/')) && *below(slash); path = below(slash)) {
        (void)snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        rc = fs_open_in_root(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, &next, err);
        if (rc == -ERR_NOTFOUND) {
            if (mkdirat(at, part, 0755) != 0 && errno != EEXIST)
                return err_errno(err, errno, "make mount point %s", part);
            rc = fs_open_in_root(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, &next, err);
        }
        if (rc < 0)
            return rc;
        at = next;
    }
    *ret_fd = at;
    *ret_last = path;
    return 0;
}

static int make_target(int root_fd, const char *target, bool is_dir, struct err *err)
{
    AUTO_FD int file = -1;
    int parent = -1;
    const char *last = target;
    char name[256];
    int rc = child_make_parents(root_fd, target, &parent, &last, err);

    if (rc < 0)
        return rc;
    if (!str_fmt(name, sizeof(name), "%.*s", (int)strcspn(last, "/"), last))
        return err_set(err, ERR_INVALID, "name too long");
    if (is_dir)
        return mkdirat(parent, name, 0755) == 0 || errno == EEXIST
                   ? 0
                   : err_errno(err, errno, "make mount point");
    file = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    return file >= 0 || errno == EEXIST ? 0 : err_errno(err, errno, "make mount point");
}

/* The kernel's own file systems are mounted exactly at their target: an image with a symlink there is either
 * confused or malicious. Other targets may go through symlinks of the image, which are resolved inside it. */
static bool is_strict(const struct spec_mount *m)
{
    return m->kind != SPEC_MOUNT_BIND && (m->kind != SPEC_MOUNT_TMPFS || strncmp(m->target, "/dev", 4) == 0);
}

static int open_target(struct child *c, const struct spec_mount *m, bool is_dir, int *ret_fd, struct err *err)
{
    int flags = O_PATH | (is_dir ? O_DIRECTORY : 0), rc;
    const char *path = below(m->target);

    for (int tries = 0;; tries++) {
        rc = is_strict(m) ? fs_open_below(c->root_fd, path, flags, 0, ret_fd, err)
                          : fs_open_in_root(c->root_fd, path, flags, 0, ret_fd, err);
        if (rc != -ERR_NOTFOUND || tries > 0 || !m->make_target)
            break;
        if ((rc = make_target(c->root_fd, m->target, is_dir, err)) < 0)
            return rc;
    }
    if (rc == -ERR_NOTFOUND)
        return err_set(err, ERR_NOTFOUND, "the image has no mount point %s", m->target);
    return rc;
}

static int bind_tree(struct child *c, const struct spec_mount *m, int tree, struct err *err)
{
    struct stat st;
    int target = -1, rc;

    if (fstat(tree, &st) != 0)
        return err_errno(err, errno, "source");
    if ((rc = open_target(c, m, S_ISDIR(st.st_mode), &target, err)) < 0)
        return rc;
    if (sys_move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
        return err_errno(err, errno, "move");
    return 0;
}

static int bind_path(struct child *c, const struct spec_mount *m, struct err *err)
{
    AUTO_FD int source = -1;
    AUTO_FD int target = -1;
    AUTO_FD int top = -1;
    char from[CHILD_FD_TEXT], to[CHILD_FD_TEXT];
    struct stat st;
    int rc = reopen_here(m->source_fd, m->source, &source, err);

    if (rc < 0)
        return rc;
    if (fstat(source, &st) != 0)
        return err_errno(err, errno, "source");
    if ((rc = open_target(c, m, S_ISDIR(st.st_mode), &target, err)) < 0)
        return rc;
    if (mount(child_fd_text(source, from), child_fd_text(target, to), NULL,
              MS_BIND | (m->recursive ? MS_REC : 0), NULL) != 0)
        return err_errno(err, errno, "bind");
    if ((rc = open_target(c, m, S_ISDIR(st.st_mode), &top, err)) < 0)
        return rc;
    if ((rc = child_remount(top, ops_mount_flags(m), m->clear, err)) < 0)
        return rc;
    return child_finish_mount(m, top, err);
}

/* Options for mount(2), as one text in the arena: the type's own, the requested ones, SELinux's label. */
static bool mount_data(const struct child *c, const struct spec_mount *m, char *dst, size_t size)
{
    bool labels = c->spec->mount_label && (m->kind == SPEC_MOUNT_TMPFS || m->kind == SPEC_MOUNT_DEVPTS ||
                                           m->kind == SPEC_MOUNT_MQUEUE || m->kind == SPEC_MOUNT_FS);
    size_t at = 0;

    dst[0] = '\0';
    if (m->mode)
        at += (size_t)snprintf(dst + at, size - at, "mode=%04o,", m->mode);
    if (m->size_bytes)
        at += (size_t)snprintf(dst + at, size - at, "size=%" PRIu64 ",", m->size_bytes);
    if (m->data)
        at += (size_t)snprintf(dst + at, size - at, "%s,", m->data);
    if (at < size && labels)
        at += (size_t)snprintf(dst + at, size - at, "context=\"%s\",", c->spec->mount_label);
    if (at >= size)
        return false;
    if (at > 0)
        dst[at - 1] = '\0';
    return true;
}

/* One v1 hierarchy where programs expect it: the box's own group, read-only, at NAME, and a symlink for each
 * of "cpu,cpuacct". */
static int show_group(int place, int group, const char *name, unsigned long flags, struct err *err)
{
    AUTO_FD int here = -1;
    AUTO_FD int target = -1;
    AUTO_FD int top = -1;
    char from[CHILD_FD_TEXT], to[CHILD_FD_TEXT], part[32];
    int rc = reopen_here(group, NULL, &here, err);

    if (rc < 0)
        return rc;
    if (mkdirat(place, name, 0755) != 0 ||
        fs_open_below(place, name, O_PATH | O_DIRECTORY, 0, &target, err) < 0 ||
        mount(child_fd_text(here, from), child_fd_text(target, to), NULL, MS_BIND, NULL) != 0)
        return err_errno(err, errno, "%s", name);
    if (fs_open_below(place, name, O_PATH | O_DIRECTORY, 0, &top, err) < 0 ||
        child_remount(top, flags, 0, err) < 0)
        return -(int)err->kind;
    for (const char *at = name; strchr(name, ',') && *at; at += strcspn(at, ","), at += *at == ',')
        if (str_fmt(part, sizeof(part), "%.*s", (int)strcspn(at, ","), at))
            (void)!symlinkat(name, place, part);
    return 0;
}

/* The box's own groups, always read-only, whatever config.json says: otherwise it could lift its own limits.
 * v2 needs its own cgroup namespace, or it would show the host's. With nothing to show the place stays
 * empty. */
static int mount_cgroup(struct child *c, const struct spec_mount *m, const char *at, struct err *err)
{
    unsigned long flags = ops_mount_flags(m) | MS_RDONLY;
    bool own = c->spec->ns[SPEC_NS_CGROUP].own && cgroup_clone_fd(c->cgroup) >= 0;
    const char *name = "";
    AUTO_FD int place = -1;
    int group;

    if (cgroup_v1_dir(c->cgroup, 0, &name) < 0) {
        if (own && mount("cgroup2", at, "cgroup2", flags, NULL) == 0)
            return 0;
        return mount("tmpfs", at, "tmpfs", flags | MS_RDONLY, "mode=0755,size=4k,nr_inodes=2") == 0
                   ? 0
                   : err_errno(err, errno, "mount");
    }
    if (mount("tmpfs", at, "tmpfs", ops_mount_flags(m) & ~(unsigned long)MS_RDONLY,
              "mode=0755,size=64k,nr_inodes=64") != 0)
        return err_errno(err, errno, "mount");
    if (open_target(c, m, true, &place, err) < 0)
        return -(int)err->kind;
    for (unsigned i = 0; (group = cgroup_v1_dir(c->cgroup, i, &name)) >= 0; i++)
        if (show_group(place, group, name, flags, err) < 0)
            return -(int)err->kind;
    return child_remount(place, flags | MS_RDONLY, 0, err);
}

/* Fallbacks after a failed mount: 0 done, 1 done but flags must still be set, or -kind. A kernel without
 * POSIX queues; sysfs with the host's network in a user namespace; proc while another one is partly covered;
 * "gid=5" if the user namespace has no such group. */
static int mount_again(const struct spec_mount *m, const char *at, int err_no, struct err *err)
{
    const char *from = m->kind == SPEC_MOUNT_SYSFS ? "/sys" : m->kind == SPEC_MOUNT_PROC ? "/proc" : NULL;

    if (m->kind == SPEC_MOUNT_MQUEUE && (err_no == ENODEV || err_no == EBUSY || err_no == EPERM))
        return 0;
    if (m->kind == SPEC_MOUNT_DEVPTS && err_no == EINVAL && m->data && strstr(m->data, "gid=") &&
        mount("devpts", at, "devpts", ops_mount_flags(m), "newinstance,ptmxmode=0666,mode=0620") == 0)
        return 0;
    if (m->kind == SPEC_MOUNT_SYSFS && err_no == EPERM && mount(from, at, NULL, MS_BIND | MS_REC, NULL) == 0)
        return 1;
    return err_errno(err, err_no, "mount");
}

/* The host's /sys with everything mounted there: all of it read-only, and its control groups hidden from the
 * box. */
static int hide_below_sysfs(int top, struct err *err)
{
    struct sys_mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                              MOUNT_ATTR_NOEXEC};
    AUTO_FD int place = -1;
    char at[CHILD_FD_TEXT];

    (void)sys_mount_setattr(top, "", AT_EMPTY_PATH | SYS_RECURSIVE, &attr); /* since 5.12 */
    if (fs_open_below(top, "fs/cgroup", O_PATH | O_DIRECTORY, 0, &place, NULL) < 0)
        return 0;
    return mount("tmpfs", child_fd_text(place, at), "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 "mode=0555,size=4k,nr_inodes=2") == 0
               ? 0
               : err_errno(err, errno, "hide the host's control groups");
}

/* A new file system at the target. tmpcopyup: the place is held open beforehand, and its contents are
 * copied. */
static int mount_new(struct child *c, const struct spec_mount *m, struct err *err)
{
    const char *type = m->kind == SPEC_MOUNT_FS ? m->type : ops_mount_type(m->kind);
    char at[CHILD_FD_TEXT], data[LIM_TEXT_BYTES];
    int place = -1, top = -1;
    bool late; /* made read-only after it is filled */
    int rc = open_target(c, m, true, &place, err);

    if (rc < 0)
        return rc;
    child_fd_text(place, at);
    if (m->kind == SPEC_MOUNT_CGROUP)
        return mount_cgroup(c, m, at, err);
    if (!mount_data(c, m, data, sizeof(data)))
        return err_set(err, ERR_INVALID, "options too long");
    rc = 0;
    late = m->copy_up || ops_seals_dev(m);
    if (mount(m->source ? m->source : type, at, type, ops_mount_flags(m) & ~(late ? MS_RDONLY : 0UL),
              data[0] ? data : NULL) != 0)
        rc = mount_again(m, at, errno, err);
    if (rc < 0 || (rc == 0 && !m->copy_up && !m->propagation && !(m->all_set | m->all_clear)))
        return rc;
    if (open_target(c, m, true, &top, err) < 0)
        return -(int)err->kind;
    if (rc == 1 && m->kind == SPEC_MOUNT_SYSFS && hide_below_sysfs(top, err) < 0)
        return -(int)err->kind;
    if (m->copy_up) {
        if ((rc = child_copy_up(place, top, err)) < 0)
            return rc;
        rc = m->flags & MS_RDONLY ? 1 : 0;
    }
    if (rc == 1 && (rc = child_remount(top, ops_mount_flags(m), 0, err)) < 0)
        return rc;
    return child_finish_mount(m, top, err);
}

int child_finish_mount(const struct spec_mount *m, int top_fd, struct err *err)
{
    struct sys_mount_attr attr = {.attr_set = m->all_set, .attr_clr = m->all_clear};
    char at[CHILD_FD_TEXT];

    if ((m->all_set | m->all_clear) &&
        sys_mount_setattr(top_fd, "", AT_EMPTY_PATH | SYS_RECURSIVE, &attr) != 0)
        return err_errno(err, errno, "recursive options (they need Linux 5.12)");
    if (m->propagation && mount(NULL, child_fd_text(top_fd, at), NULL, m->propagation, NULL) != 0)
        return err_errno(err, errno, "propagation");
    return 0;
}

int child_op_mount(struct child *c, const struct op *op, struct err *err)
{
    const struct spec_mount *m = &c->spec->mounts[op->index];

    if (m->kind != SPEC_MOUNT_BIND && c->trees.mounts[op->index] < 0)
        return mount_new(c, m, err);
    return c->trees.mounts[op->index] >= 0 ? bind_tree(c, m, c->trees.mounts[op->index], err)
                                           : bind_path(c, m, err);
}

int child_op_read_only(struct child *c, const struct op *op, struct err *err)
{
    struct sys_mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    int fd = -1, tree = -1;
    char at[CHILD_FD_TEXT];
    int rc = fs_open_in_root(c->root_fd, below(op->path), O_PATH, 0, &fd, err);

    if (rc < 0)
        return rc == -ERR_NOTFOUND ? 0 : rc;
    if (c->modern) {
        tree = sys_open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | SYS_RECURSIVE);
        if (tree < 0 || sys_mount_setattr(tree, "", AT_EMPTY_PATH | SYS_RECURSIVE, &attr) != 0 ||
            sys_move_mount(tree, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
            return err_errno(err, errno, "mount");
        return 0;
    }
    if (mount(child_fd_text(fd, at), at, NULL, MS_BIND | MS_REC, NULL) != 0)
        return err_errno(err, errno, "bind");
    if ((rc = fs_open_in_root(c->root_fd, below(op->path), O_PATH, 0, &tree, err)) < 0)
        return rc;
    return child_remount(tree, MS_RDONLY, 0, err);
}

/* One empty directory for all masked ones: one file system, bind-mounted on the others; each gets its own if
 * it cannot be opened. */
static int mount_empty(struct child *c, const char *at, const char *path, struct err *err)
{
    if (mount("tmpfs", at, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=0555,size=4k,nr_inodes=2") != 0)
        return err_errno(err, errno, "mount");
    err_ignore(fs_open_in_root(c->root_fd, below(path), O_PATH | O_DIRECTORY, 0, &c->empty_fd, NULL));
    return 0;
}

int child_open_null(int *ret_fd, struct err *err)
{
    struct stat st;
    int fd = openat(AT_FDCWD, "/dev/null", O_RDWR | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) {
        *ret_fd = fd;
        return 0;
    }
    if (fd >= 0)
        (void)close(fd);
    return err_set(err, ERR_NOTFOUND,
                   "no null device at /dev/null of the container, and no descriptor given");
}

int child_op_mask(struct child *c, const struct op *op, struct err *err)
{
    char at[CHILD_FD_TEXT], from[CHILD_FD_TEXT];
    struct stat st;
    int fd = -1;
    int rc = fs_open_in_root(c->root_fd, below(op->path), O_PATH, 0, &fd, err);

    if (rc < 0)
        return rc == -ERR_NOTFOUND ? 0 : rc;
    if (fstat(fd, &st) != 0)
        return err_errno(err, errno, "stat");
    child_fd_text(fd, at);
    if (S_ISDIR(st.st_mode) && c->empty_fd >= 0)
        rc = mount(child_fd_text(c->empty_fd, from), at, NULL, MS_BIND, NULL);
    else if (S_ISDIR(st.st_mode))
        return mount_empty(c, at, op->path, err);
    else if (c->null_fd < 0 && child_open_null(&c->null_fd, err) < 0)
        return -(int)err->kind;
    else /* our own null device, verified: never a path of the image */
        rc = mount(child_fd_text(c->null_fd, from), at, NULL, MS_BIND, NULL);
    return rc == 0 ? 0 : err_errno(err, errno, "mount");
}

int child_op_seal_root(struct child *c, const struct op *op, struct err *err)
{
    struct sys_mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

    (void)op;
    if (!c->modern)
        return child_remount(c->root_fd, MS_RDONLY, 0, err);
    if (sys_mount_setattr(c->root_fd, "", AT_EMPTY_PATH, &attr) != 0)
        return err_errno(err, errno, "mount_setattr");
    return 0;
}

int child_op_seal_dev(struct child *c, const struct op *op, struct err *err)
{
    AUTO_FD int dev = -1;
    int rc = fs_open_below(c->root_fd, "dev", O_PATH | O_DIRECTORY, 0, &dev, err);

    (void)op;
    return rc < 0 ? rc : child_remount(dev, MS_RDONLY, 0, err);
}

int child_op_pivot(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    if (fchdir(c->root_fd) != 0)
        return err_errno(err, errno, "rootfs");
    if (!c->no_pivot && sys_pivot_root(".", ".") == 0) {
        /* the old root is now mounted on top of the new one: unmount it */
        if (umount2(".", MNT_DETACH) != 0)
            return err_errno(err, errno, "detach the host's tree");
    } else if ((!c->no_pivot && errno != EINVAL) || mount(".", "/", NULL, MS_MOVE, NULL) != 0 ||
               chroot(".") != 0) {
        return err_errno(err, errno, "pivot_root"); /* EINVAL: the host's root is an initramfs */
    }
    return chdir("/") == 0 ? 0 : err_errno(err, errno, "/");
}

int child_op_propagation(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    return mount(NULL, "/", NULL, c->spec->propagation, NULL) == 0
               ? 0
               : err_errno(err, errno, "linux.rootfsPropagation");
}
