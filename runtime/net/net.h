/* net.h - networks of boxes on this device: the bridge "limpet0", where boxes are isolated, and one bridge
 * "lp-NAME" for each named network, whose boxes see each other. A veth pair, an IPv4 and (if the host has
 * IPv6) an IPv6 address per box, NAT, published ports. All state is in the kernel (devices, their aliases,
 * nft tables), there is no database: after a crash it is read from there.
 * Effects: network devices, the sysctls ip_forward, forwarding, accept_ra and route_localnet, nft (the host's
 * program) with our own rules. One process at a time (a lock file). Private to runtime/. */
#ifndef RUNTIME_NET_H
#define RUNTIME_NET_H
#include <sys/types.h>

#include "runtime/net/netlink.h"
#include "runtime/spec/net_plan.h"
#include "runtime/spec/spec.h"

struct net_box {
    char address[16];        /* "10.88.77.5" */
    char address6[46];       /* "fd6c:696d:7065:4d::5"; "": the host has no IPv6 */
    struct cgroup_field nat; /* L9: published ports, outbound access, isolation; why: also what IPv6 lacks */
};
/* The network given by s->net, for the box whose first process is pid; no-op for host and none. Errors: those
 * of net_bridge_attach and cni_add. After an error nothing is left. */
NODISCARD int net_attach(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err);
/* Remove it again. address: net_box.address; "" (its creator died before reporting one): by its id. Safe to
 * repeat. Errors: IO, and as cni_del. */
NODISCARD int net_detach(enum spec_net net, const char *id, const char *address, struct err *err);
/* Remove what no living box uses: rules, bridges, forwarding, what CNI plugins still have to delete. For the
 * start of an agent after a crash. Errors: IO. */
NODISCARD int net_sweep(struct err *err);

/* SPEC_NET_BRIDGE: create the bridge if needed, a veth pair with one end as eth0 in the namespace of pid,
 * publish ports. Errors: CONFLICT (subnet or host port in use), NOSPACE (no address or network left),
 * UNSUPPORTED (no bridge or veth in the kernel), IO. After an error nothing is left. */
NODISCARD int net_bridge_attach(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err);
/* The last box removes the bridge too. A missing network is fine, and so is one that is another box's by now.
 * Errors: INVALID (address), IO. */
NODISCARD int net_bridge_detach(const char *id, const char *address, struct err *err);
/* As net_sweep, for bridges only. Errors: IO. */
NODISCARD int net_bridge_sweep(struct err *err);
/* Inside the new namespace: bring the interface up, with these addresses and default routes; NULL or "":
 * without. Errors: INVALID (address), IO. */
NODISCARD int net_inner_up(const char *name, const char *address, const char *address6, struct err *err);
/* net_has_bridge: does this kernel have bridges and veths; net_has_nat: is nft available? Probed without
 * lasting changes. */
bool net_has_bridge(void);
bool net_has_nat(void);
#endif
