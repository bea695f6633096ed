/* live.h - change a box that runs: mounts and devices come and go. What is put in is opened in the host and
 * taken along as a descriptor; places are found below the box's own "/" only (L17). The one who does it
 * inside is a short-lived process in the box's mount and user namespaces, which nobody in the box can see (it
 * is not in its pid namespace). Blocks: some milliseconds, 5 s at most. Threads: one. */
#ifndef RUNTIME_LIVE_H
#define RUNTIME_LIVE_H
#include "runtime/box/box.h"

/* One more mount, as at the start of a box (spec.h); a missing mount point is made where the box may be
 * written to. Sources need Linux 5.2. Errors: NOTFOUND (no such box, source, or place), UNSUPPORTED,
 * DENIED. */
NODISCARD int live_mount_add(const struct box_id *b, const struct spec_mount *m, uint64_t *ret_mount,
                             struct err *err);
/* Unmount the one that add returned as *ret_mount, with all below it, wherever the box has moved it; target
 * is for messages. NOTFOUND: it is not there. */
NODISCARD int live_mount_remove(const struct box_id *b, const char *target, uint64_t mount, struct err *err);

/* A device of the host as the box sees it. */
struct live_device {
    const char *path; /* inside, below /dev */
    char type;        /* 'c' or 'b' */
    uint32_t major, minor;
    unsigned access; /* CGROUP_DEV_READ, CGROUP_DEV_WRITE: for everybody in the box; the node is its root's */
};
/* Node and permission (cgroup rule) come. maps: the box's; NULL: it has no user namespace. work_fd: a
 * directory of ours on a file system that takes nodes (it may be mounted nodev): with a user namespace the
 * node is made there, moved inside and unlinked. A file, link or device that is at the path already is
 * replaced; no link is followed. A /dev that is read-only for the box stays so. A machine without device
 * rules is no error: *ret_rule says what is in force. Errors: NOTFOUND (the box has ended), UNSUPPORTED (a
 * user namespace, and a kernel before 5.2), DENIED. */
NODISCARD int live_device_add(const struct cgroup_host *h, const struct box_id *b,
                              const struct live_device *d, const struct spec_id_maps *uid_maps,
                              const struct spec_id_maps *gid_maps, int work_fd, struct cgroup_field *ret_rule,
                              struct err *err);
/* Both go. What the box has open stays open: that is between the program and the driver. A box that has ended
 * is fine. Errors: IO, DENIED. */
NODISCARD int live_device_remove(const struct cgroup_host *h, const struct box_id *b,
                                 const struct live_device *d, struct err *err);
#endif
