/* netlink.h - what a network needs of rtnetlink (rtnetlink(7)). One socket from netlink_open, borrowed by
 * every call; all return 0 or -errno. A change that was acknowledged is in force. No allocation but for
 * netlink_links and netlink_keep. Private to the runtime's net files. */
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
/* An address of 4 (AF_INET) or 16 bytes with its prefix. */
struct netlink_address {
    int family;
    uint8_t bytes[16];
    unsigned prefix;
    uint8_t scope; /* RT_SCOPE_... */
};

/* Socket in the network namespace of the caller; owner: caller. */
NODISCARD int netlink_open(void);
/* All interfaces; *ret is malloc'd, owner: caller. */
NODISCARD int netlink_links(int nl, struct netlink_link **ret, unsigned *ret_n);
/* All addresses of one interface as the kernel reports them, to be set again after a move; malloc'd, owner:
 * caller. */
struct netlink_kept;
struct netlink_kept *netlink_kept_free(struct netlink_kept *k);
/* *ret: netlink_kept_free. */
NODISCARD int netlink_keep(int nl, int index, struct netlink_kept **ret);
/* Give them: to the interface they are of, all; to one that moved, what is global and was given by somebody
 * (neither by the kernel nor for a time only). EEXIST counts as done. */
NODISCARD int netlink_give(int nl, int index, const struct netlink_kept *k, bool moved);
/* Down. mac: six bytes; NULL: the kernel's choice, which changes with the ports. EEXIST: there is one of that
 * name. */
NODISCARD int netlink_add_bridge(int nl, const char *name, const uint8_t *mac);
/* A pair: name here, a port of the bridge of that index (0: none) and up; peer in the network namespace of
 * pid (0: ours), with that mac (NULL: any). */
NODISCARD int netlink_add_veth(int nl, const char *name, int bridge, const char *peer, pid_t pid,
                               const uint8_t *mac);
/* Text beside the name (ifalias), at most 255 bytes. */
NODISCARD int netlink_set_alias(int nl, const char *name, const char *alias);
/* A port of a bridge: may it turn packets back to where they came from; is it kept apart from other isolated
 * ports? Kernels before 4.18 take the second and do nothing: see netlink_is_isolated. */
NODISCARD int netlink_set_port(int nl, const char *name, bool hairpin, bool isolated);
bool netlink_is_isolated(int nl, const char *name);
/* Up, by name. */
NODISCARD int netlink_up(int nl, const char *name);
/* EEXIST counts as done. No duplicate address detection: these addresses are given by us. */
NODISCARD int netlink_add_address(int nl, int index, const struct netlink_address *a);
/* A default route by this gateway. EEXIST counts as done. */
NODISCARD int netlink_add_default(int nl, int index, const struct netlink_address *gateway);
/* Into the namespace of ns_fd, under another name. The kernel takes its addresses away. */
NODISCARD int netlink_move(int nl, int index, int ns_fd, const char *new_name);
/* Make it a port of the bridge of that index; 0: of none. */
NODISCARD int netlink_set_master(int nl, int index, int master);
NODISCARD int netlink_rename(int nl, int index, const char *name); /* one that is down */
/* By name; -ENODEV: there is none. */
NODISCARD int netlink_delete(int nl, const char *name);
/* An address as text, IPv4 or IPv6. What is none becomes all zeros. Pure. */
struct netlink_address netlink_address_of(const char *text, unsigned prefix);
#endif
