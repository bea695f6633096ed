/* link_pump.h - the connection to the broker: TCP, TLS, and the pump between TLS and a local unix socket that
 * libmosquitto connects to. So libmosquitto (any build, Debian's too) needs no TLS of its own, and the
 * inbound cap sits in between. */
#ifndef AGENT_LINK_PUMP_H
#define AGENT_LINK_PUMP_H
#include "agent/link/link_tls.h"
#include "platform/loop.h"

struct pump;
struct pump_calls {
    void (*on_ready)(void *arg); /* TCP and TLS are up: connect libmosquitto to path now */
    void (*on_down)(void *arg,
                    const struct err *why); /* once, after link_pump_start; the pump is then idle */
    void *arg;
};
struct pump_settings {
    struct tls_settings tls;
    bool plain; /* no TLS; loopback addresses only */
    uint16_t port;
    const char *path; /* of the local unix socket, in our own directory */
};
NODISCARD int link_pump_new(struct loop *l, const struct pump_settings *s, const struct pump_calls *calls,
                            struct pump **ret, struct err *err);
/* Start connecting. Errors are reported by on_down in a later turn, or at once by the return value. There is
 * no deadline: the caller's must also cover what follows on_ready. */
NODISCARD int link_pump_start(struct pump *p, struct err *err);
/* The broker has accepted us: keep the TLS session, to shorten the next handshake. */
void link_pump_keep(struct pump *p);
bool link_pump_is_resumed(const struct pump *p); /* was the TLS session resumed? */
void link_pump_stop(struct pump *p);             /* close everything; no on_down */
#endif
