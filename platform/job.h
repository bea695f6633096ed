/* job.h - slow work in a child: killable, limited by its own cgroup, with a deadline and a one-line verdict.
 * Its memory is gone when it ends. The child is either a function of this program (fork) or another program
 * (exec). */
#ifndef PLATFORM_JOB_H
#define PLATFORM_JOB_H
#include "platform/cgroup/cgroup.h"
#include "platform/loop.h"

struct job;

/* In the child: print lines to the parent. progress: "done total". The verdict is what fn returned, with
 * err's message; a child that dies without one counts as IO ("killed by signal 9", or "out of memory inside
 * its ceiling" if the cgroup reports that). */
void job_line(int line_fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A verdict line: "ok", "ok RESULT" (*ret is ERR_NONE) or "err KIND MESSAGE": its text, borrowed; NULL:
 * another line. */
const char *job_verdict_read(const char *line, enum err_kind *ret);

struct job_spec {
    const char *name; /* cgroup and process title: "fetch", "install" */
    /* Either fn (fork; returns 0 or -kind with err filled; line_fd for job_line) ... */
    int (*fn)(void *arg, int line_fd, struct err *err);
    void *arg;
    /* ... or argv (exec). The program writes its verdict to fd 3: "ok [result]" or "err KIND message". fds[i]
     * becomes its fd 4+i. */
    char *const *argv;
    const int *fds;
    unsigned n_fds;
    const struct cgroup_host *cgroups; /* NULL: no cgroup */
    const char *cgroup_path;
    uint64_t memory_max_bytes;
    uint64_t deadline_ms; /* from now */
};
struct job_verdict {
    struct err err;   /* kind ERR_NONE: success */
    char result[512]; /* text after "ok " */
    bool cancelled;   /* by job_cancel: the result no longer matters */
};
struct job_calls {
    void (*on_line)(void *arg, const char *line);            /* any line except the verdict; may be NULL */
    void (*on_done)(void *arg, const struct job_verdict *v); /* once; the job is freed after it returns */
    void *arg;
};
/* Start it in l; calls is copied. Owner of *ret: the job itself, until on_done has returned. Errors: NOSPACE,
 * NOMEM, IO. */
NODISCARD int job_start(struct loop *l, const struct job_spec *spec, const struct job_calls *calls,
                        struct job **ret, struct err *err);
/* Kill it and all its processes; on_done is called with a verdict of TIMEOUT ("cancelled: why") in a later
 * turn. */
void job_cancel(struct job *j, const char *why);
#endif
