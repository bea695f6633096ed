/* net_rules.c - see net_rules.h. */
#include "runtime/net/net_rules.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/mem.h"
#include "runtime/box/tool.h"

#define NFT_S 20

static const char *nft_program(void)
{
    static const char *const places[] = {"/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"};

    for (size_t i = 0; i < COUNT_OF(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

/* Run nft with our rules. *ret_out: its output, malloc'd; the first line of its error message goes into
 * *err. */
static int nft_run(const char *rules, char **ret_out, struct err *err)
{
    static const char *const args[] = {"nft", "-f", "-", NULL}, *const env[] = {NULL};
    struct tool t = {
        .path = nft_program(), .args = args, .env = env, .input = buf_str(rules), .timeout_s = NFT_S};
    AUTO_TOOL_RESULT did = {0};
    int rc;

    if (!t.path)
        return err_set(err, ERR_UNSUPPORTED, "no nft");
    if ((rc = tool_run(&t, &did, err)) < 0)
        return rc;
    if (!tool_is_well(&did)) {
        const char *words = strstr(did.complaint, "Error: ");
        words = words ? words + 7 : did.complaint;
        return err_set(err, ERR_UNSUPPORTED, "nft: %.*s", (int)strcspn(words, "\n"),
                       words[0] ? words : "failed");
    }
    if (ret_out)
        *ret_out = steal_ptr(&did.out);
    return 0;
}

/* ---- text ---- */

struct text {
    char *at;
    size_t len, size;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *fmt, ...)
{
    va_list args;

    for (;;) {
        size_t room = t->size - t->len;
        int n;
        va_start(args, fmt);
        n = vsnprintf(t->at ? t->at + t->len : NULL, room, fmt, args);
        va_end(args);
        if (n < 0)
            abort();
        if ((size_t)n < room) {
            t->len += (size_t)n;
            return;
        }
        t->size = 2 * t->size + (size_t)n + 1024;
        t->at = realloc(t->at, t->size);
        if (!t->at)
            abort();
    }
}

/* Who may talk to whom. Between bridges, and on limpet0 between boxes, only what is published; to the host
 * itself only its name service; from outside to a box nothing that is not published. No box takes another
 * network's addresses, and route_localnet does not open the host's loopback to boxes. */
static void put_base(struct text *t, const struct net_base *b)
{
    put(t, "table inet limpet\ndelete table inet limpet\ntable inet limpet {\n"
           "chain guard { type filter hook prerouting priority -300;\n");
    for (unsigned i = 0; i < b->n; i++) {
        char subnet[16], subnet6[46];
        net_plan_address(b->network[i] * 256, subnet);
        net_plan_address6(b->network[i] * 256, subnet6);
        put(t,
            "iifname \"%s\" ip daddr 127.0.0.0/8 drop\niifname \"%s\" ip saddr != %s/24 drop\n"
            "iifname \"%s\" ip6 saddr != { %s/64, fe80::/10, :: } drop\n",
            b->bridge[i], b->bridge[i], subnet, b->bridge[i], subnet6);
    }
    put(t, "}\nchain across { type filter hook forward priority -10;\n"
           "ct state established,related accept\nct status dnat accept\n");
    for (unsigned i = 0; i < b->n; i++)
        if (strcmp(b->bridge[i], NET_BRIDGE) != 0) /* if bridged packets pass through netfilter */
            put(t, "iifname \"%s\" oifname \"%s\" accept\n", b->bridge[i], b->bridge[i]);
    for (unsigned i = 0; i < b->n; i++)
        put(t, "oifname \"%s\" drop\n", b->bridge[i]);
    put(t, "}\nchain box { ct state established,related accept\nmeta l4proto { icmp, icmpv6 } accept\n"
           "meta l4proto { tcp, udp } th dport 53 accept\ndrop\n}\n"
           "chain host { type filter hook input priority -10;\n");
    for (unsigned i = 0; i < b->n; i++)
        put(t, "iifname \"%s\" jump box\n", b->bridge[i]);
    put(t, "}\n}\n");
}

/* One published range. net_rules_check reads the comment back. */
static void put_port(struct text *t, const struct spec_port *p, const char *to, bool v6)
{
    unsigned last = spec_port_last(p);
    const char *protocol = p->udp ? "udp" : "tcp";

    if (p->host_ip && (strchr(p->host_ip, ':') != NULL) != v6)
        return;
    if (p->host_ip)
        put(t, "%s daddr %s ", v6 ? "ip6" : "ip", p->host_ip);
    else
        put(t, "fib daddr type local ");
    put(t, "%s dport %u", protocol, p->host);
    if (last > p->host)
        put(t, "-%u", last);
    put(t, " dnat to %s%s%s", v6 && p->host != p->container ? "[" : "", to,
        v6 && p->host != p->container ? "]" : "");
    if (p->host != p->container && last == p->host)
        put(t, ":%u", p->container);
    if (p->host != p->container && last > p->host) {
        put(t, ":%s dport map { ", protocol);
        for (unsigned i = 0; i <= last - p->host; i++)
            put(t, "%s%u : %u", i ? ", " : "", p->host + i, p->container + i);
        put(t, " }");
    }
    put(t, " comment \"limpet %s %u %u %s\"\n", protocol, p->host, last, p->host_ip ? p->host_ip : "*");
}

static void put_box(struct text *t, const struct spec *s, unsigned number, bool v6)
{
    const char *family = v6 ? "ip6" : "ip", *hooks[] = {"prerouting", "output"};
    char address[46], subnet[46], bridge[16];

    (void)snprintf(bridge, sizeof(bridge), "%s%s", s->net_name ? NET_NAMED : NET_BRIDGE,
                   s->net_name ? s->net_name : "");
    (v6 ? net_plan_address6(number, address) : net_plan_address(number, address));
    (v6 ? net_plan_address6(number / 256 * 256, subnet) : net_plan_address(number / 256 * 256, subnet));
    put(t, "table %s limpet_%u\ndelete table %s limpet_%u\ntable %s limpet_%u {\n", family, number, family,
        number, family, number);
    for (unsigned h = 0; h < COUNT_OF(hooks); h++) {
        put(t, "chain %s { type nat hook %s priority -100;\n", hooks[h], hooks[h]);
        for (unsigned i = 0; i < s->n_ports; i++)
            put_port(t, &s->ports[i], address, v6);
        put(t, "}\n");
    }
    put(t, "chain post { type nat hook postrouting priority 100;\n%s saddr %s oifname != \"%s\" masquerade\n",
        family, address, bridge);
    if (!v6)
        put(t, "ip saddr 127.0.0.0/8 ip daddr %s masquerade\n", address);
    put(t, "%s saddr %s/%d %s daddr %s ct status dnat masquerade\n}\n}\n", family, subnet, v6 ? 64 : 24,
        family, address);
}

char *net_rules_text(const struct spec *s, const struct net_base *b, unsigned number, bool v6)
{
    struct text t = {NULL, 0, 0};

    put_base(&t, b);
    put_box(&t, s, number, false);
    if (v6)
        put_box(&t, s, number, true);
    return t.at;
}

/* ---- effects ---- */

int net_rules_put(const struct spec *s, const struct net_base *b, unsigned number, bool v6, struct err *err)
{
    AUTO_MEM char *text = net_rules_text(s, b, number, v6);

    return nft_run(text, NULL, err);
}

void net_rules_drop(unsigned number)
{
    static const char *const families[] = {"ip", "ip6"};
    char rules[96];

    for (size_t i = 0; nft_program() && i < COUNT_OF(families);
         i++) { /* a kernel may have only one of them */
        (void)snprintf(rules, sizeof(rules), "table %s limpet_%u\ndelete table %s limpet_%u\n", families[i],
                       number, families[i], number);
        (void)nft_run(rules, NULL, NULL);
    }
}

bool net_rules_work(void)
{
    return nft_program() &&
           nft_run("add table ip limpet_probe\ndelete table ip limpet_probe\n", NULL, NULL) == 0;
}

static bool box_lives(unsigned number)
{
    char name[16];

    net_plan_device(number, name);
    return if_nametoindex(name) != 0;
}

/* A line of nft's list that publishes ports of a box: CONFLICT if they overlap with ours. */
static int check_line(const char *line, unsigned number, const struct spec *s, struct err *err)
{
    const char *at = strstr(line, " comment \"limpet ");
    char protocol[8], address[46], box[16];
    unsigned first, last;

    if (!at || sscanf(at, " comment \"limpet %7s %u %u %45[^\"]", protocol, &first, &last, address) != 4)
        return 0;
    for (unsigned i = 0; i < s->n_ports; i++) {
        struct spec_port p = {.host = (uint16_t)first,
                              .count = (uint16_t)(last - first + 1),
                              .udp = strcmp(protocol, "udp") == 0,
                              .host_ip = strcmp(address, "*") == 0 ? NULL : address};
        if (!spec_ports_meet(&p, &s->ports[i]))
            continue;
        net_plan_address(number, box);
        return err_set(err, ERR_CONFLICT, "ports[%u]: host port %u is published by the box at %s", i,
                       s->ports[i].host, box);
    }
    return 0;
}

/* Walk nft's list of tables. s NULL: nothing is checked. Tables of boxes that are gone, or all, are
 * removed. */
static int walk(const char *what, const struct spec *s, bool all, struct err *err)
{
    AUTO_MEM char *list = NULL;
    struct text drop = {NULL, 0, 0};
    char family[8], *save = NULL;
    unsigned number = 0;
    int rc = 0;

    if (!nft_program() || nft_run(what, &list, NULL) < 0)
        return 0; /* then the rules cannot be set either, and that is reported */
    for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned found;
        if (strncmp(line, "table ", 6) == 0) {
            number = sscanf(line, "table %7s limpet_%u", family, &found) == 2 ? found : 0;
            if (number && (all || !box_lives(number))) {
                put(&drop, "delete table %s limpet_%u\n", family, number);
                number = 0;
            }
            if (all && strncmp(line, "table inet limpet", 17) == 0 && (line[17] == '\0' || line[17] == ' '))
                put(&drop, "delete table inet limpet\n");
        }
        if (number && s && rc == 0)
            rc = check_line(line, number, s, err);
    }
    if (drop.at)
        (void)nft_run(drop.at, NULL, NULL);
    free(drop.at);
    return rc;
}

int net_rules_check(const struct spec *s, struct err *err)
{
    return s->n_ports ? walk("list ruleset\n", s, false, err) : 0;
}

void net_rules_sweep(bool keep_base)
{
    (void)walk("list tables\n", NULL, !keep_base, NULL);
}

void net_rules_clear(void)
{
    net_rules_sweep(false);
}
