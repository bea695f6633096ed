#include "ota/fetch/cert.h"

#include <arpa/inet.h>
#include <mbedtls/x509_crt.h>
#include <strings.h>

enum { SAN_DNS = 2, SAN_IP = 7 };

static bool name_fits(struct buf san, const char *host)
{
    size_t len = strlen(host);
    const char *dot = strchr(host, '.');

    if (memchr(san.p, '\0', san.len)) /* a C program would read it as ending there */
        return false;
    if (san.len == len && strncasecmp((const char *)san.p, host, len) == 0)
        return true;
    /* "*.example.org" matches "a.example.org", but not "a.b.example.org" or "example.org" */
    return san.len > 2 && san.p[0] == '*' && san.p[1] == '.' && memchr(san.p + 2, '.', san.len - 2) && dot &&
           dot > host && strlen(dot) == san.len - 1 &&
           strncasecmp((const char *)san.p + 1, dot, san.len - 1) == 0;
}

static bool san_fits(const mbedtls_x509_buf *san, const char *host, struct buf ip)
{
    unsigned type = (unsigned)san->tag & MBEDTLS_ASN1_TAG_VALUE_MASK;

    if (type == SAN_IP)
        return ip.len > 0 && buf_eq(ip, buf_of(san->p, san->len));
    return type == SAN_DNS && ip.len == 0 && name_fits(buf_of(san->p, san->len), host);
}

int cert_is_for(struct buf der, const char *host, struct err *err)
{
    uint8_t address[16];
    struct buf ip = {address, 0};

    mbedtls_x509_crt crt;
    bool fits = false;

    if (inet_pton(AF_INET, host, address) == 1)
        ip.len = 4;
    else if (inet_pton(AF_INET6, host, address) == 1)
        ip.len = 16;
    mbedtls_x509_crt_init(&crt);
    int rc = mbedtls_x509_crt_parse_der(&crt, der.p, der.len);
    if (rc == 0)
        for (const mbedtls_x509_sequence *s = &crt.subject_alt_names; s && !fits; s = s->next)
            fits = s->buf.p && san_fits(&s->buf, host, ip);
    mbedtls_x509_crt_free(&crt);
    if (rc != 0)
        return err_set(err, ERR_INVALID, "certificate cannot be read: -0x%x", (unsigned)-rc);
    return fits ? 0 : err_set(err, ERR_DENIED, "its certificate is for another name than %.80s", host);
}
