/* names.c - /etc/hosts and /etc/resolv.conf of boxes. The hosts file of a box is one inode for its whole life, bound into it, and
 * is written in place: an app finds another one that shares its network by name as soon as that one runs. */
#include <fcntl.h>
#include <stdio.h>

#include "agent/core.h"
#include "platform/fs.h"

#define RESOLV_BYTES (16 * 1024)

/* A line for each app that runs in that network. */
static void add_peers(struct core *c, const char *net, char *text, size_t size)
{
    for (unsigned i = 0; net && i < LIM_APPS; i++) {
        const struct app *a = &c->apps[i];
        const struct want *w = a->used && a->seen.box != BOX_NONE ? app_want(c, a->seen.name) : NULL;
        size_t len = strlen(text);
        if (!w || w->net != NET_BRIDGE || !w->net_name || strcmp(w->net_name, net) != 0)
            continue;
        if (a->box.host_ip[0] && str_fmt(text + len, size - len, "%s\t%s\n", a->box.host_ip, w->name))
            len = strlen(text);
        if (a->box.host_ip6[0])
            (void)str_fmt(text + len, size - len, "%s\t%s\n", a->box.host_ip6, w->name);
    }
}

static int write_hosts(struct core *c, const struct want *w)
{
    char name[LIM_NAME_BYTES + 8], text[8192];
    const struct want *of = w->net == NET_APP ? app_want(c, w->net_name) : w;
    int AUTO_FD fd = -1;
    size_t len;
    (void)str_fmt(name, sizeof(name), "%s.hosts", w->name);
    (void)str_fmt(text, sizeof(text), "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t%s\n", w->name);
    if (of && of->net == NET_BRIDGE)
        add_peers(c, of->net_name, text, sizeof(text));
    len = strlen(text);
    fd = openat(c->app_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || pwrite(fd, text, len, 0) != (ssize_t)len || ftruncate(fd, (off_t)len) < 0)
        return -1;
    return fchmod(fd, 0644);
}

static const char *path_of(struct core *c, const struct want *w, const char *suffix, struct arena *arena)
{
    char path[400];
    if (!str_fmt(path, sizeof(path), "%s/app/%s.%s", c->config.run_dir, w->name, suffix))
        return NULL;
    return arena_str(arena, path);
}

const char *names_hosts(struct core *c, const struct want *w, struct arena *arena)
{
    return write_hosts(c, w) < 0 ? NULL : path_of(c, w, "hosts", arena);
}

void names_changed(struct core *c, const struct want *w)
{
    if (!w || w->net != NET_BRIDGE || !w->net_name)
        return;
    for (unsigned i = 0; i < LIM_APPS; i++) {
        const struct app *a = &c->apps[i];
        const struct want *other = a->used && a->seen.box != BOX_NONE ? app_want(c, a->seen.name) : NULL;
        const struct want *of = other && other->net == NET_APP ? app_want(c, other->net_name) : other;
        if (of && of->net == NET_BRIDGE && of->net_name && strcmp(of->net_name, w->net_name) == 0)
            (void)write_hosts(c, other);
    }
}

/* ---- resolv.conf ---- */

/* Those that listen on the host's loopback keep the servers that they ask in a file. */
static uint8_t *read_upstream(void)
{
    static const char *const files[] = {"/run/systemd/resolve/resolv.conf",
                                        "/run/NetworkManager/no-stub-resolv.conf", "/run/dnsmasq/resolv.conf",
                                        "/run/resolvconf/resolv.conf"};
    uint8_t *text = NULL;
    size_t len;
    for (unsigned i = 0; i < COUNT_OF(files); i++)
        if (fs_read(AT_FDCWD, files[i], RESOLV_BYTES, &text, &len, NULL) == 0)
            return text;
    return NULL;
}

const char *names_resolv(struct core *c, const struct want *w, struct arena *arena)
{
    uint8_t AUTO_MEM *host = NULL, AUTO_MEM *upstream = NULL;
    char name[LIM_NAME_BYTES + 8];
    size_t len;
    if (w->net == NET_NONE || fs_read(AT_FDCWD, "/etc/resolv.conf", RESOLV_BYTES, &host, &len, NULL) < 0)
        return NULL;
    if (w->net == NET_HOST)
        return "/etc/resolv.conf";
    upstream = read_upstream();
    char AUTO_MEM *text = names_resolv_text((char *)host, upstream ? (char *)upstream : "");
    (void)str_fmt(name, sizeof(name), "%s.resolv", w->name);
    if (fs_write_atomic(c->app_fd, name, buf_str(text), 0644, NULL) < 0)
        return NULL;
    return path_of(c, w, "resolv", arena);
}
