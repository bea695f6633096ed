/* child.h - inside of box_start, between clone and exec: walk the list of steps (ops.h). Everything that
 * needs the host's view (sources of binds, the filter, cgroups) was opened by the parent and is inherited.
 * Private to runtime/. */
#ifndef RUNTIME_CHILD_H
#define RUNTIME_CHILD_H
#include <linux/filter.h>

#include "runtime/ops.h"

#define CHILD_NODES 6
struct child_node {
    const char *name;
    unsigned major, minor;
};
extern const struct child_node child_nodes[CHILD_NODES]; /* devices that every box has */

/* Detached mounts that the parent cloned (open_tree); -1: the kernel cannot, the child binds by path. */
struct child_trees {
    int root;
    int mounts[LIM_MOUNTS + 16];
    int nodes[CHILD_NODES];
};
struct child {
    const struct spec *spec;
    const struct ops *ops;
    const struct cgroup *cgroup;
    bool in_v2;  /* cloned into the v2 group already */
    bool modern; /* the kernel has open_tree, move_mount, mount_setattr */
    struct child_trees trees;
    int report_fd; /* write end: one struct child_report, or nothing but the end of file when exec went well
                    */
    int go_fd;     /* read end: the address (see below) when the parent is ready */
    int hold_fd;   /* OCI create: one byte starts the program; -1 */
    int stdio[3];  /* -1: the box's /dev/null */
    unsigned preserve_fds; /* CLI: 3 .. 3+n-1 stay open */
    const struct sock_filter *filter;
    unsigned short n_filter;
    char address[16]; /* bridge: "10.88.77.5"; comes through go_fd */
    /* The child's own. */
    int proc_fd, place_fd, root_fd, null_fd;
    char program[LIM_PATH_BYTES];
};
struct child_report {
    bool ready; /* OP_HOLD reached; else err */
    struct err err;
};
/* Never returns. */
void child_run(struct child *c) __attribute__((noreturn));

/* The tail that box_exec_start shares: no ambient, no bounding set, groups, ids, capabilities. */
int child_drop_bounding(uint64_t caps, struct err *err);
int child_set_user(uint32_t uid, uint32_t gid, const uint32_t *groups, unsigned n_groups, uint64_t caps,
                   struct err *err);
int child_no_new_privs(struct err *err);
int child_filter(const struct sock_filter *filter, unsigned short n, struct err *err);
int child_chdir(const char *cwd, struct err *err);
void child_reset_signals(void);
/* args[0] as execvp would find it with PATH of env, into dst. Errors: NOTFOUND, DENIED. */
int child_find_program(const char *name, const char *const *env, char *dst, size_t size, struct err *err);
#endif
