/* mount_clone.h - detached copies of the mounts that a box consists of. Private to runtime/. */
#ifndef RUNTIME_MOUNT_CLONE_H
#define RUNTIME_MOUNT_CLONE_H
#include "runtime/box/child.h"

/* Clone the rootfs and the sources of binds while we see them as the host does, with their flags and
 * propagation: no mount event passes in or out (a host's / is often shared) unless a mount requests it. 1:
 * done; 0: not supported, or not permitted (a plain user): all stay -1 and the child binds by path. Errors:
 * NOTFOUND (a source), IO. *t: all -1 before; end with mount_clone_close. */
NODISCARD int mount_clone_open(const struct spec *s, int rootfs_fd, struct child_trees *t, struct err *err);
/* The same for one bind: a detached copy of its source, or -1 and errno. Owner: caller. */
NODISCARD int mount_clone_one(const struct spec_mount *m);
void mount_clone_close(struct child_trees *t);
#endif
