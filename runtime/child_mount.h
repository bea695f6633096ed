/* child_mount.h - the steps that build the container's tree. Private to child.c and child_mount*.c. */
#ifndef RUNTIME_CHILD_MOUNT_H
#define RUNTIME_CHILD_MOUNT_H
#include "runtime/child.h"

int child_op_private(struct child *c, const struct op *op, struct err *err);
int child_op_find_root(struct child *c, const struct op *op, struct err *err);
int child_op_root(struct child *c, const struct op *op, struct err *err);
int child_op_mount(struct child *c, const struct op *op, struct err *err);
int child_op_devices(struct child *c, const struct op *op, struct err *err);
int child_op_read_only(struct child *c, const struct op *op, struct err *err);
int child_op_mask(struct child *c, const struct op *op, struct err *err);
int child_op_seal_root(struct child *c, const struct op *op, struct err *err);
int child_op_pivot(struct child *c, const struct op *op, struct err *err);
#endif
