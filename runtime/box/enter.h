/* enter.h - be born inside of namespaces that exist already: of a running box (exec), or of files that
 * config.json names (linux.namespaces[].path). Private to runtime/.
 * A pid and a time namespace are entered by children only, so a helper of ours enters all of them and clones
 * the new process as a child of our caller (CLONE_PARENT), then ends: nobody stands between. */
#ifndef RUNTIME_ENTER_H
#define RUNTIME_ENTER_H
#include "runtime/box/child.h"

struct enter {
    int ns[SPEC_NS_COUNT_];      /* to be entered; -1: stay. Owner: caller, see enter_done */
    uint64_t clone_flags;        /* CLONE_NEW...: newly made, owned by the user namespace entered */
    const struct spec *time;     /* a new time namespace with these offsets; NULL: none */
    const struct cgroup *cgroup; /* the helper, and with it the new process, goes into it; NULL: none */
    bool alone; /* the helper keeps no descriptor but those that it, and the new process, needs */
    /* memory that we share with the helper: gets the new process; NULL: it is sent to us */
    pid_t *shared_pid;
    int oom_score_adj;
    bool oom_score_adj_set, oom_score_adj_soft;
    const char *cpus_initial; /* before the cgroup */
};
void enter_init(struct enter *e); /* nothing to be entered */
void enter_done(struct enter *e);
/* Open what a process has and we have not. Errors: NOTFOUND (no such process), DENIED. */
NODISCARD int enter_open_process(struct enter *e, pid_t pid, struct err *err);
/* The same for one kind. *ret_fd stays as it is when we are in there too, or the kernel has no such kind.
 * Owner: caller. Errors: NOTFOUND, DENIED. */
NODISCARD int enter_open_one(pid_t pid, enum spec_ns_kind kind, int *ret_fd, struct err *err);
/* A socket that belongs to a network namespace; -1: ours. A descriptor or -errno. */
NODISCARD int enter_socket(int ns_fd, int domain, int type, int protocol);
/* Open what the spec joins by path; each file must be a namespace of its kind. Errors: NOTFOUND, INVALID
 * (another kind), DENIED. */
NODISCARD int enter_open_spec(struct enter *e, const struct spec *s, struct err *err);
/* The first half of it: the helper is at work, nobody has waited. Reaping it is for the caller; that ended,
 * *e->shared_pid holds for good. Errors: NOSPACE, NOMEM, IO. */
NODISCARD int enter_begin(const struct enter *e, struct child *c, void (*run)(struct child *), int report_fd,
                          pid_t *ret_helper, struct err *err);
/* Start run(c) inside. report_fd: the read end of the pipe whose write end c->report_fd is. *ret_pid: a child
 * of ours. Errors: as enter_begin; UNSUPPORTED, DENIED (ns_why). */
NODISCARD int enter_spawn(const struct enter *e, struct child *c, void (*run)(struct child *), int report_fd,
                          pid_t *ret_pid, struct err *err);
#endif
