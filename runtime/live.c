/* live.c - see live.h. */
#include "runtime/live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/fs.h"
#include "platform/sys.h"
#include "runtime/child_mount.h"
#include "runtime/enter.h"
#include "runtime/idmap.h"
#include "runtime/trees.h"

#define NODE ".node"

/* What is to be done inside; it goes along in the memory that the process inside inherits. */
struct task {
    struct child child; /* first: child_run's kind of function gets its address */
    struct spec spec;
    int (*step)(struct task *t, struct err *err);
    const char *path;
    const struct live_device *device;
    struct enter enter;
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
    int r = 0;

    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)umask(0);
    c->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (c->root_fd < 0 || fchdir(c->proc_fd) != 0)
        r = err_errno(&rep.err, errno, "the container's /");
    if (r == 0)
        r = t->step(t, &rep.err);
    if (r < 0)
        (void)!write(c->report_fd, &rep, sizeof rep);
    _exit(r < 0);
}

static int add_mount(struct task *t, struct err *err)
{
    static const struct op first = {.kind = OP_MOUNT, .index = 0};

    return child_op_mount(&t->child, &first, err);
}

/* Off with what lies on this place, however often. 0: something did, -NOTFOUND: nothing. */
static int take_off(struct task *t, struct err *err)
{
    char at[CHILD_FD_TEXT];
    int r, n = 0;

    for (;; n++) {
        AUTO_FD int fd = -1;
        if ((r = fs_open_in_root(t->child.root_fd, below(t->path), O_PATH, 0, &fd, err)) < 0)
            return r;
        if (umount2(child_fd_text(fd, at), MNT_DETACH) != 0)
            break;
    }
    if (errno != EINVAL)
        return err_errno(err, errno, "take off %s", t->path);
    return n > 0 ? 0 : err_set(err, ERR_NOTFOUND, "nothing is mounted on %s", t->path);
}

/* The place itself goes too: an empty file that carried a mount, or a node. */
static int remove_device(struct task *t, struct err *err)
{
    int parent = -1; /* may be root_fd; this process ends soon */
    const char *last;
    struct err gone = ERR_INIT;
    int r = take_off(t, &gone);

    if (r < 0 && gone.kind != ERR_NOTFOUND)
        return err_set(err, gone.kind, "%s", gone.msg);
    if ((r = child_make_parents(t->child.root_fd, t->path, &parent, &last, err)) < 0)
        return r;
    if (unlinkat(parent, last, 0) != 0 && errno != ENOENT)
        return err_errno(err, errno, "remove %s", t->path);
    return 0;
}

static mode_t mode_of(const struct live_device *d)
{
    mode_t rw = (d->access & CGROUP_DEV_READ ? 0444 : 0) | (d->access & CGROUP_DEV_WRITE ? 0222 : 0);

    return (d->type == 'b' ? S_IFBLK : S_IFCHR) | rw;
}

static int make_node(int dir_fd, const char *name, const struct live_device *d, uint32_t uid, uint32_t gid,
                     struct err *err)
{
    /* the mode again: ours may have a umask */
    if (mknodat(dir_fd, name, mode_of(d), makedev(d->major, d->minor)) != 0 ||
        fchmodat(dir_fd, name, mode_of(d) & 07777, 0) != 0 ||
        fchownat(dir_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
        return err_errno(err, errno, "node %s for %s", name, d->path);
    return 0;
}

/* Without a user namespace: a node like those that the box began with. */
static int add_node(struct task *t, struct err *err)
{
    const struct live_device *d = t->device;
    int parent = -1; /* may be root_fd; this process ends soon */
    const char *last;
    int r = remove_device(t, err);

    if (r < 0 || (r = child_make_parents(t->child.root_fd, d->path, &parent, &last, err)) < 0)
        return r;
    return make_node(parent, last, d, 0, 0, err);
}

/* With one: the host's node, bound. */
static int add_bound(struct task *t, struct err *err)
{
    int r = remove_device(t, err);

    return r < 0 ? r : add_mount(t, err);
}

/* ---- outside ---- */

static int wait_inside(pid_t pid, int report_fd, struct err *err)
{
    struct child_report rep;
    int status = 0;
    ssize_t n;

    do
        n = read(report_fd, &rep, sizeof rep);
    while (n < 0 && errno == EINTR);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (n == sizeof rep) {
        rep.err.msg[sizeof rep.err.msg - 1] = '\0';
        return err_set(err, rep.err.kind, "%s", rep.err.msg);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? 0
               : err_set(err, ERR_IO, "the process inside was ended");
}

static struct task *task_free(struct task *t)
{
    if (t) {
        trees_close(&t->child.trees);
        enter_done(&t->enter);
        if (t->child.proc_fd >= 0)
            (void)close(t->child.proc_fd);
    }
    free(t);
    return NULL;
}
DEFINE_AUTO(task)

/* The door to a box: of its namespaces only those that make a place in its tree. */
static int open_task(const struct box_id *b, struct task **ret, struct err *err)
{
    struct task *t = mem_need_zero(sizeof *t);
    int r;

    *ret = t;
    enter_init(&t->enter);
    child_init(&t->child, &t->spec, NULL);
    t->spec.id = b->id;
    if ((r = child_open_proc(&t->child.proc_fd, err)) < 0 ||
        (r = enter_open_one(b->pid, SPEC_NS_USER, &t->enter.ns[SPEC_NS_USER], err)) < 0 ||
        (r = enter_open_one(b->pid, SPEC_NS_MOUNT, &t->enter.ns[SPEC_NS_MOUNT], err)) < 0)
        return r;
    if (!box_is_alive(b)) /* asked after: they are its own and no later process's */
        return err_set(err, ERR_NOTFOUND, "container does not run");
    if (t->enter.ns[SPEC_NS_MOUNT] < 0)
        return err_set(err, ERR_UNSUPPORTED, "it has no mount namespace of its own");
    return 0;
}

static int go(struct task *t, int (*step)(struct task *, struct err *), struct err *err)
{
    AUTO_FD int in = -1;
    AUTO_FD int out = -1;
    pid_t pid = 0;
    int p[2], r;

    if (pipe2(p, O_CLOEXEC) != 0)
        return err_errno(err, errno, "pipe");
    in = p[0];
    out = p[1];
    t->child.report_fd = out;
    t->step = step;
    if ((r = enter_spawn(&t->enter, &t->child, run_inside, in, &pid, err)) < 0)
        return r;
    (void)close(steal_fd(&out));
    return wait_inside(pid, in, err);
}

/* The source, cloned here where it has its name. */
static int take_source(struct task *t, const struct spec_mount *m, struct err *err)
{
    t->spec.mounts[0] = *m;
    t->spec.mounts[0].make_target = true;
    t->spec.n_mounts = 1;
    if (m->kind != SPEC_MOUNT_BIND)
        return 0;
    t->child.trees.mounts[0] = trees_clone(m);
    if (t->child.trees.mounts[0] < 0)
        return err_errno(err, errno, "source %s%s", m->source ? m->source : "(descriptor)",
                         errno == ENOSYS  ? " (needs Linux 5.2)"
                         : errno == EPERM ? " (needs root)"
                                          : "");
    return idmap_shift(&t->spec, &t->child.trees, t->enter.ns[SPEC_NS_USER], NULL, 0, err);
}

int live_mount_add(const struct box_id *b, const struct spec_mount *m, struct err *err)
{
    AUTO_FREE(task) struct task *t = NULL;
    int r = m->kind == SPEC_MOUNT_CGROUP
                ? err_set(err, ERR_UNSUPPORTED, "a cgroup mount can only be there from the start")
                : open_task(b, &t, err);

    if (r == 0)
        r = take_source(t, m, err);
    if (r == 0)
        r = go(t, add_mount, err);
    return r < 0 ? err_wrap(err, "%s: mount %s", b->id, m->target) : 0;
}

int live_mount_remove(const struct box_id *b, const char *target, struct err *err)
{
    AUTO_FREE(task) struct task *t = NULL;
    int r = open_task(b, &t, err);

    if (r == 0) {
        t->path = target;
        r = go(t, take_off, err);
    }
    return r < 0 ? err_wrap(err, "%s", b->id) : 0;
}

/* A detached mount of a node of ours, on which devices work wherever it was made. The name must stay until it is in its
 * place (the kernel moves nothing that was unlinked), so there is one at a time, and what a crash left is replaced. */
static int node_tree(const struct live_device *d, uint32_t uid, uint32_t gid, int work_fd, int *ret_tree,
                     struct err *err)
{
    struct sys_mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
                                  .attr_clr = MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY};
    AUTO_FD int tree = -1;
    int r;

    (void)unlinkat(work_fd, NODE, 0);
    if ((r = make_node(work_fd, NODE, d, uid, gid, err)) < 0)
        return r;
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
    int r = b->cgroup_path[0] ? cgroup_open(h, b->cgroup_path, &g, err) : -ERR_NOTFOUND;
    struct err why = ERR_INIT;

    if (r == 0)
        r = allow ? cgroup_device_allow(g, d->type, d->major, d->minor, d->access, &why)
                  : cgroup_device_deny(g, d->type, d->major, d->minor, CGROUP_DEV_ALL, &why);
    (void)cgroup_free(g);
    if (ret)
        *ret = (struct cgroup_field){.state = r < 0 ? CGROUP_DEGRADED : CGROUP_ENFORCED, .value = r == 0};
    if (ret && r < 0)
        (void)snprintf(ret->why, sizeof ret->why, "%.90s", why.msg[0] ? why.msg : "no cgroup");
    if (r == -ERR_UNSUPPORTED || r == -ERR_NOTFOUND) /* no rules here: what has a node can be used */
        return 0;
    return r < 0 ? err_set(err, why.kind, "%s", why.msg) : 0;
}

int live_device_add(const struct cgroup_host *h, const struct box_id *b, const struct live_device *d,
                    const struct spec_id_maps *uid_maps, const struct spec_id_maps *gid_maps, int work_fd,
                    struct cgroup_field *ret_rule, struct err *err)
{
    AUTO_FREE(task) struct task *t = NULL;
    struct cgroup_field rule = {.state = CGROUP_NOT_ASKED};
    int r = open_task(b, &t, err);

    if (r == 0) {
        t->path = d->path;
        t->device = d;
        t->spec.mounts[0] = (struct spec_mount){
            .kind = SPEC_MOUNT_BIND, .source_fd = -1, .target = d->path, .make_target = true};
        t->spec.n_mounts = 1;
    }
    if (r == 0 && uid_maps)
        r = node_tree(d, spec_outer_id(uid_maps, 0), spec_outer_id(gid_maps, 0), work_fd,
                      &t->child.trees.mounts[0], err);
    if (r == 0) /* the rule first: with the node it can be used */
        r = put_rule(h, b, d, true, &rule, err);
    if (r == 0 && (r = go(t, uid_maps ? add_bound : add_node, err)) < 0) {
        (void)put_rule(h, b, d, false, NULL, NULL);
        (void)go(t, remove_device, NULL);
    }
    (void)unlinkat(work_fd, NODE, 0);
    if (r < 0)
        return err_wrap(err, "%s: device %s", b->id, d->path);
    *ret_rule = rule;
    return 0;
}

int live_device_remove(const struct cgroup_host *h, const struct box_id *b, const struct live_device *d,
                       struct err *err)
{
    AUTO_FREE(task) struct task *t = NULL;
    struct err later = ERR_INIT;
    int r, rule;

    if (!box_is_alive(b))
        return 0;
    rule = put_rule(h, b, d, false, NULL, &later); /* also when the node cannot be taken away */
    if ((r = open_task(b, &t, err)) == 0) {
        t->path = d->path;
        r = go(t, remove_device, err);
    }
    if (r == 0 && rule < 0)
        r = err_set(err, later.kind, "%s", later.msg);
    if (r < 0 && !box_is_alive(b))
        return 0;
    return r < 0 ? err_wrap(err, "%s: device %s", b->id, d->path) : 0;
}
