/* net_inner.c - inside a new network namespace: what every box needs, with or without a bridge. See net.h. */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/net/net.h"

static int give_address(int nl, int index, const char *text, unsigned prefix)
{
    struct netlink_address a = netlink_address_of(text, prefix), via = a;
    int rc = netlink_add_address(nl, index, &a);

    via.bytes[a.family == AF_INET ? 3 : 15] = 1;
    return rc < 0 ? rc : netlink_add_default(nl, index, &via);
}

int net_inner_up(const char *name, const char *address, const char *address6, struct err *err)
{
    AUTO_FD int nl = netlink_open();
    int index = (int)if_nametoindex(name), rc;

    if (nl < 0 || index == 0) /* a kernel without networking: nothing to do */
        return nl == -EAFNOSUPPORT || errno == EAFNOSUPPORT
                   ? 0
                   : err_errno(err, nl < 0 ? -nl : errno, "%s", name);
    rc = netlink_up(nl, name);
    if (rc == 0 && address && address[0])
        rc = give_address(nl, index, address, 24);
    if (rc == 0 && address6 && address6[0])
        rc = give_address(nl, index, address6, 64);
    return rc == 0 ? 0 : err_errno(err, -rc, "%s", name);
}
