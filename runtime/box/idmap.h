/* idmap.h - ids of a user namespace: written for a new one, applied to mounts. Private to runtime/. */
#ifndef RUNTIME_IDMAP_H
#define RUNTIME_IDMAP_H
#include "runtime/box/child.h"

/* Write uid_map and gid_map of a process in a new user namespace. A plain user gets ranges by newuidmap and
 * newgidmap (subuid(5)), without them only its own id. Errors: DENIED with what is missing. */
NODISCARD int idmap_write(pid_t pid, const struct spec_id_maps *uids, const struct spec_id_maps *gids,
                          struct err *err);
/* A user namespace with these ids and no process: its descriptor, owner: caller. Errors: DENIED, UNSUPPORTED,
 * IO. */
NODISCARD int idmap_open(const struct spec_id_maps *uids, const struct spec_id_maps *gids, int *ret_fd,
                         struct err *err);
/* Idmapped mounts: files keep their ids on disk and show the box's. Applies to the rootfs and the mounts that
 * request it. ns_fd: the box's user namespace; -1: none. 1: not supported for the rootfs by this kernel or
 * file system; else 0 or -kind. note reports a writable mount that did not request it and whose file system
 * does not support it (start with ""; NULL: not needed). */
NODISCARD int idmap_shift(const struct spec *s, const struct child_trees *t, int ns_fd, char *note,
                          size_t note_size, struct err *err);
#endif
