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

struct tls {
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config conf;
    mbedtls_x509_crt ca, cert;
    mbedtls_pk_context key;
    mbedtls_net_context net;
    uint64_t time_floor_s;
    int last;
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
    const struct tls *t = arg;
    uint64_t floor_s = clock_judge_s(0, t->time_floor_s);

    (void)depth;
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
    rc = mbedtls_ssl_setup(&t->ssl, &t->conf);
    if (rc == 0)
        rc = mbedtls_ssl_set_hostname(&t->ssl, s->host);
    return rc == 0 ? 0 : fail(err, ERR_NOMEM, "TLS session", rc);
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
    int rc = set_up(t, s, err);
    if (rc < 0) {
        (void)link_tls_free(t);
        return rc;
    }
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

static bool wants_more(int rc)
{
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
    if (rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
        return true;
#endif
    return rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_WANT_WRITE;
}

int link_tls_handshake(struct tls *t, struct err *err)
{
    t->last = mbedtls_ssl_handshake(&t->ssl);
    if (t->last == 0)
        return 1;
    if (wants_more(t->last))
        return 0;
    uint32_t flags = mbedtls_ssl_get_verify_result(&t->ssl);
    if (flags != 0 && flags != UINT32_MAX) {
        char why[160] = "";
        (void)mbedtls_x509_crt_verify_info(why, sizeof(why), "", flags);
        why[strcspn(why, "\n")] = '\0';
        return err_set(err, ERR_DENIED, "TLS: the broker's certificate: %s", why);
    }
    return fail(err, ERR_NET, "TLS handshake", t->last);
}

int link_tls_read(struct tls *t, void *dst, size_t size, struct err *err)
{
    t->last = mbedtls_ssl_read(&t->ssl, dst, size);
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
