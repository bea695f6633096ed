/* untar_run.c - starting the sandboxed untar program and hearing its verdict. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "ota/layer.h"
#include "ota/store_int.h"
#include "platform/sys.h"

#define ARGS_MAX 16
#define FIRST_FD 3
#define N_FDS    3

/* Put line, blob and pipe at 3, 4 and 5; first all above that range, so that no move overwrites a source. */
static void exec_untar(char *const *argv, const int fds[N_FDS])
{
    static char *const no_env[] = {NULL};
    int high[N_FDS];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < N_FDS; i++)
        high[i] = fcntl(fds[i], F_DUPFD, FIRST_FD + N_FDS);
    for (int i = 0; i < N_FDS; i++)
        if (high[i] < 0 || dup2(high[i], FIRST_FD + i) < 0)
            _exit(126);
    sys_close_from(FIRST_FD + N_FDS, NULL, 0);
    (void)execve(argv[0], argv, no_env);
    _exit(127);
}

static int start(char *const *argv, int blob_fd, struct untar_run *ret, struct err *err)
{
    int line[2], entries[2];

    if (pipe2(line, O_CLOEXEC) < 0)
        return err_errno(err, errno, "pipe");
    if (pipe2(entries, O_CLOEXEC) < 0) {
        (void)close(line[0]);
        (void)close(line[1]);
        return err_errno(err, errno, "pipe");
    }
    pid_t pid = fork();
    int fork_errno = errno;
    if (pid == 0)
        exec_untar(argv, (const int[N_FDS]){line[1], blob_fd, entries[1]});
    (void)close(line[1]);
    (void)close(entries[1]);
    if (pid < 0) {
        (void)close(line[0]);
        (void)close(entries[0]);
        return err_errno(err, fork_errno, "fork");
    }
    *ret = (struct untar_run){.pid = pid, .entry_fd = entries[0], .line_fd = line[0]};
    return 0;
}

int untar_run_start(char *const *argv, int blob_fd, enum oci_codec codec, const struct digest *diff_id,
                    uint64_t max_tar_bytes, bool whiteouts_only, struct untar_run *ret, struct err *err)
{
    char diff[SHA256_TEXT], bytes[24], what[16], codec_text[8];
    char *all[ARGS_MAX + 5] = {NULL};
    unsigned n = 0;

    while (argv[n] && n < ARGS_MAX) {
        all[n] = argv[n];
        n++;
    }
    (void)str_copy(codec_text, sizeof(codec_text), layer_codec_name(codec));
    (void)digest_text(diff_id, diff);
    (void)str_fmt(bytes, sizeof(bytes), "%llu", (unsigned long long)max_tar_bytes);
    (void)str_copy(what, sizeof(what), whiteouts_only ? "whiteouts" : "all");
    all[n++] = codec_text;
    all[n++] = diff;
    all[n++] = bytes;
    all[n] = what;
    return start(all, blob_fd, ret, err);
}

/* "ok" or "err KIND message": a sandboxed stranger's words, so they decide only how its failure is called. */
static int judge(const char *line, int status, struct err *err)
{
    char kind[24], shown[ERR_MSG_BYTES];
    int at = 0;

    if (strcmp(line, "ok") == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (sscanf(line, "err %23s %n", kind, &at) == 1 && at > 0) {
        enum err_kind k = err_kind_parse(kind);
        return err_set(err, k == ERR_NONE ? ERR_IO : k, "%s",
                       entry_printable(line + at, shown, sizeof(shown)));
    }
    if (WIFSIGNALED(status))
        return err_set(err, ERR_IO, "the untar program was killed by signal %d", WTERMSIG(status));
    return err_set(err, ERR_IO, "the untar program ended with status %d", WEXITSTATUS(status));
}

int untar_run_end(struct untar_run *r, struct err *err)
{
    char line[LIM_LINE_BYTES];
    int status = 0;
    pid_t pid;

    (void)close(r->entry_fd); /* it gets SIGPIPE if it still writes */
    r->entry_fd = -1;
    ssize_t n = fs_read_full(r->line_fd, line, sizeof(line) - 1, NULL);
    line[n > 0 ? n : 0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    do
        pid = waitpid(r->pid, &status, 0);
    while (pid < 0 && errno == EINTR);
    r->pid = 0;
    return pid < 0 ? err_errno(err, errno, "wait for the untar program") : judge(line, status, err);
}

void untar_run_done(struct untar_run *r)
{
    if (r->entry_fd >= 0)
        (void)close(r->entry_fd);
    if (r->line_fd >= 0)
        (void)close(r->line_fd);
    if (r->pid > 0) {
        (void)kill(r->pid, SIGKILL);
        (void)waitpid(r->pid, NULL, 0);
    }
    *r = (struct untar_run){.entry_fd = -1, .line_fd = -1};
}
