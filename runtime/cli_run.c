/* cli_run.c - create, start, run. See cli.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "platform/fs.h"
#include "platform/sys.h"
#include "runtime/cli.h"

int cli_write_pid(const struct cli *c, pid_t pid, struct err *err)
{
    char text[16];

    if (!c->pid_file)
        return 0;
    (void)snprintf(text, sizeof text, "%d", (int)pid);
    return fs_write_atomic(AT_FDCWD, c->pid_file, buf_str(text), 0644, err);
}

/* The bundle's spec; *ret_root: the rootfs folder, which the spec borrows. */
static int load_spec(struct cli *c, struct arena *arena, struct spec *ret, int *ret_root, char *bundle,
                     struct err *err)
{
    AUTO_FD int dir = open(c->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_MEM uint8_t *text = NULL;
    size_t len;
    int r;

    if (dir < 0 || !realpath(c->bundle, bundle))
        return err_errno(err, errno, "bundle %s", c->bundle);
    if ((r = fs_read(dir, c->config, LIM_OCI_JSON_BYTES, &text, &len, err)) < 0 ||
        (r = spec_from_oci(buf_of(text, len), arena, ret, err)) < 0)
        return r;
    ret->id = c->id;
    *ret_root = openat(dir, ret->rootfs_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*ret_root < 0)
        return err_errno(err, errno, "rootfs %s", ret->rootfs_path);
    ret->rootfs_fd = *ret_root;
    if (ret->seccomp_replaced)
        cli_warn(c, "linux.seccomp: the built-in filter stands in for the profile given");
    return 0;
}

static int make_gate(int dir, int *ret_fd, struct err *err)
{
    int fd;

    if (mkfifoat(dir, "start", 0600) != 0)
        return err_errno(err, errno, "make start gate");
    fd = openat(dir, "start",
                O_RDWR | O_CLOEXEC | O_NOFOLLOW); /* both ends: the container never reads an end of file */
    if (fd < 0)
        return err_errno(err, errno, "open start gate");
    *ret_fd = fd > 2 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (*ret_fd != fd)
        (void)close(fd);
    return 0;
}

/* Killed while it is created, delete must find its group: where that is not by the id, it is written down first. */
static int save_early(const struct cli *c, int dir, const struct spec *spec, struct cli_state *s,
                      struct err *err)
{
    char usual[CGROUP_PATH_BYTES];

    cli_cgroup_path(c, usual);
    if (strcmp(spec->cgroup_path, usual) == 0)
        return 0;
    (void)str_copy(s->id.id, sizeof s->id.id, spec->id);
    if (!str_copy(s->id.cgroup_path, sizeof s->id.cgroup_path, spec->cgroup_path))
        return err_set(err, ERR_INVALID, "linux.cgroupsPath: too long");
    return cli_save(dir, s, err);
}

static int launch(struct cli *c, int dir, bool hold, struct cli_state *s, int *ret_pidfd, struct err *err)
{
    AUTO_FREE(arena) struct arena *arena = arena_new(LIM_OCI_JSON_BYTES * 4);
    AUTO_FD int root = -1;
    AUTO_FD int gate = -1;
    struct box_how how = {.hold_fd = -1, .preserve_fds = c->preserve_fds};
    struct box_started b;
    struct spec spec;
    char bundle[PATH_MAX], group[CGROUP_PATH_BYTES];
    int r = load_spec(c, arena, &spec, &root, bundle, err);

    if (r < 0)
        return r;
    cli_cgroup_path(c, group);
    spec.cgroup_path = spec.cgroup_path ? spec.cgroup_path : group;
    if (hold && (r = make_gate(dir, &gate, err)) < 0)
        return r;
    how.hold_fd = gate;
    for (int i = 0; i < 3; i++) {
        how.stdio[i] = fcntl(i, F_DUPFD_CLOEXEC, 3 + (int)c->preserve_fds);
        s->seccomp = spec.seccomp_default;
    }
    if ((r = save_early(c, dir, &spec, s, err)) == 0)
        r = box_launch(&c->host, &spec, &how, &b, err);
    for (int i = 0; i < 3; i++)
        if (how.stdio[i] >= 0)
            (void)close(how.stdio[i]);
    if (r < 0)
        return r;
    cli_warn_limits(c, spec.resources);
    s->id = b.id;
    (void)str_copy(s->bundle, sizeof s->bundle, bundle);
    *ret_pidfd = b.pidfd;
    if ((r = cli_save(dir, s, err)) < 0 || (r = cli_write_pid(c, b.id.pid, err)) < 0)
        (void)box_kill(&c->host, &b.id, NULL);
    return r;
}

static int make(struct cli *c, bool hold, struct cli_state *s, int *ret_pidfd, struct err *err)
{
    AUTO_FD int dir = -1;
    AUTO_FD int root = -1;
    int r = cli_dir(c, true, &dir, err);

    if (r < 0)
        return r;
    r = launch(c, dir, hold, s, ret_pidfd, err);
    if (r < 0 && fs_open_dir(AT_FDCWD, c->root, false, 0700, &root, NULL) == 0)
        (void)fs_remove_tree(root, c->id, NULL);
    return r;
}

int cli_create(struct cli *c, struct err *err)
{
    struct cli_state s = {0};
    int pidfd = -1;

    return make(c, true, &s, &pidfd, err);
}

int cli_start(struct cli *c, struct err *err)
{
    AUTO_FD int dir = -1;
    AUTO_FD int gate = -1;
    struct cli_state s;
    int r = cli_load(c, &s, err);

    if (r < 0 || (r = cli_dir(c, false, &dir, err)) < 0)
        return r;
    if (strcmp(cli_status(c, dir, &s), "created") != 0)
        return err_set(err, ERR_CONFLICT, "container `%s` is %s, not created", c->id, cli_status(c, dir, &s));
    gate = openat(dir, "start", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (gate < 0)
        return err_errno(err, errno, "open start gate");
    if (unlinkat(dir, "start", 0) != 0 || write(gate, "s", 1) != 1) /* the name first: nobody starts twice */
        return err_errno(err, errno, "start %s", c->id);
    return 0;
}

int cli_wait(const struct box_id *b, pid_t pid, int pidfd)
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

int cli_run(struct cli *c, struct err *err)
{
    struct cli_state s = {0};
    sigset_t all;
    int pidfd = -1, code, r;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all,
                      NULL); /* a signal before we wait must not be lost; the child resets its own */
    if ((r = make(c, false, &s, &pidfd, err)) < 0 || c->detach)
        return r;
    code = cli_wait(&s.id, s.id.pid, pidfd);
    if (!c->keep && (r = cli_forget(c, &s, true, err)) < 0)
        return r;
    return code;
}
