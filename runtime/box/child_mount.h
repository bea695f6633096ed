/* child_mount.h - the steps that build the container's tree. Private to child.c and child_mount*.c. */
#ifndef RUNTIME_CHILD_MOUNT_H
#define RUNTIME_CHILD_MOUNT_H
#include "runtime/box/child.h"

#define CHILD_FD_TEXT 32
/* A descriptor as a path for mount(2): relative to the host's procfs, which is our working directory and was
 * verified. Returns dst. */
const char *child_fd_text(int fd, char dst[CHILD_FD_TEXT]);
/* Open the parent directories of path below root_fd, creating missing ones, following no link. The last goes
 * to *ret_fd (or root_fd itself; nothing closes it, see OP_CLOSE), the last component to *ret_last. Errors:
 * NOTFOUND, DENIED, IO. */
NODISCARD int child_make_parents(int root_fd, const char *path, int *ret_fd, const char **ret_last,
                                 struct err *err);
/* Copy the contents of directory from_fd into the empty directory to_fd: files, directories, symlinks with
 * owner, mode, times. Errors: NOSPACE, IO. */
NODISCARD int child_copy_up(int from_fd, int to_fd, struct err *err);
/* Apply propagation and recursive options to a mount in its place. Errors: errno by err_errno. */
NODISCARD int child_finish_mount(const struct spec_mount *m, int top_fd, struct err *err);
/* Change the flags of the mount that fd is the top of; existing flags are kept, except those in clear (MS_).
 * Errors: errno by err_errno. */
NODISCARD int child_remount(int fd, unsigned long add, unsigned long clear, struct err *err);
/* The null device at /dev/null of the current tree, verified. NOTFOUND. */
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
