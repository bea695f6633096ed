/* addr.h - how far an address reaches: what may be spoken to in the clear, where a redirect may lead.
 * Pure. */
#ifndef PLATFORM_ADDR_H
#define PLATFORM_ADDR_H
#include <stdbool.h>

struct sockaddr;

enum addr_reach {
    ADDR_LOOPBACK, /* this machine; 0.0.0.0 and :: too, which the kernel takes for it */
    ADDR_LINK,     /* this wire: 169.254/16, fe80::/10 */
    ADDR_PRIVATE,  /* this site: RFC 1918, 100.64/10, fc00::/7, fec0::/10 */
    ADDR_GLOBAL,
    ADDR_OTHER /* no host's address: multicast, broadcast, another family */
};
/* IPv4 addresses inside IPv6 ones (mapped, compatible, NAT64, 6to4) count as what they carry. */
enum addr_reach addr_reach(const struct sockaddr *a);
const char *addr_reach_name(enum addr_reach r); /* "loopback", "link-local", "private", "public", "other" */
#endif
