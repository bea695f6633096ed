#include "ota/layer/sandboxed.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "ota/doc/entry.h"
#include "platform/fs.h"
#include "platform/job.h"
#include "platform/limits.h"
#include "platform/mem.h"
#include "platform/sys.h"

int sandboxed_start(char *const *argv, const int *fds, unsigned n_fds, struct sandboxed *ret, struct err *err)
{
    static char *const no_env[] = {NULL};
    int line[2], out[2], all[CHILD_FDS_MAX + 2];

    if (n_fds == 0 || n_fds > CHILD_FDS_MAX)
        return err_set(err, ERR_INVALID, "%u descriptors for a program", n_fds);
    if (pipe2(line, O_CLOEXEC) < 0)
        return err_errno(err, errno, "pipe");
    AUTO_FD int line_in = line[0], AUTO_FD line_out = line[1];
    if (pipe2(out, O_CLOEXEC) < 0)
        return err_errno(err, errno, "pipe");
    AUTO_FD int out_in = out[0], AUTO_FD out_out = out[1];
    all[0] = line_out;
    all[1] = fds[0];
    all[2] = out_out;
    for (unsigned i = 1; i < n_fds; i++)
        all[i + 2] = fds[i];
    pid_t pid = fork();
    if (pid < 0)
        return err_errno(err, errno, "fork");
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)sys_exec(argv[0], argv, no_env, all, n_fds + 2);
        _exit(127);
    }
    *ret = (struct sandboxed){.pid = pid, .out_fd = steal_fd(&out_in), .line_fd = steal_fd(&line_in)};
    return 0;
}

/* Its last line of output; all earlier ones are progress. */
static void last_line(int fd, char line[LIM_LINE_BYTES])
{
    char c[256], next[LIM_LINE_BYTES];
    size_t len = 0;
    ssize_t n;

    line[0] = '\0';
    while ((n = fs_read_full(fd, c, sizeof(c), NULL)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            if (c[i] != '\n' && len < sizeof(next) - 1) {
                next[len++] = c[i];
                continue;
            }
            memcpy(line, next, len);
            line[len] = '\0';
            len = 0;
        }
}

static int judge(const char *line, const char *name, int status, char *result, size_t size, struct err *err)
{
    char shown[ERR_MSG_BYTES];
    enum err_kind kind = ERR_NONE;
    const char *text = job_verdict_read(line, &kind);

    if (text && kind == ERR_NONE && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        if (result)
            (void)str_fmt(result, size, "%s", text);
        return 0;
    }
    if (kind != ERR_NONE)
        return err_set(err, kind, "%s", entry_printable(text, shown, sizeof(shown)));
    if (WIFSIGNALED(status))
        return err_set(err, ERR_IO, "the %s program was killed by signal %d", name, WTERMSIG(status));
    if (WEXITSTATUS(status) == 127) /* missing, or for another machine: another route may not need it */
        return err_set(err, ERR_UNSUPPORTED, "the %s program cannot be started", name);
    return err_set(err, ERR_IO, "the %s program ended with status %d", name, WEXITSTATUS(status));
}

int sandboxed_end(struct sandboxed *c, const char *name, char *result, size_t size, struct err *err)
{
    char line[LIM_LINE_BYTES] = "";
    int status = 0;
    pid_t pid;

    if (c->out_fd >= 0)
        (void)close(c->out_fd); /* its further writes fail */
    c->out_fd = -1;
    last_line(c->line_fd, line);
    do
        pid = waitpid(c->pid, &status, 0);
    while (pid < 0 && errno == EINTR);
    int wait_errno = errno;
    (void)close(c->line_fd);
    *c = CHILD_NONE;
    return pid < 0 ? err_errno(err, wait_errno, "wait for the %s program", name)
                   : judge(line, name, status, result, size, err);
}

void sandboxed_done(struct sandboxed *c)
{
    if (c->out_fd >= 0)
        (void)close(c->out_fd);
    if (c->line_fd >= 0)
        (void)close(c->line_fd);
    if (c->pid > 0) {
        (void)kill(c->pid, SIGKILL);
        (void)waitpid(c->pid, NULL, 0);
    }
    *c = CHILD_NONE;
}
