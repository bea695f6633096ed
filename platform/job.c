#include "platform/job.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/limits.h"
#include "platform/mem.h"
#include "platform/patience.h"
#include "platform/sys.h"

#define JOB_LINE_FD 3
/* it can be repeated, so it is killed before its parent, and before programs that serve users */
#define JOB_OOM 300

struct job {
    struct loop *loop;
    struct loop_child child;
    struct loop_fd lines;
    struct loop_timer deadline;
    struct cgroup *cgroup;
    struct job_calls calls;
    struct job_verdict verdict;
    bool has_verdict;
    uint64_t memory_max_bytes;
    char name[32], cancelled[80];
    char line[LIM_LINE_BYTES];
    size_t line_len;
};

void job_line(int line_fd, const char *fmt, ...)
{
    char text[LIM_LINE_BYTES];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text) - 1, fmt, ap);
    va_end(ap);
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\n')
            text[i] = ' ';
    text[len++] = '\n';
    err_ignore(fs_write_full(line_fd, buf_of(text, len), NULL)); /* if the parent is gone, nothing reads the
                                                                  * verdict */
}

static void say_verdict(int line_fd, int rc, const struct err *err)
{
    if (rc >= 0)
        job_line(line_fd, "ok");
    else
        job_line(line_fd, "err %s %s", err_kind_name((enum err_kind) - rc), err->msg);
}

const char *job_verdict_read(const char *line, enum err_kind *ret)
{
    char kind[24];
    int at = 0;

    if (strcmp(line, "ok") == 0 || strncmp(line, "ok ", 3) == 0) {
        *ret = ERR_NONE;
        return line[2] ? line + 3 : "";
    }
    if (sscanf(line, "err %23s %n", kind, &at) != 1 || at == 0)
        return NULL;
    *ret = err_kind_parse(kind);
    *ret = *ret == ERR_NONE ? ERR_IO : *ret;
    return line + at;
}

static void take_line(struct job *j, const char *line)
{
    enum err_kind kind;
    const char *text = job_verdict_read(line, &kind);

    if (!text && j->calls.on_line)
        j->calls.on_line(j->calls.arg, line);
    if (!text)
        return;
    j->has_verdict = true;
    j->verdict.err = ERR_INIT;
    if (kind != ERR_NONE)
        (void)err_set(&j->verdict.err, kind, "%s", text);
    else
        (void)str_fmt(j->verdict.result, sizeof(j->verdict.result), "%s", text);
}

static bool read_lines(struct job *j)
{
    char text[512];
    ssize_t n = read(j->lines.fd, text, sizeof(text));

    if (n <= 0)
        return n < 0 && errno == EINTR;
    for (ssize_t i = 0; i < n; i++) {
        if (text[i] != '\n') {
            if (j->line_len < sizeof(j->line) - 1)
                j->line[j->line_len++] = text[i];
            continue;
        }
        j->line[j->line_len] = '\0';
        j->line_len = 0;
        take_line(j, j->line);
    }
    return true;
}

static void lines_ready(struct loop_fd *w, uint32_t events)
{
    struct job *j = container_of(w, struct job, lines);
    int fd = w->fd;

    if (!read_lines(j) && (events & (EPOLLHUP | EPOLLERR))) {
        loop_fd_del(j->loop, w);
        (void)close(fd);
    }
}

/* The verdict for a child that died without reporting one. */
static void judge(struct job *j, int status)
{
    struct cgroup_usage u = {.oom_kills = 0};

    if (j->cgroup)
        cgroup_usage(j->cgroup, &u);
    if (j->cancelled[0])
        (void)err_set(&j->verdict.err, ERR_TIMEOUT, "%s: %s", j->name, j->cancelled);
    else if (u.oom_kills != CGROUP_UNSET && u.oom_kills > 0)
        (void)err_set(&j->verdict.err, ERR_NOMEM,
                      "%s: out of memory inside its ceiling of %" PRIu64 " bytes (files on a tmpfs count)",
                      j->name, j->memory_max_bytes);
    else if (j->has_verdict)
        return;
    else if (WIFSIGNALED(status))
        (void)err_set(&j->verdict.err, ERR_IO, "%s: killed by signal %d", j->name, WTERMSIG(status));
    else
        (void)err_set(&j->verdict.err, ERR_IO, "%s: ended with status %d and without a verdict", j->name,
                      WIFEXITED(status) ? WEXITSTATUS(status) : status);
}

static void job_exited(struct loop_child *c, int status)
{
    struct job *j = container_of(c, struct job, child);

    loop_timer_del(j->loop, &j->deadline);
    if (j->cgroup)
        err_ignore(cgroup_kill(j->cgroup, NULL)); /* processes that it started end with it */
    while (j->lines.fd >= 0 && read_lines(j))
        ;
    judge(j, status);
    int fd = j->lines.fd;
    loop_fd_del(j->loop, &j->lines);
    if (fd >= 0)
        (void)close(fd);
    if (j->cgroup) {
        err_ignore(cgroup_remove(j->cgroup, 500, NULL));
        (void)cgroup_free(j->cgroup);
    }
    j->calls.on_done(j->calls.arg, &j->verdict);
    free(j);
}

static void end_it(struct job *j, const char *why)
{
    if (!j->cancelled[0])
        (void)str_fmt(j->cancelled, sizeof(j->cancelled), "cancelled: %s", why);
    (void)sys_kill_fd(j->child.pidfd, j->child.pid, SIGKILL);
    if (j->cgroup)
        err_ignore(cgroup_kill(j->cgroup, NULL));
}

void job_cancel(struct job *j, const char *why)
{
    j->verdict.cancelled = true;
    end_it(j, why);
}

static void deadline_fired(struct loop_timer *t)
{
    end_it(container_of(t, struct job, deadline), "deadline");
}

/* line_fd at 3 and fds[i] at 4+i */
static void exec_program(const struct job_spec *spec, int line_fd)
{
    int fds[SYS_EXEC_FDS] = {line_fd};
    struct err err = ERR_INIT;

    if (spec->n_fds >= SYS_EXEC_FDS)
        _exit(126);
    for (unsigned i = 0; i < spec->n_fds; i++)
        fds[i + 1] = spec->fds[i];
    int rc = sys_exec(spec->argv[0], spec->argv, environ, fds, spec->n_fds + 1);
    say_verdict(JOB_LINE_FD, err_errno(&err, -rc, "start %s", spec->argv[0]), &err);
    _exit(127);
}

static void child_main(const struct job_spec *spec, const struct cgroup *cgroup, int line_fd, pid_t parent)
{
    struct err err = ERR_INIT;
    sigset_t none;

    (void)sigemptyset(&none);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    if (cgroup) {
        int rc = cgroup_attach_self(cgroup, false);
        if (rc < 0) {
            say_verdict(line_fd, err_errno(&err, -rc, "%s: enter its cgroup", spec->name), &err);
            _exit(1);
        }
    }
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    sys_oom_raise(JOB_OOM, 0);
    patience_begin(0); /* its deadline is enforced by the parent */
    if (spec->argv)
        exec_program(spec, line_fd);
    (void)prctl(PR_SET_NAME, spec->name);
    int rc = spec->fn(spec->arg, line_fd, &err);
    say_verdict(line_fd, rc, &err);
    _exit(rc < 0 ? 1 : 0);
}

static int make_cgroup(struct job *j, const struct job_spec *spec, struct err *err)
{
    struct cgroup_limits lim = CGROUP_LIMITS_NONE;
    struct cgroup_report report;

    if (!spec->cgroups)
        return 0;
    lim.memory_max_bytes = spec->memory_max_bytes;
    lim.swap_max_bytes = spec->memory_max_bytes == CGROUP_UNSET ? CGROUP_UNSET : 0;
    return cgroup_make(spec->cgroups, spec->cgroup_path, &lim, &j->cgroup, &report, err);
}

int job_start(struct loop *l, const struct job_spec *spec, const struct job_calls *calls, struct job **ret,
              struct err *err)
{
    int p[2] = {-1, -1};
    struct job *j = mem_need_zero(sizeof(*j));

    j->loop = l;
    j->calls = *calls;
    j->memory_max_bytes = spec->memory_max_bytes;
    j->lines.fd = -1;
    j->lines.on_ready = lines_ready;
    j->deadline.on_fire = deadline_fired;
    j->child.on_exit = job_exited;
    (void)str_fmt(j->name, sizeof(j->name), "%s", spec->name);
    int rc = make_cgroup(j, spec, err);
    if (rc == 0 && pipe2(p, O_CLOEXEC) < 0)
        rc = err_errno(err, errno, "pipe");
    if (rc < 0) {
        (void)cgroup_free(j->cgroup);
        free(j);
        return err_wrap(err, "job %s", spec->name);
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        (void)close(p[0]);
        child_main(spec, j->cgroup, p[1], parent);
    }
    int fork_errno = errno;
    (void)close(p[1]);
    (void)fcntl(p[0], F_SETFL, O_NONBLOCK);
    rc = pid < 0 ? err_errno(err, fork_errno, "fork") : loop_child_add(l, &j->child, pid, err);
    if (rc == 0)
        rc = loop_fd_add(l, &j->lines, p[0], EPOLLIN, err);
    if (rc < 0) { /* do not leave a child running that cannot be watched */
        if (pid > 0) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
        }
        (void)close(p[0]);
        (void)cgroup_free(j->cgroup);
        free(j);
        return err_wrap(err, "job %s", spec->name);
    }
    loop_timer_set(l, &j->deadline, clock_boot_ms() + spec->deadline_ms);
    *ret = j;
    return 0;
}
