/* net.c - the bridge and what hangs on it. See net.h. */
#include "runtime/net.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>

#include "platform/fs.h"
#include "runtime/net_rules.h"
#include "runtime/netlink.h"

#define FIRST_HOST   2
#define LAST_HOST    254
#define LOCK_FILE    "/run/limpet.net"
#define FORWARD      "/proc/sys/net/ipv4/ip_forward"
#define BRIDGE_ALIAS "/sys/class/net/" NET_BRIDGE "/ifalias"
#define WAS_OFF      "limpet: ip_forward was 0" /* kept on the bridge itself: who removes it restores */

/* Does another route cover a part of our subnet, or is it within a network that is not much wider? */
static int check_routes(struct err *err)
{
    FILE *f = fopen("/proc/net/route", "re");
    char line[256], name[32];
    unsigned dest, mask;
    uint32_t ours = inet_addr(NET_PREFIX "0"), our_mask = inet_addr(NET_MASK),
             wide = inet_addr("255.255.0.0");
    bool clash = false;

    if (!f)
        return 0;
    while (!clash && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%31s %x %*x %*x %*d %*d %*d %x", name, &dest, &mask) != 3 ||
            strcmp(name, NET_BRIDGE) == 0)
            continue;
        clash = (dest & our_mask) == ours || ((mask & wide) == wide && (ours & mask) == dest);
    }
    (void)fclose(f);
    if (clash)
        return err_set(err, ERR_CONFLICT, "network " NET_SUBNET " of the bridge is in use on %s", name);
    return 0;
}

static int set_address(int fd, const char *name, const char *address)
{
    struct ifreq q = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&q.ifr_addr;

    (void)str_copy(q.ifr_name, sizeof q.ifr_name, name);
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = inet_addr(address);
    if (ioctl(fd, SIOCSIFADDR, &q) != 0)
        return -errno;
    in->sin_addr.s_addr = inet_addr(NET_MASK);
    return ioctl(fd, SIOCSIFNETMASK, &q) == 0 ? 0 : -errno;
}

static int set_up(int fd, const char *name)
{
    struct ifreq q = {0};

    (void)str_copy(q.ifr_name, sizeof q.ifr_name, name);
    if (ioctl(fd, SIOCGIFFLAGS, &q) != 0)
        return -errno;
    q.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &q) == 0 ? 0 : -errno;
}

static int set_default_route(int fd)
{
    struct rtentry r = {.rt_flags = RTF_UP | RTF_GATEWAY};
    struct sockaddr_in any = {.sin_family = AF_INET}, via = {.sin_family = AF_INET};

    via.sin_addr.s_addr = inet_addr(NET_GATEWAY);
    memcpy(&r.rt_dst, &any, sizeof any);
    memcpy(&r.rt_genmask, &any, sizeof any);
    memcpy(&r.rt_gateway, &via, sizeof via);
    return ioctl(fd, SIOCADDRT, &r) == 0 ? 0 : -errno;
}

int net_inner_up(const char *name, const char *address, struct err *err)
{
    AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return errno == EAFNOSUPPORT
                   ? 0
                   : err_errno(err, errno, "socket"); /* a kernel without IP: nothing to do */
    r = address ? set_address(fd, name, address) : 0;
    if (r == 0)
        r = set_up(fd, name);
    if (r == 0 && address)
        r = set_default_route(fd);
    return r == 0 ? 0 : err_errno(err, -r, "%s", name);
}

/* The bridge with its address; forwarding on, and remembered when that was our doing. */
static int need_bridge(struct err *err)
{
    AUTO_FD int fd = -1;
    char now[8] = "1";
    int r;

    if (if_nametoindex(NET_BRIDGE) == 0) {
        if ((r = check_routes(err)) < 0)
            return r;
        r = netlink_add_bridge(NET_BRIDGE);
        if (r == -EOPNOTSUPP)
            return err_set(err, ERR_UNSUPPORTED, "kernel without CONFIG_BRIDGE");
        if (r < 0)
            return err_errno(err, -r, "make bridge");
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if ((r = set_address(fd, NET_BRIDGE, NET_GATEWAY)) < 0 || (r = set_up(fd, NET_BRIDGE)) < 0)
        return err_errno(err, -r, "bridge address");
    (void)fs_read_text(AT_FDCWD, FORWARD, now, sizeof now, NULL);
    if (strcmp(now, "0") == 0 && (r = fs_write_text(AT_FDCWD, BRIDGE_ALIAS, WAS_OFF, err)) >= 0)
        r = fs_write_text(AT_FDCWD, FORWARD, "1", err);
    return r < 0 ? r
                 : fs_write_text(AT_FDCWD, "/proc/sys/net/ipv4/conf/" NET_BRIDGE "/route_localnet", "1", err);
}

static void drop_bridge_if_idle(void)
{
    DIR *d = opendir("/sys/class/net/" NET_BRIDGE "/brif");
    char alias[64] = "";
    bool used = false;

    for (struct dirent *e; d && (e = readdir(d));)
        used = used || e->d_name[0] != '.';
    if (!d)
        return;
    (void)closedir(d);
    if (used)
        return;
    (void)fs_read_text(AT_FDCWD, BRIDGE_ALIAS, alias, sizeof alias, NULL);
    if (strcmp(alias, WAS_OFF) == 0)
        (void)fs_write_text(AT_FDCWD, FORWARD, "0", NULL);
    (void)netlink_delete(NET_BRIDGE);
}

/* Boxes start and end in several processes: one at a time here. */
static int lock_net(int *ret_fd, struct err *err)
{
    int fd = openat(AT_FDCWD, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        int saved = errno;
        if (fd >= 0)
            (void)close(fd);
        return err_errno(err, saved, "lock " LOCK_FILE);
    }
    *ret_fd = fd;
    return 0;
}

static unsigned hash_of(const char *id)
{
    unsigned h = 5381;

    for (; *id; id++)
        h = h * 33 + (unsigned char)*id;
    return h;
}

/* The host's end says whose it is. A box that died gave its address free, perhaps to another one. */
static void set_owner(const char *name, const char *id)
{
    char file[64];

    (void)snprintf(file, sizeof file, "/sys/class/net/%s/ifalias", name);
    (void)fs_write_text(AT_FDCWD, file, id, NULL);
}

/* Where the bridge passes through netfilter (br_netfilter), a box that asks for its own published port is sent back
 * through the port it came from. */
static void let_turn_back(const char *name)
{
    char file[64];

    (void)snprintf(file, sizeof file, "/sys/class/net/%s/brport/hairpin_mode", name);
    (void)fs_write_text(AT_FDCWD, file, "1", NULL);
}

static bool is_owner(const char *name, const char *id)
{
    char file[64], owner[LIM_NAME_BYTES + 1] = "";

    (void)snprintf(file, sizeof file, "/sys/class/net/%s/ifalias", name);
    (void)fs_read_text(AT_FDCWD, file, owner, sizeof owner, NULL);
    return owner[0] == '\0' || strcmp(owner, id) == 0;
}

/* The name of the host's end holds the address: making it reserves it. */
static int add_pair(const char *id, pid_t pid, unsigned *ret_host, struct err *err)
{
    unsigned count = LAST_HOST - FIRST_HOST + 1, start = hash_of(id) % count;
    char name[16];

    for (unsigned i = 0; i < count; i++) {
        unsigned host = FIRST_HOST + (start + i) % count;
        int r;
        (void)snprintf(name, sizeof name, "limpet%u", host);
        r = netlink_add_veth(name, NET_BRIDGE, "eth0", pid);
        if (r == 0) {
            set_owner(name, id);
            let_turn_back(name);
            *ret_host = host;
            return 0;
        }
        if (r == -EOPNOTSUPP)
            return err_set(err, ERR_UNSUPPORTED, "kernel without CONFIG_VETH");
        if (r != -EEXIST)
            return err_errno(err, -r, "make %s", name);
    }
    return err_set(err, ERR_NOSPACE, "all %u addresses of " NET_SUBNET " are taken", count);
}

int net_attach(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err)
{
    AUTO_FD int lock = -1;
    struct net_box box = {.nat = {.state = CGROUP_ENFORCED, .value = s->n_ports}};
    struct err why = ERR_INIT;
    unsigned host = 0;
    int r = lock_net(&lock, err);

    if (r < 0)
        return r;
    if ((r = net_rules_check(s, err)) < 0)
        return r;
    if ((r = need_bridge(err)) < 0 || (r = add_pair(s->id, pid, &host, err)) < 0) {
        drop_bridge_if_idle();
        return r;
    }
    (void)snprintf(box.address, sizeof box.address, NET_PREFIX "%u", host);
    if (net_rules_put(s, box.address, host, &why) < 0) {
        box.nat.state = CGROUP_DEGRADED;
        (void)snprintf(box.nat.why, sizeof box.nat.why, "no NAT, no published ports: %.34s", why.msg);
    }
    *ret = box;
    return 0;
}

int net_detach(const char *id, const char *address, struct err *err)
{
    AUTO_FD int lock = -1;
    uint64_t host;
    char name[16];
    int r;

    if (strncmp(address, NET_PREFIX, strlen(NET_PREFIX)) != 0 ||
        !str_u64(address + strlen(NET_PREFIX), FIRST_HOST, LAST_HOST, &host))
        return err_set(err, ERR_INVALID, "%s is no address of ours", address);
    if ((r = lock_net(&lock, err)) < 0)
        return r;
    (void)snprintf(name, sizeof name, "limpet%u", (unsigned)host);
    if (!is_owner(name, id))
        return 0;
    r = netlink_delete(name);
    if (r < 0 && r != -ENODEV)
        return err_errno(err, -r, "remove %s", name);
    net_rules_drop((unsigned)host);
    drop_bridge_if_idle();
    return 0;
}

bool net_has_bridge(void)
{
    static const char probe[] = "limpet-probe";
    int r = netlink_add_bridge(probe);

    if (r < 0 && r != -EEXIST)
        return false;
    (void)netlink_delete(probe);
    r = netlink_add_veth(probe, NULL, "limpet-peer", 0);
    if (r == 0)
        (void)netlink_delete(probe);
    return r == 0 || r == -EEXIST;
}

bool net_has_nat(void)
{
    return net_rules_work();
}
