/* idmap.h - ids of a user namespace: written for a new one, laid over mounts. Private to runtime/. */
#ifndef RUNTIME_IDMAP_H
#define RUNTIME_IDMAP_H
#include "runtime/box/child.h"

/* Write uid_map and gid_map of a process in a new user namespace. A plain user gets ranges by newuidmap and
 * newgidmap (subuid(5)), its own id alone without them. Errors: DENIED with what is missing. */
NODISCARD int idmap_write(pid_t pid, const struct spec_id_maps *uids, const struct spec_id_maps *gids,
                          struct err *err);
/* A user namespace with these ids and nobody in it: its descriptor, owner: caller. Errors: DENIED,
 * UNSUPPORTED, IO. */
NODISCARD int idmap_open(const struct spec_id_maps *uids, const struct spec_id_maps *gids, int *ret_fd,
                         struct err *err);
/* Files keep their ids on disk and show the box's: shift the rootfs and the mounts that ask for it. ns_fd:
 * the box's user namespace; -1: none. 1: this kernel or file system cannot shift the rootfs; else 0 or -kind.
 * Of a writable mount that did not ask and whose file system cannot, note says so ("" before; NULL: nobody
 * wants to know). */
NODISCARD int idmap_shift(const struct spec *s, const struct child_trees *t, int ns_fd, char *note,
                          size_t note_size, struct err *err);
#endif
