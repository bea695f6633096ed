/* mount_clone.h - detached copies of the mounts that a box is built of. Private to runtime/. */
#ifndef RUNTIME_MOUNT_CLONE_H
#define RUNTIME_MOUNT_CLONE_H
#include "runtime/box/child.h"

/* Clone the rootfs and the sources of binds while we see them as the host does, with their flags and
 * propagation: no mount event goes in or out (a host's / is often shared) unless a mount asks for it. 1:
 * done; 0: this kernel cannot, or we may not (a plain user): all stay -1 and the child binds by path. Errors:
 * NOTFOUND (a source), IO. *t: all -1 before; give it to mount_clone_close. */
NODISCARD int mount_clone_open(const struct spec *s, int rootfs_fd, struct child_trees *t, struct err *err);
/* The same for one bind: a detached copy of its source, or -1 and errno. Owner: caller. */
NODISCARD int mount_clone_one(const struct spec_mount *m);
void mount_clone_close(struct child_trees *t);
#endif
