/* enter.h - starts a process in existing namespaces: those of a running box (exec), or files named in
 * config.json (linux.namespaces[].path). Private to runtime/.
 * Only children enter a pid or time namespace, so a helper enters all of them, clones the new process as a
 * child of our caller (CLONE_PARENT), then exits: no process stays in between. */
#ifndef RUNTIME_ENTER_H
#define RUNTIME_ENTER_H
#include "runtime/box/child.h"

struct enter {
    int ns[SPEC_NS_COUNT_];      /* to enter; -1: stay. Owner: caller, see enter_done */
    uint64_t clone_flags;        /* CLONE_NEW...: newly created, owned by the user namespace entered */
    const struct spec *time;     /* a new time namespace with these offsets; NULL: none */
    const struct cgroup *cgroup; /* the helper, and with it the new process, joins it; NULL: none */
    bool alone;                  /* the helper keeps only the descriptors that it and the new process need */
    /* memory shared with the helper: gets the new pid; NULL: it is sent to us */
    pid_t *shared_pid;
    int oom_score_adj;
    bool oom_score_adj_set, oom_score_adj_soft;
    const char *cpus_initial; /* before the cgroup */
};
void enter_init(struct enter *e); /* nothing to enter */
void enter_done(struct enter *e);
/* Open the namespaces of a process that differ from ours. Errors: NOTFOUND (no such process), DENIED. */
NODISCARD int enter_open_process(struct enter *e, pid_t pid, struct err *err);
/* The same for one type. *ret_fd is unchanged if we are in it too, or the kernel lacks this type. Owner:
 * caller. Errors: NOTFOUND, DENIED. */
NODISCARD int enter_open_one(pid_t pid, enum spec_ns_kind kind, int *ret_fd, struct err *err);
/* A socket in a network namespace; -1: ours. A descriptor or -errno. */
NODISCARD int enter_socket(int ns_fd, int domain, int type, int protocol);
/* Open the namespaces that the spec joins by path; each file must be of the right type. Errors: NOTFOUND,
 * INVALID (another type), DENIED. */
NODISCARD int enter_open_spec(struct enter *e, const struct spec *s, struct err *err);
/* Its first half, without waiting: the helper is running. The caller reaps it; after that *e->shared_pid is
 * final. Errors: NOSPACE, NOMEM, IO. */
NODISCARD int enter_begin(const struct enter *e, struct child *c, void (*run)(struct child *), int report_fd,
                          pid_t *ret_helper, struct err *err);
/* Run run(c) inside. report_fd: the read end of the pipe whose write end is c->report_fd. *ret_pid: a child
 * of ours. Errors: as enter_begin; UNSUPPORTED, DENIED (ns_why). */
NODISCARD int enter_spawn(const struct enter *e, struct child *c, void (*run)(struct child *), int report_fd,
                          pid_t *ret_pid, struct err *err);
#endif
