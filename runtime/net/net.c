/* net.c - bridges and the boxes connected to them. See net.h. */
#include "runtime/net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "platform/fs.h"
#include "platform/patience.h"
#include "runtime/net/net_forward.h"
#include "runtime/net/net_rules.h"

#define LOCK_FILE "/run/limpet.net"
#define LOCK_MS   60000
#define NEW       "limpet-new"   /* a bridge before it gets its name */
#define PROBE     "limpet-probe" /* created only to see whether it can be */

/* The kernel's state, read once per call under the lock. */
struct view {
    int lock, nl;
    struct netlink_link *links;
    unsigned n;
};

static void close_view(struct view *v)
{
    free(v->links);
    if (v->nl >= 0)
        (void)close(v->nl);
    if (v->lock >= 0)
        (void)close(v->lock);
}

static int look(struct view *v, struct err *err)
{
    int rc;

    free(v->links);
    v->links = NULL;
    v->n = 0;
    rc = netlink_links(v->nl, &v->links, &v->n);
    return rc < 0 ? err_errno(err, -rc, "list of interfaces") : 0;
}

/* Boxes start and end in several processes: only one at a time here. The holder of the lock runs nft or
 * plugins. */
static int take_lock(int fd, struct err *err)
{
    const struct timespec pause_5ms = {0, 5000000};
    uint64_t limit_ms = patience_ms(LOCK_MS);

    for (uint64_t ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; ms += 5) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_errno(err, errno, "lock " LOCK_FILE);
        if (ms >= limit_ms)
            return err_set(err, ERR_TIMEOUT,
                           "lock " LOCK_FILE ": another process has held it for %" PRIu64 " ms", limit_ms);
        (void)nanosleep(&pause_5ms, NULL);
    }
    return 0;
}

static int open_view(struct view *v, struct err *err)
{
    int rc;

    *v = (struct view){-1, -1, NULL, 0};
    v->lock = openat(AT_FDCWD, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    rc = v->lock < 0 ? err_errno(err, errno, "lock " LOCK_FILE) : take_lock(v->lock, err);
    if (rc == 0 && (v->nl = netlink_open()) < 0)
        rc = err_errno(err, -v->nl, "netlink");
    if (rc == 0)
        rc = look(v, err);
    if (rc < 0)
        close_view(v);
    return rc;
}

static const struct netlink_link *find(const struct view *v, const char *name)
{
    for (unsigned i = 0; i < v->n; i++)
        if (strcmp(v->links[i].name, name) == 0)
            return &v->links[i];
    return NULL;
}

/* The number of the network that this bridge belongs to; false: not a bridge of ours. */
static bool network_of(const struct netlink_link *l, unsigned *ret)
{
    *ret = 0;
    if (strcmp(l->name, NET_BRIDGE) == 0)
        return true;
    return strncmp(l->name, NET_NAMED, strlen(NET_NAMED)) == 0 && sscanf(l->alias, "limpet %u", ret) == 1 &&
           *ret > 0 && *ret < NET_COUNT;
}

/* Does another route cover part of the subnet, or is it within a network that is not much wider? */
static bool clashes(unsigned network, char ret_name[32])
{
    FILE *f = fopen("/proc/net/route", "re");
    char line[256], subnet[16];
    unsigned dest, mask;
    uint32_t ours, our_mask = inet_addr("255.255.255.0"), wide = inet_addr("255.255.0.0");
    bool clash = false;

    net_plan_address(network * 256, subnet);
    ours = inet_addr(subnet);
    while (f && !clash && fgets(line, sizeof(line), f))
        if (sscanf(line, "%31s %x %*x %*x %*d %*d %*d %x", ret_name, &dest, &mask) == 3 &&
            strcmp(ret_name, NET_BRIDGE) != 0 && strncmp(ret_name, NET_NAMED, strlen(NET_NAMED)) != 0)
            clash = (dest & our_mask) == ours || ((mask & wide) == wide && (ours & mask) == dest);
    if (f)
        (void)fclose(f);
    return clash;
}

/* Choose a number for a new network. */
static int choose_network(const struct view *v, const char *name, unsigned *ret, struct err *err)
{
    bool used[NET_COUNT] = {true};
    unsigned k, start = name ? net_plan_start(name, NET_COUNT - 1) : 0;
    char where[32] = "";

    if (!name && clashes(0, where))
        return err_set(err, ERR_CONFLICT, "network 10.88.77.0/24 of the bridge is in use on %s", where);
    if (!name) {
        *ret = 0;
        return 0;
    }
    for (unsigned i = 0; i < v->n; i++)
        if (network_of(&v->links[i], &k))
            used[k] = true;
    for (unsigned i = 0; i < NET_COUNT - 1; i++) {
        k = 1 + (start + i) % (NET_COUNT - 1);
        if (used[k] || clashes(k, where))
            continue;
        *ret = k;
        return 0;
    }
    return err_set(err, ERR_NOSPACE, "network \"%s\": all %d subnets are taken", name, NET_COUNT - 1);
}

/* Addresses of a bridge: the first in each subnet. */
static int address_bridge(int nl, const char *name, unsigned network, struct err *err)
{
    char text[46], path[80];
    int index = (int)if_nametoindex(name), rc;
    struct netlink_address a;

    net_plan_address(network * 256 + 1, text);
    a = netlink_address_of(text, 24);
    if ((rc = netlink_add_address(nl, index, &a)) < 0 || (rc = netlink_up(nl, name)) < 0)
        return err_errno(err, -rc, "address of %s", name);
    if (net_forward_has6()) {
        net_plan_address6(network * 256 + 1, text);
        a = netlink_address_of(text, 64);
        if ((rc = netlink_add_address(nl, index, &a)) < 0)
            return err_errno(err, -rc, "IPv6 address of %s", name);
    }
    (void)snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/route_localnet", name);
    rc = fs_write_text(AT_FDCWD, path, "1", err);
    return rc < 0 ? rc : 0;
}

/* It gets its own name only after its alias marks it as ours: a process killed in between leaves NEW, which
 * the next one removes. */
static int add_named(int nl, const char *dev, unsigned network, const uint8_t *mac)
{
    char alias[32];
    int rc;

    (void)snprintf(alias, sizeof(alias), "limpet %u", network);
    err_ignore(netlink_delete(nl, NEW));
    if ((rc = netlink_add_bridge(nl, NEW, mac)) == 0 && (rc = netlink_set_alias(nl, NEW, alias)) == 0)
        rc = netlink_rename(nl, (int)if_nametoindex(NEW), dev);
    if (rc < 0)
        err_ignore(netlink_delete(nl, NEW));
    return rc;
}

/* Find or create the bridge of that network (NULL: limpet0) with its addresses; *ret: its number. */
static int need_bridge(struct view *v, const char *name, unsigned *ret, struct err *err)
{
    const struct netlink_link *l;
    char dev[16];
    uint8_t mac[6];
    int rc = 0;

    (void)snprintf(dev, sizeof(dev), "%s%s", name ? NET_NAMED : NET_BRIDGE, name ? name : "");
    l = find(v, dev);
    if (l && network_of(l, ret))
        return address_bridge(v->nl, dev, *ret, err);
    if (l)
        return err_set(err, ERR_CONFLICT, "interface %s already exists and is not our own", dev);
    if ((rc = choose_network(v, name, ret, err)) < 0)
        return rc;
    net_plan_mac(*ret * 256 + 1, mac);
    rc = name ? add_named(v->nl, dev, *ret, mac) : netlink_add_bridge(v->nl, dev, mac);
    if (rc == -EOPNOTSUPP)
        return err_set(err, ERR_UNSUPPORTED, "kernel without CONFIG_BRIDGE");
    if (rc < 0)
        return err_errno(err, -rc, "make bridge %s", dev);
    return address_bridge(v->nl, dev, *ret, err);
}

static bool has_port(const struct view *v, int index)
{
    for (unsigned i = 0; i < v->n; i++)
        if (v->links[i].master == index)
            return true;
    return false;
}

/* Remove bridges without boxes; limpet0 is the last, and with it all global changes. */
static void drop_idle(struct view *v)
{
    const struct netlink_link *base;
    bool used = false;
    unsigned k;

    if (look(v, NULL) < 0)
        return;
    for (unsigned i = 0; i < v->n; i++) {
        const struct netlink_link *l = &v->links[i];
        if (!network_of(l, &k) || k == 0)
            continue;
        if (has_port(v, l->index))
            used = true;
        else
            err_ignore(netlink_delete(v->nl, l->name));
    }
    base = find(v, NET_BRIDGE);
    if (!base || used || has_port(v, base->index))
        return;
    net_forward_restore(base->alias);
    net_rules_clear();
    err_ignore(netlink_delete(v->nl, NET_BRIDGE));
}

static bool is_on(const char *path)
{
    char now[8] = "";

    return fs_read_text(AT_FDCWD, path, now, sizeof(now), NULL) > 0 && strcmp(now, "1") == 0;
}

/* Where all bridged packets pass through netfilter (br_netfilter), the rules of limpet0 isolate its boxes,
 * and isolated ports would also block what is published: such a packet is rewritten within the bridge, and
 * forwarded from port to port. */
static bool is_filtered(void)
{
    return is_on("/proc/sys/net/bridge/bridge-nf-call-iptables") &&
           (!net_forward_has6() || is_on("/proc/sys/net/bridge/bridge-nf-call-ip6tables"));
}

/* The name of the host's end contains the address: creating it reserves the address. Its alias names the
 * owner, since the address of a box that died may belong to another one by now. */
static int add_pair(struct view *v, const struct spec *s, pid_t pid, unsigned network, unsigned *ret,
                    struct err *err)
{
    unsigned count = NET_HOST_LAST - NET_HOST_FIRST + 1, start = net_plan_start(s->id, count);
    char name[16], dev[16];
    int bridge;

    (void)snprintf(dev, sizeof(dev), "%s%s", s->net_name ? NET_NAMED : NET_BRIDGE,
                   s->net_name ? s->net_name : "");
    bridge = (int)if_nametoindex(dev);
    for (unsigned i = 0; i < count; i++) {
        unsigned number = network * 256 + NET_HOST_FIRST + (start + i) % count;
        uint8_t mac[6];
        int rc;
        net_plan_mac(number, mac);
        net_plan_device(number, name);
        rc = netlink_add_veth(v->nl, name, bridge, "eth0", pid, mac);
        if (rc == -EEXIST)
            continue;
        if (rc == -EOPNOTSUPP)
            return err_set(err, ERR_UNSUPPORTED, "kernel without CONFIG_VETH");
        /* a box that connects to its own published port is sent back through the port it came from
         * (br_netfilter) */
        if (rc == 0 && (rc = netlink_set_alias(v->nl, name, s->id)) == 0)
            rc = netlink_set_port(v->nl, name, true, !s->net_name && !is_filtered());
        if (rc < 0)
            return err_errno(err, -rc, "make %s", name);
        *ret = number;
        return 0;
    }
    return err_set(err, ERR_NOSPACE, "all %u addresses of the network are taken", count);
}

/* The rules for all existing bridges. */
static void fill_base(const struct view *v, struct net_base *b)
{
    *b = (struct net_base){0};
    for (unsigned i = 0; i < v->n && b->n < NET_COUNT; i++) {
        unsigned k;
        if (!network_of(&v->links[i], &k))
            continue;
        (void)str_copy(b->bridge[b->n], sizeof(b->bridge[0]), v->links[i].name);
        b->network[b->n++] = k;
    }
}

/* Rules first, then forwarding: at no moment do packets pass unfiltered. */
static void open_ways(struct view *v, const struct spec *s, unsigned number, struct net_box *box)
{
    struct net_base base;
    struct err why = ERR_INIT;
    const char *no6 = box->address6[0] ? "" : "IPv4 only: no IPv6 on this host";
    const struct netlink_link *l;
    char name[16];
    bool v6 = box->address6[0] != '\0';

    fill_base(v, &base);
    l = find(v, NET_BRIDGE);
    if (v6 && net_rules_put(s, &base, number, true, &why) < 0) {
        v6 = false;
        no6 = "IPv4 only: no NAT for IPv6";
    }
    if (!v6 && net_rules_put(s, &base, number, false, &why) < 0) {
        box->nat.state = CGROUP_DEGRADED;
        (void)snprintf(box->nat.why, sizeof(box->nat.why), "no NAT, no published ports: %.60s", why.msg);
        return;
    }
    if (net_forward_open(v->nl, l ? l->alias : "", v6, &why) < 0) {
        box->nat.state = CGROUP_DEGRADED;
        (void)snprintf(box->nat.why, sizeof(box->nat.why), "no way out: %.80s", why.msg);
        return;
    }
    net_plan_device(number, name);
    if (!s->net_name && !is_filtered() && !netlink_is_isolated(v->nl, name)) {
        box->nat.state = CGROUP_DEGRADED;
        no6 = "apps see each other: the bridge cannot isolate ports (Linux 4.18)";
    }
    (void)str_copy(box->nat.why, sizeof(box->nat.why), no6);
}

static int attach(struct view *v, pid_t pid, const struct spec *s, struct net_box *box, struct err *err)
{
    unsigned network = 0, number = 0;
    int rc = net_rules_check(s, err);

    if (rc == 0)
        rc = net_taken_check(s, err);
    if (rc < 0)
        return rc;
    /* limpet0 exists as long as any box: it remembers the previous forwarding state */
    if ((rc = need_bridge(v, NULL, &network, err)) < 0 ||
        (s->net_name && (rc = need_bridge(v, s->net_name, &network, err)) < 0) ||
        (rc = add_pair(v, s, pid, network, &number, err)) < 0 || (rc = look(v, err)) < 0) {
        drop_idle(v);
        return rc;
    }
    net_plan_address(number, box->address);
    if (net_forward_has6())
        net_plan_address6(number, box->address6);
    open_ways(v, s, number, box);
    return 0;
}

int net_bridge_attach(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err)
{
    struct net_box box = {.nat = {.state = CGROUP_ENFORCED, .value = s->n_ports}};
    struct view v;
    int rc = open_view(&v, err);

    if (rc < 0)
        return rc;
    rc = attach(&v, pid, s, &box, err);
    close_view(&v);
    if (rc == 0)
        *ret = box;
    return rc;
}

/* The host's end of a box, by its address or, if unknown, by its id; NULL: it has none, or the address
 * belongs to another box by now. */
static const struct netlink_link *find_box(const struct view *v, const char *id, bool known, unsigned *number)
{
    for (unsigned i = 0; i < v->n; i++) {
        const struct netlink_link *l = &v->links[i];
        unsigned its;
        bool same = strcmp(l->alias, id) == 0;
        if (sscanf(l->name, "limpet%u", &its) != 1 || its < NET_HOST_FIRST)
            continue;
        if (known ? its == *number && (same || l->alias[0] == '\0') : same) {
            *number = its;
            return l;
        }
    }
    return NULL;
}

static int detach(struct view *v, const char *id, bool known, unsigned number)
{
    const struct netlink_link *l = find_box(v, id, known, &number);
    char name[16];
    int rc = l ? netlink_delete(v->nl, l->name) : 0;

    net_plan_device(number, name);
    if (rc < 0 && rc != -ENODEV)
        return rc;
    if (l || (known && !find(v, name)))
        net_rules_drop(number);
    drop_idle(v);
    return 0;
}

int net_bridge_detach(const char *id, const char *address, struct err *err)
{
    struct view v;
    unsigned number = 0;
    bool known = address[0] != '\0';
    int rc;

    if (known && !net_plan_number(address, &number))
        return err_set(err, ERR_INVALID, "%s is not one of our own addresses", address);
    if ((rc = open_view(&v, err)) < 0)
        return rc;
    rc = detach(&v, id, known, number);
    close_view(&v);
    return rc < 0 ? err_errno(err, -rc, "remove the network of %s", id) : 0;
}

int net_bridge_sweep(struct err *err)
{
    struct view v;
    int rc = open_view(&v, err);

    if (rc < 0)
        return rc;
    drop_idle(&v);
    err_ignore(netlink_delete(v.nl, NEW)); /* left by processes that were killed */
    err_ignore(netlink_delete(v.nl, PROBE));
    if (look(&v, NULL) == 0)
        net_rules_sweep(find(&v, NET_BRIDGE) != NULL);
    close_view(&v);
    return 0;
}

bool net_has_bridge(void)
{
    AUTO_FD int nl = netlink_open();
    int rc = nl < 0 ? nl : netlink_add_bridge(nl, PROBE, NULL);

    if (rc < 0 && rc != -EEXIST)
        return false;
    err_ignore(netlink_delete(nl, PROBE));
    rc = netlink_add_veth(nl, PROBE, 0, "limpet-peer", 0, NULL);
    if (rc == 0)
        err_ignore(netlink_delete(nl, PROBE));
    return rc == 0 || rc == -EEXIST;
}

bool net_has_nat(void)
{
    return net_rules_work();
}
