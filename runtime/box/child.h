/* child.h - in box_start and box_exec_start, between clone and exec: runs the list of steps (ops.h).
 * Everything that needs the host's view (sources of binds, the filter, cgroups) was opened by the parent and
 * is inherited. Private to runtime/. */
#ifndef RUNTIME_CHILD_H
#define RUNTIME_CHILD_H
#include <sys/types.h>

#include "runtime/box/ops.h"

/* Detached mounts cloned by the parent (open_tree); -1: not supported, or not permitted: the child binds by
 * path. */
struct child_trees {
    int root;
    int mounts[SPEC_MOUNTS];
};
/* What only the parent knows, and only after the clone. */
struct child_go {
    char address[16];  /* bridge: "10.88.77.5" */
    char address6[46]; /* bridge: "" if the host has no IPv6 */
    pid_t pid;         /* of the child, as the host sees it */
};
struct child {
    const struct spec *spec;
    const struct ops *ops;
    const struct cgroup *cgroup;
    bool in_v2;     /* already cloned into the v2 group */
    bool in_cgroup; /* into all of them, by our parent */
    bool modern;    /* the kernel has open_tree, move_mount, mount_setattr, and the parent could use them */
    /* the parent is a plain user: it may write our id maps only while we are dumpable */
    bool plain;
    bool no_pivot; /* use MS_MOVE and chroot instead */
    struct child_trees trees;
    int report_fd;         /* write end: struct child_report, or just end of file after a successful exec */
    int go_fd;             /* read end: struct child_go when the parent is ready, one byte after its hooks */
    int parent_fd;         /* the other end of go_fd, inherited: must be closed */
    int hold_fd;           /* OCI create: one byte starts the program; -1 */
    int join_fd;           /* exec: one byte once the parent has put us into the control group; -1 */
    int console_fd;        /* terminal: a connected unix socket that gets the master; -1 */
    int listener_fd;       /* seccomp: a connected unix socket that gets the notification descriptor; -1 */
    int init_fd;           /* limpet-init, executed with the program as its arguments; -1 */
    int stdio[3];          /* -1: the box's /dev/null */
    bool ctty;             /* make stdin the controlling terminal */
    unsigned preserve_fds; /* CLI: 3 .. 3+n-1 stay open */
    struct spec_filter filter;
    const char *bundle, *annotations; /* for hooks */
    /* The child's own state. */
    struct child_go go;
    int proc_fd, place_fd, root_fd, null_fd, empty_fd;
    char program[LIM_PATH_BYTES];
};
#define CHILD_MORE_FDS 24
enum child_stage {
    CHILD_FAILED, /* err */
    CHILD_PID,    /* pid: from the helper, see enter.h */
    CHILD_HOOKS,  /* the parent's hooks may run */
    CHILD_READY,  /* OP_HOLD reached */
    CHILD_JOIN,   /* OP_JOIN reached: the parent puts it into its control group */
};
struct child_report {
    enum child_stage stage;
    pid_t pid;
    uint64_t mount; /* live.c: id of the new mount */
    struct err err;
};
/* Initialise for this spec and these steps; all descriptors -1. */
void child_init(struct child *c, const struct spec *s, const struct ops *o);
/* Never returns. */
void child_run(struct child *c) __attribute__((noreturn));
/* The same for a process that only joins: c->proc_fd is the host's procfs, the rest of its own state is
 * unset. */
void child_run_exec(struct child *c) __attribute__((noreturn));

/* Close every descriptor except those needed by the remaining steps and these. */
void child_close_others(const struct child *c, const int *more, unsigned n_more);

/* /proc of our current mount namespace, verified to be procfs. Errors: NOTFOUND, DENIED. */
NODISCARD int child_open_proc(int *ret_fd, struct err *err);

/* child_op_...: the step of ops.h of that name: 0, or -kind with err filled. */
NODISCARD int child_op_console(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_scheduler(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_personality(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_label(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_bound(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_user(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_seccomp(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_program(struct child *c, const struct op *op, struct err *err);

/* Become user and group 0 of our current user namespace; groups are dropped if permitted. Errors: DENIED,
 * IO. */
NODISCARD int child_be_root(struct err *err);
/* Change to process.cwd. Errors: NOTFOUND, DENIED (also: outside the container). */
NODISCARD int child_chdir(const char *cwd, struct err *err);
/* execCPUAffinity's lists; which: "initial", "final"; NULL: no-op. pid 0: ourselves. Errors: INVALID (none of
 * these CPUs is available to us), NOTFOUND. */
NODISCARD int child_set_cpus(pid_t pid, const char *list, const char *which, struct err *err);
/* "0-3,7" as a mask for sched_setaffinity(2). False: malformed, or a CPU above 1023. */
bool child_parse_cpus(const char *list, unsigned long *mask, size_t words);
#endif
