/* netdev.c - see netdev.h. */
#include "runtime/net/netdev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/box/enter.h"
#include "runtime/net/netlink.h"

#define FIELD "linux.netDevices."

struct device {
    const char *host;
    char name[IFNAMSIZ];
    int index, master;
    unsigned flags;
    struct netlink_kept *addresses;
    bool away; /* moved, or move attempted */
};
struct netdev {
    int ours, theirs;         /* network namespaces */
    int our_nl, their_nl;     /* netlink sockets in them */
    struct netlink_link *all; /* interfaces inside before the move */
    unsigned n_all, n;
    struct device list[LIM_NETDEVS];
};

struct netdev *netdev_free(struct netdev *n)
{
    for (unsigned i = 0; n && i < n->n; i++)
        n->list[i].addresses = netlink_kept_free(n->list[i].addresses);
    if (n) {
        int *fds[] = {&n->ours, &n->theirs, &n->our_nl, &n->their_nl};
        for (size_t i = 0; i < COUNT_OF(fds); i++)
            if (*fds[i] >= 0)
                (void)close(steal_fd(fds[i]));
        free(n->all);
    }
    free(n);
    return NULL;
}

static int open_sides(struct netdev *n, pid_t pid, struct err *err)
{
    int rc;

    if ((rc = enter_open_one(pid, SPEC_NS_NET, &n->theirs, err)) < 0)
        return rc;
    if (n->theirs < 0)
        return err_set(err, ERR_INVALID, "the network namespace in linux.namespaces is the one they are in");
    n->ours = openat(AT_FDCWD, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    n->our_nl = n->ours < 0 ? -errno : netlink_open();
    n->their_nl = n->our_nl < 0 ? n->our_nl
                                : enter_socket(n->theirs, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    return n->their_nl < 0 ? err_errno(err, -n->their_nl, "enter the network namespace") : 0;
}

static const struct netlink_link *find(const struct netlink_link *list, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

static bool is_taken(const void *who, const char *name)
{
    const struct netdev *n = who;
    bool found = find(n->all, n->n_all, name) != NULL;

    for (unsigned i = 0; i < n->n; i++)
        found = found || strcmp(n->list[i].name, name) == 0;
    return found;
}

static int look_at(struct netdev *n, const struct spec_net_device *d, const struct netlink_link *l,
                   struct err *err)
{
    struct device *x = &n->list[n->n];
    char name[IFNAMSIZ];
    int rc;

    if (!l)
        return err_set(err, ERR_NOTFOUND, FIELD "%s: there is no such network device", d->host);
    if (l->flags & IFF_LOOPBACK)
        return err_set(err, ERR_INVALID, FIELD "%s: the loopback device cannot leave its namespace", d->host);
    if (!spec_net_device_name(d->name, is_taken, n, name, sizeof(name)))
        return err_set(err, ERR_CONFLICT,
                       FIELD "%s.name: \"%s\" is taken in the container's network namespace", d->host,
                       d->name);
    *x = (struct device){.host = d->host, .index = l->index, .master = l->master, .flags = l->flags};
    (void)str_copy(x->name, sizeof(x->name), name);
    n->n++;
    rc = netlink_keep(n->our_nl, l->index, &x->addresses);
    return rc < 0 ? err_errno(err, -rc, FIELD "%s: addresses", d->host) : 0;
}

/* Checks before the first one moves. */
static int look(struct netdev *n, const struct spec *s, struct err *err)
{
    struct netlink_link *here = NULL;
    unsigned n_here = 0;
    int rc = netlink_links(n->our_nl, &here, &n_here);

    if (rc == 0)
        rc = netlink_links(n->their_nl, &n->all, &n->n_all);
    if (rc < 0)
        rc = err_errno(err, -rc, "linux.netDevices: list of interfaces");
    for (unsigned i = 0; rc == 0 && i < 2 * s->n_net_devices; i++) { /* templates get the names that the
                                                                      * others leave */
        const struct spec_net_device *d = &s->net_devices[i % s->n_net_devices];
        if ((strchr(d->name, '%') != NULL) == (i >= s->n_net_devices))
            rc = look_at(n, d, find(here, n_here, d->host), err);
    }
    free(here);
    return rc;
}

static int index_of(int nl, const char *name)
{
    struct netlink_link *list = NULL;
    const struct netlink_link *l;
    unsigned n = 0;
    int rc = netlink_links(nl, &list, &n);

    if (rc == 0)
        rc = (l = find(list, n, name)) ? l->index : -ENODEV;
    free(list);
    return rc;
}

static int move(struct netdev *n, struct device *d)
{
    int index, rc;

    d->away = true;
    if ((rc = netlink_move(n->our_nl, d->index, n->theirs, d->name)) < 0)
        return rc;
    if ((index = index_of(n->their_nl, d->name)) < 0)
        return index;
    if ((rc = netlink_give(n->their_nl, index, d->addresses, true)) < 0)
        return rc;
    return netlink_up(n->their_nl, d->name);
}

/* The kernel moves first and renames then: after a failure it may be inside under its old name. */
static void bring_back(const struct netdev *n, const struct device *d)
{
    int index = index_of(n->their_nl, d->name);

    if (index < 0 && !find(n->all, n->n_all, d->host))
        index = index_of(n->their_nl, d->host);
    if (index < 0 || netlink_move(n->their_nl, index, n->ours, d->host) < 0 ||
        (index = index_of(n->our_nl, d->host)) < 0)
        return;
    if (d->master)
        err_ignore(netlink_set_master(n->our_nl, index, d->master));
    err_ignore(netlink_give(n->our_nl, index, d->addresses, false));
    if (d->flags & IFF_UP)
        err_ignore(netlink_up(n->our_nl, d->host));
}

struct netdev *netdev_undo(struct netdev *n)
{
    for (unsigned i = n ? n->n : 0; i-- > 0;)
        if (n->list[i].away)
            bring_back(n, &n->list[i]);
    return netdev_free(n);
}

int netdev_attach(pid_t pid, const struct spec *s, struct netdev **ret, struct err *err)
{
    struct netdev *n;
    int rc;

    if (s->n_net_devices == 0)
        return 0;
    n = mem_need_zero(sizeof(*n));
    n->ours = n->theirs = n->our_nl = n->their_nl = -1;
    if ((rc = open_sides(n, pid, err)) < 0)
        (void)err_wrap(err, "linux.netDevices");
    else
        rc = look(n, s, err);
    for (unsigned i = 0; rc == 0 && i < n->n; i++)
        if ((rc = move(n, &n->list[i])) < 0)
            rc = err_errno(err, -rc, FIELD "%s: move into the container%s", n->list[i].host,
                           rc == -EINVAL ? " (a kind that the kernel never moves, as bridges?)" : "");
    if (rc < 0)
        n = netdev_undo(n);
    *ret = n;
    return rc;
}
