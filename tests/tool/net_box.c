/* net_box.c - boxes with networks, for scripts.
 *   net-box run ROOTFS ID NETWORK [-p HOST[-LAST]:CONTAINER[/udp][@ADDRESS]]... -- PROGRAM ARGS...
 *       NETWORK: none, bridge, bridge:NAME, cni:NAME, join:PID. Prints "PID ADDRESS ADDRESS6 STATE WHY" (-
 *       for an empty
 *       one) and holds the box until a byte or the end comes from standard input; then it is removed. Killed:
 *       all is left as it is.
 *   net-box clean ID ADDRESS|- NETWORK    what an agent does later with the box of one that was killed
 *   net-box check ID     CNI plugins, are you content?
 *   net-box sweep */
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>

#include "platform/cgroup/cgroup.h"
#include "runtime/box/box.h"
#include "runtime/net/cni.h"

static struct err err = ERR_INIT;

static int complain(const char *what)
{
    fprintf(stderr, "net-box: %s: %s\n", what, err.msg);
    return 10 + (int)err.kind;
}

/* Below a name of the test's own: others run here too. */
static void group_of(const char *id, char dst[CGROUP_PATH_BYTES])
{
    const char *top = getenv("NET_BOX_GROUP");

    (void)snprintf(dst, CGROUP_PATH_BYTES, "%.60s/%.60s", top ? top : "limpet-netbox", id);
}

static enum spec_net read_network(const char *text, struct spec *s)
{
    static char path[64];
    const char *name = strchr(text, ':');
    enum spec_net net = strncmp(text, "bridge", 6) == 0 ? SPEC_NET_BRIDGE
                        : strncmp(text, "cni", 3) == 0  ? SPEC_NET_CNI
                                                        : SPEC_NET_NONE;

    if (strncmp(text, "join:", 5) == 0) {
        spec_set_net(s, SPEC_NET_HOST);
        (void)snprintf(path, sizeof path, "/proc/%s/ns/net", name + 1);
        s->ns[SPEC_NS_NET].join = path;
        return SPEC_NET_HOST;
    }
    spec_set_net(s, net);
    s->net_name = name ? name + 1 : NULL;
    return net;
}

static void read_port(char *text, struct spec *s)
{
    struct spec_port *p = &s->ports[s->n_ports++];
    unsigned host = 0, last = 0, inner = 0;
    char *at = strchr(text, '@');

    if (at) {
        *at = '\0';
        p->host_ip = at + 1;
    }
    p->udp = strstr(text, "/udp") != NULL;
    if (sscanf(text, "%u-%u:%u", &host, &last, &inner) != 3 && sscanf(text, "%u:%u", &host, &inner) != 2)
        exit(2);
    p->host = (uint16_t)host;
    p->container = (uint16_t)inner;
    p->count = (uint16_t)(last ? last - host + 1 : 1);
}

static int hold(const struct cgroup_host *h, struct box_started *b)
{
    char c;

    printf("%d %s %s %s %s\n", (int)b->id.pid, b->id.host_ip[0] ? b->id.host_ip : "-",
           b->id.host_ip6[0] ? b->id.host_ip6 : "-", cgroup_state_name(b->report.network.state),
           b->report.network.why);
    (void)fflush(stdout);
    (void)!read(0, &c, 1);
    err_ignore(box_kill(h, &b->id, NULL));
    (void)waitpid(b->id.pid, NULL, 0);
    return box_cleanup(h, &b->id, &err) < 0 ? complain("cleanup") : 0;
}

static int run(const struct cgroup_host *h, char **argv)
{
    struct spec *s = mem_need_zero(sizeof *s);
    struct box_started b;
    static const char *const env[] = {"PATH=/bin", NULL};
    char group[CGROUP_PATH_BYTES];

    spec_defaults(s);
    s->rootfs_fd = open(argv[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
    s->id = argv[1];
    group_of(argv[1], group);
    s->cgroup_path = group;
    (void)read_network(argv[2], s);
    for (argv += 3; argv[0] && strcmp(argv[0], "-p") == 0; argv += 2)
        read_port(argv[1], s);
    s->process.args = (const char *const *)argv + 1;
    s->process.env = env;
    s->ns[SPEC_NS_USER].own = false;
    return box_start(h, s, &b, &err) < 0 ? complain("start") : hold(h, &b);
}

int main(int argc, char **argv)
{
    struct cgroup_host h;
    struct box_id b = {.pid = -1};

    if (argc > 1 && strcmp(argv[1], "sweep") == 0)
        return box_sweep(&err) < 0 ? complain("sweep") : 0;
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return cni_check(argv[2], &err) < 0 ? complain("check") : 0;
    if (cgroup_detect(&h, &err) < 0)
        return complain("cgroups");
    if (argc == 5 && strcmp(argv[1], "clean") == 0) {
        (void)str_copy(b.id, sizeof b.id, argv[2]);
        group_of(argv[2], b.cgroup_path);
        (void)str_copy(b.host_ip, sizeof b.host_ip, strcmp(argv[3], "-") == 0 ? "" : argv[3]);
        b.net = strncmp(argv[4], "cni", 3) == 0 ? SPEC_NET_CNI : SPEC_NET_BRIDGE;
        err_ignore(box_kill(&h, &b, NULL));
        return box_cleanup(&h, &b, &err) < 0 ? complain("clean") : 0;
    }
    return argc > 6 && strcmp(argv[1], "run") == 0 ? run(&h, argv + 2) : 2;
}
