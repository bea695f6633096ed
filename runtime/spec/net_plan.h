/* net_plan.h - assigns networks and addresses: pure. A box has one number on this device, network * 256 +
 * host; its interface "limpetN", its tables "limpet_N" and both its addresses follow from it. Private to
 * runtime/. */
#ifndef RUNTIME_NET_PLAN_H
#define RUNTIME_NET_PLAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/limits.h"

#define NET_BRIDGE     "limpet0"
#define NET_NAMED      "lp-" /* followed by the network's name: 15 bytes at most (IFNAMSIZ) */
#define NET_NAME_BYTES LIM_NET_NAME
#define NET_COUNT      32 /* networks: 10.88.77.0/24 (limpet0), 10.88.78.0/24 ... */
#define NET_FIRST      77
#define NET_HOST_FIRST 2
#define NET_HOST_LAST  254
/* 48 bits of a unique local prefix (RFC 4193); the networks are its /64, 4d (77) and up. */
#define NET_PREFIX6 "fd6c:696d:7065"

/* "10.88.78.5", "fd6c:696d:7065:4e::5" for box 256 + 5; host 0 is the subnet, 1 the bridge. */
void net_plan_address(unsigned number, char dst[16]);
void net_plan_address6(unsigned number, char dst[46]);
/* "limpet261": the host's end of the veth for box 256 + 5. */
void net_plan_device(unsigned number, char dst[16]);
/* The MAC address of the box's end, or with host 1 of the bridge: the same at each start, since neighbours
 * cache it for longer than a start takes. */
void net_plan_mac(unsigned number, uint8_t dst[6]);
/* The inverse; false: not an address of one of our boxes. */
bool net_plan_number(const char *address, unsigned *ret);
/* [a-z0-9][a-z0-9._-]*, at most NET_NAME_BYTES. */
bool net_plan_is_name(const char *name);
/* Where to start looking for a free one of n: mostly the same name gets the same place. */
unsigned net_plan_start(const char *name, unsigned n);
#endif
