/* netlink.c - see netlink.h. */
#include "runtime/netlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "platform/mem.h"

/* A request under construction. All of ours fit many times. */
struct request {
    struct nlmsghdr head;
    struct ifinfomsg link;
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

static void begin(struct request *q, unsigned short type, unsigned short flags)
{
    memset(q, 0, sizeof *q);
    q->head.nlmsg_len = NLMSG_LENGTH(sizeof q->link);
    q->head.nlmsg_type = type;
    q->head.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags);
    q->link.ifi_family = AF_UNSPEC;
}

/* Send, wait for the acknowledgement. 0 or -errno. */
static int talk(struct request *q)
{
    AUTO_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct {
        struct nlmsghdr head;
        struct nlmsgerr body;
        char rest[1024];
    } answer;
    ssize_t n;

    if (fd < 0)
        return -errno;
    if (sendto(fd, q, q->head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
        return -errno;
    do
        n = recv(fd, &answer, sizeof answer, 0);
    while (n < 0 && errno == EINTR);
    if (n < (ssize_t)(sizeof answer.head + sizeof(int)) || answer.head.nlmsg_type != NLMSG_ERROR)
        return n < 0 ? -errno : -EIO;
    return answer.body.error;
}

int netlink_add_bridge(const char *name)
{
    struct request q;
    struct rtattr *info;

    begin(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    q.link.ifi_flags = q.link.ifi_change = IFF_UP;
    add_text(&q, IFLA_IFNAME, name);
    info = add(&q, IFLA_LINKINFO, NULL, 0);
    add_text(&q, IFLA_INFO_KIND, "bridge");
    close_nest(&q, info);
    return talk(&q);
}

int netlink_add_veth(const char *name, const char *bridge, const char *peer, pid_t pid)
{
    struct request q;
    struct rtattr *info, *data, *other;
    struct ifinfomsg empty = {0};
    unsigned master = bridge ? if_nametoindex(bridge) : 0;
    int32_t ns = pid;

    begin(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    q.link.ifi_flags = q.link.ifi_change = IFF_UP;
    add_text(&q, IFLA_IFNAME, name);
    if (master)
        (void)add(&q, IFLA_MASTER, &master, sizeof master);
    info = add(&q, IFLA_LINKINFO, NULL, 0);
    add_text(&q, IFLA_INFO_KIND, "veth");
    data = add(&q, IFLA_INFO_DATA, NULL, 0);
    other = add(&q, VETH_INFO_PEER, &empty, sizeof empty);
    add_text(&q, IFLA_IFNAME, peer);
    if (pid)
        (void)add(&q, IFLA_NET_NS_PID, &ns, sizeof ns);
    close_nest(&q, other);
    close_nest(&q, data);
    close_nest(&q, info);
    return talk(&q);
}

int netlink_delete(const char *name)
{
    struct request q;

    begin(&q, RTM_DELLINK, 0);
    add_text(&q, IFLA_IFNAME, name);
    return talk(&q);
}
