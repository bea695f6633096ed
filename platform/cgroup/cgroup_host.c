/* cgroup_host.c - where each controller is on this machine. See cgroup.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "platform/cgroup/cgroup_int.h"
#include "platform/mem.h"

static const char *const ctl_names[CGROUP_CTL_COUNT_][CGROUP_V2 + 1] = {
    [CGROUP_MEMORY] = {NULL, "memory", "memory"},    [CGROUP_CPU] = {NULL, "cpu", "cpu"},
    [CGROUP_PIDS] = {NULL, "pids", "pids"},          [CGROUP_FREEZER] = {NULL, "freezer", NULL},
    [CGROUP_DEVICES] = {NULL, "devices", NULL},      [CGROUP_CPUACCT] = {NULL, "cpuacct", NULL},
    [CGROUP_CPUSET] = {NULL, "cpuset", "cpuset"},    [CGROUP_IO] = {NULL, "blkio", "io"},
    [CGROUP_HUGETLB] = {NULL, "hugetlb", "hugetlb"}, [CGROUP_NET_CLS] = {NULL, "net_cls", NULL},
    [CGROUP_NET_PRIO] = {NULL, "net_prio", NULL},    [CGROUP_RDMA] = {NULL, "rdma", "rdma"},
    [CGROUP_MISC] = {NULL, "misc", "misc"},
};

const char *cgroup_ctl_name(enum cgroup_ctl ctl, enum cgroup_mode mode)
{
    return (unsigned)ctl < CGROUP_CTL_COUNT_ ? ctl_names[ctl][mode] : NULL;
}

/* Is word one of the items of a list? */
static bool list_has(const char *list, const char *separators, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = list; *at;) {
        size_t n = strcspn(at, separators);
        if (n == len && memcmp(at, word, len) == 0)
            return true;
        at += n;
        at += strspn(at, separators);
    }
    return false;
}

/* The relevant fields of a mountinfo line. Points into the line. */
struct mount_line {
    char *root, *point, *type, *options;
};

static bool split_mount_line(char *line, struct mount_line *ret)
{
    char *save = NULL, *tail = strstr(line, " - "), *word;

    if (!tail)
        return false;
    *tail = '\0';
    word = strtok_r(line, " ", &save);
    for (int i = 0; word && i < 3; i++) /* id, parent, device */
        word = strtok_r(NULL, " ", &save);
    ret->root = word;
    ret->point = strtok_r(NULL, " ", &save);
    ret->type = strtok_r(tail + 3, " \n", &save);
    (void)strtok_r(NULL, " \n", &save); /* source */
    ret->options = strtok_r(NULL, " \n", &save);
    return ret->root && ret->point && ret->type && ret->options;
}

/* Only part of the hierarchy may be mounted (in a container): the groups' names then start with this. */
struct roots {
    char ctl[CGROUP_CTL_COUNT_][256];
    char v2[256];
};

/* A mount may be hidden by another one, or its mount point may be inaccessible. */
static bool is_visible(const char *point, unsigned long magic)
{
    struct statfs st;

    return statfs(point, &st) == 0 && (unsigned long)st.f_type == magic;
}

static void take_mount(struct cgroup_host *h, struct roots *roots, const struct mount_line *m)
{
    if (strcmp(m->type, "cgroup2") == 0) {
        if (h->v2_mount[0] == '\0' && is_visible(m->point, CGROUP2_SUPER_MAGIC) &&
            str_copy(h->v2_mount, sizeof(h->v2_mount), m->point))
            (void)str_copy(roots->v2, sizeof(roots->v2), m->root);
        return;
    }
    if (strcmp(m->type, "cgroup") != 0 || !is_visible(m->point, CGROUP_SUPER_MAGIC))
        return;
    for (int i = 0; i < CGROUP_CTL_COUNT_; i++) {
        if (h->ctl[i].mode != CGROUP_NONE || !ctl_names[i][CGROUP_V1] ||
            !list_has(m->options, ",", ctl_names[i][CGROUP_V1]))
            continue;
        if (!str_copy(h->ctl[i].mount, sizeof(h->ctl[i].mount), m->point))
            continue;
        (void)str_copy(roots->ctl[i], sizeof(roots->ctl[i]), m->root);
        h->ctl[i].mode = CGROUP_V1;
    }
}

/* The group's directory below the mount: "" for the top. A group that we cannot see (namespaces) counts as
 * the top. */
static void set_self(char *self, size_t size, const char *mount, const char *root, const char *path)
{
    char dir[CGROUP_DIR_BYTES];
    size_t skip = strcmp(root, "/") == 0 ? 0 : strlen(root);
    struct stat st;

    self[0] = '\0';
    if (strncmp(path, root, skip) != 0)
        return;
    path += skip;
    if (strcmp(path, "/") == 0 || strstr(path, ".."))
        return;
    if (str_fmt(dir, sizeof(dir), "%s%s", mount, path) && stat(dir, &st) == 0)
        (void)str_copy(self, size, path);
}

static void take_group(struct cgroup_host *h, const struct roots *roots, char *line)
{
    char *names = strchr(line, ':'), *path;

    if (!names || !(path = strchr(names + 1, ':')))
        return;
    *names++ = *path++ = '\0';
    path[strcspn(path, "\n")] = '\0';
    if (*names == '\0')
        set_self(h->v2_self, sizeof(h->v2_self), h->v2_mount, roots->v2, path);
    for (int i = 0; i < CGROUP_CTL_COUNT_; i++)
        if (h->ctl[i].mode == CGROUP_V1 && list_has(names, ",", ctl_names[i][CGROUP_V1]))
            set_self(h->ctl[i].self, sizeof(h->ctl[i].self), h->ctl[i].mount, roots->ctl[i], path);
}

/* What every cgroup2 group has: its own files, and the freezer (5.2). */
static bool is_core(int ctl)
{
    return ctl == CGROUP_FREEZER || ctl == CGROUP_CORE;
}

/* Controllers of cgroup2 that our own group can delegate. */
static void take_v2_controllers(struct cgroup_host *h)
{
    char name[CGROUP_DIR_BYTES], text[256];
    AUTO_FD int fd = -1;
    ssize_t len;

    if (h->v2_mount[0] == '\0' ||
        !str_fmt(name, sizeof(name), "%s%s/cgroup.controllers", h->v2_mount, h->v2_self))
        return;
    fd = openat(AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    len = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    text[len < 0 ? 0 : len] = '\0';
    for (int i = 0; i < CGROUP_CTL_COUNT_; i++) {
        const char *name_v2 = ctl_names[i][CGROUP_V2];
        if (h->ctl[i].mode != CGROUP_NONE || !(is_core(i) || (name_v2 && list_has(text, " \n", name_v2))))
            continue;
        h->ctl[i].mode = CGROUP_V2;
        (void)str_copy(h->ctl[i].mount, sizeof(h->ctl[i].mount), h->v2_mount);
        (void)str_copy(h->ctl[i].self, sizeof(h->ctl[i].self), h->v2_self);
    }
}

static void name_mode(struct cgroup_host *h)
{
    bool v1 = false, v2 = h->v2_mount[0] != '\0';

    for (int i = 0; i < CGROUP_CTL_COUNT_; i++)
        v1 = v1 || h->ctl[i].mode == CGROUP_V1;
    (void)str_copy(h->name, sizeof(h->name), v1 && v2 ? "hybrid" : v1 ? "v1" : v2 ? "v2" : "none");
}

/* Call fn for each line of a procfs file, with our own buffer: stdio costs more than the reading. A line that
 * does not fit is dropped. */
static int each_line(const char *file, void (*fn)(void *arg, char *line), void *arg, struct err *err)
{
    AUTO_FD int fd = openat(AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    char text[8192];
    size_t have = 0;
    ssize_t n;

    if (fd < 0)
        return err_errno(err, errno, "open %s", file);
    while ((n = read(fd, text + have, sizeof(text) - 1 - have)) > 0) {
        char *line = text, *end;
        have += (size_t)n;
        text[have] = '\0';
        while ((end = strchr(line, '\n'))) {
            *end = '\0';
            fn(arg, line);
            line = end + 1;
        }
        have -= (size_t)(line - text);
        memmove(text, line, have);
        if (have == sizeof(text) - 1)
            have = 0;
    }
    return 0;
}

struct detect {
    struct cgroup_host host;
    struct roots roots;
};

static void on_mount(void *arg, char *line)
{
    struct detect *d = arg;
    struct mount_line m;

    if (split_mount_line(line, &m))
        take_mount(&d->host, &d->roots, &m);
}

static void on_group(void *arg, char *line)
{
    struct detect *d = arg;

    take_group(&d->host, &d->roots, line);
}

int cgroup_detect(struct cgroup_host *ret, struct err *err)
{
    struct detect d = {0};
    int rc = each_line("/proc/self/mountinfo", on_mount, &d, err);

    if (rc < 0)
        return rc;
    if (each_line("/proc/self/cgroup", on_group, &d, NULL) < 0)
        d.host = (struct cgroup_host){0}; /* a kernel without CONFIG_CGROUPS: run without limits, and report
                                           * it */
    take_v2_controllers(&d.host);
    name_mode(&d.host);
    *ret = d.host;
    return 0;
}

void cgroup_host_leave(struct cgroup_host *h, const char *suffix)
{
    size_t len = strlen(suffix);

    for (int i = 0; i <= CGROUP_CTL_COUNT_; i++) {
        char *self = i < CGROUP_CTL_COUNT_ ? h->ctl[i].self : h->v2_self;
        size_t n = strlen(self);
        if (n > len && self[n - len - 1] == '/' && strcmp(self + n - len, suffix) == 0)
            self[n - len - 1] = '\0';
    }
}

/* "a-b-c.slice" is in a-b.slice, which is in a.slice; "-.slice" is the top. */
static bool put_slice(char *dst, size_t size, const char *slice, size_t len)
{
    size_t at = 0;
    static const char end[] = ".slice";

    dst[0] = '\0';
    if (len <= sizeof(end) - 1 || memcmp(slice + len - (sizeof(end) - 1), end, sizeof(end) - 1) != 0)
        return false;
    len -= sizeof(end) - 1;
    if (len == 1 && slice[0] == '-')
        return true;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && slice[i] != '-')
            continue;
        if (i == 0 || slice[i - 1] == '-' || !str_fmt(dst + at, size - at, "/%.*s%s", (int)i, slice, end))
            return false;
        at += strlen(dst + at);
    }
    return true;
}

bool cgroup_path_read(const char *oci, char *dst, size_t size)
{
    static const char system_slice[] = "system.slice";
    const char *a = strchr(oci, ':'), *b = a ? strchr(a + 1, ':') : NULL;
    size_t len = a ? (size_t)(a - oci) : 0, at, n;

    if (oci[0] == '/' || !b || strchr(b + 1, ':') || memchr(oci, '/', strlen(oci)))
        return str_copy(dst, size, oci);
    if (!put_slice(dst, size, len ? oci : system_slice, len ? len : sizeof(system_slice) - 1))
        return false;
    at = strlen(dst);
    n = strlen(b + 1);
    if (n == 0) /* a whole slice, which then has no scope */
        return at > 0;
    return str_fmt(dst + at, size - at, "/%.*s%s%s%s", (int)(b - a - 1), a + 1, b > a + 1 ? "-" : "", b + 1,
                   n > 6 && strcmp(b + 1 + n - 6, ".slice") == 0 ? "" : ".scope");
}
