/* hooks.c - see hooks.h. */
#include "runtime/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/json.h"
#include "platform/sys.h"
#include "runtime/child.h"

char *hooks_state_text(const struct hooks_state *s)
{
    struct cJSON *o = json_obj();
    struct json_cur a;
    char *text;

    json_put_str(o, "ociVersion", SPEC_OCI_VERSION);
    json_put_str(o, "id", s->id);
    json_put_str(o, "status", s->status);
    if (s->pid > 0)
        json_put_u64(o, "pid", (uint64_t)s->pid);
    json_put_str(o, "bundle", s->bundle ? s->bundle : "");
    if (s->annotations && json_parse(buf_str(s->annotations), &json_limits_config, &a, NULL) == 0) {
        json_put_copy(o, "annotations", &a);
        (void)json_free(a.node);
    }
    text = json_print(o, false);
    (void)json_free(o);
    return text;
}

static void exec_hook(const struct spec_hook *h, int in)
{
    static const char *const none[] = {NULL};
    const char *const alone[] = {h->path, NULL};
    const char *const *args = h->args && h->args[0] ? h->args : alone, *const *env = h->env ? h->env : none;

    if (dup2(in, 0) < 0)
        _exit(126);
    child_reset_signals();
    sys_close_from(3, NULL, 0);
    (void)execve(h->path, (char *const *)(uintptr_t)args, (char *const *)(uintptr_t)env);
    (void)dprintf(2, "limpet: hook %s: %s\n", h->path, strerror(errno));
    _exit(127);
}

/* Until it ends or its time is over. 1: over. */
static int wait_for(pid_t pid, unsigned timeout_s, int *ret_status)
{
    struct timespec now, end, pause = {0, 2000000};

    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout_s;
    for (;;) {
        pid_t got = waitpid(pid, ret_status, timeout_s ? WNOHANG : 0);
        if (got == pid || (got < 0 && errno != EINTR))
            return 0;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        if (timeout_s &&
            (now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec)))
            return 1;
        if (timeout_s)
            (void)nanosleep(&pause, NULL);
    }
}

/* The state is written whole before anybody reads: a pipe holds 64 KiB, larger ones are fed while it runs. */
static void feed(int fd, const char *text)
{
    size_t len = strlen(text), at = 0;
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    while (at < len && poll(&p, 1, 5000) > 0) {
        ssize_t n = write(fd, text + at, len - at);
        if (n <= 0)
            break; /* it does not want to know */
        at += (size_t)n;
    }
}

static int run_one(const struct spec_hook *h, const char *kind, const char *state, struct err *err)
{
    AUTO_FD int in = -1;
    AUTO_FD int out = -1;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    int pipe_fds[2], status = 0;
    pid_t pid;

    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return err_errno(err, errno, "pipe");
    in = pipe_fds[0];
    out = pipe_fds[1];
    (void)fcntl(out, F_SETFL, O_NONBLOCK);
    pid = fork();
    if (pid < 0)
        return err_errno(err, errno, "fork");
    if (pid == 0)
        exec_hook(h, in);
    (void)close(steal_fd(&in));
    (void)sigaction(SIGPIPE, &ignore, &before);
    feed(out, state);
    (void)sigaction(SIGPIPE, &before, NULL);
    (void)close(steal_fd(&out));
    if (wait_for(pid, h->timeout_s, &status) != 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return err_set(err, ERR_TIMEOUT, "hooks.%s: %s did not end within %u s", kind, h->path, h->timeout_s);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return err_set(err, ERR_IO, "hooks.%s: %s %s %d", kind, h->path,
                   WIFEXITED(status) ? "ended with status" : "was killed by signal",
                   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

int hooks_run(const struct spec_hooks *h, const char *kind, const struct hooks_state *s, bool go_on,
              struct err *err)
{
    AUTO_MEM char *text = h->n ? hooks_state_text(s) : NULL;
    int r = 0;

    for (unsigned i = 0; i < h->n && (r == 0 || go_on); i++) {
        int one = run_one(&h->list[i], kind, text, r == 0 ? err : NULL);
        r = r == 0 ? one : r;
    }
    return r;
}
