/* child_mount.h - the steps that build the container's tree. Private to child.c and child_mount*.c. */
#ifndef RUNTIME_CHILD_MOUNT_H
#define RUNTIME_CHILD_MOUNT_H
#include "runtime/box/child.h"

#define CHILD_FD_TEXT 32
/* A descriptor as a path for mount(2): relative to the host's procfs, which is our working directory and was
 * checked. Returns dst. */
const char *child_fd_text(int fd, char dst[CHILD_FD_TEXT]);
/* Directories of the way to path (exclusive) below root_fd, each made if missing, no link followed. The last
 * stands in *ret_fd (or root_fd itself; nobody closes it, see OP_CLOSE), the rest of the path in *ret_last.
 * Errors: NOTFOUND, DENIED, IO. */
NODISCARD int child_make_parents(int root_fd, const char *path, int *ret_fd, const char **ret_last,
                                 struct err *err);
/* What lies in the directory from_fd, into the empty directory to_fd: files, directories, links with owner,
 * mode, times. Errors: NOSPACE, IO. */
NODISCARD int child_copy_up(int from_fd, int to_fd, struct err *err);
/* Propagation and recursive options of a mount that is in its place. Errors: the kernel's by err_errno. */
NODISCARD int child_finish_mount(const struct spec_mount *m, int top_fd, struct err *err);
/* Change the flags of the mount that fd is the top of; what it has already stays, but for clear (MS_).
 * Errors: the kernel's by err_errno. */
NODISCARD int child_remount(int fd, unsigned long add, unsigned long clear, struct err *err);
/* The null device at /dev/null of the tree that we see now, proven to be it. NOTFOUND. */
NODISCARD int child_open_null(int *ret_fd, struct err *err);

/* child_op_...: the step of ops.h of that name: 0, or -kind with err filled. */
NODISCARD int child_op_private(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_find_root(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_root(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_mount(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_devices(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_read_only(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_mask(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_seal_root(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_seal_dev(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_device(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_propagation(struct child *c, const struct op *op, struct err *err);
NODISCARD int child_op_pivot(struct child *c, const struct op *op, struct err *err);
#endif
