#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>

#include "agent/boxes/box_spec.h"
#include "agent/core.h"
#include "agent/manifest/kernel_words.h"
#include "platform/fs.h"

#define PASSWD_BYTES (64 * 1024)

/* ---- user names of the image ---- */

/* Split a passwd/group line at its colons into at most n fields; returns the number. */
static unsigned split(char *line, char **fields, unsigned n)
{
    unsigned got = 0;

    while (line && got < n) {
        fields[got++] = line;
        line = strchr(line, ':');
        if (line)
            *line++ = '\0';
    }
    return got;
}

/* Find the line of file whose first field is name: the third field is the id, the fourth (passwd) the
 * group. */
static int look_up(int rootfs_fd, const char *file, const char *name, uint32_t *ret_id, uint32_t *ret_gid,
                   struct err *err)
{
    uint8_t AUTO_MEM *text = NULL;
    size_t len;
    AUTO_FD int fd = -1;
    char path[40];
    uint64_t id, gid = 0;
    int rc = fs_open_in_root(rootfs_fd, file, O_RDONLY | O_NONBLOCK, 0, &fd, err);

    if (rc < 0)
        return err_wrap(err, "user \"%s\"", name);
    (void)str_fmt(path, sizeof(path), "/proc/self/fd/%d", fd);
    rc = fs_read(AT_FDCWD, path, PASSWD_BYTES, &text, &len, err);
    if (rc < 0)
        return err_wrap(err, "user \"%s\": %s of the image", name, file);
    char *save = NULL;
    for (char *line = strtok_r((char *)text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *f[4];
        unsigned n = split(line, f, COUNT_OF(f)), need = ret_gid ? 4 : 3;
        if (n == 0 || strcmp(f[0], name) != 0)
            continue;
        if (n < need || !str_u64(f[2], 0, 65535, &id) || (ret_gid && !str_u64(f[3], 0, 65535, &gid)))
            break;
        *ret_id = (uint32_t)id;
        if (ret_gid)
            *ret_gid = (uint32_t)gid;
        return 0;
    }
    return err_set(err, ERR_INVALID, "user \"%s\" is not in %s of the image", name, file);
}

/* "1000", "1000:100", "app", "app:staff"; "" means 0:0. */
static int resolve_user(const char *user, int rootfs_fd, struct spec *s, struct err *err)
{
    char name[64];
    uint64_t v;

    if (!user || !*user)
        return 0;
    if (!str_copy(name, sizeof(name), user))
        return err_set(err, ERR_INVALID, "user \"%.40s...\" is too long", user);
    char *group = strchr(name, ':');
    if (group)
        *group++ = '\0';
    if (str_u64(name, 0, 65535, &v))
        s->process.uid = (uint32_t)v;
    else if (look_up(rootfs_fd, "etc/passwd", name, &s->process.uid, &s->process.gid, err) < 0)
        return -(int)err->kind;
    if (!group)
        return 0;
    if (str_u64(group, 0, 65535, &v)) {
        s->process.gid = (uint32_t)v;
        return 0;
    }
    return look_up(rootfs_fd, "etc/group", group, &s->process.gid, NULL, err);
}

/* ---- the rest ---- */

static unsigned count(const char *const *list)
{
    unsigned n = 0;

    while (list && list[n])
        n++;
    return n;
}

/* a's strings, then b's. */
static const char *const *join(struct arena *arena, const char *const *a, const char *const *b)
{
    const char **list = arena_get(arena, (count(a) + count(b) + 1) * sizeof(*list)), **at = list;

    while (list && a && *a)
        *at++ = *a++;
    while (list && b && *b)
        *at++ = *b++;
    return list;
}

/* The image's variables, overridden by the manifest's of the same name. */
static const char *const *join_env(struct arena *arena, const char *const *image, const char *const *want)
{
    static const char *const path[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                       NULL};
    const char *const *all = join(arena, image ? image : path, want);
    const char **list = arena_get(arena, (count(all) + 1) * sizeof(*list));
    unsigned n = 0;

    for (unsigned i = 0; all && list && all[i]; i++) {
        size_t len = strcspn(all[i], "=");
        bool later = false;
        for (unsigned k = i + 1; all[k] && !later; k++)
            later = strncmp(all[k], all[i], len) == 0 && all[k][len] == '=';
        if (!later)
            list[n++] = all[i];
    }
    return list;
}

static int set_command(const struct want *w, const struct oci_config *image, struct arena *arena,
                       struct spec *s, struct err *err)
{
    s->process.args = w->args ? w->args : join(arena, image->entrypoint, image->cmd);
    s->process.env = join_env(arena, image->env, w->env);
    if (!s->process.args || !s->process.env)
        return err_set(err, ERR_NOMEM, "no memory for the command line");
    if (!s->process.args[0])
        return err_set(err, ERR_INVALID, "args: neither the manifest nor the image says what to run");
    s->process.cwd = w->cwd                                               ? w->cwd
                     : image->working_dir && image->working_dir[0] == '/' ? image->working_dir
                                                                          : "/";
    s->stop_signal = w->stop_signal ? w->stop_signal
                     : image->stop_signal && kernel_words_signal(image->stop_signal)
                         ? kernel_words_signal(image->stop_signal)
                         : SIGTERM;
    return 0;
}

static int add_mount(struct spec *s, const struct spec_mount *m, struct err *err)
{
    if (s->n_mounts == COUNT_OF(s->mounts))
        return err_set(err, ERR_NOSPACE, "too many mounts");
    s->mounts[s->n_mounts++] = *m;
    return 0;
}

static int set_mounts(const struct box_spec_in *in, struct arena *arena, struct spec *s, struct err *err)
{
    const struct want *w = in->want;

    for (unsigned i = 0; i < w->n_mounts; i++) {
        const struct want_mount *m = &w->mounts[i];
        struct spec_mount out = {.kind = SPEC_MOUNT_TMPFS,
                                 .source_fd = -1,
                                 .target = m->target,
                                 .flags = MS_NOSUID | MS_NODEV | (m->read_only ? MS_RDONLY : 0UL),
                                 .size_bytes = m->size_bytes,
                                 .mode = 01777,
                                 .make_target = true};
        if (m->volume) {
            size_t size = strlen(in->volumes_dir) + strlen(w->name) + strlen(m->name) + 3;
            char *path = arena_get(arena, size);
            if (!path || !str_fmt(path, size, "%s/%s/%s", in->volumes_dir, w->name, m->name))
                return err_set(err, ERR_NOMEM, "no memory for mounts");
            out.kind = SPEC_MOUNT_BIND;
            out.source = path;
        }
        if (add_mount(s, &out, err) < 0)
            return -(int)err->kind;
    }
    const struct {
        const char *source, *target;
    } files[] = {{w->net == NET_NONE ? NULL : in->resolv_conf, "/etc/resolv.conf"},
                 {in->hosts, "/etc/hosts"}};
    for (unsigned i = 0; i < COUNT_OF(files); i++) {
        struct spec_mount m = {.kind = SPEC_MOUNT_BIND,
                               .source = files[i].source,
                               .source_fd = -1,
                               .target = files[i].target,
                               .flags = MS_NOSUID | MS_NODEV | MS_RDONLY};
        if (files[i].source && add_mount(s, &m, err) < 0)
            return -(int)err->kind;
    }
    return 0;
}

void box_spec_oom(struct spec_process *p)
{
    p->oom_score_adj = 0;
    p->oom_score_adj_set = p->oom_score_adj_soft = true;
}

static void set_limits(const struct want *w, const struct cgroup_limits *defaults, struct spec *s)
{
    s->limits = defaults ? *defaults : CGROUP_LIMITS_NONE;
    if (w->memory_max_bytes != CGROUP_UNSET)
        s->limits.memory_max_bytes = w->memory_max_bytes;
    s->limits.swap_max_bytes = w->memory_max_bytes == CGROUP_UNSET ? CGROUP_UNSET : w->swap_bytes;
    if (w->pids_max != CGROUP_UNSET)
        s->limits.pids_max = w->pids_max;
    if (w->cpu_percent != CGROUP_UNSET)
        s->limits.cpu_quota_us = w->cpu_percent * s->limits.cpu_period_us / 100;
}

static int set_network(const struct want *w, struct arena *arena, struct spec *s, struct err *err)
{
    /* its sysfs is the host's: hide interfaces that are not in its network */
    static const char *const cards[] = {"/sys/class/net", "/sys/devices/virtual/net", NULL};
    static const enum spec_net modes[] = {
        [NET_NONE] = SPEC_NET_NONE, [NET_HOST] = SPEC_NET_HOST, [NET_BRIDGE] = SPEC_NET_BRIDGE,
        [NET_CNI] = SPEC_NET_CNI,   [NET_APP] = SPEC_NET_HOST, /* start.c joins the right one */
    };

    spec_set_net(s, modes[w->net]);
    s->net_name = w->net == NET_APP ? NULL : w->net_name;
    for (unsigned i = 0; i < w->n_ports; i++)
        s->ports[s->n_ports++] = w->ports[i];
    if (w->net == NET_APP)
        s->masked = join(arena, s->masked, cards);
    return s->masked ? 0 : err_set(err, ERR_NOMEM, "no memory for the network of %s", w->name);
}

int box_spec_build(const struct box_spec_in *in, struct arena *arena, struct spec *ret, struct err *err)
{
    const struct want *w = in->want;
    struct oci_config image;
    struct spec AUTO_MEM *s = mem_need_zero(sizeof(*s));
    int rc = oci_config_parse(in->config, arena, &image, err);

    if (rc < 0)
        return err_wrap(err, "image config");
    spec_defaults(s);
    s->id = w->name;
    s->hostname = in->hostname;
    s->init = w->init;
    s->rootfs_fd = in->rootfs_fd;
    s->rootfs_read_only = true; /* also for manifests accepted earlier: the files belong to the store */
    s->cgroup_path = in->cgroup_path;
    box_spec_oom(&s->process);
    s->process.caps = spec_caps_of(w->caps);
    s->process.seccomp_default = w->seccomp != ENFORCE_OFF; /* the box reports if the kernel has none */
    s->ns[SPEC_NS_USER].own =
        w->userns != ENFORCE_OFF && in->caps->userns && in->caps->idmap && w->net != NET_HOST;
    if (in->first_id)
        s->uid_maps = s->gid_maps = spec_id_range(in->first_id, 65536);
    set_limits(w, in->defaults, s);
    rc = set_network(w, arena, s, err);
    if (rc == 0)
        rc = resolve_user(w->user ? w->user : image.user, in->rootfs_fd, s, err);
    if (rc == 0)
        rc = set_command(w, &image, arena, s, err);
    if (rc == 0)
        rc = set_mounts(in, arena, s, err);
    if (rc == 0)
        rc = spec_check(s, err);
    if (rc == 0)
        *ret = *s;
    return rc;
}
