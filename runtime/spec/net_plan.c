/* net_plan.c - see net_plan.h. */
#include "runtime/spec/net_plan.h"

#include <stdio.h>
#include <string.h>

#include "platform/mem.h"

void net_plan_address(unsigned number, char dst[16])
{
    (void)snprintf(dst, 16, "10.88.%u.%u", (NET_FIRST + number / 256) & 255, number % 256);
}

void net_plan_address6(unsigned number, char dst[46])
{
    (void)snprintf(dst, 46, NET_PREFIX6 ":%x::%x", NET_FIRST + number / 256, number % 256);
}

void net_plan_device(unsigned number, char dst[16])
{
    (void)snprintf(dst, 16, "limpet%u", number % 100000);
}

void net_plan_mac(unsigned number, uint8_t dst[6])
{
    const uint8_t mac[6] = {0x02,           'l', 'p', 0, (uint8_t)(number / 256),
                            (uint8_t)number}; /* 02: locally administered */

    memcpy(dst, mac, sizeof(mac));
}

bool net_plan_number(const char *address, unsigned *ret)
{
    unsigned net, host;
    char again[16];

    if (sscanf(address, "10.88.%3u.%3u", &net, &host) != 2 || net < NET_FIRST ||
        net >= NET_FIRST + NET_COUNT || host < NET_HOST_FIRST || host > NET_HOST_LAST)
        return false;
    net_plan_address((net - NET_FIRST) * 256 + host, again);
    if (strcmp(again, address) != 0)
        return false;
    *ret = (net - NET_FIRST) * 256 + host;
    return true;
}

bool net_plan_is_name(const char *name)
{
    return str_is_name(name) && strlen(name) <= NET_NAME_BYTES;
}

unsigned net_plan_start(const char *name, unsigned n)
{
    unsigned h = 5381;

    for (; *name; name++)
        h = h * 33 + (unsigned char)*name;
    return h % n;
}
