/* live.h - changes a running box: adds and removes mounts and devices. What is added is opened on the host
 * and passed in as a descriptor; places are found only below the box's own "/" (L17). It is done by a
 * short-lived process in the box's mount and user namespaces, which is invisible to the box (not in its pid
 * namespace). Blocks: some milliseconds, 5 s at most. Threads: one. */
#ifndef RUNTIME_LIVE_H
#define RUNTIME_LIVE_H
#include "runtime/box/box.h"

/* Add a mount, as at the start of a box (spec.h); a missing mount point is created if the box is writable
 * there. Sources need Linux 5.2. Errors: NOTFOUND (no such box, source, or place), UNSUPPORTED, DENIED. */
NODISCARD int live_mount_add(const struct box_id *b, const struct spec_mount *m, uint64_t *ret_mount,
                             struct err *err);
/* Unmount the one that add returned as *ret_mount, with all below it, wherever the box has moved it; target
 * is for messages. NOTFOUND: it is gone. */
NODISCARD int live_mount_remove(const struct box_id *b, const char *target, uint64_t mount, struct err *err);

/* A device of the host as the box sees it. */
struct live_device {
    const char *path; /* path in the box, below /dev */
    char type;        /* 'c' or 'b' */
    uint32_t major, minor;
    unsigned access; /* CGROUP_DEV_READ, CGROUP_DEV_WRITE: for everyone in the box; the node is owned by its
                      * root */
};
/* Add node and permission (cgroup rule). maps: the box's; NULL: it has no user namespace. work_fd: a
 * directory of ours on a file system that supports nodes (it may be mounted nodev): with a user namespace the
 * node is created there, moved inside and unlinked. A file, link or device already at the path is replaced;
 * no link is followed. A /dev that is read-only for the box stays so. A machine without device rules is not
 * an error: *ret_rule reports what is in force. Errors: NOTFOUND (the box has ended), UNSUPPORTED (a user
 * namespace, and a kernel before 5.2), DENIED. */
NODISCARD int live_device_add(const struct cgroup_host *h, const struct box_id *b,
                              const struct live_device *d, const struct spec_id_maps *uid_maps,
                              const struct spec_id_maps *gid_maps, int work_fd, struct cgroup_field *ret_rule,
                              struct err *err);
/* Remove both. What the box has open stays open: that is between the program and the driver. A box that has
 * ended is fine. Errors: IO, DENIED. */
NODISCARD int live_device_remove(const struct cgroup_host *h, const struct box_id *b,
                                 const struct live_device *d, struct err *err);
#endif
