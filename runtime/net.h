/* net.h - the bridge "limpet0": one private network of this device, a veth pair and an address per box, NAT
 * and published ports. State is what the kernel holds (devices, one nft table per box), there is no database.
 * Effects: network devices, sysctls ip_forward and route_localnet, the host tool nft with rules of ours.
 * Private to runtime/. */
#ifndef RUNTIME_NET_H
#define RUNTIME_NET_H
#include <sys/types.h>

#include "runtime/spec.h"

/* One place for the subnet: 10.88.77.0/24, the bridge is .1, boxes are .2 to .254. */
#define NET_BRIDGE  "limpet0"
#define NET_PREFIX  "10.88.77."
#define NET_GATEWAY "10.88.77.1"
#define NET_MASK    "255.255.255.0"
#define NET_SUBNET  "10.88.77.0/24"

struct net_box {
    char address[16];        /* "10.88.77.5" */
    struct cgroup_field nat; /* L9: published ports and the way out */
};
/* Make the bridge if need be, a veth pair with one end as eth0 in the namespace of pid, publish ports.
 * Errors: CONFLICT (subnet or host port in use), UNSUPPORTED (no bridge or veth in the kernel), IO. */
int net_attach(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err);
/* Take it away again; with the last box the bridge goes too. Absent is fine, and so is another box's by now. */
int net_detach(const char *id, const char *address, struct err *err);
/* Inside the new namespace, no allocation: interface up, with address and default route when address is not
 * NULL. */
int net_inner_up(const char *name, const char *address, struct err *err);
/* Does this kernel have bridges and veths; is nft there? Probed by looking, changes nothing lasting. */
bool net_has_bridge(void);
bool net_has_nat(void);
#endif
