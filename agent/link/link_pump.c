#include "agent/link/link_pump.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/link/link_cap.h"
#include "platform/addr.h"
#include "platform/limits.h"

#define PUMP_BYTES 4096

enum pump_state { PUMP_IDLE, PUMP_TCP, PUMP_TLS, PUMP_READY };

/* Bytes in transit in one direction. */
struct way {
    uint8_t bytes[PUMP_BYTES];
    size_t from, to;
};
struct pump {
    struct loop *loop;
    struct pump_settings s;
    struct pump_calls calls;
    enum pump_state state;
    struct loop_fd net, local, listener;
    struct tls *tls;
    struct link_cap cap;
    struct way in, out;
    struct addrinfo *addresses, *next;
};

static void close_watch(struct pump *p, struct loop_fd *w)
{
    int fd = w->fd;

    loop_fd_del(p->loop, w);
    if (fd >= 0)
        (void)close(fd);
}

void link_pump_stop(struct pump *p)
{
    if (p->tls)
        link_tls_close(p->tls);
    p->tls = link_tls_free(p->tls);
    close_watch(p, &p->net);
    close_watch(p, &p->local);
    if (p->addresses)
        freeaddrinfo(p->addresses);
    p->addresses = p->next = NULL;
    p->state = PUMP_IDLE;
    p->in.from = p->in.to = p->out.from = p->out.to = 0;
    p->cap = (struct link_cap){0};
}

static void down(struct pump *p, const struct err *why)
{
    if (p->state == PUMP_IDLE)
        return;
    link_pump_stop(p);
    p->calls.on_down(p->calls.arg, why);
}

/* ---- moving bytes ---- */

static ssize_t net_read(struct pump *p, void *dst, size_t size, struct err *err)
{
    if (p->tls)
        return link_tls_read(p->tls, dst, size, err);
    ssize_t n = read(p->net.fd, dst, size);
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return n > 0 ? n : 0;
    return n == 0 ? err_set(err, ERR_NET, "the broker closed the connection")
                  : err_errno(err, errno, "read from the broker");
}

static ssize_t net_write(struct pump *p, struct buf b, struct err *err)
{
    if (p->tls)
        return link_tls_write(p->tls, b, err);
    ssize_t n = send(p->net.fd, b.p, b.len, MSG_NOSIGNAL);
    if (n >= 0 || errno == EAGAIN || errno == EINTR)
        return n > 0 ? n : 0;
    return err_errno(err, errno, "write to the broker");
}

/* Broker -> libmosquitto. Returns 1 if bytes were moved, 0 if not, negative when the connection is over. */
static int move_in(struct pump *p, struct err *err)
{
    bool moved = false;

    if (p->in.from == p->in.to) {
        ssize_t n = net_read(p, p->in.bytes, sizeof(p->in.bytes), err);
        if (n < 0)
            return (int)n;
        if (n > 0 && link_cap_pass(&p->cap, buf_of(p->in.bytes, (size_t)n), LIM_MQTT_PACKET_BYTES, err) < 0) {
            err->kind = ERR_NET; /* the broker's fault, not our settings' */
            return -(int)ERR_NET;
        }
        p->in.from = 0;
        p->in.to = (size_t)n;
        moved = n > 0;
    }
    if (p->in.from < p->in.to && p->local.fd >= 0) {
        ssize_t n = send(p->local.fd, p->in.bytes + p->in.from, p->in.to - p->in.from, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_errno(err, errno, "local MQTT socket");
        p->in.from += n > 0 ? (size_t)n : 0;
        moved |= n > 0;
    }
    return moved;
}

static int move_out(struct pump *p, struct err *err)
{
    bool moved = false;

    if (p->out.from == p->out.to && p->local.fd >= 0) {
        ssize_t n = read(p->local.fd, p->out.bytes, sizeof(p->out.bytes));
        if (n == 0)
            return err_set(err, ERR_NET, "disconnected");
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_errno(err, errno, "local MQTT socket");
        p->out.from = 0;
        p->out.to = n > 0 ? (size_t)n : 0;
        moved = n > 0;
    }
    if (p->out.from < p->out.to) {
        ssize_t n = net_write(p, buf_of(p->out.bytes + p->out.from, p->out.to - p->out.from), err);
        if (n < 0)
            return (int)n;
        p->out.from += (size_t)n;
        moved |= n > 0;
    }
    return moved;
}

/* Poll only for what can make progress: no busy loop on a side whose bytes have no room. */
static void watch_for_more(struct pump *p)
{
    bool out_waits = p->out.from < p->out.to, in_waits = p->in.from < p->in.to;
    uint32_t net = in_waits ? 0 : EPOLLIN, local = out_waits ? 0 : EPOLLIN;

    if (out_waits || (p->tls && link_tls_wants_write(p->tls)))
        net |= EPOLLOUT;
    if (in_waits)
        local |= EPOLLOUT;
    err_ignore(loop_fd_mod(p->loop, &p->net, net, NULL));
    if (p->local.fd >= 0)
        err_ignore(loop_fd_mod(p->loop, &p->local, local, NULL));
}

static void move(struct pump *p)
{
    struct err err = ERR_INIT;
    int in = 1, out = 1;

    while (in > 0 || out > 0) {
        out = move_out(p, &err);
        if (out < 0)
            break;
        in = move_in(p, &err);
        if (in < 0)
            break;
    }
    if (in < 0 || out < 0)
        down(p, &err);
    else
        watch_for_more(p);
}

static void local_ready(struct loop_fd *w, uint32_t events)
{
    (void)events;
    move(container_of(w, struct pump, local));
}

static void listener_ready(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct pump *p = container_of(w, struct pump, listener);
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (p->state != PUMP_READY || p->local.fd >= 0 ||
        loop_fd_add(p->loop, &p->local, fd, EPOLLIN, NULL) < 0) {
        (void)close(fd);
        return;
    }
    move(p);
}

/* ---- connecting ---- */

static void ready(struct pump *p)
{
    p->state = PUMP_READY;
    err_ignore(loop_fd_mod(p->loop, &p->net, EPOLLIN, NULL));
    p->calls.on_ready(p->calls.arg);
}

static void handshake(struct pump *p)
{
    struct err err = ERR_INIT;
    int rc = link_tls_handshake(p->tls, &err);

    if (rc < 0)
        down(p, &err);
    else if (rc == 1)
        ready(p);
    else
        err_ignore(loop_fd_mod(p->loop, &p->net, link_tls_wants_write(p->tls) ? EPOLLOUT : EPOLLIN, NULL));
}

static void tcp_is_up(struct pump *p)
{
    struct err err = ERR_INIT;
    int one = 1, dead_ms = 90000;

    (void)setsockopt(p->net.fd, IPPROTO_TCP, TCP_NODELAY, &one,
                     sizeof(one)); /* otherwise Nagle adds 40 ms per handshake */
    (void)setsockopt(p->net.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
    if (p->s.plain) {
        ready(p);
        return;
    }
    p->state = PUMP_TLS;
    if (link_tls_new(&p->s.tls, p->net.fd, &p->tls, &err) < 0)
        down(p, &err);
    else
        handshake(p);
}

static int try_next_address(struct pump *p, struct err *err)
{
    for (; p->next; p->next = p->next->ai_next) {
        const struct addrinfo *a = p->next;
        if (p->s.plain && addr_reach(a->ai_addr) != ADDR_LOOPBACK) {
            (void)err_set(err, ERR_DENIED, "%s is not this machine: a remote broker needs TLS",
                          p->s.tls.host);
            continue;
        }
        AUTO_FD int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)) {
            (void)err_errno(err, errno, "connect to %s:%u", p->s.tls.host, p->s.port);
            continue;
        }
        int rc = loop_fd_add(p->loop, &p->net, fd, EPOLLOUT, err);
        if (rc < 0)
            return rc;
        (void)steal_fd(&fd);
        p->state = PUMP_TCP;
        p->next = p->next->ai_next;
        return 0;
    }
    return err->kind == ERR_NONE ? err_set(err, ERR_NET, "no address of %s answers", p->s.tls.host)
                                 : -(int)err->kind;
}

static void tcp_ready(struct pump *p)
{
    struct err err = ERR_INIT;
    int e = 0;
    socklen_t len = sizeof(e);

    if (getsockopt(p->net.fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0 && e == 0) {
        tcp_is_up(p);
        return;
    }
    close_watch(p, &p->net);
    (void)err_errno(&err, e, "connect to %s:%u", p->s.tls.host, p->s.port);
    if (!p->next || try_next_address(p, &err) < 0)
        down(p, &err);
}

static void net_ready(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct pump *p = container_of(w, struct pump, net);
    if (p->state == PUMP_TCP)
        tcp_ready(p);
    else if (p->state == PUMP_TLS)
        handshake(p);
    else if (p->state == PUMP_READY)
        move(p);
}

int link_pump_start(struct pump *p, struct err *err)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};

    (void)str_fmt(port, sizeof(port), "%u", p->s.port);
    link_pump_stop(p);
    int rc = getaddrinfo(p->s.tls.host, port, &hints,
                         &p->addresses); /* blocks; this process has nothing else to do */
    if (rc != 0)
        return err_set(err, ERR_NET, "find %s: %s", p->s.tls.host, gai_strerror(rc));
    p->next = p->addresses;
    rc = try_next_address(p, err);
    if (rc < 0)
        link_pump_stop(p);
    return rc;
}

void link_pump_keep(struct pump *p)
{
    if (p->tls)
        link_tls_keep(p->tls);
}

bool link_pump_is_resumed(const struct pump *p)
{
    return p->tls && link_tls_is_resumed(p->tls);
}

int link_pump_new(struct loop *l, const struct pump_settings *s, const struct pump_calls *calls,
                  struct pump **ret, struct err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    if (!str_copy(a.sun_path, sizeof(a.sun_path), s->path))
        return err_set(err, ERR_INVALID, "path of the local MQTT socket is too long: %s", s->path);
    (void)unlink(s->path);
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 1) < 0)
        return err_errno(err, errno, "local MQTT socket %s", s->path);
    struct pump *p = mem_need_zero(sizeof(*p));
    p->loop = l;
    p->s = *s;
    p->calls = *calls;
    p->net.fd = p->local.fd = p->listener.fd = -1;
    p->net.on_ready = net_ready;
    p->local.on_ready = local_ready;
    p->listener.on_ready = listener_ready;
    int rc = loop_fd_add(l, &p->listener, fd, EPOLLIN, err);
    if (rc < 0) {
        free(p);
        return rc;
    }
    p->s.tls.kept = link_tls_kept_new();
    (void)steal_fd(&fd);
    *ret = p;
    return 0;
}
