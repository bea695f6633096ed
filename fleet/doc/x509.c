/* 3.x hides the fields of a key pair; there is no call that both versions have to set them. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include "fleet/doc/x509.h"

#include <arpa/inet.h>
#include <mbedtls/asn1write.h>
#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PEM_BYTES    8192
#define SERIAL_BYTES 16

static int rng(void *arg, unsigned char *dst, size_t len)
{
    (void)arg;
    return crypto_random(dst, len, NULL) < 0 ? MBEDTLS_ERR_ECP_RANDOM_FAILED : 0;
}

static int tls_fail(struct err *err, enum err_kind kind, const char *what, int rc)
{
    char text[128];

    mbedtls_strerror(rc, text, sizeof(text));
    return err_set(err, kind, "%s: %s", what, text);
}

static void auto_pk(mbedtls_pk_context *pk)
{
    mbedtls_pk_free(pk);
}
static void auto_crt(mbedtls_x509_crt *crt)
{
    mbedtls_x509_crt_free(crt);
}
static void auto_write(mbedtls_x509write_cert *w)
{
    mbedtls_x509write_crt_free(w);
}
#define AUTO_PK    __attribute__((cleanup(auto_pk))) mbedtls_pk_context
#define AUTO_CRT   __attribute__((cleanup(auto_crt))) mbedtls_x509_crt
#define AUTO_WRITE __attribute__((cleanup(auto_write))) mbedtls_x509write_cert

/* pk (initialised) := the key pair of priv. */
static int pk_set(mbedtls_pk_context *pk, const uint8_t priv[P256_PRIV_BYTES], struct err *err)
{
    int rc = mbedtls_pk_setup(pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));

    mbedtls_ecp_keypair *pair = rc == 0 ? mbedtls_pk_ec(*pk) : NULL;

    if (rc == 0)
        rc = mbedtls_ecp_read_key(MBEDTLS_ECP_DP_SECP256R1, pair, priv, P256_PRIV_BYTES);
    if (rc == 0)
        rc = mbedtls_ecp_mul(&pair->grp, &pair->Q, &pair->d, &pair->grp.G, rng, NULL);
    return rc == 0 ? 0 : tls_fail(err, ERR_INVALID, "private key", rc);
}

int x509_key_pem(const uint8_t priv[P256_PRIV_BYTES], char **ret, struct err *err)
{
    AUTO_PK pk;
    char text[1024];
    int rc;

    mbedtls_pk_init(&pk);
    if (pk_set(&pk, priv, err) < 0)
        return -(int)err->kind;
    rc = mbedtls_pk_write_key_pem(&pk, (unsigned char *)text, sizeof(text));
    if (rc != 0)
        return tls_fail(err, ERR_INVALID, "write private key", rc);
    *ret = mem_need_str(text);
    return 0;
}

int x509_key_parse(struct buf pem, uint8_t ret_priv[P256_PRIV_BYTES], struct p256_pub *ret_pub,
                   struct err *err)
{
    AUTO_PK pk;

    mbedtls_ecp_keypair *pair;
    struct p256_pub pub;
    uint8_t priv[P256_PRIV_BYTES];
    size_t n = 0;
    int rc;

    mbedtls_pk_init(&pk);
#if MBEDTLS_VERSION_MAJOR >= 3
    rc = mbedtls_pk_parse_key(&pk, pem.p, pem.len + 1, NULL, 0, rng, NULL);
#else
    rc = mbedtls_pk_parse_key(&pk, pem.p, pem.len + 1, NULL, 0);
#endif
    if (rc != 0)
        return tls_fail(err, ERR_INVALID, "not a private key", rc);
    pair = mbedtls_pk_get_type(&pk) == MBEDTLS_PK_ECKEY ? mbedtls_pk_ec(pk) : NULL;
    if (!pair || pair->grp.id != MBEDTLS_ECP_DP_SECP256R1)
        return err_set(err, ERR_INVALID, "not a P-256 key");
    rc = mbedtls_mpi_write_binary(&pair->d, priv, sizeof(priv));
    if (rc == 0)
        rc = mbedtls_ecp_point_write_binary(&pair->grp, &pair->Q, MBEDTLS_ECP_PF_UNCOMPRESSED, &n, pub.b,
                                            sizeof(pub.b));
    if (rc != 0 || n != sizeof(pub.b))
        return tls_fail(err, ERR_INVALID, "private key", rc);
    memcpy(ret_priv, priv, sizeof(priv));
    *ret_pub = pub;
    return 0;
}

/* One GeneralName, written backwards below *p as mbedtls does: [2] dNSName or [7] iPAddress. */
static int write_host(unsigned char **p, unsigned char *start, const char *host)
{
    unsigned char ip[16];
    const unsigned char *bytes = (const unsigned char *)host;
    size_t len = strlen(host);
    unsigned char tag = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2;
    int rc;

    if (inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1) {
        len = strchr(host, ':') ? 16 : 4;
        bytes = ip;
        tag = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7;
    }
    rc = mbedtls_asn1_write_raw_buffer(p, start, bytes, len);
    if (rc >= 0)
        rc = mbedtls_asn1_write_len(p, start, len);
    return rc < 0 ? rc : mbedtls_asn1_write_tag(p, start, tag);
}

static int set_hosts(mbedtls_x509write_cert *crt, const struct x509_want *w)
{
    unsigned char der[X509_HOSTS * 260];
    unsigned char *p = der + sizeof(der);
    int rc = 0;

    for (unsigned i = w->n_hosts; i-- > 0 && rc >= 0;)
        rc = write_host(&p, der, w->hosts[i]);
    if (rc >= 0)
        rc = mbedtls_asn1_write_len(&p, der, (size_t)(der + sizeof(der) - p));
    if (rc >= 0)
        rc = mbedtls_asn1_write_tag(&p, der, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
    if (rc < 0)
        return rc;
    return mbedtls_x509write_crt_set_extension(crt, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                               MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0, p,
                                               (size_t)(der + sizeof(der) - p));
}

/* extendedKeyUsage of one entry; the last byte says which: 1 server, 2 client. 2.28 has no call for it. */
static int set_purpose(mbedtls_x509write_cert *crt, bool server)
{
    unsigned char der[] = {0x30, 10, 0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, server ? 1 : 2};

    return mbedtls_x509write_crt_set_extension(crt, MBEDTLS_OID_EXTENDED_KEY_USAGE,
                                               MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 0, der,
                                               sizeof(der));
}

static int set_extensions(mbedtls_x509write_cert *crt, const struct x509_want *w)
{
    unsigned usage =
        w->ca ? MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN : MBEDTLS_X509_KU_DIGITAL_SIGNATURE;
    int rc = mbedtls_x509write_crt_set_basic_constraints(crt, w->ca, w->ca ? 0 : -1);

    if (rc == 0)
        rc = mbedtls_x509write_crt_set_key_usage(crt, usage);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_subject_key_identifier(crt);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_authority_key_identifier(crt);
    if (rc == 0 && !w->ca)
        rc = set_purpose(crt, w->server);
    if (rc == 0 && w->n_hosts)
        rc = set_hosts(crt, w);
    return rc;
}

static int set_serial(mbedtls_x509write_cert *crt)
{
    unsigned char serial[SERIAL_BYTES];
    int rc;

    if (crypto_random(serial, sizeof(serial), NULL) < 0)
        return MBEDTLS_ERR_ECP_RANDOM_FAILED;
    serial[0] = (unsigned char)((serial[0] & 0x3f) | 0x40); /* positive and never short */
#if MBEDTLS_VERSION_NUMBER >= 0x03040000
    rc = mbedtls_x509write_crt_set_serial_raw(crt, serial, sizeof(serial));
#else
    mbedtls_mpi n;

    mbedtls_mpi_init(&n);
    rc = mbedtls_mpi_read_binary(&n, serial, sizeof(serial));
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_serial(crt, &n);
    mbedtls_mpi_free(&n);
#endif
    return rc;
}

static int set_validity(mbedtls_x509write_cert *crt, uint64_t from_s, uint64_t until_s)
{
    char from[16], until[16];
    time_t t = (time_t)from_s;
    struct tm tm;

    gmtime_r(&t, &tm);
    strftime(from, sizeof(from), "%Y%m%d%H%M%S", &tm);
    t = (time_t)until_s;
    gmtime_r(&t, &tm);
    strftime(until, sizeof(until), "%Y%m%d%H%M%S", &tm);
    return mbedtls_x509write_crt_set_validity(crt, from, until);
}

static bool plain(const char *s)
{
    return *s && strlen(s) <= 253 && !strpbrk(s, ",=+<>#;\"\\ ");
}

static int check_want(const struct x509_want *w, struct err *err)
{
    if (!plain(w->cn) || !plain(w->org))
        return err_set(err, ERR_INVALID, "invalid certificate name '%s'", w->cn);
    if (w->n_hosts > X509_HOSTS)
        return err_set(err, ERR_INVALID, "%u hosts in a certificate, at most %d", w->n_hosts, X509_HOSTS);
    for (unsigned i = 0; i < w->n_hosts; i++)
        if (!plain(w->hosts[i]))
            return err_set(err, ERR_INVALID, "invalid host name '%s'", w->hosts[i]);
    return 0;
}

static int set_names(mbedtls_x509write_cert *crt, const struct x509_want *w, const struct x509_issuer *by)
{
    char subject[600], issuer[600];
    AUTO_CRT ca;
    int rc;

    mbedtls_x509_crt_init(&ca);
    (void)str_fmt(subject, sizeof(subject), "CN=%s,O=%s", w->cn, w->org);
    memcpy(issuer, subject, sizeof(issuer));
    if (by->cert_pem.len) {
        rc = mbedtls_x509_crt_parse(&ca, by->cert_pem.p, by->cert_pem.len + 1);
        if (rc == 0)
            rc = mbedtls_x509_dn_gets(issuer, sizeof(issuer), &ca.subject);
        if (rc < 0)
            return rc;
    }
    rc = mbedtls_x509write_crt_set_subject_name(crt, subject);
    return rc == 0 ? mbedtls_x509write_crt_set_issuer_name(crt, issuer) : rc;
}

int x509_make(const struct x509_want *w, const uint8_t priv[P256_PRIV_BYTES], const struct x509_issuer *by,
              char **ret, struct err *err)
{
    AUTO_PK subject;
    AUTO_PK issuer;
    AUTO_WRITE crt;
    char AUTO_MEM *text = mem_need_zero(PEM_BYTES);
    int rc;

    mbedtls_pk_init(&subject);
    mbedtls_pk_init(&issuer);
    mbedtls_x509write_crt_init(&crt);
    if (check_want(w, err) < 0 || pk_set(&subject, priv, err) < 0 || pk_set(&issuer, by->priv, err) < 0)
        return -(int)err->kind;
    mbedtls_x509write_crt_set_version(&crt, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&crt, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&crt, &subject);
    mbedtls_x509write_crt_set_issuer_key(&crt, &issuer);
    rc = set_names(&crt, w, by);
    if (rc == 0)
        rc = set_serial(&crt);
    if (rc == 0)
        rc = set_validity(&crt, w->from_s, w->until_s);
    if (rc == 0)
        rc = set_extensions(&crt, w);
    if (rc == 0)
        rc = mbedtls_x509write_crt_pem(&crt, (unsigned char *)text, PEM_BYTES, rng, NULL);
    if (rc != 0)
        return tls_fail(err, ERR_INVALID, "make certificate", rc);
    *ret = steal_ptr(&text);
    return 0;
}

static uint64_t time_s(const mbedtls_x509_time *t)
{
    struct tm tm = {.tm_year = t->year - 1900,
                    .tm_mon = t->mon - 1,
                    .tm_mday = t->day,
                    .tm_hour = t->hour,
                    .tm_min = t->min,
                    .tm_sec = t->sec};
    time_t s = timegm(&tm);

    return s < 0 ? 0 : (uint64_t)s;
}

int x509_info(struct buf pem, struct x509_info *ret, struct err *err)
{
    AUTO_CRT crt;
    struct x509_info info = {.cn = ""};
    int rc;

    mbedtls_x509_crt_init(&crt);
    rc = mbedtls_x509_crt_parse(&crt, pem.p, pem.len + 1);
    if (rc != 0)
        return tls_fail(err, ERR_INVALID, "not a certificate", rc);
    for (const mbedtls_x509_name *n = &crt.subject; n; n = n->next)
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &n->oid) == 0 && n->val.len < sizeof(info.cn))
            memcpy(info.cn, n->val.p, n->val.len);
    info.from_s = time_s(&crt.valid_from);
    info.until_s = time_s(&crt.valid_to);
    *ret = info;
    return 0;
}
