/* net_taken.c - ports that the device itself serves: publishing one would silently take it over. See
 * net_rules.h. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/fs.h"
#include "runtime/net/net_rules.h"

#define LOOKS_MAX 16384 /* an app may have any number of descriptors, and core waits for this */
#define LISTENS   0x0a  /* for TCP; a serving UDP socket is unconnected */

/* One line in /proc/net/tcp etc. */
struct served {
    bool v6, udp;
    uint8_t address[16];
    unsigned port;
    unsigned long inode;
};

static bool parse(const char *line, bool v6, bool udp, struct served *ret)
{
    char local[40], remote[40];
    unsigned remote_port, state, word;

    *ret = (struct served){.v6 = v6, .udp = udp};
    if (sscanf(line, " %*u: %39[0-9A-F]:%x %39[0-9A-F]:%x %x %*x:%*x %*x:%*x %*x %*u %*u %lu", local,
               &ret->port, remote, &remote_port, &state, &ret->inode) != 6 ||
        strlen(local) != (v6 ? 32 : 8))
        return false;
    for (unsigned i = 0; i < (v6 ? 4U : 1U); i++) { /* words in network order, each printed as a host
                                                     * number */
        if (sscanf(local + i * 8, "%8x", &word) != 1)
            return false;
        memcpy(ret->address + i * 4, &word, 4);
    }
    return udp ? remote_port == 0 : state == LISTENS;
}

static bool is_any(const struct served *a)
{
    static const uint8_t none[16];

    return memcmp(a->address, none, a->v6 ? 16 : 4) == 0;
}

/* Would the rule for p take packets addressed to a? */
static bool meets(const struct served *a, const struct spec_port *p)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t want[16];
    bool want6 = p->host_ip && strchr(p->host_ip, ':');

    if (a->udp != p->udp || a->port < p->host || a->port > spec_port_last(p))
        return false;
    if (!p->host_ip || is_any(a))
        return !p->host_ip || a->v6 || !want6; /* a socket on "::" serves IPv4 too */
    if (inet_pton(want6 ? AF_INET6 : AF_INET, p->host_ip, want) != 1)
        return false;
    if (a->v6 && !want6)
        return memcmp(a->address, mapped, sizeof(mapped)) == 0 && memcmp(a->address + 12, want, 4) == 0;
    return a->v6 == want6 && memcmp(a->address, want, want6 ? 16 : 4) == 0;
}

/* *left: descriptors that may still be checked. */
static bool has_socket(pid_t pid, unsigned long inode, unsigned *left)
{
    char path[48], name[320], link[64], want[40];
    const struct dirent *e;
    bool found = false;
    DIR *d;

    (void)snprintf(want, sizeof(want), "socket:[%lu]", inode);
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    if (!(d = opendir(path)))
        return false;
    for (; !found && *left > 0 && (e = readdir(d)); (*left)--) {
        ssize_t n;
        (void)snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
        n = readlink(name, link, sizeof(link) - 1);
        link[n > 0 ? n : 0] = '\0';
        found = strcmp(link, want) == 0;
    }
    (void)closedir(d);
    return found;
}

/* "sshd (pid 812)"; a socket may belong to no process that we see. */
static void who_serves(unsigned long inode, char *dst, size_t size)
{
    DIR *d = opendir("/proc");
    const struct dirent *e;
    uint64_t pid;
    char path[48], name[32];
    unsigned left = LOOKS_MAX;

    (void)str_copy(dst, size, "a process of the device");
    while (d && left > 0 && (e = readdir(d))) {
        if (!str_u64(e->d_name, 1, INT32_MAX, &pid) || !has_socket((pid_t)pid, inode, &left))
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
        if (fs_read_text(AT_FDCWD, path, name, sizeof(name), NULL) > 0)
            (void)str_fmt(dst, size, "%s (pid %d)", str_clean(name), (int)pid);
        break;
    }
    if (d)
        (void)closedir(d);
}

static int refuse(const struct served *a, unsigned i, struct err *err)
{
    char address[INET6_ADDRSTRLEN] = "?", who[64];

    (void)inet_ntop(a->v6 ? AF_INET6 : AF_INET, a->address, address, sizeof(address));
    who_serves(a->inode, who, sizeof(who));
    return err_set(err, ERR_CONFLICT, "ports[%u]: host port %u (%s) is in use: %s serves it at %s", i,
                   a->port, a->udp ? "udp" : "tcp", who, address);
}

int net_taken_check(const struct spec *s, struct err *err)
{
    static const struct {
        const char *file;
        bool v6, udp;
    } tables[] = {{"/proc/net/tcp", false, false},
                  {"/proc/net/tcp6", true, false},
                  {"/proc/net/udp", false, true},
                  {"/proc/net/udp6", true, true}};
    char line[512];
    int rc = 0;

    for (unsigned t = 0; s->n_ports && t < COUNT_OF(tables); t++) {
        FILE *f = fopen(tables[t].file, "re");
        struct served a;
        while (f && rc == 0 && fgets(line, sizeof(line), f))
            for (unsigned i = 0; rc == 0 && i < s->n_ports; i++)
                if (parse(line, tables[t].v6, tables[t].udp, &a) && meets(&a, &s->ports[i]))
                    rc = refuse(&a, i, err);
        if (f)
            (void)fclose(f);
    }
    return rc;
}
