/* netlink.h - the part of rtnetlink(7) that networks need. One socket from netlink_open, borrowed by every
 * call; all return 0 or -errno. An acknowledged change is in force. No allocation except in netlink_links and
 * netlink_keep. Private to the runtime's net files. */
#ifndef RUNTIME_NETLINK_H
#define RUNTIME_NETLINK_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/err.h"

struct netlink_link {
    int index, master;
    unsigned flags; /* IFF_... */
    char name[16], alias[128];
};
/* An address of 4 (AF_INET) or 16 bytes, with prefix length. */
struct netlink_address {
    int family;
    uint8_t bytes[16];
    unsigned prefix;
    uint8_t scope; /* RT_SCOPE_... */
};

/* Socket in the caller's network namespace; owner: caller. */
NODISCARD int netlink_open(void);
/* All interfaces; *ret is malloc'd, owner: caller. */
NODISCARD int netlink_links(int nl, struct netlink_link **ret, unsigned *ret_n);
/* All addresses of one interface, to be set again after a move; malloc'd, owner: caller. */
struct netlink_kept;
struct netlink_kept *netlink_kept_free(struct netlink_kept *k);
/* *ret: free with netlink_kept_free. */
NODISCARD int netlink_keep(int nl, int index, struct netlink_kept **ret);
/* Set them: on their own interface, all; on one that moved, only global ones that were configured (neither by
 * the kernel nor temporary). EEXIST counts as done. */
NODISCARD int netlink_give(int nl, int index, const struct netlink_kept *k, bool moved);
/* Created down. mac: six bytes; NULL: the kernel's choice, which changes with the ports. EEXIST: the name is
 * taken. */
NODISCARD int netlink_add_bridge(int nl, const char *name, const uint8_t *mac);
/* Create a pair: name here, a port of the bridge with that index (0: none) and up; peer in the network
 * namespace of pid (0: ours), with that mac (NULL: any). */
NODISCARD int netlink_add_veth(int nl, const char *name, int bridge, const char *peer, pid_t pid,
                               const uint8_t *mac);
/* The alias of an interface (ifalias), at most 255 bytes. */
NODISCARD int netlink_set_alias(int nl, const char *name, const char *alias);
/* Settings of a bridge port: hairpin, and isolation from other isolated ports. Kernels before 4.18 accept the
 * second and ignore it: see netlink_is_isolated. */
NODISCARD int netlink_set_port(int nl, const char *name, bool hairpin, bool isolated);
bool netlink_is_isolated(int nl, const char *name);
/* Bring up, by name. */
NODISCARD int netlink_up(int nl, const char *name);
/* EEXIST counts as done. No duplicate address detection: we assign these addresses. */
NODISCARD int netlink_add_address(int nl, int index, const struct netlink_address *a);
/* A default route via this gateway. EEXIST counts as done. */
NODISCARD int netlink_add_default(int nl, int index, const struct netlink_address *gateway);
/* Move into the namespace of ns_fd, under another name. The kernel removes its addresses. */
NODISCARD int netlink_move(int nl, int index, int ns_fd, const char *new_name);
/* Make it a port of the bridge with that index; 0: of none. */
NODISCARD int netlink_set_master(int nl, int index, int master);
NODISCARD int netlink_rename(int nl, int index, const char *name); /* it must be down */
/* By name; -ENODEV: does not exist. */
NODISCARD int netlink_delete(int nl, const char *name);
/* Parse an address, IPv4 or IPv6. Invalid text becomes all zeros. Pure. */
struct netlink_address netlink_address_of(const char *text, unsigned prefix);
#endif
