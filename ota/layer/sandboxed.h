/* sandboxed.h - a sandboxed program next to a running job: forked and executed with only the given
 * descriptors, no environment, a pipe for its output and a pipe for its lines. It shares the job's cgroup.
 * Private to ota/. Threads: none. Blocks: only sandboxed_end. */
#ifndef OTA_SANDBOXED_H
#define OTA_SANDBOXED_H
#include <sys/types.h>

#include "platform/err.h"

#define CHILD_FDS_MAX 8

struct sandboxed {
    pid_t pid;
    int out_fd, line_fd; /* our ends: its output, its lines; -1: none */
};
#define CHILD_NONE       \
    (struct sandboxed)   \
    {                    \
        .pid = 0, -1, -1 \
    }

/* Start argv. Its lines go to fd 3, fds[0] is its fd 4, the pipe for its output 5, fds[1..] from 6 on
 * (borrowed). It is killed when we die. Errors: INVALID (too many fds), IO. Owner of *ret: caller
 * (sandboxed_end or sandboxed_done). */
NODISCARD int sandboxed_start(char *const *argv, const int *fds, unsigned n_fds, struct sandboxed *ret,
                              struct err *err);
/* Read its verdict and reap it: 0 after "ok", with the text after it in result (may be NULL); else the error
 * it reported, or how it died. It is untrusted: its text only decides which kind of failure is reported.
 * Closes both fds. */
NODISCARD int sandboxed_end(struct sandboxed *c, const char *name, char *result, size_t size,
                            struct err *err);
/* Kill and reap it if it still runs. Leaves err unchanged. */
void sandboxed_done(struct sandboxed *c);
#endif
