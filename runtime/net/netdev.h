/* netdev.h - linux.netDevices: network devices of the host that are moved into a container. They keep their
 * permanent global addresses and lose their routes. When the namespace goes away the kernel moves physical
 * ones back to the initial network namespace and removes virtual ones; no process of ours stays to do more.
 * Private to runtime/. */
#ifndef RUNTIME_NETDEV_H
#define RUNTIME_NETDEV_H
#include <sys/types.h>

#include "runtime/spec/spec.h"

struct netdev;
/* Move the devices named in the spec into the network namespace of pid, under their new names, with their
 * addresses, up. All are checked before the first one moves: NOTFOUND (no such device), INVALID (the
 * namespace is ours), CONFLICT (name taken). After an error all are back. *ret: for netdev_undo; NULL without
 * devices. */
NODISCARD int netdev_attach(pid_t pid, const struct spec *s, struct netdev **ret, struct err *err);
/* Move all back: name, addresses, bridge, up if it was; routes through it are lost. Takes n; NULL is fine.
 * Returns NULL. */
struct netdev *netdev_undo(struct netdev *n);
/* Leave them where they are. Returns NULL. */
struct netdev *netdev_free(struct netdev *n);
#endif
