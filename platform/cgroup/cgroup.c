/* cgroup.c - one group in every hierarchy it needs: create, attach, kill, remove. See cgroup.h. */
#include "platform/cgroup/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/cgroup/cgroup_int.h"
#include "platform/mem.h"

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

/* A path as we make them: no empty component, no ".", no "..", nothing unprintable. */
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

void cgroup_sleep_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL);
}

/* The group's directory in a hierarchy; a path without a leading '/' is below the caller's own group. */
static bool slot_dir(const struct cgroup *c, const char *mount, const char *self, char dst[CGROUP_DIR_BYTES])
{
    bool is_whole = c->path[0] == '/';

    return str_fmt(dst, CGROUP_DIR_BYTES, "%s%s%s%s", mount, is_whole ? "" : self, is_whole ? "" : "/",
                   c->path);
}

/* Slot for a hierarchy: found, or created (make), or opened if its directory exists. 0 or -errno. */
static int slot_get(struct cgroup *c, enum cgroup_mode mode, const char *mount, const char *self,
                    unsigned ctls, bool make)
{
    struct cgroup_slot *s = &c->slots[c->n_slots];
    int rc;

    if (!slot_dir(c, mount, self, s->dir))
        return -ENAMETOOLONG;
    for (int tries = 0; make && (rc = cgroup_make_dirs(c, mode, ctls, s)) < 0; tries++)
        if (rc != -ENOENT || tries == 3) /* an empty parent may be removed concurrently */
            return rc;
    for (unsigned i = 0; i < c->n_slots; i++)
        if (strcmp(c->slots[i].dir, s->dir) == 0) {
            c->slots[i].ctls |= ctls;
            return 0;
        }
    s->fresh = make && s->fresh;
    s->fd = openat(AT_FDCWD, s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->fd < 0)
        return -errno;
    s->mode = mode;
    s->ctls = ctls;
    c->n_slots++;
    return 0;
}

/* Those of these controllers that are on v2. */
static unsigned v2_part(const struct cgroup_host *h, unsigned ctls)
{
    unsigned mask = 0;

    for (int i = 0; i < CGROUP_CTL_COUNT_; i++)
        if (h->ctl[i].mode == CGROUP_V2)
            mask |= CTL_BIT(i) & ctls;
    return mask;
}

/* Errors of a hierarchy that we may not use (read-only, not ours) are a reason in the report, not a
 * failure. */
static bool is_refusal(int r)
{
    return r == -EROFS || r == -EACCES || r == -EPERM || r == -ENOENT;
}

static int make_v1_slot(struct cgroup *c, enum cgroup_ctl ctl, struct err *err)
{
    int rc = slot_get(c, CGROUP_V1, c->host.ctl[ctl].mount, c->host.ctl[ctl].self, CTL_BIT(ctl), true);

    if (rc == 0)
        return 0;
    if (!is_refusal(rc))
        return err_errno(err, -rc, "make cgroup %s in %s", c->path, c->host.ctl[ctl].mount);
    (void)snprintf(c->refused[ctl], sizeof(c->refused[ctl]), "hierarchy: %s", strerror(-rc));
    return 0;
}

static int make_v2_slot(struct cgroup *c, unsigned ctls, struct err *err)
{
    const struct cgroup_host *h = &c->host;
    int rc = slot_get(c, CGROUP_V2, h->v2_mount, h->v2_self, ctls, true);

    if (rc == 0)
        return 0;
    if (!is_refusal(rc))
        return err_errno(err, -rc, "make cgroup %s in %s", c->path, h->v2_mount);
    for (int i = 0; i < CGROUP_CTL_COUNT_; i++)
        if (h->ctl[i].mode == CGROUP_V2)
            (void)snprintf(c->refused[i], sizeof(c->refused[i]), "hierarchy: %s", strerror(-rc));
    return 0;
}

/* All hierarchies that these controllers need, one with a freezer and one that counts CPU time. */
static int make_slots(struct cgroup *c, unsigned ctls, struct err *err)
{
    const struct cgroup_host *h = &c->host;
    int rc;

    if (h->v2_mount[0] &&
        (rc = make_v2_slot(c, v2_part(h, ctls | CTL_BIT(CGROUP_FREEZER) | CTL_BIT(CGROUP_CORE)), err)) < 0)
        return rc;
    if (!cgroup_v2_slot(c))
        ctls |= CTL_BIT(CGROUP_CPUACCT);
    if (!cgroup_v2_slot(c) || faccessat(cgroup_v2_slot(c)->fd, "cgroup.freeze", F_OK, 0) != 0)
        ctls |= CTL_BIT(CGROUP_FREEZER);
    for (int i = 0; i < CGROUP_CTL_COUNT_; i++)
        if ((ctls & CTL_BIT(i)) && h->ctl[i].mode == CGROUP_V1 && (rc = make_v1_slot(c, i, err)) < 0)
            return rc;
    return 0;
}

static int group_new(const struct cgroup_host *h, const char *path, struct cgroup **ret, struct err *err)
{
    struct cgroup *c;

    if (!path_is_good(path))
        return err_set(err, ERR_INVALID, "cgroup path \"%.60s\" is not usable", path);
    c = mem_need_zero(sizeof(*c));
    c->host = *h;
    (void)str_copy(c->path, sizeof(c->path), path);
    *ret = c;
    return 0;
}

/* Write the whole list. */
static void apply(struct cgroup *c, struct cgroup_list *list)
{
    cgroup_list_apply(c, list);
    if (list->has_devices)
        cgroup_devices_set(c, list->devices, list->n_devices, &list->device_state);
}

int cgroup_make_list(const struct cgroup_host *h, const char *path, struct cgroup_list *list,
                     struct cgroup **ret, struct err *err)
{
    struct cgroup *c;
    int rc = group_new(h, path, &c, err);

    if (rc < 0)
        return rc;
    rc = make_slots(c, cgroup_list_needs(h, list), err);
    if (rc < 0) {
        err_ignore(cgroup_remove(c, 0, NULL));
        (void)cgroup_free(c);
        return rc;
    }
    apply(c, list);
    *ret = c;
    return 0;
}

int cgroup_make(const struct cgroup_host *h, const char *path, const struct cgroup_limits *lim,
                struct cgroup **ret, struct cgroup_report *ret_report, struct err *err)
{
    AUTO_MEM struct cgroup_list *list = mem_need(sizeof(*list));
    int rc;

    cgroup_list_of_limits(lim, list);
    if ((rc = cgroup_make_list(h, path, list, ret, err)) < 0)
        return rc;
    cgroup_list_report(list, ret_report);
    return 0;
}

/* Before taking over an existing group, find the hierarchies it is in. */
static void open_slots(struct cgroup *c)
{
    const struct cgroup_host *h = &c->host;

    if (h->v2_mount[0])
        (void)slot_get(c, CGROUP_V2, h->v2_mount, h->v2_self, v2_part(h, ~0U), false);
    for (int i = 0; i < CGROUP_CTL_COUNT_; i++)
        if (h->ctl[i].mode == CGROUP_V1)
            (void)slot_get(c, CGROUP_V1, h->ctl[i].mount, h->ctl[i].self, CTL_BIT(i), false);
}

void cgroup_sweep(const struct cgroup_host *h, const char *path)
{
    struct cgroup_slot s = {.fd = -1};
    struct cgroup *c;

    if (strchr(path + (path[0] == '/'), '/') == NULL || group_new(h, path, &c, NULL) < 0)
        return;
    for (int i = -1; i < CGROUP_CTL_COUNT_; i++) { /* -1: v2's */
        bool is_there = i < 0 ? h->v2_mount[0] != 0 : h->ctl[i].mode == CGROUP_V1;
        if (is_there &&
            slot_dir(c, i < 0 ? h->v2_mount : h->ctl[i].mount, i < 0 ? h->v2_self : h->ctl[i].self, s.dir))
            cgroup_remove_parents(c, &s);
    }
    (void)cgroup_free(c);
}

int cgroup_open(const struct cgroup_host *h, const char *path, struct cgroup **ret, struct err *err)
{
    struct cgroup *c;
    int rc = group_new(h, path, &c, err);

    if (rc < 0)
        return rc;
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

/* On v2 a lower limit takes effect at once, by kills; v1 refuses it itself. */
static int check_memory(const struct cgroup *c, const struct cgroup_list *list, struct err *err)
{
    uint64_t now = CGROUP_UNSET;

    if (list->check_before_update && list->memory_bytes != CGROUP_UNSET)
        now = cgroup_read_u64(c, CGROUP_MEMORY, NULL, "memory.current", NULL);
    if (now == CGROUP_UNSET || now <= list->memory_bytes)
        return 0;
    return err_set(err, ERR_INVALID,
                   "linux.resources.memory.limit: %" PRIu64
                   " bytes are in use, more than the new limit %" PRIu64,
                   now, list->memory_bytes);
}

int cgroup_set_list(struct cgroup *c, struct cgroup_list *list, struct err *err)
{
    pid_t pids[CGROUP_MAX_PIDS];
    unsigned before = c->n_slots, n = (unsigned)cgroup_pids(c, pids, CGROUP_MAX_PIDS);
    char text[32];
    int rc = check_memory(c, list, err);

    if (rc < 0 || (rc = make_slots(c, cgroup_list_needs(&c->host, list), err)) < 0)
        return rc;
    for (unsigned s = before; s < c->n_slots;
         s++) /* a hierarchy that it was not in: move its processes there too */
        for (unsigned i = 0; i < n; i++) {
            (void)snprintf(text, sizeof(text), "%d", (int)pids[i]);
            /* it may have ended meanwhile */
            err_ignore(cgroup_put(c->slots[s].fd, "cgroup.procs", text));
        }
    apply(c, list);
    return 0;
}

int cgroup_set(struct cgroup *c, const struct cgroup_limits *lim, struct cgroup_report *ret_report,
               struct err *err)
{
    AUTO_MEM struct cgroup_list *list = mem_need(sizeof(*list));
    int rc;

    cgroup_list_of_limits(lim, list);
    if ((rc = cgroup_set_list(c, list, err)) < 0)
        return rc;
    cgroup_list_report(list, ret_report);
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
        int rc;
        if (s->mode == CGROUP_V2 && in_v2_already)
            continue;
        /* v1: a thread that moves itself does not take the global fork lock; a new process has one thread */
        rc = cgroup_put(s->fd, s->mode == CGROUP_V1 ? "tasks" : "cgroup.procs", "0");
        if (rc < 0)
            return rc;
    }
    return 0;
}

int cgroup_attach(struct cgroup *c, pid_t pid, struct err *err)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%d", (int)pid);
    for (unsigned i = 0; i < c->n_slots; i++) {
        int rc = cgroup_put(c->slots[i].fd, "cgroup.procs", text);
        if (rc < 0)
            return err_errno(err, -rc, "move %d into %s", (int)pid, c->slots[i].dir);
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
        if (pid > 0) /* 0: a process that is not visible in our pid namespace */
            ret[n++] = pid;
    (void)fclose(f);
    return n;
}

/* The processes of a group and of the groups below it. */
unsigned cgroup_pids_below(int dir_fd, pid_t *ret, unsigned max, unsigned depth)
{
    unsigned n = pids_of(dir_fd, ret, max);
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    for (struct dirent *e; d && depth > 0 && (e = readdir(d));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        AUTO_FD int sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub >= 0)
            n += cgroup_pids_below(sub, ret + n, max - n, depth - 1);
    }
    if (d)
        (void)closedir(d);
    return n;
}

int cgroup_pids(const struct cgroup *c, pid_t *ret, unsigned max)
{
    return c->n_slots == 0 ? 0 : (int)cgroup_pids_below(c->slots[0].fd, ret, max, CGROUP_DEPTH);
}

bool cgroup_is_empty(const struct cgroup *c)
{
    const struct cgroup_slot *v2 = cgroup_v2_slot(c);
    pid_t one;

    if (v2 && cgroup_get_key(v2->fd, "cgroup.events", "populated") == 1)
        return false;
    for (unsigned i = 0; i < c->n_slots; i++)
        if (c->slots[i].mode == CGROUP_V1 && cgroup_pids_below(c->slots[i].fd, &one, 1, CGROUP_DEPTH) > 0)
            return false;
    return true;
}

int cgroup_v1_dir(const struct cgroup *c, unsigned i, const char **ret_name)
{
    for (unsigned n = 0; n < c->n_slots; n++) {
        const struct cgroup_slot *s = &c->slots[n];
        const char *mount = NULL;
        if (s->mode != CGROUP_V1 || i-- > 0)
            continue;
        for (int ctl = 0; ctl < CGROUP_CTL_COUNT_ && !mount; ctl++)
            mount = s->ctls & CTL_BIT(ctl) ? c->host.ctl[ctl].mount : NULL;
        *ret_name = mount ? strrchr(mount, '/') + 1 : "";
        return s->fd;
    }
    return -1;
}
