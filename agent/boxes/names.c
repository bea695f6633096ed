/* names.c - /etc/hosts and /etc/resolv.conf of boxes. A box's hosts file is one inode for its whole life,
 * bind-mounted into it and rewritten in place: an app can resolve another one on the same network as soon as
 * that one runs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "agent/boxes/names.h"
#include "agent/core.h"
#include "agent/decide/resolv_text.h"
#include "platform/fs.h"

#define RESOLV_BYTES (16 * 1024)

const char *names_network(struct core *c, const struct want *w)
{
    const struct app *of = w->net == NET_APP ? app_find(c, w->net_name) : NULL;

    return of ? of->network : w->net == NET_BRIDGE && w->net_name ? w->net_name : "";
}

static bool is_in(const struct app *a, const char *network)
{
    return a->used && a->seen.box != BOX_NONE && network[0] && strcmp(a->network, network) == 0;
}

/* A line for each app with an address in that network. */
static void add_peers(struct core *c, const char *network, char *text, size_t size)
{
    for (unsigned i = 0; i < LIM_APPS; i++) {
        const struct app *a = &c->apps[i];
        size_t len = strlen(text);
        if (!is_in(a, network))
            continue;
        if (a->box.host_ip[0] && str_fmt(text + len, size - len, "%s\t%s\n", a->box.host_ip, a->seen.name))
            len = strlen(text);
        if (a->box.host_ip6[0])
            (void)str_fmt(text + len, size - len, "%s\t%s\n", a->box.host_ip6, a->seen.name);
    }
}

static int write_hosts(struct core *c, const char *app, const char *network)
{
    char name[LIM_NAME_BYTES + 8], text[8192];
    AUTO_FD int fd = -1;
    size_t len;

    (void)str_fmt(name, sizeof(name), "%s.hosts", app);
    (void)str_fmt(text, sizeof(text), "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t%s\n", app);
    add_peers(c, network, text, sizeof(text));
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
    return write_hosts(c, w->name, names_network(c, w)) < 0 ? NULL : path_of(c, w, "hosts", arena);
}

void names_changed(struct core *c, const char *network)
{
    for (unsigned i = 0; i < LIM_APPS; i++) {
        const struct app *a = &c->apps[i];
        if (is_in(a, network ? network : a->network))
            (void)write_hosts(c, a->seen.name, a->network);
    }
}

/* ---- resolv.conf ---- */

/* Resolvers that listen on the host's loopback keep their upstream servers in a file. */
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

    if (w->net == NET_NONE ||
        (fs_read(AT_FDCWD, "/etc/resolv.conf", RESOLV_BYTES, &host, &len, NULL) < 0 && w->net != NET_CNI))
        return NULL;
    if (w->net == NET_HOST)
        return "/etc/resolv.conf";
    upstream = read_upstream();
    char AUTO_MEM *text = resolv_text_make(host ? (char *)host : "", upstream ? (char *)upstream : "");
    (void)str_fmt(name, sizeof(name), "%s.resolv", w->name);
    if (fs_write_atomic(c->app_fd, name, buf_str(text), 0644, NULL) < 0)
        return NULL;
    return path_of(c, w, "resolv", arena);
}

int names_of_network(struct app *a, const struct box_id *box, struct err *err)
{
    char AUTO_MEM *text = box_dns(box);
    char name[LIM_NAME_BYTES + 8];
    AUTO_FD int fd = -1;

    if (!text)
        return 0;
    (void)str_fmt(name, sizeof(name), "%s.resolv", a->seen.name);
    fd = openat(a->core->app_fd, name, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? err_errno(err, errno, "%s", name) : fs_write_full(fd, buf_str(text), err);
}
