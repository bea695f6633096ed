/* limpet_run.c - create, start, run. See limpet_int.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/sys.h"
#include "runtime/limpet/limpet_int.h"

int limpet_write_pid(const struct limpet *c, pid_t pid, struct err *err)
{
    char text[16];

    if (!c->pid_file)
        return 0;
    (void)snprintf(text, sizeof(text), "%d", (int)pid);
    return fs_write_atomic(AT_FDCWD, c->pid_file, buf_str(text), 0644, err);
}

/* Relative sources of binds are relative to the bundle. */
static int find_sources(struct limpet_bundle *b, const char *bundle, struct err *err)
{
    for (unsigned i = 0; i < b->spec.n_mounts; i++) {
        struct spec_mount *m = &b->spec.mounts[i];
        size_t size;
        char *path;
        if (m->kind != SPEC_MOUNT_BIND || m->source[0] == '/')
            continue;
        size = strlen(bundle) + strlen(m->source) + 2;
        path = arena_get(b->arena, size);
        if (!path)
            return err_set(err, ERR_NOMEM, "mounts[%u].source: too large", i);
        (void)snprintf(path, size, "%s/%s", bundle, m->source);
        m->source = path;
    }
    return 0;
}

/* Paths of the bundle and its rootfs, for the record; *ret_root: the directory, which the spec borrows. */
static int open_rootfs(const struct limpet *c, int dir, struct limpet_bundle *b, struct limpet_state *s,
                       int *ret_root, struct err *err)
{
    const char *path = b->spec.rootfs_path;
    char full[PATH_MAX];

    if (!realpath(c->bundle, full) || !str_copy(s->bundle, sizeof(s->bundle), full))
        return err_errno(err, errno, "bundle %s", c->bundle);
    *ret_root = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*ret_root < 0)
        return err_errno(err, errno, "root.path: %s", path);
    b->spec.rootfs_fd = *ret_root;
    b->spec.id = c->id;
    b->spec.init = c->init;
    if (!str_fmt(s->rootfs, sizeof(s->rootfs), "%s%s%s", path[0] == '/' ? "" : s->bundle,
                 path[0] == '/' ? "" : "/", path))
        return err_set(err, ERR_INVALID, "root.path: too long");
    return find_sources(b, s->bundle, err);
}

static int make_gate(int dir, int *ret_fd, struct err *err)
{
    int fd;

    if (mkfifoat(dir, "start", 0600) != 0)
        return err_errno(err, errno, "make start gate");
    fd = openat(dir, "start",
                O_RDWR | O_CLOEXEC | O_NOFOLLOW); /* both ends: the container never reads end of file */
    if (fd < 0)
        return err_errno(err, errno, "open start gate");
    *ret_fd = fd > 2 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (*ret_fd != fd)
        (void)close(fd);
    return 0;
}

/* What later verbs need: the original config.json, a mark if it has late hooks, and, in case we are killed
 * during create, the group. */
static int save_early(const struct limpet *c, int dir, const struct limpet_bundle *b, struct limpet_state *s,
                      struct err *err)
{
    int rc = fs_write_atomic(dir, "config.json", buf_of(b->text, b->len), 0600, err);

    if (rc < 0)
        return rc;
    if (b->spec.hooks[SPEC_HOOK_POSTSTART].n + b->spec.hooks[SPEC_HOOK_POSTSTOP].n > 0 &&
        (rc = fs_write_atomic(dir, "hooks", buf_str(""), 0600, err)) < 0)
        return rc;
    (void)clock_rfc3339(clock_wall_s(), s->created, sizeof(s->created));
    s->owner = geteuid();
    s->annotations = b->oci.annotations ? mem_need_str(b->oci.annotations) : NULL;
    (void)str_copy(s->id.id, sizeof(s->id.id), b->spec.id);
    limpet_cgroup_path(c, s->id.cgroup_path);
    if (strcmp(s->id.cgroup_path, b->spec.cgroup_path) == 0)
        return 0; /* without a record, look there */
    if (!str_copy(s->id.cgroup_path, sizeof(s->id.cgroup_path), b->spec.cgroup_path))
        return err_set(err, ERR_INVALID, "linux.cgroupsPath: too long");
    return limpet_save(dir, s, err);
}

static int open_console(const struct limpet *c, const struct limpet_bundle *b, struct limpet_tty *tty,
                        int *ret_fd, struct err *err)
{
    if (!b->spec.process.terminal)
        return c->console_socket
                   ? err_set(err, ERR_INVALID,
                             "--console-socket: process.terminal is not true, there is no terminal to send")
                   : 0;
    if (c->console_socket)
        return limpet_connect(c->console_socket, "--console-socket", ret_fd, err);
    if (!tty)
        return err_set(err, ERR_INVALID, "process.terminal: without a foreground it needs --console-socket");
    if (limpet_tty_open(tty, err) < 0)
        return -(int)err->kind;
    *ret_fd = fcntl(tty->pair[1], F_DUPFD_CLOEXEC, 3);
    return 0;
}

static int launch(struct limpet *c, int dir, struct limpet_bundle *b, bool hold, struct limpet_tty *tty,
                  struct limpet_state *s, int *ret_pidfd, struct err *err)
{
    AUTO_FD int gate = -1;
    AUTO_FD int console = -1;
    AUTO_FD int listener = -1;
    struct box_how how = {.exact = true,
                          .preserve_fds = c->preserve_fds,
                          .no_pivot = c->no_pivot,
                          .bundle = s->bundle,
                          .annotations = b->oci.annotations};
    const char *agent = b->spec.process.seccomp.listener;
    struct box_started box;
    int rc;

    if (!b->spec.cgroup_path) {
        limpet_cgroup_path(c, s->id.cgroup_path);
        b->spec.cgroup_path = arena_str(b->arena, s->id.cgroup_path);
        if (!b->spec.cgroup_path)
            return err_set(err, ERR_NOMEM, "config.json: too large");
    }
    if ((hold && (rc = make_gate(dir, &gate, err)) < 0) ||
        (rc = open_console(c, b, tty, &console, err)) < 0 ||
        (agent && (rc = limpet_connect(agent, "linux.seccomp.listenerPath", &listener, err)) < 0) ||
        (rc = save_early(c, dir, b, s, err)) < 0)
        return rc;
    how.hold_fd = hold ? gate : -1;
    how.console_fd = console;
    how.listener_fd = listener;
    for (int i = 0; i < 3; i++)
        how.stdio[i] = i; /* already open: see main */
    rc = box_launch(&c->host, &b->spec, &how, &box, err);
    if (rc < 0)
        return rc;
    limpet_warn_limits(c, b->spec.resources);
    s->id = box.id;
    if (!cgroup_freezer_file(&c->host, s->id.cgroup_path, s->freezer, sizeof(s->freezer)))
        s->freezer[0] = '\0';
    *ret_pidfd = box.pidfd;
    if ((rc = limpet_save(dir, s, err)) < 0 || (rc = limpet_write_pid(c, box.id.pid, err)) < 0)
        err_ignore(box_kill(&c->host, &box.id, NULL));
    return rc;
}

static int make_in(struct limpet *c, int dir, bool hold, struct limpet_tty *tty, struct limpet_state *s,
                   int *ret_pidfd, struct err *err)
{
    AUTO_FD int bundle = openat(AT_FDCWD, c->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD int root = -1;
    struct limpet_bundle *b = mem_need_zero(sizeof(*b));
    int rc = bundle < 0 ? err_errno(err, errno, "bundle %s", c->bundle)
                        : limpet_bundle_read(c, bundle, c->config, b, err);

    if (rc == 0)
        rc = open_rootfs(c, bundle, b, s, &root, err);
    if (rc == 0)
        rc = launch(c, dir, b, hold, tty, s, ret_pidfd, err);
    if (rc < 0 && s->id.id[0]) /* it was started: its end must be reported */
        limpet_late_hooks(c, dir, s, SPEC_HOOK_POSTSTOP);
    limpet_bundle_done(b);
    free(b);
    return rc;
}

static int make(struct limpet *c, bool hold, struct limpet_tty *tty, struct limpet_state *s, int *ret_pidfd,
                struct err *err)
{
    AUTO_FD int dir = -1;
    AUTO_FD int root = -1;
    int rc = limpet_dir(c, true, &dir, err);

    if (rc < 0)
        return rc;
    rc = make_in(c, dir, hold, tty, s, ret_pidfd, err);
    if (rc < 0 && fs_open_dir(AT_FDCWD, c->root, false, 0700, &root, NULL) == 0)
        err_ignore(fs_remove_tree(root, c->id, NULL));
    else if (rc == 0 && !hold)
        limpet_late_hooks(c, dir, s, SPEC_HOOK_POSTSTART);
    return rc;
}

int limpet_create(struct limpet *c, struct err *err)
{
    struct limpet_state s = {0};
    int pidfd = -1, rc = make(c, true, NULL, &s, &pidfd, err);

    limpet_state_done(&s);
    return rc;
}

static int release(const struct limpet *c, int dir, const struct limpet_state *s, struct err *err)
{
    AUTO_FD int gate = -1;

    if (strcmp(limpet_status(dir, s), "created") != 0)
        return err_set(err, ERR_CONFLICT, "container `%s` is %s, not created", c->id, limpet_status(dir, s));
    gate = openat(dir, "start", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (gate < 0)
        return err_errno(err, errno, "open start gate");
    if (unlinkat(dir, "start", 0) != 0 || write(gate, "s", 1) != 1) /* name first: no second start */
        return err_errno(err, errno, "start %s", c->id);
    return 0;
}

int limpet_start(struct limpet *c, struct err *err)
{
    AUTO_FD int dir = -1;
    struct limpet_state s;
    int rc = limpet_load(c, &s, err);

    if (rc < 0)
        return rc;
    if ((rc = limpet_dir(c, false, &dir, err)) == 0 && (rc = release(c, dir, &s, err)) == 0)
        limpet_late_hooks(c, dir, &s, SPEC_HOOK_POSTSTART);
    limpet_state_done(&s);
    return rc;
}

int limpet_wait(const struct box_id *b, pid_t pid, int pidfd)
{
    sigset_t all;
    int status = 0;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    for (;;) {
        int sig;
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            break;
        sig = sigwaitinfo(&all, NULL);
        if (sig > 0 && sig != SIGCHLD)
            (void)(b ? box_signal(b, pidfd, sig, NULL) : sys_kill_fd(pidfd, pid, sig));
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int limpet_run(struct limpet *c, struct err *err)
{
    struct limpet_tty tty = {{-1, -1}};
    struct limpet_state s = {0};
    sigset_t all;
    int pidfd = -1, code, rc;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all,
                      NULL); /* a signal before we wait must not be lost; the child resets its own */
    rc = make(c, false, c->detach ? NULL : &tty, &s, &pidfd, err);
    if (rc < 0 || c->detach) {
        limpet_tty_close(&tty);
        limpet_state_done(&s);
        return rc;
    }
    code =
        tty.pair[0] >= 0 ? limpet_tty_run(&tty, s.id.pid, pidfd, err) : limpet_wait(&s.id, s.id.pid, pidfd);
    limpet_tty_close(&tty);
    rc = c->keep ? 0 : limpet_forget(c, &s, true, err);
    limpet_state_done(&s);
    return rc < 0 ? rc : code;
}
