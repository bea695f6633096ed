/* box_priv.h - what the library and the OCI command line share beyond box.h. Private to runtime/. */
#ifndef RUNTIME_BOX_PRIV_H
#define RUNTIME_BOX_PRIV_H
#include <linux/filter.h>

#include "runtime/box.h"

/* How a box is launched, beyond its spec. */
struct box_how {
    bool pipes;   /* stdout and stderr go to new pipes (box_started.out_fd, err_fd), stdin is /dev/null */
    int stdio[3]; /* else: borrowed descriptors; -1: /dev/null */
    int hold_fd;  /* OCI create: the program starts when one byte can be read here; -1: at once */
    unsigned preserve_fds; /* 3 .. 3+n-1 of ours go to the program */
};
int box_launch(const struct cgroup_host *h, const struct spec *s, const struct box_how *how,
               struct box_started *ret, struct err *err);
/* Can this kernel filter system calls? */
bool box_has_seccomp(void);

/* Our own filter for this architecture, made at build time from seccomp.list. */

extern const struct sock_filter seccomp_default[];
extern const unsigned short seccomp_default_len;
#endif
