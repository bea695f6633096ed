#include "platform/addr.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "platform/mem.h"

static const struct {
    uint32_t net, mask;
    enum addr_reach reach;
} v4_table[] = {
    /* first match wins */
    {0x00000000, 0xff000000, ADDR_LOOPBACK}, /* 0/8: "this host" */
    {0x7f000000, 0xff000000, ADDR_LOOPBACK}, /* 127/8 */
    {0xa9fe0000, 0xffff0000, ADDR_LINK},     /* 169.254/16 */
    {0x0a000000, 0xff000000, ADDR_PRIVATE},  /* 10/8 */
    {0xac100000, 0xfff00000, ADDR_PRIVATE},  /* 172.16/12 */
    {0xc0a80000, 0xffff0000, ADDR_PRIVATE},  /* 192.168/16 */
    {0x64400000, 0xffc00000, ADDR_PRIVATE},  /* 100.64/10: a provider's NAT */
    {0xe0000000, 0xe0000000, ADDR_OTHER},    /* multicast, reserved, broadcast */
};

static enum addr_reach v4_reach(uint32_t ip)
{
    for (unsigned i = 0; i < COUNT_OF(v4_table); i++)
        if ((ip & v4_table[i].mask) == v4_table[i].net)
            return v4_table[i].reach;
    return ADDR_GLOBAL;
}

static uint32_t v4_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum addr_reach v6_reach(const uint8_t b[16])
{
    static const uint8_t zeros[12], one[16] = {[15] = 1}, mapped[12] = {[10] = 0xff, [11] = 0xff},
                                    nat64[12] = {0, 0x64, 0xff, 0x9b};

    if (memcmp(b, one, 16) == 0)
        return ADDR_LOOPBACK;
    if (memcmp(b, zeros, 12) == 0 || memcmp(b, mapped, 12) == 0 || memcmp(b, nat64, 12) == 0)
        return v4_reach(v4_at(b + 12));
    if (b[0] == 0x20 && b[1] == 0x02)
        return v4_reach(v4_at(b + 2));
    if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
        return ADDR_LINK;
    if ((b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0xc0))
        return ADDR_PRIVATE;
    return b[0] == 0xff ? ADDR_OTHER : ADDR_GLOBAL;
}

enum addr_reach addr_reach(const struct sockaddr *a)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (a->sa_family == AF_INET) {
        memcpy(&v4, a, sizeof(v4));
        return v4_reach(ntohl(v4.sin_addr.s_addr));
    }
    if (a->sa_family != AF_INET6)
        return ADDR_OTHER;
    memcpy(&v6, a, sizeof(v6));
    return v6_reach(v6.sin6_addr.s6_addr);
}

const char *addr_reach_name(enum addr_reach r)
{
    static const char *const names[] = {"loopback", "link-local", "private", "public", "other"};

    return (unsigned)r < COUNT_OF(names) ? names[r] : "other";
}
