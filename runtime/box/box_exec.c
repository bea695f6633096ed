/* box_exec.c - enters a running box: for an additional process, or a connection. See box.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "platform/sys.h"
#include "runtime/box/box_int.h"
#include "runtime/box/enter.h"

/* Descriptors above 2, so that they do not overlap 0, 1, 2 when moved there. -1 is unchanged. */
static int lift(int fd)
{
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* Only the process matters: of the spec only what its steps use. */
static struct spec *spec_around(const struct box_id *b, const struct spec_process *p)
{
    struct spec *s = mem_need_zero(sizeof(*s));

    s->id = b->id;
    s->process = *p;
    if (s->process.seccomp_default && !box_has_seccomp()) /* reported at the start of the box */
        s->process.seccomp_default = false;
    return s;
}

static int open_cgroup(const struct cgroup_host *h, const struct box_id *b, const char *sub,
                       struct cgroup **ret, struct err *err)
{
    char path[sizeof(b->cgroup_path) + LIM_PATH_BYTES];
    int rc;

    if (!b->cgroup_path[0])
        return 0;
    if (sub && (sub[0] == '\0' || strstr(sub, "..")))
        return err_set(err, ERR_INVALID, "cgroup %s is none below the container's", sub);
    if (!str_fmt(path, sizeof(path), "%s%s%s", b->cgroup_path, sub ? "/" : "", sub ? sub : ""))
        return err_set(err, ERR_INVALID, "cgroup path too long");
    rc = cgroup_open(h, path, ret, err);
    return rc == -ERR_NOTFOUND && !sub ? 0 : rc; /* a machine without cgroups */
}

/* The pipes between us and the process: its reports, and the byte that tells it that it is in its control
 * group. */
static int make_pipes(struct box_entry *e, struct child *c, struct err *err)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC) != 0)
        return err_errno(err, errno, "pipe");
    e->report_fd = p[0];
    c->report_fd = lift(p[1]);
    (void)close(p[1]);
    (void)fcntl(e->report_fd, F_SETFL, O_NONBLOCK);
    if (pipe2(p, O_CLOEXEC) != 0)
        return err_errno(err, errno, "pipe");
    e->join_fd = p[1];
    c->join_fd = lift(p[0]);
    (void)close(p[0]);
    return c->report_fd >= 0 && c->join_fd >= 0 ? 0 : err_errno(err, errno, "pipe");
}

static int begin_in(struct enter *in, const struct box_exec *x, struct spec *s, struct box_entry *e,
                    struct err *err)
{
    struct ops ops;
    AUTO_FD int fd_in = lift(x->stdin_fd);
    AUTO_FD int fd_out = lift(x->stdout_fd);
    AUTO_FD int fd_err = lift(x->stderr_fd);
    AUTO_FD int proc = -1;
    struct child c;
    int *const theirs[] = {&c.report_fd, &c.join_fd};
    int rc = child_open_proc(&proc, err);

    if (rc < 0)
        return rc;
    child_init(&c, s, &ops);
    c.console_fd = x->console_fd;
    c.stdio[0] = fd_in;
    c.stdio[1] = fd_out;
    c.stdio[2] = fd_err;
    c.ctty = x->ctty;
    c.preserve_fds = x->preserve_fds;
    c.proc_fd = proc;
    c.filter = box_filter(&s->process);
    ops_make_exec(s, &ops);
    rc = make_pipes(e, &c, err);
    if (rc == 0)
        rc = enter_begin(in, &c, child_run_exec, e->report_fd, &e->helper, err);
    for (unsigned i = 0; i < COUNT_OF(theirs); i++)
        if (*theirs[i] >= 0)
            (void)close(*theirs[i]);
    ops_done(&ops);
    return rc;
}

/* Its control group: the box's, or its own below that, which is created. */
static int open_groups(const struct cgroup_host *h, const struct box_id *b, const struct box_exec *x,
                       struct box_entry *e, struct err *err)
{
    const struct cgroup_limits none = CGROUP_LIMITS_NONE;
    struct cgroup_report ignored;
    char path[sizeof(b->cgroup_path) + 64];
    int rc = open_cgroup(h, b, x->sub_cgroup, &e->cgroup, err);

    if (rc < 0 || !x->own_group || !e->cgroup)
        return rc;
    if (!str_fmt(path, sizeof(path), "%s/%s", b->cgroup_path, x->own_group))
        return err_set(err, ERR_INVALID, "cgroup path too long");
    return cgroup_make(h, path, &none, &e->own, &ignored, err);
}

int box_exec_begin(const struct cgroup_host *h, const struct box_id *b, const struct box_exec *x,
                   struct box_entry *ret, struct err *err)
{
    struct box_entry e = {.report_fd = -1, .join_fd = -1, .cpus_final = x->process->cpus_final};
    struct enter in;
    struct spec *s;
    int rc = spec_process_check(x->process, err);

    if (rc < 0)
        return err_wrap(err, "%s", b->id);
    e.shared = mmap(NULL, sizeof(*e.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (e.shared == MAP_FAILED)
        return err_errno(err, errno, "%s: memory", b->id);
    enter_init(&in);
    in.alone = true;
    in.shared_pid = e.shared;
    in.oom_score_adj = x->process->oom_score_adj;
    in.oom_score_adj_set = x->process->oom_score_adj_set;
    in.oom_score_adj_soft = x->process->oom_score_adj_soft;
    in.cpus_initial = x->process->cpus_initial;
    s = spec_around(b, x->process);
    rc = enter_open_process(&in, b->pid, err);
    /* checked after they were opened: they belong to this box and not to a later process with its number */
    if (!box_is_alive(b))
        rc = err_set(err, ERR_NOTFOUND, "container does not run");
    if (rc == 0)
        rc = open_groups(h, b, x, &e, err);
    if (rc == 0)
        rc = begin_in(&in, x, s, &e, err);
    enter_done(&in);
    free(s);
    if (rc < 0) {
        box_entry_done(&e);
        return err_wrap(err, "%s", b->id);
    }
    *ret = e;
    return 0;
}

/* It waits before its last steps. */
static int let_join(struct box_entry *e, struct err *err)
{
    struct cgroup *const groups[] = {e->cgroup, e->own};
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < COUNT_OF(groups); i++)
        rc = groups[i] ? cgroup_attach(groups[i], e->pid, err) : 0;
    if (rc == 0)
        rc = child_set_cpus(e->pid, e->cpus_final, "final", err);
    if (rc == 0 && write(e->join_fd, "j", 1) != 1)
        rc = err_errno(err, errno, "release it");
    return rc;
}

int box_entry_step(struct box_entry *e, struct err *err)
{
    struct child_report rep;
    ssize_t n = read(e->report_fd, &rep, sizeof(rep));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 1;
    e->pid = *e->shared;
    if (n == 0) /* exec succeeded, or it was killed before: its status tells */
        return e->pid > 0 ? 0 : err_set(err, ERR_IO, "the helper that enters namespaces died");
    if (n != sizeof(rep))
        return err_set(err, ERR_IO, "the report of the process inside is cut");
    if (rep.stage == CHILD_JOIN) {
        int rc = e->pid > 0 ? let_join(e, err) : 0; /* 0: it has ended meanwhile */
        return rc < 0 ? rc : 1;
    }
    rep.err.msg[sizeof(rep.err.msg) - 1] = '\0';
    return err_set(err, rep.err.kind, "%s", rep.err.msg);
}

void box_entry_kill(struct box_entry *e)
{
    if (e->helper > 0) {
        (void)kill(e->helper, SIGKILL);
        e->pid = *e->shared;
    }
    if (e->pid > 0)
        (void)kill(e->pid, SIGKILL);
    if (e->own && !cgroup_is_empty(e->own))
        err_ignore(cgroup_kill(e->own, NULL));
}

void box_entry_helper_ended(struct box_entry *e)
{
    if (e->helper > 0)
        e->pid = *e->shared;
    e->helper = 0;
}

void box_entry_pid_ended(struct box_entry *e)
{
    e->pid = *e->shared = 0;
}

void box_entry_done(struct box_entry *e)
{
    int *const fds[] = {&e->report_fd, &e->join_fd};

    for (unsigned i = 0; i < COUNT_OF(fds); i++)
        if (*fds[i] >= 0)
            (void)close(steal_fd(fds[i]));
    if (e->own)
        err_ignore(cgroup_remove(e->own, 0, NULL));
    e->own = cgroup_free(e->own);
    e->cgroup = cgroup_free(e->cgroup);
    if (e->shared)
        (void)munmap(e->shared, sizeof(*e->shared));
    e->shared = NULL;
}

static void reap(pid_t pid)
{
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

int box_exec_start(const struct cgroup_host *h, const struct box_id *b, const struct box_exec *x,
                   pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
    struct box_entry e;
    struct pollfd p = {.events = POLLIN};
    int rc = box_exec_begin(h, b, x, &e, err);

    if (rc < 0)
        return rc;
    p.fd = e.report_fd;
    do
        (void)poll(&p, 1, -1);
    while ((rc = box_entry_step(&e, err)) > 0);
    if (rc < 0)
        box_entry_kill(&e);
    reap(e.helper);
    if (rc < 0) {
        box_entry_helper_ended(&e);
        if (e.pid > 0)
            (void)kill(e.pid, SIGKILL);
        reap(e.pid);
    }
    box_entry_done(&e);
    if (rc < 0)
        return err_wrap(err, "%s", b->id);
    *ret_pid = e.pid;
    *ret_pidfd = sys_pidfd_open(e.pid);
    return 0;
}

int box_tcp_connect(const struct box_id *b, uint16_t port, int *ret_fd, struct err *err)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    AUTO_FD int theirs = -1;
    AUTO_FD int fd = -1;
    int rc;

    if ((rc = enter_open_one(b->pid, SPEC_NS_NET, &theirs, err)) < 0)
        return rc;
    if (!box_is_alive(b))
        return err_set(err, ERR_NOTFOUND, "%s does not run", b->id);
    fd = enter_socket(theirs, AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(err, -fd, "%s: socket in its network namespace", b->id);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS)
        return err_errno(err, errno, "%s: connect to port %u", b->id, port);
    *ret_fd = steal_fd(&fd);
    return 0;
}
