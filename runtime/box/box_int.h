/* box_int.h - shared by the library and the OCI command line, beyond box.h. Private to runtime/. */
#ifndef RUNTIME_BOX_INT_H
#define RUNTIME_BOX_INT_H
#include <linux/filter.h>

#include "runtime/box/box.h"

/* How a box is launched, beyond its spec. */
struct box_how {
    bool exact;   /* what cannot be done as specified is an error, not a degraded field in the report */
    bool pipes;   /* stdout and stderr go to new pipes (box_started.out_fd, err_fd), stdin is /dev/null */
    int stdio[3]; /* otherwise: borrowed descriptors, above 2 or i itself; -1: /dev/null */
    int hold_fd;  /* OCI create: the program starts when one byte can be read here; -1: at once */
    int console_fd, listener_fd; /* connected unix sockets, see child.h; -1 */
    unsigned preserve_fds;       /* our descriptors 3 .. 3+n-1 are passed to the program */
    bool no_pivot;
    const char *bundle, *annotations; /* for hooks */
};
/* box_start with *how; borrowed during the call. Errors: as box_start. */
NODISCARD int box_launch(const struct cgroup_host *h, const struct spec *s, const struct box_how *how,
                         struct box_started *ret, struct err *err);
/* The control group for a new box at path, created and filled; an empty group left there is removed first.
 * *ret_fresh: there was none, or it was removed. Errors: CONFLICT (it has processes), and a resource of
 * config.json that is not in force. *ret is set as soon as there is one: the caller frees it even after an
 * error. */
NODISCARD int box_make_group(const struct cgroup_host *h, const struct spec *s, const char *path,
                             struct cgroup **ret, bool *ret_fresh, struct box_report *rep, struct err *err);
/* The filter that a process requests: ours or its own; none if the kernel does not support it. */
struct spec_filter box_filter(const struct spec_process *p);
/* Does this kernel support seccomp filters? */
bool box_has_seccomp(void);

/* Our own filter for this architecture, generated at build time from seccomp.list. */
extern const struct sock_filter seccomp_default[];
extern const unsigned short seccomp_default_len;
#endif
