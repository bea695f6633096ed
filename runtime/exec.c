/* exec.c - go into a box that runs: for one more program, for a connection. See box.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "platform/sys.h"
#include "runtime/box_priv.h"
#include "runtime/enter.h"

/* Descriptors above 2, so that they do not meet 0, 1, 2 on their way there. -1 stays. */
static int lift(int fd)
{
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* Its end says that exec went well. */
static int read_report(int fd, struct err *err)
{
    struct child_report rep;
    ssize_t n;

    do
        n = read(fd, &rep, sizeof rep);
    while (n < 0 && errno == EINTR);
    if (n != sizeof rep)
        return 0;
    rep.err.msg[sizeof rep.err.msg - 1] = '\0';
    return err_set(err, rep.err.kind, "%s", rep.err.msg);
}

static int run_child(const struct enter *e, struct child *c, pid_t *ret_pid, struct err *err)
{
    int pipe_fds[2], r;
    pid_t pid = 0;
    AUTO_FD int read_end = -1;

    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return err_errno(err, errno, "pipe");
    read_end = pipe_fds[0];
    c->report_fd = fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, 3);
    (void)close(pipe_fds[1]);
    if (c->report_fd < 0)
        return err_errno(err, errno, "pipe");
    r = enter_spawn(e, c, child_run_exec, read_end, &pid, err);
    (void)close(c->report_fd);
    if (r < 0)
        return r;
    if ((r = read_report(read_end, err)) < 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return r;
    }
    *ret_pid = pid;
    return 0;
}

/* Only the process counts: of the spec around it what its steps look at. */
static struct spec *spec_around(const struct box_id *b, const struct spec_process *p)
{
    struct spec *s = mem_need_zero(sizeof *s);

    s->id = b->id;
    s->process = *p;
    if (s->process.seccomp_default && !box_has_seccomp()) /* said at the start of the box */
        s->process.seccomp_default = false;
    return s;
}

static int open_cgroup(const struct cgroup_host *h, const struct box_id *b, const char *sub,
                       struct cgroup **ret, struct err *err)
{
    char path[sizeof b->cgroup_path + LIM_PATH_BYTES];
    int r;

    if (!b->cgroup_path[0])
        return 0;
    if (sub && (sub[0] == '\0' || strstr(sub, "..")))
        return err_set(err, ERR_INVALID, "cgroup %s is none below the container's", sub);
    if (!str_fmt(path, sizeof path, "%s%s%s", b->cgroup_path, sub ? "/" : "", sub ? sub : ""))
        return err_set(err, ERR_INVALID, "cgroup path too long");
    r = cgroup_open(h, path, ret, err);
    return r == -ERR_NOTFOUND && !sub ? 0 : r; /* a machine without cgroups */
}

static int exec_in(const struct enter *e, const struct box_exec *x, struct spec *s, pid_t *ret_pid,
                   struct err *err)
{
    struct ops ops;
    AUTO_FD int in = lift(x->stdin_fd);
    AUTO_FD int out = lift(x->stdout_fd);
    AUTO_FD int errs = lift(x->stderr_fd);
    AUTO_FD int proc = -1;
    struct child c;
    int r = child_open_proc(&proc, err);

    if (r < 0)
        return r;
    child_init(&c, s, &ops);
    c.console_fd = x->console_fd;
    c.stdio[0] = in;
    c.stdio[1] = out;
    c.stdio[2] = errs;
    c.ctty = x->ctty;
    c.preserve_fds = x->preserve_fds;
    c.proc_fd = proc;
    c.filter = box_filter(&s->process);
    ops_make_exec(s, &ops);
    r = run_child(e, &c, ret_pid, err);
    ops_done(&ops);
    return r;
}

int box_exec_start(const struct cgroup_host *h, const struct box_id *b, const struct box_exec *x,
                   pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
    struct cgroup *cgroup = NULL;
    struct enter e;
    pid_t pid = 0;
    struct spec *s;
    int r = spec_process_check(x->process, err);

    if (r < 0)
        return err_wrap(err, "%s", b->id);
    enter_init(&e);
    e.oom_score_adj = x->process->oom_score_adj;
    e.oom_score_adj_set = x->process->oom_score_adj_set;
    e.cpus_initial = x->process->cpus_initial;
    e.cpus_final = x->process->cpus_final;
    s = spec_around(b, x->process);
    r = enter_open_process(&e, b->pid, err);
    /* asked after they were opened: they are those of this box and of no later process with its number */
    if (!box_is_alive(b))
        r = err_set(err, ERR_NOTFOUND, "container does not run");
    if (r == 0)
        r = open_cgroup(h, b, x->sub_cgroup, &cgroup, err);
    e.cgroup = cgroup;
    if (r == 0)
        r = exec_in(&e, x, s, &pid, err);
    enter_done(&e);
    (void)cgroup_free(cgroup);
    free(s);
    if (r < 0)
        return err_wrap(err, "%s", b->id);
    *ret_pid = pid;
    *ret_pidfd = sys_pidfd_open(pid);
    return 0;
}

int box_tcp_connect(const struct box_id *b, uint16_t port, int *ret_fd, struct err *err)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    AUTO_FD int theirs = -1;
    AUTO_FD int fd = -1;
    int r;

    if ((r = enter_open_one(b->pid, SPEC_NS_NET, &theirs, err)) < 0)
        return r;
    if (!box_is_alive(b))
        return err_set(err, ERR_NOTFOUND, "%s does not run", b->id);
    fd = enter_socket(theirs, AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(err, -fd, "%s: socket in its network namespace", b->id);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        return err_errno(err, errno, "%s: connect to port %u", b->id, port);
    *ret_fd = steal_fd(&fd);
    return 0;
}
