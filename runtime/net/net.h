/* net.h - networks of boxes on this device: the bridge "limpet0", where boxes are kept apart, and one bridge
 * "lp-NAME" for each named network, whose boxes see each other. A veth pair, an IPv4 and (where the host has
 * IPv6) an IPv6 address per box, NAT, published ports. State is what the kernel holds (devices, their
 * aliases, nft tables), there is no database: after a crash it is read from there.
 * Effects: network devices, the sysctls ip_forward, forwarding, accept_ra and route_localnet, the host tool
 * nft with rules of ours. One at a time on a device (a lock file). Private to runtime/. */
#ifndef RUNTIME_NET_H
#define RUNTIME_NET_H
#include <sys/types.h>

#include "runtime/net/netlink.h"
#include "runtime/spec/net_plan.h"
#include "runtime/spec/spec.h"

struct net_box {
    char address[16];        /* "10.88.77.5" */
    char address6[46];       /* "fd6c:696d:7065:4d::5"; "": no IPv6 here */
    struct cgroup_field nat; /* L9: published ports, the way out, kept apart; why: also what IPv6 lacks */
};
/* The network that s->net names, for the box whose first process is pid; nothing for the host's and for none.
 * Errors: those of net_bridge_attach and cni_add. After an error nothing is left. */
NODISCARD int net_attach(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err);
/* Take it away again. address: net_box.address; "" (its maker died before it could report one): by its id.
 * Safe to repeat. Errors: IO, and as cni_del. */
NODISCARD int net_detach(enum spec_net net, const char *id, const char *address, struct err *err);
/* What no living box holds goes: rules, bridges, forwarding, what CNI plugins have not been told to delete
 * yet. For the start of an agent after a crash. Errors: IO. */
NODISCARD int net_sweep(struct err *err);

/* SPEC_NET_BRIDGE: make the bridge if need be, a veth pair with one end as eth0 in the namespace of pid,
 * publish ports. Errors: CONFLICT (subnet or host port in use), NOSPACE (no address or network left),
 * UNSUPPORTED (no bridge or veth in the kernel), IO. After an error nothing is left. */
NODISCARD int net_bridge_attach(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err);
/* With the last box the bridge goes too. Absent is fine, and so is another box's by now. Errors: INVALID
 * (address), IO. */
NODISCARD int net_bridge_detach(const char *id, const char *address, struct err *err);
/* As net_sweep, of bridges alone. Errors: IO. */
NODISCARD int net_bridge_sweep(struct err *err);
/* Inside the new namespace: the interface up, with these addresses and default routes; NULL or "": without.
 * Errors: INVALID (address), IO. */
NODISCARD int net_inner_up(const char *name, const char *address, const char *address6, struct err *err);
/* net_has_bridge: does this kernel have bridges and veths; net_has_nat: is nft there? Probed by looking,
 * changes nothing lasting. */
bool net_has_bridge(void);
bool net_has_nat(void);
#endif
