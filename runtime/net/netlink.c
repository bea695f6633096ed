/* netlink.c - see netlink.h. */
#include "runtime/net/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "platform/mem.h"

#define IFA_PROTO_ 11    /* IFA_PROTO, since 5.18 */
#define DUMP_BYTES 32768 /* the kernel never fills more at a time */

/* A request being built. All of ours fit many times over. */
struct request {
    struct nlmsghdr head;
    union {
        struct ifinfomsg link;
        struct ifaddrmsg address;
        struct rtmsg route;
    };
    char room[512];
};

static void *end_of(struct request *q)
{
    return (char *)q + NLMSG_ALIGN(q->head.nlmsg_len);
}

static struct rtattr *add(struct request *q, unsigned short type, const void *value, size_t len)
{
    struct rtattr *a = end_of(q);

    a->rta_type = type;
    a->rta_len = (unsigned short)RTA_LENGTH(len);
    if (len)
        memcpy(RTA_DATA(a), value, len);
    q->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(q->head.nlmsg_len) + RTA_ALIGN(a->rta_len));
    return a;
}

static void add_text(struct request *q, unsigned short type, const char *text)
{
    (void)add(q, type, text, strlen(text) + 1);
}

static void close_nest(struct request *q, struct rtattr *a)
{
    a->rta_len = (unsigned short)((char *)end_of(q) - (char *)a);
}

static void begin_sized(struct request *q, unsigned short type, unsigned flags, size_t body)
{
    memset(q, 0, sizeof(*q));
    q->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
    q->head.nlmsg_type = type;
    q->head.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags);
}

static void begin(struct request *q, unsigned short type, unsigned flags)
{
    begin_sized(q, type, flags, sizeof(q->link));
}

int netlink_open(void)
{
    static const struct timeval patience = {5, 0}; /* the kernel replies at once, or never */
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd < 0 ? -errno : fd;
}

static int ask(int nl, const struct request *q)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    return sendto(nl, q, q->head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0 ? -errno : 0;
}

/* Send, and wait for the acknowledgement. */
static int talk(int nl, const struct request *q)
{
    struct {
        struct nlmsghdr head;
        struct nlmsgerr body;
        char rest[1024];
    } answer;
    ssize_t n;
    int rc = ask(nl, q);

    if (rc < 0)
        return rc;
    do
        n = recv(nl, &answer, sizeof(answer), 0);
    while (n < 0 && errno == EINTR);
    if (n < (ssize_t)(sizeof(answer.head) + sizeof(int)) || answer.head.nlmsg_type != NLMSG_ERROR)
        return n < 0 ? -errno : -EIO;
    return answer.body.error;
}

/* Request a dump and pass its messages to each until the end. */
static int dump(int nl, const struct request *q, void (*each)(const struct nlmsghdr *m, void *to), void *to)
{
    AUTO_MEM char *room = mem_need(DUMP_BYTES);
    int rc = ask(nl, q);

    while (rc == 0) {
        ssize_t got = recv(nl, room, DUMP_BYTES, 0);
        int left = (int)got;
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EIO;
        for (struct nlmsghdr *m = (struct nlmsghdr *)(void *)room; NLMSG_OK(m, (unsigned)left);
             m = NLMSG_NEXT(m, left)) {
            if (m->nlmsg_type == NLMSG_DONE)
                return 0;
            if (m->nlmsg_type == NLMSG_ERROR)
                return ((struct nlmsgerr *)NLMSG_DATA(m))->error;
            each(m, to);
        }
    }
    return rc;
}

/* The attribute of that type, or NULL. */
static const struct rtattr *find(const struct rtattr *a, size_t len, unsigned short type)
{
    int left = (int)len;

    for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if ((a->rta_type & NLA_TYPE_MASK) == type)
            return a;
    return NULL;
}

static const struct rtattr *find_in(const struct rtattr *nest, unsigned short type)
{
    return nest ? find(RTA_DATA(nest), RTA_PAYLOAD(nest), type) : NULL;
}

static void copy_text(char *dst, size_t size, const struct rtattr *a)
{
    size_t len = a ? RTA_PAYLOAD(a) : 0;

    len = len < size ? len : size - 1;
    if (len)
        memcpy(dst, RTA_DATA(a), len);
    dst[len] = '\0';
}

struct link_list {
    struct netlink_link *at;
    unsigned n, size;
};

static void take_link(const struct nlmsghdr *m, void *to)
{
    struct link_list *l = to;
    const struct ifinfomsg *i = NLMSG_DATA(m);
    const struct rtattr *master;
    struct netlink_link *x;

    if (m->nlmsg_type != RTM_NEWLINK)
        return;
    if (l->n == l->size) {
        l->size = l->size ? 2 * l->size : 32;
        l->at = realloc(l->at, l->size * sizeof(*l->at));
        if (!l->at)
            abort();
    }
    x = &l->at[l->n++];
    *x = (struct netlink_link){.index = i->ifi_index, .flags = i->ifi_flags};
    copy_text(x->name, sizeof(x->name), find(IFLA_RTA(i), IFLA_PAYLOAD(m), IFLA_IFNAME));
    copy_text(x->alias, sizeof(x->alias), find(IFLA_RTA(i), IFLA_PAYLOAD(m), IFLA_IFALIAS));
    master = find(IFLA_RTA(i), IFLA_PAYLOAD(m), IFLA_MASTER);
    if (master && RTA_PAYLOAD(master) == sizeof(x->master))
        memcpy(&x->master, RTA_DATA(master), sizeof(x->master));
}

int netlink_links(int nl, struct netlink_link **ret, unsigned *ret_n)
{
    struct request q;
    struct link_list l = {NULL, 0, 0};
    int rc;

    begin(&q, RTM_GETLINK, NLM_F_DUMP);
    q.head.nlmsg_flags &= (unsigned short)~NLM_F_ACK;
    rc = dump(nl, &q, take_link, &l);
    if (rc < 0) {
        free(l.at);
        return rc;
    }
    *ret = l.at;
    *ret_n = l.n;
    return 0;
}

/* One address as a request to make it; its label, which has the interface's old name, stands last. */
struct kept_address {
    struct request q;
    uint32_t len_without_label;
    bool moves;
};
struct netlink_kept {
    int index;
    unsigned n;
    struct kept_address *list;
};

/* IFA_F_PERMANENT, global scope, and not set by the kernel itself (IFA_PROTO, since 5.18). */
static bool address_moves(const struct ifaddrmsg *i, const struct rtattr *flags, const struct rtattr *proto)
{
    uint32_t f = i->ifa_flags;

    if (flags && RTA_PAYLOAD(flags) == sizeof(f))
        memcpy(&f, RTA_DATA(flags), sizeof(f));
    return i->ifa_scope == RT_SCOPE_UNIVERSE && f & IFA_F_PERMANENT &&
           !(proto && RTA_PAYLOAD(proto) == 1 && *(const uint8_t *)RTA_DATA(proto) != 0);
}

static void keep_address(const struct nlmsghdr *m, void *to)
{
    struct netlink_kept *k = to;
    const struct ifaddrmsg *i = NLMSG_DATA(m);
    const struct rtattr *label = find(IFA_RTA(i), IFA_PAYLOAD(m), IFA_LABEL), *a = IFA_RTA(i);
    struct kept_address *x;
    int left = (int)IFA_PAYLOAD(m);

    if (m->nlmsg_type != RTM_NEWADDR || (int)i->ifa_index != k->index || m->nlmsg_len > sizeof(x->q.room))
        return;
    k->list = realloc(k->list, (k->n + 1) * sizeof(*k->list));
    if (!k->list)
        abort();
    x = &k->list[k->n++];
    begin_sized(&x->q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(x->q.address));
    x->q.address = *i;
    for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a != label)
            (void)add(&x->q, a->rta_type, RTA_DATA(a), RTA_PAYLOAD(a));
    x->len_without_label = x->q.head.nlmsg_len;
    if (label)
        (void)add(&x->q, IFA_LABEL, RTA_DATA(label), RTA_PAYLOAD(label));
    x->moves = address_moves(i, find(IFA_RTA(i), IFA_PAYLOAD(m), IFA_FLAGS),
                             find(IFA_RTA(i), IFA_PAYLOAD(m), IFA_PROTO_));
}

int netlink_keep(int nl, int index, struct netlink_kept **ret)
{
    struct request q;
    struct netlink_kept *k = mem_need_zero(sizeof(*k));
    int rc;

    k->index = index;
    begin_sized(&q, RTM_GETADDR, NLM_F_DUMP, sizeof(q.address));
    q.head.nlmsg_flags &= (unsigned short)~NLM_F_ACK;
    if ((rc = dump(nl, &q, keep_address, k)) < 0)
        (void)netlink_kept_free(k);
    else
        *ret = k;
    return rc;
}

struct netlink_kept *netlink_kept_free(struct netlink_kept *k)
{
    if (k)
        free(k->list);
    free(k);
    return NULL;
}

int netlink_give(int nl, int index, const struct netlink_kept *k, bool moved)
{
    for (unsigned i = 0; i < k->n; i++) {
        struct request q = k->list[i].q;
        int rc;
        if (moved && !k->list[i].moves)
            continue;
        q.address.ifa_index = (unsigned)index;
        if (moved)
            q.head.nlmsg_len = k->list[i].len_without_label;
        if ((rc = talk(nl, &q)) < 0 && rc != -EEXIST)
            return rc;
    }
    return 0;
}

static void add_mac(struct request *q, const uint8_t *mac)
{
    if (mac)
        (void)add(q, IFLA_ADDRESS, mac, 6);
}

int netlink_add_bridge(int nl, const char *name, const uint8_t *mac)
{
    struct request q;
    struct rtattr *info;

    begin(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    add_text(&q, IFLA_IFNAME, name);
    add_mac(&q, mac);
    info = add(&q, IFLA_LINKINFO, NULL, 0);
    add_text(&q, IFLA_INFO_KIND, "bridge");
    close_nest(&q, info);
    return talk(nl, &q);
}

int netlink_add_veth(int nl, const char *name, int bridge, const char *peer, pid_t pid, const uint8_t *mac)
{
    struct request q;
    struct rtattr *info, *data, *other;
    struct ifinfomsg empty = {0};
    int32_t ns = pid;

    begin(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    q.link.ifi_flags = q.link.ifi_change = IFF_UP;
    add_text(&q, IFLA_IFNAME, name);
    if (bridge)
        (void)add(&q, IFLA_MASTER, &bridge, sizeof(bridge));
    info = add(&q, IFLA_LINKINFO, NULL, 0);
    add_text(&q, IFLA_INFO_KIND, "veth");
    data = add(&q, IFLA_INFO_DATA, NULL, 0);
    other = add(&q, VETH_INFO_PEER, &empty, sizeof(empty));
    add_text(&q, IFLA_IFNAME, peer);
    add_mac(&q, mac);
    if (pid)
        (void)add(&q, IFLA_NET_NS_PID, &ns, sizeof(ns));
    close_nest(&q, other);
    close_nest(&q, data);
    close_nest(&q, info);
    return talk(nl, &q);
}

int netlink_set_alias(int nl, const char *name, const char *alias)
{
    struct request q;

    begin(&q, RTM_NEWLINK, 0);
    add_text(&q, IFLA_IFNAME, name);
    (void)add(&q, IFLA_IFALIAS, alias, strlen(alias));
    return talk(nl, &q);
}

int netlink_set_port(int nl, const char *name, bool hairpin, bool isolated)
{
    struct request q;
    struct rtattr *info, *data;
    uint8_t turn = hairpin, apart = isolated;

    begin(&q, RTM_NEWLINK, 0);
    add_text(&q, IFLA_IFNAME, name);
    info = add(&q, IFLA_LINKINFO, NULL, 0);
    add_text(&q, IFLA_INFO_SLAVE_KIND, "bridge");
    data = add(&q, IFLA_INFO_SLAVE_DATA, NULL, 0);
    (void)add(&q, IFLA_BRPORT_MODE, &turn, sizeof(turn));
    (void)add(&q, IFLA_BRPORT_ISOLATED, &apart, sizeof(apart));
    close_nest(&q, data);
    close_nest(&q, info);
    return talk(nl, &q);
}

bool netlink_is_isolated(int nl, const char *name)
{
    struct request q;

    struct {
        struct nlmsghdr head;
        struct ifinfomsg link;
        char room[16384];
    } *m = mem_need(sizeof(*m));
    const struct rtattr *a = NULL;
    bool is = false;
    ssize_t n = 0;

    begin(&q, RTM_GETLINK, 0);
    q.head.nlmsg_flags &= (unsigned short)~NLM_F_ACK;
    add_text(&q, IFLA_IFNAME, name);
    if (ask(nl, &q) == 0)
        do
            n = recv(nl, m, sizeof(*m), 0);
        while (n < 0 && errno == EINTR);
    if (n > (ssize_t)NLMSG_LENGTH(sizeof(m->link)) && m->head.nlmsg_type == RTM_NEWLINK) {
        a = find(IFLA_RTA(&m->link), IFLA_PAYLOAD(&m->head), IFLA_LINKINFO);
        a = find_in(find_in(a, IFLA_INFO_SLAVE_DATA), IFLA_BRPORT_ISOLATED);
        is = a && RTA_PAYLOAD(a) == 1 && *(const uint8_t *)RTA_DATA(a) == 1;
    }
    free(m);
    return is;
}

int netlink_up(int nl, const char *name)
{
    struct request q;

    begin(&q, RTM_NEWLINK, 0);
    q.link.ifi_flags = q.link.ifi_change = IFF_UP;
    add_text(&q, IFLA_IFNAME, name);
    return talk(nl, &q);
}

int netlink_add_address(int nl, int index, const struct netlink_address *a)
{
    struct request q;
    size_t len = a->family == AF_INET ? 4 : 16;
    int rc;

    begin_sized(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(q.address));
    q.address = (struct ifaddrmsg){.ifa_family = (uint8_t)a->family,
                                   .ifa_prefixlen = (uint8_t)a->prefix,
                                   .ifa_flags = a->family == AF_INET6 ? IFA_F_NODAD : 0,
                                   .ifa_scope = a->scope,
                                   .ifa_index = (unsigned)index};
    (void)add(&q, IFA_LOCAL, a->bytes, len);
    (void)add(&q, IFA_ADDRESS, a->bytes, len);
    if (a->family == AF_INET && a->prefix < 31) {
        uint8_t all[4];
        for (unsigned i = 0; i < 4; i++) {
            unsigned bits = a->prefix > 8 * i ? a->prefix - 8 * i : 0;
            all[i] = (uint8_t)(a->bytes[i] | (bits >= 8 ? 0 : 0xff >> bits));
        }
        (void)add(&q, IFA_BROADCAST, all, sizeof(all));
    }
    rc = talk(nl, &q);
    return rc == -EEXIST ? 0 : rc;
}

int netlink_add_default(int nl, int index, const struct netlink_address *gateway)
{
    struct request q;

    begin_sized(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(q.route));
    q.route = (struct rtmsg){.rtm_family = (uint8_t)gateway->family,
                             .rtm_table = RT_TABLE_MAIN,
                             .rtm_protocol = RTPROT_STATIC,
                             .rtm_scope = RT_SCOPE_UNIVERSE,
                             .rtm_type = RTN_UNICAST};
    (void)add(&q, RTA_GATEWAY, gateway->bytes, gateway->family == AF_INET ? 4 : 16);
    (void)add(&q, RTA_OIF, &index, sizeof(index));
    return talk(nl, &q);
}

int netlink_move(int nl, int index, int ns_fd, const char *new_name)
{
    struct request q;

    begin(&q, RTM_NEWLINK, 0);
    q.link.ifi_index = index;
    q.link.ifi_change = IFF_UP; /* down: kernels before 6.2 rename only such interfaces */
    (void)add(&q, IFLA_NET_NS_FD, &ns_fd, sizeof(ns_fd));
    add_text(&q, IFLA_IFNAME, new_name);
    return talk(nl, &q);
}

int netlink_set_master(int nl, int index, int master)
{
    struct request q;

    begin(&q, RTM_NEWLINK, 0);
    q.link.ifi_index = index;
    (void)add(&q, IFLA_MASTER, &master, sizeof(master));
    return talk(nl, &q);
}

int netlink_rename(int nl, int index, const char *name)
{
    struct request q;

    begin(&q, RTM_NEWLINK, 0);
    q.link.ifi_index = index;
    add_text(&q, IFLA_IFNAME, name);
    return talk(nl, &q);
}

int netlink_delete(int nl, const char *name)
{
    struct request q;

    begin(&q, RTM_DELLINK, 0);
    add_text(&q, IFLA_IFNAME, name);
    return talk(nl, &q);
}

struct netlink_address netlink_address_of(const char *text, unsigned prefix)
{
    struct netlink_address a = {.family = strchr(text, ':') ? AF_INET6 : AF_INET, .prefix = prefix};

    (void)inet_pton(a.family, text, a.bytes);
    return a;
}
