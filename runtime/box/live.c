/* live.c - see live.h. */
#include "runtime/box/live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/fs.h"
#include "platform/patience.h"
#include "platform/sys.h"
#include "runtime/box/child_mount.h"
#include "runtime/box/enter.h"
#include "runtime/box/idmap.h"
#include "runtime/box/mount_clone.h"

#define NODE      ".node"
#define MOUNTS    4096U /* of one box */
#define TRIES     1000U /* against a box that keeps moving directories */
#define INSIDE_MS 5000  /* takes milliseconds, unless the machine hangs */

/* A mount of the box and its path. */
struct place {
    uint64_t mount;
    char path[LIM_PATH_BYTES];
};
/* What to do inside; the process inside inherits this memory. */
struct task {
    struct child child; /* first: child_run-like functions get its address */
    struct spec spec;
    int (*step)(struct task *t, struct err *err);
    const char *path;
    const struct live_device *device;
    struct enter enter;
    uint64_t mount; /* the one added, or to remove */
    struct place place;
    uint64_t before[MOUNTS]; /* those that existed before */
    unsigned n_before;
};

static const char *below(const char *path)
{
    return path + strspn(path, "/");
}

/* ---- inside ---- */

static void run_inside(struct child *c)
{
    struct task *t = (struct task *)(void *)c;
    struct child_report rep = {.stage = CHILD_FAILED};
    int rc = 0;

    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)umask(0);
    c->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (c->root_fd < 0 || fchdir(c->proc_fd) != 0)
        rc = err_errno(&rep.err, errno, "the container's /");
    if (rc == 0)
        rc = t->step(t, &rep.err);
    rep.mount = t->mount;
    rep.stage = rc < 0 ? CHILD_FAILED : CHILD_READY;
    (void)!write(c->report_fd, &rep, sizeof(rep));
    _exit(rc < 0);
}

/* Id of the mount that a descriptor is on; 0: unknown. */
static uint64_t mount_of(const struct task *t, int fd)
{
    char name[48], text[512];
    const char *at;

    (void)snprintf(name, sizeof(name), "self/fdinfo/%d", fd);
    if (fs_read_text(t->child.proc_fd, name, text, sizeof(text), NULL) < 0 || !(at = strstr(text, "mnt_id:")))
        return 0;
    return strtoull(at + 7, NULL, 10);
}

/* Unmount one layer, and only the one that fd is on: no name is looked up again. */
static int unmount(int fd, const char *path, struct err *err)
{
    char at[CHILD_FD_TEXT];

    return umount2(child_fd_text(fd, at), MNT_DETACH) == 0 ? 0 : err_errno(err, errno, "take off %s", path);
}

/* "36 35 98:0 /root /mount/point ...", the mount point with spaces as \040, as visible to us. */
static bool next_mount(FILE *f, struct place *ret)
{
    AUTO_MEM char *line = NULL;
    size_t size = 0;
    char *from, *to, *save = NULL;

    if (getline(&line, &size, f) <= 0)
        return false;
    ret->mount = strtoull(line, NULL, 10);
    from = strtok_r(line, " ", &save);
    for (int i = 0; from && i < 4; i++)
        from = strtok_r(NULL, " ", &save);
    for (to = ret->path; from && *from && to < ret->path + sizeof(ret->path) - 1; to++)
        if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3) {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    *to = '\0';
    return true;
}

static int open_mounts(const struct task *t, FILE **ret, struct err *err)
{
    int fd = openat(t->child.proc_fd, "self/mountinfo", O_RDONLY | O_CLOEXEC);

    *ret = fd < 0 ? NULL : fdopen(fd, "r");
    return *ret ? 0 : err_errno(err, errno, "the mounts inside");
}

/* Call fn for each mount of the box until it stops. */
static int each_mount(struct task *t, bool (*fn)(struct task *t, const struct place *p), struct err *err)
{
    AUTO_MEM struct place *p = mem_need(sizeof(*p));
    FILE *f = NULL;
    int rc = open_mounts(t, &f, err);

    while (rc == 0 && next_mount(f, p) && !fn(t, p))
        ;
    if (f)
        (void)fclose(f);
    return rc;
}

static bool note_mount(struct task *t, const struct place *p)
{
    if (t->n_before < COUNT_OF(t->before))
        t->before[t->n_before++] = p->mount;
    return false;
}

/* A tree's own mount is listed before those below it. */
static bool find_new(struct task *t, const struct place *p)
{
    for (unsigned i = 0; i < t->n_before; i++)
        if (t->before[i] == p->mount)
            return false;
    t->place = *p;
    return true;
}

static bool find_ours(struct task *t, const struct place *p)
{
    if (p->mount != t->mount)
        return false;
    t->place = *p;
    return true;
}

static int add_mount(struct task *t, struct err *err)
{
    static const struct op first = {.kind = OP_MOUNT, .index = 0};
    int rc = each_mount(t, note_mount, err);

    if (rc == 0 && t->n_before == COUNT_OF(t->before))
        rc = err_set(err, ERR_NOSPACE, "it has %u mounts and more", MOUNTS);
    if (rc == 0)
        rc = child_op_mount(&t->child, &first, err);
    if (rc == 0)
        rc = each_mount(t, find_new, err);
    t->mount = t->place.mount;
    return rc;
}

/* The mount made by add_mount, wherever the box has moved the directories above it: a name is valid only
 * until the box moves one again. */
static int open_ours(struct task *t, int *ret_fd, struct err *err)
{
    for (unsigned i = 0; i < TRIES; i++) {
        AUTO_FD int fd = -1;
        int rc;

        t->place.mount = 0;
        if ((rc = each_mount(t, find_ours, err)) < 0)
            return rc;
        if (t->place.mount == 0)
            return err_set(err, ERR_NOTFOUND, "nothing is mounted on %s that was added", t->path);
        if (fs_open_below(t->child.root_fd, below(t->place.path), O_PATH | O_NOFOLLOW, 0, &fd, NULL) == 0 &&
            mount_of(t, fd) == t->mount) {
            *ret_fd = steal_fd(&fd);
            return 0;
        }
    }
    return err_set(err, ERR_CONFLICT, "what was mounted on %s was moved or hidden by the container", t->path);
}

static int take_off(struct task *t, struct err *err)
{
    AUTO_FD int fd = -1;
    int rc = open_ours(t, &fd, err);

    return rc < 0 ? rc : unmount(fd, t->path, err);
}

static bool is_any_device(mode_t mode)
{
    return S_ISCHR(mode) || S_ISBLK(mode);
}

static bool is_device(const struct stat *st, const struct live_device *d)
{
    return is_any_device(st->st_mode) && S_ISBLK(st->st_mode) == (d->type == 'b') &&
           st->st_rdev == makedev(d->major, d->minor);
}

/* Without open_tree: a private mount namespace of our own. */
static int open_own_dev(int *ret_fd, struct err *err)
{
    AUTO_FD int dev = -1;
    int rc;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return err_errno(err, errno, "mounts of our own");
    dev = open("/dev", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dev < 0)
        return err_errno(err, errno, "/dev");
    if ((rc = child_remount(dev, 0, MS_RDONLY, err)) < 0)
        return rc;
    *ret_fd = steal_fd(&dev);
    return 0;
}

/* The box's /dev is sealed. We write to the same file system through a mount that the box does not have. */
static int open_dev(struct task *t, int *ret_fd, struct err *err)
{
    struct sys_mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};
    AUTO_FD int dev = -1;
    AUTO_FD int tree = -1;
    struct statvfs st;
    int rc = fs_open_below(t->child.root_fd, "dev", O_PATH | O_DIRECTORY, 0, &dev, err);

    if (rc < 0)
        return rc;
    if (fstatvfs(dev, &st) == 0 && !(st.f_flag & ST_RDONLY)) {
        *ret_fd = steal_fd(&dev);
        return 0;
    }
    tree = sys_open_tree(dev, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (tree < 0 || sys_mount_setattr(tree, "", AT_EMPTY_PATH, &attr) != 0)
        return open_own_dev(ret_fd, err);
    *ret_fd = steal_fd(&tree);
    return 0;
}

/* Directory and name of the device, below a writable /dev. This process exits soon, which closes its
 * descriptors. */
static int open_place(struct task *t, int *ret_dir, const char **ret_name, struct err *err)
{
    int dev = -1, rc;

    if (strncmp(t->path, "/dev/", 5) != 0)
        return err_set(err, ERR_INVALID, "%s is not below /dev", t->path);
    rc = open_dev(t, &dev, err);
    return rc < 0 ? rc : child_make_parents(dev, t->path + 5, ret_dir, ret_name, err);
}

/* Remove what we bind-mounted there, and its mount point. No link is followed; what is not a device of ours
 * stays. any: whatever device it was, since another one replaces it. */
static int clear_device(struct task *t, bool any, int *ret_dir, const char **ret_name, struct err *err)
{
    AUTO_FD int fd = -1;
    struct stat st;
    int rc = fs_open_below(t->child.root_fd, below(t->path), O_PATH | O_NOFOLLOW, 0, &fd, NULL);

    if (rc == 0 && fstat(fd, &st) == 0 && (is_device(&st, t->device) || (any && is_any_device(st.st_mode))) &&
        unmount(fd, t->path, err) < 0 && errno != EINVAL) /* a node of its own is not a mount point */
        return -(int)err->kind;
    if ((rc = open_place(t, ret_dir, ret_name, err)) < 0)
        return rc;
    if (unlinkat(*ret_dir, *ret_name, 0) != 0 && errno != ENOENT)
        return err_errno(err, errno, "remove %s", t->path);
    return 0;
}

static int remove_device(struct task *t, struct err *err)
{
    const char *name = "";
    int dir = -1;

    return clear_device(t, false, &dir, &name, err);
}

static mode_t mode_of(const struct live_device *d)
{
    mode_t rw = (d->access & CGROUP_DEV_READ ? 0444 : 0) | (d->access & CGROUP_DEV_WRITE ? 0222 : 0);

    return (d->type == 'b' ? S_IFBLK : S_IFCHR) | rw;
}

static int make_node(int dir_fd, const char *name, const struct live_device *d, uint32_t uid, uint32_t gid,
                     struct err *err)
{
    mode_t before = umask(0); /* instead of chmod, which would follow a link */
    int rc = mknodat(dir_fd, name, mode_of(d), makedev(d->major, d->minor));

    (void)umask(before);
    if (rc != 0 || fchownat(dir_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
        return err_errno(err, errno, "node %s for %s", name, d->path);
    return 0;
}

/* Without a user namespace: a node like the box's initial ones. */
static int add_node(struct task *t, struct err *err)
{
    const char *name = "";
    int dir = -1;
    int rc = clear_device(t, true, &dir, &name, err);

    return rc < 0 ? rc : make_node(dir, name, t->device, 0, 0, err);
}

/* With one: the host's node, bind-mounted over an empty file. */
static int add_bound(struct task *t, struct err *err)
{
    AUTO_FD int place = -1;
    AUTO_FD int target = -1;
    struct stat made, seen;
    const char *name = "";
    int dir = -1;
    int rc = clear_device(t, true, &dir, &name, err);

    if (rc < 0)
        return rc;
    place = openat(dir, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
    if (place < 0)
        return err_errno(err, errno, "place for %s", t->path);
    if ((rc = fs_open_below(t->child.root_fd, below(t->path), O_PATH | O_NOFOLLOW, 0, &target, err)) < 0)
        return rc;
    if (fstat(place, &made) != 0 || fstat(target, &seen) != 0 || made.st_dev != seen.st_dev ||
        made.st_ino != seen.st_ino)
        return err_set(err, ERR_CONFLICT, "%s is not what it was", t->path);
    if (sys_move_mount(t->child.trees.mounts[0], "", target, "",
                       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
        return err_errno(err, errno, "bind %s", t->path);
    return 0;
}

/* ---- outside ---- */

static int wait_inside(struct task *t, pid_t pid, int report_fd, struct err *err)
{
    struct pollfd p = {.fd = report_fd, .events = POLLIN};
    struct child_report rep;
    int limit_ms = (int)patience_ms(INSIDE_MS);
    bool late = poll(&p, 1, limit_ms) == 0;
    ssize_t n = late ? 0 : read(report_fd, &rep, sizeof(rep));

    if (pid > 0)
        (void)kill(pid, SIGKILL); /* it has nothing more to do */
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (late)
        return err_set(err, ERR_TIMEOUT, "the process inside did not end within %d ms", limit_ms);
    if (n != sizeof(rep))
        return err_set(err, ERR_IO, "the process inside was ended");
    t->mount = rep.mount;
    rep.err.msg[sizeof(rep.err.msg) - 1] = '\0';
    return rep.stage == CHILD_READY ? 0 : err_set(err, rep.err.kind, "%s", rep.err.msg);
}

static struct task *task_free(struct task *t)
{
    if (t) {
        mount_clone_close(&t->child.trees);
        enter_done(&t->enter);
        if (t->child.proc_fd >= 0)
            (void)close(t->child.proc_fd);
    }
    free(t);
    return NULL;
}
DEFINE_AUTO(task)

/* Open a box for entering: only those of its namespaces that make up a place in its tree. */
static int open_task(const struct box_id *b, struct task **ret, struct err *err)
{
    struct task *t = mem_need_zero(sizeof(*t));
    int rc;

    *ret = t;
    enter_init(&t->enter);
    child_init(&t->child, &t->spec, NULL);
    t->spec.id = b->id;
    if ((rc = child_open_proc(&t->child.proc_fd, err)) < 0 ||
        (rc = enter_open_one(b->pid, SPEC_NS_USER, &t->enter.ns[SPEC_NS_USER], err)) < 0 ||
        (rc = enter_open_one(b->pid, SPEC_NS_MOUNT, &t->enter.ns[SPEC_NS_MOUNT], err)) < 0)
        return rc;
    if (!box_is_alive(b)) /* checked afterwards: they belong to it and not to a later process */
        return err_set(err, ERR_NOTFOUND, "container does not run");
    if (t->enter.ns[SPEC_NS_MOUNT] < 0)
        return err_set(err, ERR_UNSUPPORTED, "it has no mount namespace of its own");
    return 0;
}

static int go(struct task *t, int (*step)(struct task *, struct err *), struct err *err)
{
    AUTO_FD int in = -1;
    AUTO_FD int out = -1;
    pid_t helper = 0;
    pid_t *pid = mmap(NULL, sizeof(*pid), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int p[2], r;

    if (pid == MAP_FAILED)
        return err_errno(err, errno, "memory to share");
    if (pipe2(p, O_CLOEXEC) != 0) {
        (void)err_errno(err, errno, "pipe");
        (void)munmap(pid, sizeof(*pid));
        return -(int)err->kind;
    }
    in = p[0];
    out = p[1];
    t->child.report_fd = out;
    t->step = step;
    t->enter.alone = true;
    t->enter.shared_pid = pid; /* the pipe is for the process inside, which may be faster than the helper */
    r = enter_begin(&t->enter, &t->child, run_inside, in, &helper, err);
    (void)close(steal_fd(&out));
    while (r == 0 && waitpid(helper, NULL, 0) < 0 && errno == EINTR)
        ;
    if (r == 0)
        r = wait_inside(t, *pid, in, err);
    (void)munmap(pid, sizeof(*pid));
    return r;
}

/* The source, cloned where its path is valid. */
static int take_source(struct task *t, const struct spec_mount *m, struct err *err)
{
    t->spec.mounts[0] = *m;
    t->spec.mounts[0].make_target = true;
    t->spec.n_mounts = 1;
    if (m->kind != SPEC_MOUNT_BIND)
        return 0;
    t->child.trees.mounts[0] = mount_clone_one(m);
    if (t->child.trees.mounts[0] < 0)
        return err_errno(err, errno, "source %s%s", m->source ? m->source : "(descriptor)",
                         errno == ENOSYS  ? " (needs Linux 5.2)"
                         : errno == EPERM ? " (needs root)"
                                          : "");
    return idmap_shift(&t->spec, &t->child.trees, t->enter.ns[SPEC_NS_USER], NULL, 0, err);
}

int live_mount_add(const struct box_id *b, const struct spec_mount *m, uint64_t *ret_mount, struct err *err)
{
    AUTO_FREE(task) struct task *t = NULL;
    int rc = m->kind == SPEC_MOUNT_CGROUP
                 ? err_set(err, ERR_UNSUPPORTED, "a cgroup mount can only be there from the start")
                 : open_task(b, &t, err);

    if (rc == 0)
        rc = take_source(t, m, err);
    if (rc == 0)
        rc = go(t, add_mount, err);
    if (rc < 0)
        return err_wrap(err, "%s: mount %s", b->id, m->target);
    *ret_mount = t->mount;
    return 0;
}

int live_mount_remove(const struct box_id *b, const char *target, uint64_t mount, struct err *err)
{
    AUTO_FREE(task) struct task *t = NULL;
    int rc = open_task(b, &t, err);

    if (rc == 0) {
        t->path = target;
        t->mount = mount;
        rc = go(t, take_off, err);
    }
    return rc < 0 ? err_wrap(err, "%s", b->id) : 0;
}

/* A detached mount of a node of ours, on which devices work wherever it was made. The name must exist until
 * the mount is in place (the kernel does not move unlinked ones), so there is one at a time, and what a crash
 * left is replaced. */
static int node_tree(const struct live_device *d, uint32_t uid, uint32_t gid, int work_fd, int *ret_tree,
                     struct err *err)
{
    struct sys_mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
                                  .attr_clr = MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY};
    AUTO_FD int tree = -1;
    int rc;

    (void)unlinkat(work_fd, NODE, 0);
    if ((rc = make_node(work_fd, NODE, d, uid, gid, err)) < 0)
        return rc;
    tree = sys_open_tree(work_fd, NODE, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 || sys_mount_setattr(tree, "", AT_EMPTY_PATH, &attr) != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: %s (a device for a user namespace needs Linux 5.12; or \"userns\": \"off\")",
                       d->path, strerror(errno));
    *ret_tree = steal_fd(&tree);
    return 0;
}

static int put_rule(const struct cgroup_host *h, const struct box_id *b, const struct live_device *d,
                    bool allow, struct cgroup_field *ret, struct err *err)
{
    struct cgroup *g = NULL;
    int rc = b->cgroup_path[0] ? cgroup_open(h, b->cgroup_path, &g, err) : -ERR_NOTFOUND;
    struct err why = ERR_INIT;

    if (rc == 0)
        rc = allow ? cgroup_device_allow(g, d->type, d->major, d->minor, d->access, &why)
                   : cgroup_device_deny(g, d->type, d->major, d->minor, CGROUP_DEV_ALL, &why);
    (void)cgroup_free(g);
    if (ret)
        *ret = (struct cgroup_field){.state = rc < 0 ? CGROUP_DEGRADED : CGROUP_ENFORCED, .value = rc == 0};
    if (ret && rc < 0)
        (void)snprintf(ret->why, sizeof(ret->why), "%.90s", why.msg[0] ? why.msg : "no cgroup");
    if (rc == -ERR_UNSUPPORTED || rc == -ERR_NOTFOUND) /* no rules here: any node can be used */
        return 0;
    return rc < 0 ? err_set(err, why.kind, "%s", why.msg) : 0;
}

int live_device_add(const struct cgroup_host *h, const struct box_id *b, const struct live_device *d,
                    const struct spec_id_maps *uid_maps, const struct spec_id_maps *gid_maps, int work_fd,
                    struct cgroup_field *ret_rule, struct err *err)
{
    AUTO_FREE(task) struct task *t = NULL;
    struct cgroup_field rule = {.state = CGROUP_NOT_ASKED};
    int rc = open_task(b, &t, err);

    if (rc == 0) {
        t->path = d->path;
        t->device = d;
    }
    if (rc == 0 && uid_maps)
        rc = node_tree(d, spec_outer_id(uid_maps, 0), spec_outer_id(gid_maps, 0), work_fd,
                       &t->child.trees.mounts[0], err);
    if (rc == 0) /* the rule first: with it the node is usable */
        rc = put_rule(h, b, d, true, &rule, err);
    if (rc == 0 && (rc = go(t, uid_maps ? add_bound : add_node, err)) < 0) {
        (void)put_rule(h, b, d, false, NULL, NULL);
        (void)go(t, remove_device, NULL);
    }
    (void)unlinkat(work_fd, NODE, 0);
    if (rc < 0)
        return err_wrap(err, "%s: device %s", b->id, d->path);
    *ret_rule = rule;
    return 0;
}

int live_device_remove(const struct cgroup_host *h, const struct box_id *b, const struct live_device *d,
                       struct err *err)
{
    AUTO_FREE(task) struct task *t = NULL;
    struct err later = ERR_INIT;
    int rc, rule;

    if (!box_is_alive(b))
        return 0;
    rule = put_rule(h, b, d, false, NULL, &later); /* even if the node cannot be removed */
    if ((rc = open_task(b, &t, err)) == 0) {
        t->path = d->path;
        t->device = d;
        rc = go(t, remove_device, err);
    }
    if (rc == 0 && rule < 0)
        rc = err_set(err, later.kind, "%s", later.msg);
    if (rc < 0 && !box_is_alive(b))
        return 0;
    return rc < 0 ? err_wrap(err, "%s: device %s", b->id, d->path) : 0;
}
