/* cgroup.c - one group in every hierarchy it needs: make, attach, kill, remove. See cgroup.h. */
#include "platform/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/cgroup_priv.h"
#include "platform/mem.h"
#include "platform/sys.h"

#define KILL_ROUNDS 32  /* without freezer: a fork bomb may outrun some of them */
#define FREEZE_MS   100 /* v1 freezes asynchronously */
#define MAX_PIDS    1024
#define GROUP_DEPTH 8
#define SELF_LEAF \
    "limpet-self" /* v2: where our own processes go when their group must pass controllers on \
                   */
#define CTL_BIT(ctl) (1u << (ctl))

static const char *const v2_enable[CGROUP_CTL_COUNT_] = {
    [CGROUP_MEMORY] = "+memory", [CGROUP_CPU] = "+cpu", [CGROUP_PIDS] = "+pids"};

int cgroup_put(int dir_fd, const char *name, const char *text)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC), r = 0;
    size_t len = 0;

    if (fd < 0)
        return -errno;
    while (text[len])
        len++;
    if (write(fd, text, len) < 0)
        r = -errno;
    (void)close(fd);
    return r;
}

const struct cgroup_slot *cgroup_slot_of(const struct cgroup *c, enum cgroup_ctl ctl)
{
    for (unsigned i = 0; i < c->n_slots; i++)
        if (c->slots[i].ctls & CTL_BIT(ctl))
            return &c->slots[i];
    return NULL;
}

const struct cgroup_slot *cgroup_v2_slot(const struct cgroup *c)
{
    for (unsigned i = 0; i < c->n_slots; i++)
        if (c->slots[i].mode == CGROUP_V2)
            return &c->slots[i];
    return NULL;
}

/* A path of our making: no empty part, no ".", no "..", nothing unprintable. */
static bool path_is_good(const char *path)
{
    size_t len = strlen(path);

    if (len == 0 || len >= CGROUP_PATH_BYTES)
        return false;
    path += path[0] == '/';
    do {
        size_t n = strcspn(path, "/");
        if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && memcmp(path, "..", 2) == 0))
            return false;
        for (size_t i = 0; i < n; i++)
            if (path[i] <= ' ' || path[i] >= 127)
                return false;
        path += n;
    } while (*path++ == '/');
    return true;
}

static void sleep_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL);
}

/* Where a hierarchy's groups of ours begin: the folder that we run in, or its top for "/...". */
static bool base_dir(char *dst, size_t size, const char *mount, const char *self, const char *path)
{
    return str_fmt(dst, size, "%s%s", mount, path[0] == '/' ? "" : self);
}

/* v2: processes and controllers for children exclude each other below the top. Make room by moving what runs
 * in our own group into a leaf of it. Right when the group was given to us, as a service's is. */
static int move_into_leaf(const char *dir)
{
    char leaf[CGROUP_DIR_BYTES], text[32];
    AUTO_FD int fd = -1;
    AUTO_FD int leaf_fd = -1;
    FILE *f;
    int pid, procs;

    if (!str_fmt(leaf, sizeof leaf, "%s/%s", dir, SELF_LEAF) || (mkdir(leaf, 0755) != 0 && errno != EEXIST))
        return -EBUSY;
    fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    leaf_fd = open(leaf, O_PATH | O_DIRECTORY | O_CLOEXEC);
    procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    f = procs < 0 ? NULL : fdopen(procs, "r");
    if (!f)
        return -EBUSY;
    while (fscanf(f, "%d", &pid) == 1) {
        (void)snprintf(text, sizeof text, "%d", pid);
        (void)cgroup_put(leaf_fd, "cgroup.procs", text);
    }
    (void)fclose(f);
    return 0;
}

/* v2: let dir's children use these controllers. What cannot be had shows when the limit is read back. */
static void enable_below(const char *dir, unsigned ctls)
{
    AUTO_FD int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (int i = 0; i < CGROUP_CTL_COUNT_; i++) {
        if (!(ctls & CTL_BIT(i)) || !v2_enable[i])
            continue;
        if (cgroup_put(fd, "cgroup.subtree_control", v2_enable[i]) == -EBUSY && move_into_leaf(dir) == 0)
            (void)cgroup_put(fd, "cgroup.subtree_control", v2_enable[i]);
    }
}

/* Make base/path with its parents, handing controllers (v2) or hierarchical accounting (v1) down. 0 or
 * -errno. */
static int make_dirs(const char *base, const char *path, enum cgroup_mode mode, unsigned ctls, char *ret_dir)
{
    char dir[CGROUP_DIR_BYTES];
    size_t at = strlen(base);

    (void)str_copy(dir, sizeof dir, base);
    for (path += path[0] == '/'; *path;) {
        size_t n = strcspn(path, "/");
        if (mode == CGROUP_V2)
            enable_below(dir, ctls);
        if (at + n + 2 > sizeof dir)
            return -ENAMETOOLONG;
        dir[at++] = '/';
        memcpy(dir + at, path, n);
        dir[at += n] = '\0';
        if (mkdir(dir, 0755) == 0 && mode == CGROUP_V1 && (ctls & CTL_BIT(CGROUP_MEMORY))) {
            AUTO_FD int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
            (void)cgroup_put(fd, "memory.use_hierarchy", "1"); /* before 5.11 children were not counted */
        } else if (errno != EEXIST && access(dir, F_OK) != 0)
            return -errno;
        path += n;
        path += *path == '/';
    }
    memcpy(ret_dir, dir, at + 1);
    return 0;
}

/* Slot for a hierarchy: found, or made (make), or opened when its folder is there. 0 or -errno. */
static int slot_get(struct cgroup *c, enum cgroup_mode mode, const char *mount, const char *self,
                    unsigned ctls, bool make)
{
    struct cgroup_slot *s = &c->slots[c->n_slots];
    char base[CGROUP_DIR_BYTES];
    int r;

    if (!base_dir(base, sizeof base, mount, self, c->path))
        return -ENAMETOOLONG;
    for (int tries = 0; make && (r = make_dirs(base, c->path, mode, ctls, s->dir)) < 0; tries++)
        if (r != -ENOENT || tries == 3) /* somebody may remove an empty parent at this moment */
            return r;
    if (!make && !str_fmt(s->dir, sizeof s->dir, "%s/%s", base, c->path + (c->path[0] == '/')))
        return -ENAMETOOLONG;
    for (unsigned i = 0; i < c->n_slots; i++)
        if (strcmp(c->slots[i].dir, s->dir) == 0) {
            c->slots[i].ctls |= ctls;
            return 0;
        }
    s->fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->fd < 0)
        return -errno;
    s->mode = mode;
    s->ctls = ctls;
    c->n_slots++;
    return 0;
}

/* Controllers that v2 carries, of these. */
static unsigned v2_part(const struct cgroup_host *h, unsigned ctls)
{
    unsigned mask = 0;

    for (int i = 0; i < CGROUP_CTL_COUNT_; i++)
        if (h->ctl[i].mode == CGROUP_V2)
            mask |= CTL_BIT(i) & ctls;
    return mask;
}

/* Errors of a hierarchy that we may not use (read-only, not ours) are a reason in the report, not a failure.
 */
static bool is_refusal(int r)
{
    return r == -EROFS || r == -EACCES || r == -EPERM || r == -ENOENT;
}

static int make_v1_slot(struct cgroup *c, enum cgroup_ctl ctl, struct err *err)
{
    int r = slot_get(c, CGROUP_V1, c->host.ctl[ctl].mount, c->host.ctl[ctl].self, CTL_BIT(ctl), true);

    if (r == 0)
        return 0;
    if (!is_refusal(r))
        return err_errno(err, -r, "make cgroup %s in %s", c->path, c->host.ctl[ctl].mount);
    (void)snprintf(c->refused[ctl], sizeof c->refused[ctl], "hierarchy: %s", strerror(-r));
    return 0;
}

/* All hierarchies that these controllers need, and one that can freeze. */
static int make_slots(struct cgroup *c, unsigned ctls, struct err *err)
{
    const struct cgroup_host *h = &c->host;
    int r;

    if (h->v2_mount[0]) {
        r = slot_get(c, CGROUP_V2, h->v2_mount, h->v2_self,
                     v2_part(h, ctls) | v2_part(h, CTL_BIT(CGROUP_FREEZER)), true);
        if (r < 0 && !is_refusal(r))
            return err_errno(err, -r, "make cgroup %s in %s", c->path, h->v2_mount);
    }
    if (!cgroup_v2_slot(c) || faccessat(cgroup_v2_slot(c)->fd, "cgroup.freeze", F_OK, 0) != 0)
        ctls |= CTL_BIT(CGROUP_FREEZER);
    for (int i = 0; i < CGROUP_CTL_COUNT_; i++)
        if ((ctls & CTL_BIT(i)) && h->ctl[i].mode == CGROUP_V1 && (r = make_v1_slot(c, i, err)) < 0)
            return r;
    return 0;
}

static int group_new(const struct cgroup_host *h, const char *path, struct cgroup **ret, struct err *err)
{
    struct cgroup *c;

    if (!path_is_good(path))
        return err_set(err, ERR_INVALID, "cgroup path \"%.60s\" is not usable", path);
    c = mem_need_zero(sizeof *c);
    c->host = *h;
    (void)str_copy(c->path, sizeof c->path, path);
    *ret = c;
    return 0;
}

int cgroup_make(const struct cgroup_host *h, const char *path, const struct cgroup_limits *lim,
                struct cgroup **ret, struct cgroup_report *ret_report, struct err *err)
{
    struct cgroup *c;
    int r = group_new(h, path, &c, err);

    if (r < 0)
        return r;
    r = make_slots(c, cgroup_needs(lim), err);
    if (r < 0) {
        (void)cgroup_remove(c, 0, NULL);
        (void)cgroup_free(c);
        return r;
    }
    cgroup_apply(c, lim, ret_report);
    *ret = c;
    return 0;
}

/* Before it takes over an existing group, find the hierarchies it lives in. */
static void open_slots(struct cgroup *c)
{
    const struct cgroup_host *h = &c->host;

    if (h->v2_mount[0])
        (void)slot_get(c, CGROUP_V2, h->v2_mount, h->v2_self, v2_part(h, ~0U), false);
    for (int i = 0; i < CGROUP_CTL_COUNT_; i++)
        if (h->ctl[i].mode == CGROUP_V1)
            (void)slot_get(c, CGROUP_V1, h->ctl[i].mount, h->ctl[i].self, CTL_BIT(i), false);
}

int cgroup_open(const struct cgroup_host *h, const char *path, struct cgroup **ret, struct err *err)
{
    struct cgroup *c;
    int r = group_new(h, path, &c, err);

    if (r < 0)
        return r;
    open_slots(c);
    if (c->n_slots == 0) {
        (void)cgroup_free(c);
        return err_set(err, ERR_NOTFOUND, "no cgroup %s", path);
    }
    *ret = c;
    return 0;
}

struct cgroup *cgroup_free(struct cgroup *c)
{
    for (unsigned i = 0; c && i < c->n_slots; i++)
        (void)close(c->slots[i].fd);
    free(c);
    return NULL;
}

int cgroup_set(struct cgroup *c, const struct cgroup_limits *lim, struct cgroup_report *ret_report,
               struct err *err)
{
    pid_t pids[MAX_PIDS];
    unsigned before = c->n_slots, n = cgroup_pids(c, pids, MAX_PIDS);
    char text[32];
    int r = make_slots(c, cgroup_needs(lim), err);

    if (r < 0)
        return r;
    for (unsigned s = before; s < c->n_slots;
         s++) /* a hierarchy that it was not in: take the processes along */
        for (unsigned i = 0; i < n; i++) {
            (void)snprintf(text, sizeof text, "%d", (int)pids[i]);
            (void)cgroup_put(c->slots[s].fd, "cgroup.procs", text);
        }
    cgroup_apply(c, lim, ret_report);
    return 0;
}

int cgroup_clone_fd(const struct cgroup *c)
{
    const struct cgroup_slot *s = cgroup_v2_slot(c);

    return s ? s->fd : -1;
}

int cgroup_attach_self(const struct cgroup *c, bool in_v2_already)
{
    for (unsigned i = 0; i < c->n_slots; i++) {
        const struct cgroup_slot *s = &c->slots[i];
        int r;
        if (s->mode == CGROUP_V2 && in_v2_already)
            continue;
        /* v1: a thread that moves itself needs no lock over all forks of the machine; a new process has one
         * thread */
        r = cgroup_put(s->fd, s->mode == CGROUP_V1 ? "tasks" : "cgroup.procs", "0");
        if (r < 0)
            return r;
    }
    return 0;
}

int cgroup_attach(struct cgroup *c, pid_t pid, struct err *err)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%d", (int)pid);
    for (unsigned i = 0; i < c->n_slots; i++) {
        int r = cgroup_put(c->slots[i].fd, "cgroup.procs", text);
        if (r < 0)
            return err_errno(err, -r, "move %d into %s", (int)pid, c->slots[i].dir);
    }
    return 0;
}

static unsigned pids_of(int dir_fd, pid_t *ret, unsigned max)
{
    int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC), pid;
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    unsigned n = 0;

    if (!f)
        return 0;
    while (n < max && fscanf(f, "%d", &pid) == 1)
        if (pid > 0) /* 0: a process that our pid namespace cannot name */
            ret[n++] = pid;
    (void)fclose(f);
    return n;
}

/* A group's processes and those of the groups below it. */
static unsigned pids_below(int dir_fd, pid_t *ret, unsigned max, unsigned depth)
{
    unsigned n = pids_of(dir_fd, ret, max);
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    for (struct dirent *e; d && depth > 0 && (e = readdir(d));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        AUTO_FD int sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub >= 0)
            n += pids_below(sub, ret + n, max - n, depth - 1);
    }
    if (d)
        (void)closedir(d);
    return n;
}

int cgroup_pids(const struct cgroup *c, pid_t *ret, unsigned max)
{
    return c->n_slots == 0 ? 0 : (int)pids_below(c->slots[0].fd, ret, max, GROUP_DEPTH);
}

bool cgroup_is_empty(const struct cgroup *c)
{
    const struct cgroup_slot *v2 = cgroup_v2_slot(c);
    pid_t one;

    if (v2 && cgroup_get_key(v2->fd, "cgroup.events", "populated") == 1)
        return false;
    for (unsigned i = 0; i < c->n_slots; i++)
        if (c->slots[i].mode == CGROUP_V1 && pids_below(c->slots[i].fd, &one, 1, GROUP_DEPTH) > 0)
            return false;
    return true;
}

/* v1: FREEZING is not FROZEN yet. Waiting is bounded: a task in uninterruptible sleep may never freeze. */
static bool wait_frozen(int fd)
{
    char text[16];

    for (unsigned ms = 0; ms < FREEZE_MS; ms++) {
        if (cgroup_get_text(fd, "freezer.state", text, sizeof text) > 0 && strcmp(text, "FROZEN\n") == 0)
            return true;
        sleep_ms(1);
    }
    return false;
}

/* 0 or -errno; *ret_still: nothing in it can fork any more. */
static int freeze(const struct cgroup *c, bool frozen, bool *ret_still)
{
    const struct cgroup_slot *v2 = cgroup_v2_slot(c), *v1 = cgroup_slot_of(c, CGROUP_FREEZER);
    int r = -ENOENT;

    *ret_still = false;
    if (v2)
        r = cgroup_put(v2->fd, "cgroup.freeze", frozen ? "1" : "0");
    if (r == 0) {
        for (unsigned ms = 0; frozen && !*ret_still && ms < FREEZE_MS; ms++) {
            *ret_still = cgroup_get_key(v2->fd, "cgroup.events", "frozen") == 1;
            if (!*ret_still)
                sleep_ms(1);
        }
        return 0;
    }
    if (!v1 || v1->mode != CGROUP_V1)
        return r;
    r = cgroup_put(v1->fd, "freezer.state", frozen ? "FROZEN" : "THAWED");
    *ret_still = r == 0 && frozen && wait_frozen(v1->fd);
    return r;
}

int cgroup_freeze(struct cgroup *c, bool frozen, struct err *err)
{
    bool still;
    int r = freeze(c, frozen, &still);

    if (r == -ENOENT)
        return err_set(err, ERR_UNSUPPORTED, "this kernel has no freezer");
    if (r < 0)
        return err_errno(err, -r, "%s %s", frozen ? "freeze" : "thaw", c->path);
    return 0;
}

/* One round: stop, signal all, let them die. True when nothing can have escaped. */
static bool kill_round(struct cgroup *c)
{
    pid_t pids[MAX_PIDS];
    bool still = false, thawed;
    unsigned n = 0, signalled = 0;

    (void)freeze(c, true, &still);
    for (unsigned s = 0; s < c->n_slots && n < MAX_PIDS; s++)
        n += pids_below(c->slots[s].fd, pids + n, MAX_PIDS - n, GROUP_DEPTH);
    for (unsigned i = 0; i < n; i++)
        if (pids[i] != getpid() && kill(pids[i], SIGKILL) == 0)
            signalled++;
    (void)freeze(c, false, &thawed);
    return signalled == 0 || (still && n < MAX_PIDS);
}

int cgroup_kill(struct cgroup *c, struct err *err)
{
    const struct cgroup_slot *v2 = cgroup_v2_slot(c);

    if (v2 && !sys_denied(SYS_CALL_CGROUP_KILL) && cgroup_put(v2->fd, "cgroup.kill", "1") == 0) {
        bool still;
        if (cgroup_slot_of(c, CGROUP_FREEZER)) /* frozen in v1, they would not die */
            (void)freeze(c, false, &still);
        return 0;
    }
    for (unsigned round = 0; round < KILL_ROUNDS; round++) {
        if (kill_round(c))
            return 0;
        sleep_ms(2);
    }
    return err_set(err, ERR_CONFLICT, "cgroup %s still forks after %d rounds of kills", c->path, KILL_ROUNDS);
}

/* rmdir, the groups below first. 0 or -errno. */
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
        if (e->d_type == DT_DIR && e->d_name[0] != '.' && str_fmt(sub, sizeof sub, "%s/%s", dir, e->d_name))
            (void)remove_dir(sub, depth - 1);
    if (d)
        (void)closedir(d);
    return rmdir(dir) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Where this hierarchy's groups of ours begin: the slot's folder without the group's own path. */
static void slot_base(const struct cgroup *c, const struct cgroup_slot *s, char dst[CGROUP_DIR_BYTES])
{
    size_t own = strlen(c->path) + (c->path[0] != '/'), len = strlen(s->dir);

    memcpy(dst, s->dir, CGROUP_DIR_BYTES);
    dst[len > own ? len - own : 0] = '\0';
}

/* Parents that only held what is gone now go too; the first that is still needed ends it. */
static void remove_parents(const struct cgroup *c, const struct cgroup_slot *s)
{
    char dir[CGROUP_DIR_BYTES], base[CGROUP_DIR_BYTES];

    slot_base(c, s, base);
    memcpy(dir, s->dir, sizeof dir);
    for (char *cut = strrchr(dir, '/'); cut && strlen(dir) > strlen(base); cut = strrchr(dir, '/')) {
        *cut = '\0';
        if (strlen(dir) <= strlen(base) || rmdir(dir) != 0)
            return;
    }
}

void cgroup_detach(struct cgroup *c, pid_t pid)
{
    char base[CGROUP_DIR_BYTES], text[32];

    (void)snprintf(text, sizeof text, "%d", (int)pid);
    for (unsigned i = 0; i < c->n_slots; i++) {
        slot_base(c, &c->slots[i], base);
        AUTO_FD int fd = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
        AUTO_FD int leaf = openat(fd, SELF_LEAF, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && cgroup_put(fd, "cgroup.procs", text) < 0 && leaf >= 0)
            (void)cgroup_put(leaf, "cgroup.procs", text);
    }
}

int cgroup_remove(struct cgroup *c, unsigned timeout_ms, struct err *err)
{
    unsigned waited = 0, pause_ms = 1;
    int r = 0;

    for (;;) {
        const char *busy = NULL;
        for (unsigned i = 0; i < c->n_slots; i++) {
            int one = remove_dir(c->slots[i].dir, GROUP_DEPTH);
            if (one < 0) {
                r = one;
                busy = c->slots[i].dir;
            } else {
                remove_parents(c, &c->slots[i]);
            }
        }
        if (!busy)
            return 0;
        if (r != -EBUSY)
            return err_errno(err, -r, "remove %s", busy);
        if (waited >= timeout_ms)
            return err_set(err, ERR_CONFLICT, "remove %s: still busy after %u ms", busy, waited);
        sleep_ms(pause_ms);
        waited += pause_ms;
        pause_ms = pause_ms < 20 ? pause_ms * 2 : 20;
    }
}

void cgroup_remove_if_unused(struct cgroup *c)
{
    for (unsigned i = 0; i < c->n_slots; i++)
        (void)rmdir(c->slots[i].dir);
}
