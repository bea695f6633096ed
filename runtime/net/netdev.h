/* netdev.h - linux.netDevices: network devices of the host that a container gets whole. They keep their
 * permanent global addresses and lose their routes. When the namespace goes the kernel puts physical ones
 * back into the first network namespace and removes virtual ones; nobody of ours stays to do more. Private to
 * runtime/. */
#ifndef RUNTIME_NETDEV_H
#define RUNTIME_NETDEV_H
#include <sys/types.h>

#include "runtime/spec/spec.h"

struct netdev;
/* Move what the spec names into the network namespace of pid, under its new name, with its addresses, up. All
 * is looked at before the first one moves: NOTFOUND (no such device here), INVALID (the namespace is ours),
 * CONFLICT (name taken). After an error all are back. *ret: what netdev_undo needs; NULL without devices. */
NODISCARD int netdev_attach(pid_t pid, const struct spec *s, struct netdev **ret, struct err *err);
/* Put all back: name, addresses, bridge, up if it was; routes by it are gone. Takes n; NULL is fine. Returns
 * NULL. */
struct netdev *netdev_undo(struct netdev *n);
/* Leave them where they are. Returns NULL. */
struct netdev *netdev_free(struct netdev *n);
#endif
