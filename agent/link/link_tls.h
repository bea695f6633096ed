/* link_tls.h - one TLS client session over a non-blocking socket; the only place besides crypto.c that uses
 * mbedtls. TLS 1.2 and, if mbedtls supports it, 1.3. The host name is always checked. */
#ifndef AGENT_LINK_TLS_H
#define AGENT_LINK_TLS_H
#include <stdbool.h>

#include "platform/err.h"
#include "platform/mem.h"

struct tls;
struct tls_kept; /* a session for the next connection; only for one host, port, CA and certificate */
struct tls_settings {
    struct buf ca, cert, key; /* PEM, borrowed during link_tls_new; cert and key may be empty */
    const char *host;         /* checked against the certificate */
    uint64_t time_floor_s;    /* below it the clock is not set: "not yet valid" is ignored (L12) */
    struct tls_kept *kept;    /* borrowed as long as the tls lives */
};
struct tls_kept *link_tls_kept_new(void);
/* A kept session is offered to the broker and thereby used up: only link_tls_keep restores one. If the broker
 * does not accept it the handshake is a full one.
 * fd: borrowed, connected, non-blocking. Owner of *ret: caller. Errors: INVALID (PEM), NOMEM. */
NODISCARD int link_tls_new(const struct tls_settings *s, int fd, struct tls **ret, struct err *err);
struct tls *link_tls_free(struct tls *t);
/* 1 done, 0 call again when the socket is ready (link_tls_wants_write), -NET/-DENIED with the fault of the
 * peer's certificate. When a session is resumed, and so no certificate is sent, that of the full handshake is
 * checked again: CA, name, dates. */
NODISCARD int link_tls_handshake(struct tls *t, struct err *err);
/* Bytes moved; 0: try later; -NET: closed or broken. */
NODISCARD int link_tls_read(struct tls *t, void *dst, size_t size, struct err *err);
NODISCARD int link_tls_write(struct tls *t, struct buf bytes, struct err *err);
bool link_tls_wants_write(const struct tls *t);
/* The connection is good (not only its TLS): keep its session, and each newer one, for the next
 * connection. */
void link_tls_keep(struct tls *t);
bool link_tls_is_resumed(const struct tls *t); /* after the handshake: was the session resumed? */
void link_tls_close(struct tls *t);            /* close_notify, best effort */
#endif
