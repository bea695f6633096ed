#include "agent/link/link_tls.h"

#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <time.h>

#include "platform/clock.h"
#include "platform/crypto.h"

/* However often a session is resumed: after this long the broker must prove its key again. */
#define KEEP_MS (24 * 3600 * UINT64_C(1000))

struct tls_kept {
    mbedtls_ssl_session session;
    bool has_session;
    mbedtls_x509_crt chain; /* the broker's certificates from the full handshake of this session ... */
    uint64_t full_ms;       /* ... and its time */
};
struct tls {
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config conf;
    mbedtls_x509_crt ca, cert;
    mbedtls_pk_context key;
    mbedtls_net_context net;
    const char *host;
    struct tls_kept *kept;
    uint64_t time_floor_s;
    int last;
    bool offered, judged, resumed, keeps;
};

static int random_bytes(void *unused, unsigned char *dst, size_t len)
{
    (void)unused;
    return crypto_random(dst, len, NULL) < 0 ? -1 : 0;
}

static int fail(struct err *err, enum err_kind kind, const char *what, int code)
{
    char text[120];

    mbedtls_strerror(code, text, sizeof(text));
    return err_set(err, kind, "%s: %s (-0x%04x)", what, text, (unsigned)-code);
}

/* Is this time before second s? */
static bool is_before(const mbedtls_x509_time *a, uint64_t s)
{
    struct tm b;
    time_t t = (time_t)s;

    if (!gmtime_r(&t, &b))
        return true;
    const int left[] = {a->year, a->mon, a->day, a->hour, a->min, a->sec},
              right[] = {b.tm_year + 1900, b.tm_mon + 1, b.tm_mday, b.tm_hour, b.tm_min, b.tm_sec};
    for (unsigned i = 0; i < COUNT_OF(left); i++)
        if (left[i] != right[i])
            return left[i] < right[i];
    return false;
}

/* An unset clock makes every certificate look not yet valid, and an expired one look valid: the time is at
 * least the floor, whatever the clock says. */
static int judge_certificate(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct tls *t = arg;
    uint64_t floor_s = clock_judge_s(0, t->time_floor_s);

    (void)depth;
    t->judged = true;
    if (clock_wall_s() < floor_s)
        *flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_FUTURE;
    if (is_before(&crt->valid_to, floor_s))
        *flags |= MBEDTLS_X509_BADCERT_EXPIRED;
    return 0;
}

/* mbedtls wants PEM's length with the terminating NUL; our buffers come from calls like fs_read, which append
 * one. */
static int parse_pem(struct tls *t, const struct tls_settings *s, struct err *err)
{
    int rc = mbedtls_x509_crt_parse(&t->ca, s->ca.p, s->ca.len + 1);

    if (rc != 0)
        return fail(err, ERR_INVALID, "CA certificates", rc);
    if (!s->cert.len)
        return 0;
    rc = mbedtls_x509_crt_parse(&t->cert, s->cert.p, s->cert.len + 1);
    if (rc != 0)
        return fail(err, ERR_INVALID, "client certificate", rc);
#if MBEDTLS_VERSION_MAJOR >= 3
    rc = mbedtls_pk_parse_key(&t->key, s->key.p, s->key.len + 1, NULL, 0, random_bytes, NULL);
#else
    rc = mbedtls_pk_parse_key(&t->key, s->key.p, s->key.len + 1, NULL, 0);
#endif
    if (rc != 0)
        return fail(err, ERR_INVALID, "client key", rc);
    rc = mbedtls_ssl_conf_own_cert(&t->conf, &t->cert, &t->key);
    return rc == 0 ? 0 : fail(err, ERR_INVALID, "client certificate and key", rc);
}

static int set_up(struct tls *t, const struct tls_settings *s, struct err *err)
{
    int rc = mbedtls_ssl_config_defaults(&t->conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                         MBEDTLS_SSL_PRESET_DEFAULT);

    if (rc != 0)
        return fail(err, ERR_NOMEM, "TLS settings", rc);
    rc = parse_pem(t, s, err);
    if (rc < 0)
        return rc;
    mbedtls_ssl_conf_authmode(&t->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(&t->conf, &t->ca, NULL);
    mbedtls_ssl_conf_rng(&t->conf, random_bytes, NULL);
    mbedtls_ssl_conf_verify(&t->conf, judge_certificate, t);
#if MBEDTLS_VERSION_MAJOR >= 3
    mbedtls_ssl_conf_min_tls_version(&t->conf, MBEDTLS_SSL_VERSION_TLS1_2);
#else
    mbedtls_ssl_conf_min_version(&t->conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
#if MBEDTLS_VERSION_NUMBER >= 0x03060100 && defined(MBEDTLS_SSL_PROTO_TLS1_3)
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        &t->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
    rc = mbedtls_ssl_setup(&t->ssl, &t->conf);
    if (rc == 0)
        rc = mbedtls_ssl_set_hostname(&t->ssl, s->host);
    return rc == 0 ? 0 : fail(err, ERR_NOMEM, "TLS session", rc);
}

struct tls_kept *link_tls_kept_new(void)
{
    struct tls_kept *kept = mem_need_zero(sizeof(*kept));

    mbedtls_ssl_session_init(&kept->session);
    mbedtls_x509_crt_init(&kept->chain);
    return kept;
}

static void drop_session(struct tls_kept *kept)
{
    mbedtls_ssl_session_free(&kept->session);
    mbedtls_ssl_session_init(&kept->session);
    kept->has_session = false;
}

/* If it cannot be offered, the handshake is a full one. */
static void offer_session(struct tls *t)
{
    if (t->kept->has_session && clock_boot_ms() - t->kept->full_ms < KEEP_MS)
        t->offered = mbedtls_ssl_set_session(&t->ssl, &t->kept->session) == 0;
    drop_session(t->kept);
}

/* The library keeps only the first certificate with a session, but the chain to the CA may need the
 * others. */
static bool keep_chain(struct tls *t)
{
    struct tls_kept *kept = t->kept;
    const mbedtls_x509_crt *c = mbedtls_ssl_get_peer_cert(&t->ssl);
    bool whole = c != NULL;

    mbedtls_x509_crt_free(&kept->chain);
    mbedtls_x509_crt_init(&kept->chain);
    for (; c && whole; c = c->next)
        whole = mbedtls_x509_crt_parse_der(&kept->chain, c->raw.p, c->raw.len) == 0;
    kept->full_ms = clock_boot_ms();
    return whole;
}

void link_tls_keep(struct tls *t)
{
    bool chain = t->keeps || t->resumed || keep_chain(t);

    t->keeps = true;
    drop_session(t->kept);
    t->kept->has_session = chain && mbedtls_ssl_get_session(&t->ssl, &t->kept->session) == 0;
}

bool link_tls_is_resumed(const struct tls *t)
{
    return t->resumed;
}

int link_tls_new(const struct tls_settings *s, int fd, struct tls **ret, struct err *err)
{
    struct tls *t = mem_need_zero(sizeof(*t));

    mbedtls_ssl_init(&t->ssl);
    mbedtls_ssl_config_init(&t->conf);
    mbedtls_x509_crt_init(&t->ca);
    mbedtls_x509_crt_init(&t->cert);
    mbedtls_pk_init(&t->key);
    t->net.fd = fd;
    t->time_floor_s = s->time_floor_s;
    t->host = s->host;
    t->kept = s->kept;
    int rc = set_up(t, s, err);
    if (rc < 0) {
        (void)link_tls_free(t);
        return rc;
    }
    offer_session(t);
    mbedtls_ssl_set_bio(&t->ssl, &t->net, mbedtls_net_send, mbedtls_net_recv, NULL);
    *ret = t;
    return 0;
}

struct tls *link_tls_free(struct tls *t)
{
    if (!t)
        return NULL;
    mbedtls_ssl_free(&t->ssl);
    mbedtls_ssl_config_free(&t->conf);
    mbedtls_x509_crt_free(&t->ca);
    mbedtls_x509_crt_free(&t->cert);
    mbedtls_pk_free(&t->key);
    free(t);
    return NULL;
}

/* TLS 1.3: a ticket arrived among the data; continue reading. */
static bool is_ticket(int rc)
{
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
    return rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
#else
    (void)rc;
    return false;
#endif
}

static bool wants_more(int rc)
{
    return rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int deny(struct err *err, uint32_t flags)
{
    char why[160] = "";

    (void)mbedtls_x509_crt_verify_info(why, sizeof(why), "", flags);
    why[strcspn(why, "\n")] = '\0';
    return err_set(err, ERR_DENIED, "TLS: the broker's certificate: %s", why);
}

/* No certificate was sent, so the library has checked none: the session proves that it is the broker of the
 * full handshake, whose certificate must be valid today. */
static int judge_resumed(struct tls *t, struct err *err)
{
    uint32_t flags = 0;

    if (t->judged)
        return 1;
    if (!t->offered)
        return err_set(err, ERR_DENIED, "TLS: the broker has shown no certificate");
    t->resumed = true;
    int rc = mbedtls_x509_crt_verify(&t->kept->chain, &t->ca, NULL, t->host, &flags, judge_certificate, t);
    return rc == 0 ? 1 : deny(err, flags);
}

int link_tls_handshake(struct tls *t, struct err *err)
{
    t->last = mbedtls_ssl_handshake(&t->ssl);
    if (t->last == 0)
        return judge_resumed(t, err);
    if (wants_more(t->last))
        return 0;
    uint32_t flags = mbedtls_ssl_get_verify_result(&t->ssl);
    return flags != 0 && flags != UINT32_MAX ? deny(err, flags)
                                             : fail(err, ERR_NET, "TLS handshake", t->last);
}

int link_tls_read(struct tls *t, void *dst, size_t size, struct err *err)
{
    while (is_ticket(t->last = mbedtls_ssl_read(&t->ssl, dst, size)))
        if (t->keeps)
            link_tls_keep(t);
    if (t->last > 0)
        return t->last;
    if (wants_more(t->last))
        return 0;
    if (t->last == 0 || t->last == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        return err_set(err, ERR_NET, "the broker closed the connection");
    return fail(err, ERR_NET, "TLS read", t->last);
}

int link_tls_write(struct tls *t, struct buf bytes, struct err *err)
{
    t->last = mbedtls_ssl_write(&t->ssl, bytes.p, bytes.len);
    if (t->last > 0)
        return t->last;
    return wants_more(t->last) ? 0 : fail(err, ERR_NET, "TLS write", t->last);
}

bool link_tls_wants_write(const struct tls *t)
{
    return t->last == MBEDTLS_ERR_SSL_WANT_WRITE;
}

void link_tls_close(struct tls *t)
{
    (void)mbedtls_ssl_close_notify(&t->ssl);
}
