/* cgroup_dirs.c - the directories of a group: created with what they need, removed with empty parents. See
 * cgroup.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "platform/cgroup/cgroup_int.h"
#include "platform/mem.h"
#include "platform/patience.h"

/* v2: where our own processes go if their group must delegate controllers. */
#define SELF_LEAF "limpet-self"

/* v2: below the top a group cannot have both processes and controllers for children. Make room by moving the
 * processes of our own group into a leaf below it. Right if the group was delegated to us, as a service's
 * is. */
static int move_into_leaf(const char *dir)
{
    char leaf[CGROUP_DIR_BYTES], text[32];
    AUTO_FD int fd = -1;
    AUTO_FD int leaf_fd = -1;
    FILE *f;
    int pid, procs;

    if (!str_fmt(leaf, sizeof(leaf), "%s/%s", dir, SELF_LEAF) || (mkdir(leaf, 0755) != 0 && errno != EEXIST))
        return -EBUSY;
    fd = openat(AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    leaf_fd = openat(AT_FDCWD, leaf, O_PATH | O_DIRECTORY | O_CLOEXEC);
    procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    f = procs < 0 ? NULL : fdopen(procs, "r");
    if (!f)
        return -EBUSY;
    while (fscanf(f, "%d", &pid) == 1) {
        (void)snprintf(text, sizeof(text), "%d", pid);
        err_ignore(cgroup_put(leaf_fd, "cgroup.procs", text));
    }
    (void)fclose(f);
    return 0;
}

/* v2: enable these controllers for dir's children. What is not available is reported with the limit that
 * needs it. */
static void enable_below(struct cgroup *c, const char *dir, unsigned ctls)
{
    AUTO_FD int fd = openat(AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char own[CGROUP_DIR_BYTES], text[24];
    /* only in groups delegated to us: others' groups keep their processes */
    bool may_move = !c->host.stay && str_fmt(own, sizeof(own), "%s%s", c->host.v2_mount, c->host.v2_self) &&
                    strcmp(own, dir) == 0;

    for (int i = 0; i < CGROUP_CTL_COUNT_; i++) {
        int rc;
        if (!(ctls & CTL_BIT(i)) || !cgroup_ctl_name(i, CGROUP_V2))
            continue;
        (void)snprintf(text, sizeof(text), "+%s", cgroup_ctl_name(i, CGROUP_V2));
        rc = cgroup_put(fd, "cgroup.subtree_control", text);
        if (rc == -EBUSY && may_move && move_into_leaf(dir) == 0)
            rc = cgroup_put(fd, "cgroup.subtree_control", text);
        if (rc < 0)
            (void)snprintf(c->refused[i], sizeof(c->refused[i]), "%.40s: %s", dir + strlen(c->host.v2_mount),
                           rc == -EBUSY ? "holds processes" : strerror(-rc));
    }
}

#define MADE_MARK "trusted.limpet.made"
#define MADE_MODE 01755 /* mode of a parent until it is marked: left if the process is killed in between */

/* Parents that we created are removed when empty; others' stay. On kernels without such marks: as if we had
 * created them. */
static void mark_made(const char *dir)
{
    if (setxattr(dir, MADE_MARK, "1", 1, 0) != 0 && errno == EPERM)
        (void)setxattr(dir, "user.limpet.made", "1", 1, 0);
    (void)chmod(dir, 0755);
}

static bool is_made(const char *dir)
{
    struct stat st;
    char one;

    return (stat(dir, &st) == 0 && (st.st_mode & S_ISVTX)) || getxattr(dir, MADE_MARK, &one, 1) >= 0 ||
           errno == ENOTSUP || getxattr(dir, "user.limpet.made", &one, 1) >= 0;
}

/* v1: a new group starts without CPUs and memory nodes, and then accepts no process. */
static void inherit_cpuset(const char *dir)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    AUTO_FD int fd = openat(AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char name[32], text[512];

    for (size_t i = 0; i < COUNT_OF(files); i++) {
        (void)snprintf(name, sizeof(name), "../%s", files[i]);
        if (cgroup_get_text(fd, name, text, sizeof(text)) > 1)
            err_ignore(cgroup_put(fd, files[i], text));
    }
}

/* Settings that a new directory needs before use. */
static void dir_made(const char *dir, enum cgroup_mode mode, unsigned ctls, bool is_parent)
{
    AUTO_FD int fd = -1;

    if (is_parent)
        mark_made(dir);
    if (mode == CGROUP_V1 && (ctls & CTL_BIT(CGROUP_CPUSET)))
        inherit_cpuset(dir);
    if (mode != CGROUP_V1 || !(ctls & CTL_BIT(CGROUP_MEMORY)))
        return;
    fd = openat(AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    err_ignore(cgroup_put(fd, "memory.use_hierarchy", "1")); /* before 5.11 children were not counted */
}

size_t cgroup_slot_base(const struct cgroup *c, const struct cgroup_slot *s)
{
    return strlen(s->dir) - strlen(c->path) - (c->path[0] != '/');
}

int cgroup_make_dirs(struct cgroup *c, enum cgroup_mode mode, unsigned ctls, struct cgroup_slot *s)
{
    char dir[CGROUP_DIR_BYTES], *at = dir + cgroup_slot_base(c, s);

    memcpy(dir, s->dir, sizeof(dir));
    for (bool is_parent = true; is_parent;) {
        *at = '\0';
        if (mode == CGROUP_V2)
            enable_below(c, dir, ctls);
        *at = '/';
        at = strchrnul(at + 1, '/');
        is_parent = *at != '\0';
        *at = '\0';
        s->fresh = mkdir(dir, is_parent ? MADE_MODE : 0755) == 0;
        if (s->fresh)
            dir_made(dir, mode, ctls, is_parent);
        else if (errno != EEXIST && access(dir, F_OK) != 0)
            return -errno;
    }
    return 0;
}

/* rmdir, with the groups below first. 0 or -errno. */
static int remove_dir(const char *dir, unsigned depth)
{
    char sub[CGROUP_DIR_BYTES];
    DIR *d;

    if (rmdir(dir) == 0 || errno == ENOENT)
        return 0;
    if (errno != EBUSY || depth == 0)
        return -errno;
    d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_type == DT_DIR && e->d_name[0] != '.' && str_fmt(sub, sizeof(sub), "%s/%s", dir, e->d_name))
            (void)remove_dir(sub, depth - 1);
    if (d)
        (void)closedir(d);
    return rmdir(dir) == 0 || errno == ENOENT ? 0 : -errno;
}

void cgroup_remove_parents(const struct cgroup *c, const struct cgroup_slot *s)
{
    char dir[CGROUP_DIR_BYTES], *base = dir + cgroup_slot_base(c, s);

    memcpy(dir, s->dir, sizeof(dir));
    for (char *cut; (cut = strrchr(dir, '/')) > base;) {
        *cut = '\0';
        if (!is_made(dir) || rmdir(dir) != 0)
            return;
    }
}

void cgroup_detach(struct cgroup *c, pid_t pid)
{
    char base[CGROUP_DIR_BYTES], text[32];

    (void)snprintf(text, sizeof(text), "%d", (int)pid);
    for (unsigned i = 0; i < c->n_slots; i++) {
        memcpy(base, c->slots[i].dir, sizeof(base));
        base[cgroup_slot_base(c, &c->slots[i])] = '\0';
        AUTO_FD int fd = openat(AT_FDCWD, base, O_PATH | O_DIRECTORY | O_CLOEXEC);
        AUTO_FD int leaf = openat(fd, SELF_LEAF, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && cgroup_put(fd, "cgroup.procs", text) < 0 && leaf >= 0)
            err_ignore(cgroup_put(leaf, "cgroup.procs", text));
    }
}

int cgroup_remove(struct cgroup *c, unsigned timeout_ms, struct err *err)
{
    unsigned waited = 0, pause_ms = 1;
    char who[160];
    int rc = 0;

    timeout_ms = (unsigned)patience_ms(timeout_ms);
    for (;;) {
        const char *busy = NULL;
        for (unsigned i = 0; i < c->n_slots; i++) {
            int one = remove_dir(c->slots[i].dir, CGROUP_DEPTH);
            if (one < 0) {
                rc = one;
                busy = c->slots[i].dir;
            } else {
                cgroup_remove_parents(c, &c->slots[i]);
            }
        }
        if (!busy)
            return 0;
        if (rc != -EBUSY)
            return err_errno(err, -rc, "remove %s", busy);
        if (waited >= timeout_ms)
            return err_set(err, ERR_CONFLICT, "remove %.160s: still busy after %u ms: %s", busy, waited,
                           cgroup_who(c, who, sizeof(who)));
        cgroup_sleep_ms(pause_ms);
        waited += pause_ms;
        pause_ms = pause_ms < 20 ? pause_ms * 2 : 20;
    }
}

void cgroup_remove_if_unused(struct cgroup *c)
{
    for (unsigned i = 0; i < c->n_slots; i++)
        (void)rmdir(c->slots[i].dir);
}
