/* sandboxed.h - a sandboxed program beside a job that runs already: forked and executed with the descriptors
 * it may have, no environment, a pipe for what it makes and a pipe for its lines. It shares the job's cgroup.
 * Private to ota/. Threads: none. Blocks: only sandboxed_end. */
#ifndef OTA_SANDBOXED_H
#define OTA_SANDBOXED_H
#include <sys/types.h>

#include "platform/err.h"

#define CHILD_FDS_MAX 8

struct sandboxed {
    pid_t pid;
    int out_fd, line_fd; /* ours: what it makes, what it says; -1: none */
};
#define CHILD_NONE       \
    (struct sandboxed)   \
    {                    \
        .pid = 0, -1, -1 \
    }

/* Start argv. It finds its lines at 3, fds[0] at 4, the pipe for what it makes at 5, fds[1..] from 6 on
 * (those are borrowed). It dies with us. Errors: INVALID (too many fds), IO. Owner of *ret: caller
 * (sandboxed_end or sandboxed_done). */
NODISCARD int sandboxed_start(char *const *argv, const int *fds, unsigned n_fds, struct sandboxed *ret,
                              struct err *err);
/* Hear its verdict and reap it: 0 after "ok", with the text behind it in result (may be NULL); else what it
 * said, or how it died. A sandboxed stranger's words, so they decide only what its failure is called. Closes
 * both fds.
 */
NODISCARD int sandboxed_end(struct sandboxed *c, const char *name, char *result, size_t size,
                            struct err *err);
/* Kill and reap, when it still runs. Keeps err alone. */
void sandboxed_done(struct sandboxed *c);
#endif
