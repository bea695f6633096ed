/* addr.h - how far an address reaches: where plaintext is allowed, where a redirect may lead. Pure. */
#ifndef PLATFORM_ADDR_H
#define PLATFORM_ADDR_H
#include <stdbool.h>

struct sockaddr;

enum addr_reach {
    ADDR_LOOPBACK, /* this machine; also 0.0.0.0 and ::, which the kernel treats as such */
    ADDR_LINK,     /* this link: 169.254/16, fe80::/10 */
    ADDR_PRIVATE,  /* this site: RFC 1918, 100.64/10, fc00::/7, fec0::/10 */
    ADDR_GLOBAL,
    ADDR_OTHER /* not a host's address: multicast, broadcast, another family */
};
/* IPv4 addresses embedded in IPv6 (mapped, compatible, NAT64, 6to4) count as the IPv4 address. */
enum addr_reach addr_reach(const struct sockaddr *a);
const char *addr_reach_name(enum addr_reach r); /* "loopback", "link-local", "private", "public", "other" */
#endif
