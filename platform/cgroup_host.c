/* cgroup_host.c - where each controller lives on this machine. See cgroup.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "platform/cgroup_priv.h"
#include "platform/mem.h"

static const char *const ctl_names[CGROUP_CTL_COUNT_] = {
    [CGROUP_MEMORY] = "memory",   [CGROUP_CPU] = "cpu",         [CGROUP_PIDS] = "pids",
    [CGROUP_FREEZER] = "freezer", [CGROUP_DEVICES] = "devices",
};

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

/* What one line of mountinfo says, as far as we care. Points into the line. */
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

/* What is mounted may be a part of the hierarchy (in a container): the groups' names then start with this. */
struct roots {
    char ctl[CGROUP_CTL_COUNT_][256];
    char v2[256];
};

/* A mount may be hidden below another one, or its place may be out of our reach. */
static bool is_visible(const char *point, unsigned long magic)
{
    struct statfs st;

    return statfs(point, &st) == 0 && (unsigned long)st.f_type == magic;
}

static void take_mount(struct cgroup_host *h, struct roots *roots, const struct mount_line *m)
{
    if (strcmp(m->type, "cgroup2") == 0) {
        if (h->v2_mount[0] == '\0' && is_visible(m->point, CGROUP2_SUPER_MAGIC) &&
            str_copy(h->v2_mount, sizeof h->v2_mount, m->point))
            (void)str_copy(roots->v2, sizeof roots->v2, m->root);
        return;
    }
    if (strcmp(m->type, "cgroup") != 0 || !is_visible(m->point, CGROUP_SUPER_MAGIC))
        return;
    for (int i = 0; i < CGROUP_CTL_COUNT_; i++) {
        if (h->ctl[i].mode != CGROUP_NONE || !list_has(m->options, ",", ctl_names[i]))
            continue;
        if (!str_copy(h->ctl[i].mount, sizeof h->ctl[i].mount, m->point))
            continue;
        (void)str_copy(roots->ctl[i], sizeof roots->ctl[i], m->root);
        h->ctl[i].mode = CGROUP_V1;
    }
}

/* The group's folder below the mount: "" for the top. A group that we cannot see (namespaces) counts as the
 * top. */
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
    if (str_fmt(dir, sizeof dir, "%s%s", mount, path) && stat(dir, &st) == 0)
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
        set_self(h->v2_self, sizeof h->v2_self, h->v2_mount, roots->v2, path);
    for (int i = 0; i < CGROUP_CTL_COUNT_; i++)
        if (h->ctl[i].mode == CGROUP_V1 && list_has(names, ",", ctl_names[i]))
            set_self(h->ctl[i].self, sizeof h->ctl[i].self, h->ctl[i].mount, roots->ctl[i], path);
}

/* Controllers of cgroup2 that our own group may hand on, and the freezer, which is always there (5.2). */
static void take_v2_controllers(struct cgroup_host *h)
{
    char name[CGROUP_DIR_BYTES], text[256];
    AUTO_FD int fd = -1;
    ssize_t len;

    if (h->v2_mount[0] == '\0' ||
        !str_fmt(name, sizeof name, "%s%s/cgroup.controllers", h->v2_mount, h->v2_self))
        return;
    fd = open(name, O_RDONLY | O_CLOEXEC);
    len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    text[len < 0 ? 0 : len] = '\0';
    for (int i = 0; i < CGROUP_CTL_COUNT_; i++) {
        if (h->ctl[i].mode != CGROUP_NONE || (i != CGROUP_FREEZER && !list_has(text, " \n", ctl_names[i])))
            continue;
        h->ctl[i].mode = CGROUP_V2;
        (void)str_copy(h->ctl[i].mount, sizeof h->ctl[i].mount, h->v2_mount);
        (void)str_copy(h->ctl[i].self, sizeof h->ctl[i].self, h->v2_self);
    }
}

static void name_mode(struct cgroup_host *h)
{
    bool v1 = false, v2 = h->v2_mount[0] != '\0';

    for (int i = 0; i < CGROUP_CTL_COUNT_; i++)
        v1 = v1 || h->ctl[i].mode == CGROUP_V1;
    (void)str_copy(h->name, sizeof h->name, v1 && v2 ? "hybrid" : v1 ? "v1" : v2 ? "v2" : "none");
}

static int each_line(const char *file, void (*fn)(void *arg, char *line), void *arg, struct err *err)
{
    FILE *f = fopen(file, "re");
    char *line = NULL;
    size_t size = 0;

    if (!f)
        return err_errno(err, errno, "open %s", file);
    while (getline(&line, &size, f) > 0)
        fn(arg, line);
    free(line);
    (void)fclose(f);
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
    int r = each_line("/proc/self/mountinfo", on_mount, &d, err);

    if (r < 0)
        return r;
    if (each_line("/proc/self/cgroup", on_group, &d, NULL) < 0)
        d.host = (struct cgroup_host){0}; /* a kernel without CONFIG_CGROUPS: run without limits, say so */
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
