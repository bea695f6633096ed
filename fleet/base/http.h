/* http.h - HTTP(S) for registries, on the operator's machine. http.c is the only file here that knows
 * libcurl. */
#ifndef FLEET_HTTP_H
#define FLEET_HTTP_H
#include "platform/err.h"
#include "platform/mem.h"

struct http; /* opaque: one connection pool */
/* ca_file: NULL or empty: the system's. auth_file: NULL or empty: anonymous; else a file with one line
 * user:password. Password and tokens go to the host of the first request only; a registry that wants a token
 * is given one (token.h says who may see the password for it). Owner: caller. Errors: IO, INVALID (auth
 * file). */
NODISCARD int http_new(const char *ca_file, const char *auth_file, struct http **ret, struct err *err);
struct http *http_free(struct http *h);
DEFINE_AUTO(http)

/* Takes bytes as they come; negative ends the transfer with that error. */
typedef int (*http_sink)(void *arg, struct buf bytes, struct err *err);

struct http_ask {
    const char *method; /* NULL: GET */
    const char *url;
    const char *accept, *content_type; /* NULL: none */
    struct buf body;                   /* of a PUT or POST */
    http_sink sink;                    /* NULL: the answer's body is dropped */
    void *arg;
};
#define HTTP_NAMES_BYTES 160
struct http_answer {
    long status;
    char type[128];      /* content type, without parameters */
    char location[1024]; /* absolute */
    bool more;           /* more of a list: Link with rel="next" */
};
/* One exchange. Redirects of GET are followed to http(s) only. Bodies of answers from 400 on do not reach the
 * sink; they are quoted in errors. Errors: NOTFOUND (404), DENIED (401, 403), UNSUPPORTED (405, 501), NET
 * (the rest from 400 on, no connection, TLS), what sink returned. */
NODISCARD int http_do(struct http *h, const struct http_ask *ask, struct http_answer *ret, struct err *err);
/* The names in the certificate of the TLS server there, "DNS:a, IP Address:10.0.0.1", however they are
 * called; nothing is sent to it. Errors: NET (no TLS, or a certificate that ca_file's authorities have not
 * signed or that does not hold now). */
NODISCARD int http_tls_names(const char *host, uint16_t port, const char *ca_file, char dst[HTTP_NAMES_BYTES],
                             struct err *err);
#endif
