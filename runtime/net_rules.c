/* net_rules.c - NAT and published ports: one nft table a box. See net_rules.h. */
#include "runtime/net_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/mem.h"
#include "runtime/net.h"

static const char *nft_program(void)
{
    static const char *const places[] = {"/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"};

    for (size_t i = 0; i < COUNT_OF(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

static void nft_child(const char *program, int rules_fd, int message_fd)
{
    char *const args[] = {(char *)(uintptr_t) "nft", (char *)(uintptr_t) "-f", (char *)(uintptr_t) "-", NULL};
    char *const env[] = {NULL};

    if (dup2(rules_fd, 0) < 0 || dup2(message_fd, 1) < 0 || dup2(message_fd, 2) < 0)
        _exit(127);
    (void)execve(program, args, env);
    _exit(127);
}

/* nft reads rules of ours; *ret_out: what it says. Its pid, or -kind. */
static pid_t nft_start(const char *rules, int *ret_out, struct err *err)
{
    const char *program = nft_program();
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    pid_t pid;

    if (!program)
        return err_set(err, ERR_UNSUPPORTED, "no nft");
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        return err_errno(err, errno, "pipe");
    pid = fork();
    if (pid == 0)
        nft_child(program, in[0], out[1]);
    (void)close(in[0]);
    (void)close(out[1]);
    (void)!write(in[1], rules, strlen(rules)); /* below PIPE_BUF's page times 16: never blocks */
    (void)close(in[1]);
    if (pid < 0) {
        (void)close(out[0]);
        return err_set(err, ERR_NOMEM, "fork");
    }
    *ret_out = out[0];
    return pid;
}

static bool nft_ended_well(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Run nft with rules of ours. Its first line of complaint goes into *err. */
static int nft_run(const char *rules, struct err *err)
{
    char text[200] = "";
    AUTO_FD int out = -1;
    pid_t pid = nft_start(rules, &out, err);
    ssize_t n;

    if (pid < 0)
        return pid;
    n = read(out, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (nft_ended_well(pid))
        return 0;
    return err_set(err, ERR_UNSUPPORTED, "nft: %s", text[0] ? text : "failed");
}

static void rule_for(const struct spec_port *p, const char *address, char *dst, size_t size)
{
    char where[40] = "fib daddr type local";

    if (p->host_ip)
        (void)snprintf(where, sizeof where, "ip daddr %s", p->host_ip);
    (void)snprintf(dst, size, "%s %s dport %u dnat to %s:%u\n", where, p->udp ? "udp" : "tcp", p->host,
                   address, p->container);
}

/* One table a box: made whole, removed whole, needs no memory of others. */
int net_rules_put(const struct spec *s, const char *address, unsigned host, struct err *err)
{
    char text[8192], rules[LIM_PORTS * 100] = "";
    size_t at = 0;

    for (unsigned i = 0; i < s->n_ports; i++) {
        rule_for(&s->ports[i], address, rules + at, sizeof rules - at);
        at += strlen(rules + at);
    }
    if (!str_fmt(text, sizeof text,
                 "table ip limpet_%u\ndelete table ip limpet_%u\ntable ip limpet_%u {\n"
                 /* route_localnet must not open the host's loopback to boxes */
                 "chain guard { type filter hook prerouting priority -300;\n"
                 "iifname \"" NET_BRIDGE "\" ip daddr 127.0.0.0/8 drop\n}\n"
                 "chain pre { type nat hook prerouting priority -100;\n%s}\n"
                 "chain out { type nat hook output priority -100;\n%s}\n"
                 "chain post { type nat hook postrouting priority 100;\n"
                 "ip saddr %s oifname != \"" NET_BRIDGE "\" masquerade\n"
                 "ip saddr 127.0.0.0/8 ip daddr %s masquerade\n"
                 "ip saddr " NET_SUBNET " ip daddr %s ct status dnat masquerade\n}\n}\n",
                 host, host, host, rules, rules, address, address, address))
        return err_set(err, ERR_NOSPACE, "too many ports");
    return nft_run(text, err);
}

void net_rules_drop(unsigned host)
{
    char rules[80];

    (void)snprintf(rules, sizeof rules, "table ip limpet_%u\ndelete table ip limpet_%u\n", host, host);
    if (nft_program())
        (void)nft_run(rules, NULL);
}

bool net_rules_work(void)
{
    return nft_program() && nft_run("add table ip limpet_probe\ndelete table ip limpet_probe\n", NULL) == 0;
}

/* A line of nft's list that publishes a port: "ip daddr 1.2.3.4 tcp dport 80 dnat to 10.88.77.5:8080". */
static bool is_taken(const struct spec_port *p, const char *line)
{
    const char *at = strstr(line, p->udp ? "udp dport " : "tcp dport "), *ip = strstr(line, "ip daddr ");
    char address[16] = "";
    unsigned port;

    if (!at || !strstr(line, " dnat to ") || sscanf(at + 10, "%u", &port) != 1 || port != p->host)
        return false;
    if (ip)
        (void)sscanf(ip + 9, "%15s", address);
    return !ip || !p->host_ip || strcmp(address, p->host_ip) == 0;
}

/* Walk over nft's list of all tables. Ours whose box has gone are collected in drop. */
static int walk_tables(FILE *list, const struct spec *s, char *drop, size_t size, struct err *err)
{
    char line[512], name[16];
    unsigned host = 0;
    int r = 0;

    drop[0] = '\0';
    while (fgets(line, sizeof line, list)) {
        unsigned found;
        size_t used = strlen(drop);
        if (strncmp(line, "table ", 6) == 0) {
            host = sscanf(line, "table ip limpet_%u {", &found) == 1 ? found : 0;
            (void)snprintf(name, sizeof name, "limpet%u", host % 1000);
            if (host && if_nametoindex(name) == 0) {
                if (size - used > 40)
                    (void)snprintf(drop + used, size - used, "delete table ip limpet_%u\n", host);
                host = 0;
            }
        }
        for (unsigned i = 0; host && r == 0 && i < s->n_ports; i++)
            if (is_taken(&s->ports[i], line))
                r = err_set(err, ERR_CONFLICT,
                            "ports[%u]: host port %u is published by the box at " NET_PREFIX "%u", i,
                            s->ports[i].host, host);
    }
    return r;
}

int net_rules_check(const struct spec *s, struct err *err)
{
    char drop[4096];
    int out = -1, r;
    FILE *list;
    pid_t pid;

    if (s->n_ports == 0 || !nft_program())
        return 0;
    pid = nft_start("list ruleset ip\n", &out, err);
    if (pid < 0)
        return pid;
    list = fdopen(out, "r");
    if (!list)
        abort();
    r = walk_tables(list, s, drop, sizeof drop, err);
    (void)fclose(list);
    (void)nft_ended_well(pid); /* no list: then the rules cannot be put either, and that is reported */
    if (drop[0])
        (void)nft_run(drop, NULL);
    return r;
}
