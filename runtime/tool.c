/* tool.c - see tool.h. */
#include "runtime/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/fs.h"
#include "platform/sys.h"
#include "runtime/child.h"

static void run(const struct tool *t, int in, int out)
{
    struct rlimit most = {TOOL_OUTPUT_BYTES, TOOL_OUTPUT_BYTES};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(t->with_stderr || null < 0 ? out : null, 2) < 0 ||
        chdir("/") != 0)
        _exit(126);
    (void)setrlimit(RLIMIT_FSIZE, &most);
    child_reset_signals(-1);
    sys_close_from(3, NULL, 0);
    (void)execve(t->path, (char *const *)(uintptr_t)t->args, (char *const *)(uintptr_t)t->env);
    _exit(127);
}

/* False: its time is over. */
static bool wait_for(pid_t pid, unsigned timeout_ms, int *ret_status)
{
    AUTO_FD int pidfd = sys_pidfd_open(pid);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    struct timespec pause = {0, 2000000};
    unsigned spent_ms = 0;

    for (;;) {
        pid_t got = waitpid(pid, ret_status, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            return true;
        if (spent_ms >= timeout_ms)
            return false;
        if (pidfd < 0) {
            (void)nanosleep(&pause, NULL);
            spent_ms += 2;
        } else if (poll(&p, 1, (int)(timeout_ms - spent_ms)) == 0) {
            spent_ms = timeout_ms;
        }
    }
}

static int read_back(int fd, char **ret, struct err *err)
{
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) != 0 || lseek(fd, 0, SEEK_SET) != 0)
        return err_errno(err, errno, "output");
    *ret = mem_need((size_t)st.st_size + 1);
    n = fs_read_full(fd, *ret, (size_t)st.st_size, err);
    if (n < 0) {
        free(*ret);
        *ret = NULL;
        return (int)n;
    }
    (*ret)[n] = '\0';
    return 0;
}

int tool_run(const struct tool *t, char **ret_out, int *ret_status, struct err *err)
{
    AUTO_FD int in = memfd_create("limpet-in", MFD_CLOEXEC);
    AUTO_FD int out = memfd_create("limpet-out", MFD_CLOEXEC);
    pid_t pid;
    int r;

    if (in < 0 || out < 0)
        return err_errno(err, errno, "memfd");
    if ((r = fs_write_full(in, t->input, err)) < 0)
        return r;
    if (lseek(in, 0, SEEK_SET) != 0)
        return err_errno(err, errno, "input");
    pid = fork();
    if (pid < 0)
        return err_errno(err, errno, "fork");
    if (pid == 0)
        run(t, in, out);
    if (!wait_for(pid, t->timeout_ms, ret_status)) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return err_set(err, ERR_TIMEOUT, "%s did not end within %u ms", t->path, t->timeout_ms);
    }
    return read_back(out, ret_out, err);
}
