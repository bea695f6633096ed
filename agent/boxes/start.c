/* start.c - from a want and its installed image to a running box, or to an additional process in it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/boxes/box_spec.h"
#include "agent/boxes/logs.h"
#include "agent/boxes/names.h"
#include "agent/boxes/start.h"
#include "agent/core.h"
#include "platform/fs.h"

/* Volumes are created once, for the app's user, and never removed by us. They are mounted idmapped, so on
 * disk they have the ids as seen in the box; nobody else can reach them: state_dir is accessible to root
 * only. */
static int make_volumes(struct core *c, const struct want *w, uint32_t uid, uint32_t gid, struct err *err)
{
    char path[2 * LIM_NAME_BYTES + 2];

    for (unsigned i = 0; i < w->n_mounts; i++) {
        AUTO_FD int fd = -1;
        struct stat st;
        if (!w->mounts[i].volume)
            continue;
        (void)str_fmt(path, sizeof(path), "%s/%s", w->name, w->mounts[i].name);
        if (fs_open_dir(c->volumes_fd, path, true, 0755, &fd, err) < 0)
            return err_wrap(err, "volume");
        if (fstat(fd, &st) == 0 && st.st_uid != uid && fchown(fd, uid, gid) < 0)
            return err_errno(err, errno, "volume %s", path);
    }
    return 0;
}

/* The whole specification; start: for a new box, whose hosts and resolv.conf are then written. Strings go to
 * arena; *ret_rootfs is the caller's. */
static int make_spec(struct core *c, const struct want *w, const struct digest *manifest, bool start,
                     struct arena *arena, int *ret_rootfs, struct spec *ret, struct err *err)
{
    uint8_t AUTO_MEM *config = NULL;
    size_t config_len = 0;
    AUTO_FD int rootfs = -1;
    char volumes[280], cgroup[160];
    uint32_t first_id = 0;
    int rc = start ? idrange_of(c, w->name, &first_id, err) : 0;

    if (rc == 0)
        rc = store_read_config(c->store, manifest, &config, &config_len, err);
    if (rc == 0)
        rc = store_open_rootfs(c->store, manifest, &rootfs, err);
    if (rc < 0)
        return rc;
    (void)str_fmt(volumes, sizeof(volumes), "%s/volumes", c->config.state_dir);
    (void)str_fmt(cgroup, sizeof(cgroup), "%s/app/%s", c->cgroup_root, w->name);
    struct box_spec_in in = {.want = w,
                             .config = buf_of(config, config_len),
                             .rootfs_fd = rootfs,
                             .volumes_dir = arena_str(arena, volumes),
                             .resolv_conf = start ? names_resolv(c, w, arena) : NULL,
                             .hosts = start ? names_hosts(c, w, arena) : NULL,
                             .cgroup_path = arena_str(arena, cgroup),
                             .hostname = w->name,
                             .caps = &c->caps,
                             .first_id = first_id,
                             .defaults = &c->confine.one};
    if (!in.volumes_dir || !in.cgroup_path)
        return err_set(err, ERR_NOMEM, "no memory for the paths of %s", w->name);
    rc = box_spec_build(&in, arena, ret, err);
    if (rc == 0)
        *ret_rootfs = steal_fd(&rootfs);
    return rc;
}

/* What is required must be in force before the app runs (L9). */
static int check_required(const struct want *w, const struct box_report *r, struct err *err)
{
    const struct {
        const char *field;
        enum policy_enforce enforce;
        const struct cgroup_field *got;
    } rows[] = {{"memory", w->memory_enforce, &r->cgroup.memory},
                {"cpu", w->cpu_enforce, &r->cgroup.cpu},
                {"pids", w->pids_enforce, &r->cgroup.pids},
                {"userns", w->userns, &r->userns},
                {"seccomp", w->seccomp, &r->seccomp}};

    for (unsigned i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].enforce == ENFORCE_REQUIRED && rows[i].got->state != CGROUP_ENFORCED)
            return err_set(err, ERR_UNSUPPORTED, "%s is required but %s: %s", rows[i].field,
                           cgroup_state_name(rows[i].got->state), rows[i].got->why);
    return 0;
}

/* The box reports only what we requested of it. What the manifest asks and we left out is added here (L9). */
static void report_self(const struct want *w, const struct spec *s, struct box_report *r)
{
    if (w->userns == ENFORCE_OFF || s->ns[SPEC_NS_USER].own)
        return;
    r->userns = (struct cgroup_field){.state = CGROUP_DEGRADED};
    (void)str_fmt(r->userns.why, sizeof(r->userns.why), "%s",
                  w->net == NET_HOST ? "none with the host's network"
                                     : "no user namespace or no id-mapped mounts here");
}

/* Remove a box that must not run. */
static void take_down(struct core *c, struct box_started *b)
{
    int fds[] = {b->pidfd, b->out_fd, b->err_fd};

    err_ignore(box_kill(&c->cgroups, &b->id, NULL));
    box_reap(b->id.pid);
    err_ignore(box_cleanup(&c->cgroups, &b->id, NULL));
    for (unsigned i = 0; i < COUNT_OF(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

/* The network of another app: first open its file, then verify that this app is alive, so that it is no other
 * process's. */
static int join_network(struct core *c, const struct want *w, struct arena *arena, int *ret_fd,
                        struct spec *s, struct err *err)
{
    char path[48];
    const struct app *a = w->net == NET_APP ? app_find(c, w->net_name) : NULL;

    if (w->net != NET_APP)
        return 0;
    (void)str_fmt(path, sizeof(path), "/proc/%d/ns/net", a ? (int)a->box.pid : 0);
    *ret_fd = a ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (*ret_fd < 0 || a->seen.box != BOX_RUNNING || !box_is_alive(&a->box))
        return err_set(err, ERR_CONFLICT, "network of %s: it does not run", w->net_name);
    (void)str_fmt(path, sizeof(path), "/proc/self/fd/%d", *ret_fd);
    s->ns[SPEC_NS_NET].join = arena_str(arena, path);
    return s->ns[SPEC_NS_NET].join ? 0 : err_set(err, ERR_NOMEM, "no memory for the network of %s", w->name);
}

/* Start a box whose program waits for its devices or for DNS servers from its network, or one that runs at
 * once. *ret_gate: see box_start_held; -1: none. */
static int start_gated(struct app *a, const struct want *w, const struct spec *spec, struct box_started *ret,
                       int *ret_gate, struct err *err)
{
    struct core *c = a->core;

    if (!w->n_devices && w->net != NET_CNI)
        return box_start(&c->cgroups, spec, ret, err);
    int rc = box_start_held(&c->cgroups, spec, ret, ret_gate, err);
    if (rc < 0)
        return rc;
    rc = devices_start(a, ret, w, err);
    if (rc == 0)
        rc = names_of_network(a, &ret->id, err);
    if (rc < 0)
        take_down(c, ret);
    return rc;
}

int start_box(struct app *a, const struct want *w, const struct digest *manifest, struct box_started *ret,
              struct err *err)
{
    struct core *c = a->core;

    AUTO_FREE(arena) struct arena *arena = arena_new(LIM_SPEC_BYTES * 2);
    AUTO_FD int rootfs = -1, AUTO_FD gate = -1, AUTO_FD net = -1;
    struct spec AUTO_MEM *spec = mem_need_zero(sizeof(*spec));
    confine_apps(c);
    int rc = make_spec(c, w, manifest, true, arena, &rootfs, spec, err);
    if (rc == 0)
        rc = join_network(c, w, arena, &net, spec, err);
    if (rc == 0)
        rc = make_volumes(c, w, spec->process.uid, spec->process.gid, err);
    if (rc == 0)
        rc = logs_open(a, w->log_bytes, err);
    if (rc == 0)
        rc = start_gated(a, w, spec, ret, &gate, err);
    if (rc < 0)
        return rc;
    report_self(w, spec, &ret->report);
    rc = check_required(w, &ret->report, err);
    if (rc == 0 && gate >= 0 && write(gate, "g", 1) != 1)
        rc = err_errno(err, errno, "%s: let it run", w->name);
    if (rc < 0)
        take_down(c, ret);
    return rc;
}

/* A terminal needs TERM, unless the app sets it: same default as container engines. NULL: the arena is
 * full. */
static const char *const *with_term(struct arena *arena, const char *const *env)
{
    unsigned n = 0;
    bool has = false;

    for (; env[n]; n++)
        has |= strncmp(env[n], "TERM=", 5) == 0;
    if (has)
        return env;
    const char **more = arena_get(arena, (n + 2) * sizeof(*more));
    if (!more)
        return NULL;
    memcpy(more, env, n * sizeof(*more));
    more[n] = "TERM=xterm";
    more[n + 1] = NULL;
    return more;
}

int start_exec(struct app *a, const char *const *args, struct box_exec *x, struct box_entry *ret,
               struct err *err)
{
    static const char *const path_only[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    struct core *c = a->core;
    const struct want *w = sets_want(c, a->seen.name);

    AUTO_FREE(arena) struct arena *arena = arena_new(LIM_SPEC_BYTES * 2);
    AUTO_FD int rootfs = -1;
    struct spec AUTO_MEM *spec = mem_need_zero(sizeof(*spec));
    if (w) {
        int rc = make_spec(c, w, &a->manifest, false, arena, &rootfs, spec, err);
        if (rc < 0)
            return rc;
    } else { /* an app that is being removed has no want: run as root of the box, with a default PATH */
        spec_defaults(spec);
        box_spec_oom(&spec->process);
        spec->process.env = path_only;
    }
    if (x->ctty && !(spec->process.env = with_term(arena, spec->process.env)))
        return err_set(err, ERR_NOMEM, "too many variables for one process");
    spec->process.args = args;
    spec->process.caps = spec_caps_of(0);
    spec->process.seccomp_default = c->caps.seccomp && (!w || w->seccomp != ENFORCE_OFF);
    x->process = &spec->process;
    return box_exec_begin(&c->cgroups, &a->box, x, ret, err);
}
