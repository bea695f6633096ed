/* tool.c - see tool.h. */
#include "runtime/box/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/patience.h"
#include "platform/sys.h"

/* Its descriptors 0, 1, 2: files in memory, themselves above 2, so that no dup2 overwrites another; -1:
 * inherit ours. */
struct files {
    int fd[3];
};

static void files_done(struct files *f)
{
    for (int i = 0; i < 3; i++)
        if (f->fd[i] >= 0)
            (void)close(f->fd[i]);
}

static int new_file(int *ret, struct err *err)
{
    int fd = memfd_create("limpet-tool", MFD_CLOEXEC);

    if (fd >= 0 && fd < 3) {
        *ret = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        (void)close(fd);
    } else {
        *ret = fd;
    }
    return *ret >= 0 ? 0 : err_errno(err, errno, "memfd");
}

static void become(const struct tool *t, const struct files *f)
{
    struct rlimit most = {TOOL_OUTPUT_BYTES, TOOL_OUTPUT_BYTES};

    for (int i = 0; i < 3; i++)
        if (f->fd[i] >= 0 && dup2(f->fd[i], i) < 0)
            _exit(126);
    if (!t->inherit && (chdir("/") != 0 || setrlimit(RLIMIT_FSIZE, &most) != 0))
        _exit(126);
    sys_reset_signals(-1);
    sys_close_from(3, NULL, 0);
    (void)execve(t->path, (char *const *)(uintptr_t)t->args, (char *const *)(uintptr_t)t->env);
    (void)dprintf(2, "limpet: %s: %s\n", t->path, strerror(errno));
    _exit(127);
}

static int run(const struct tool *t, const struct files *f, int *ret_status, struct err *err)
{
    /* an ignored SIGCHLD would discard the status */
    struct sigaction dfl = {.sa_handler = SIG_DFL}, before;
    uint64_t limit_ms = patience_ms(t->timeout_s ? t->timeout_s * UINT64_C(1000) : UINT64_MAX);
    bool ended = true;
    pid_t pid;

    (void)sigaction(SIGCHLD, &dfl, &before);
    pid = fork();
    if (pid == 0)
        become(t, f);
    if (pid > 0 && !(ended = sys_wait_child(pid, limit_ms, ret_status))) {
        (void)kill(pid, SIGKILL);
        (void)sys_wait_child(pid, UINT64_MAX, ret_status);
    }
    if (sigaction(SIGCHLD, &before, NULL) != 0 || pid < 0)
        return err_errno(err, errno, "fork");
    return ended ? 0
                 : err_set(err, ERR_TIMEOUT, "%s did not end within %g s", t->path, (double)limit_ms / 1000);
}

static int read_back(int fd, char **ret, size_t *ret_len, struct err *err)
{
    AUTO_MEM char *text = NULL;
    struct stat st = {0};
    ssize_t n = 0;

    if (fd >= 0 && (fstat(fd, &st) != 0 || lseek(fd, 0, SEEK_SET) != 0))
        return err_errno(err, errno, "output");
    text = mem_need((size_t)st.st_size + 1);
    if (fd >= 0 && (n = fs_read_full(fd, text, (size_t)st.st_size, err)) < 0)
        return (int)n;
    text[n] = '\0';
    *ret = steal_ptr(&text);
    *ret_len = (size_t)n;
    return 0;
}

static int run_with(const struct tool *t, struct files *f, struct tool_result *res, struct err *err)
{
    size_t ignored;
    int rc;

    for (int i = 0; i < (t->inherit ? 1 : 3); i++)
        if ((rc = new_file(&f->fd[i], err)) < 0)
            return rc;
    if ((rc = fs_write_full(f->fd[0], t->input, err)) < 0)
        return rc;
    if (lseek(f->fd[0], 0, SEEK_SET) != 0)
        return err_errno(err, errno, "input");
    if ((rc = run(t, f, &res->status, err)) < 0 ||
        (rc = read_back(f->fd[1], &res->out, &res->out_len, err)) < 0)
        return rc;
    return read_back(f->fd[2], &res->complaint, &ignored, err);
}

int tool_run(const struct tool *t, struct tool_result *ret, struct err *err)
{
    AUTO_TOOL_RESULT res = {0};
    struct files f = {{-1, -1, -1}};
    int rc = run_with(t, &f, &res, err);

    files_done(&f);
    if (rc < 0)
        return rc;
    *ret = res;
    res = (struct tool_result){0};
    return 0;
}

bool tool_is_well(const struct tool_result *r)
{
    return WIFEXITED(r->status) && WEXITSTATUS(r->status) == 0;
}

void tool_describe(const struct tool_result *r, char *dst, size_t size)
{
    bool exited = WIFEXITED(r->status);

    (void)snprintf(dst, size, "%s %d", exited ? "ended with status" : "was killed by signal",
                   exited ? WEXITSTATUS(r->status) : WTERMSIG(r->status));
}

void tool_result_done(struct tool_result *r)
{
    free(r->out);
    free(r->complaint);
    *r = (struct tool_result){0};
}
