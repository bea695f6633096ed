/* netlink.h - the four requests to rtnetlink that a bridge needs. Private to net.c. 0 or -errno. */
#ifndef RUNTIME_NETLINK_H
#define RUNTIME_NETLINK_H
#include <sys/types.h>

int netlink_add_bridge(const char *name);
/* A pair: name here, enslaved to the bridge and up; peer in the network namespace of pid (0: ours). */
int netlink_add_veth(const char *name, const char *bridge, const char *peer, pid_t pid);
int netlink_delete(const char *name);
#endif
