/* fetch_coap_session.c - the peer of a CoAP transfer: names and addresses, UDP or DTLS with a key or a
 * certificate. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

#include "ota/fetch/cert.h"
#include "ota/fetch/fetch_coap_int.h"

/* COAP_BLOCK_USE_LIBCOAP and COAP_BLOCK_TRY_Q_BLOCK; Debian 12's header does not define the second. */
#define KNOWS_Q_BLOCK (0x01 | 0x04)

static int on_certificate(const char *cn, const uint8_t *der, size_t len, coap_session_t *session,
                          unsigned depth, int validated, void *arg)
{
    struct coap *c = arg;

    (void)cn;
    (void)session;
    if (!validated)
        (void)err_set(&c->tls, ERR_DENIED, "its certificate is not trusted");
    else if (depth == 0 && cert_is_for(buf_of(der, len), c->host, &c->tls) < 0)
        return 0;
    return c->tls.kind == ERR_NONE;
}

void fetch_coap_forget(struct coap *c)
{
    if (c->session)
        coap_session_release(c->session);
    c->session = NULL;
    c->session_of = NULL;
    c->spoke_sets = false;
}

static bool is_secure(const struct source *s)
{
    return strncmp(s->at, "coaps://", 8) == 0;
}

/* "coap://[::1]:5683/img" -> "::1" and "5683" */
static int split_host(const struct source *s, char host[FETCH_COAP_HOST], char port[8], struct err *err)
{
    const char *from = strstr(s->at, "://") + 3, *end = s->at + source_host_len(s->at), *colon;
    bool fits;

    if (*from == '[') {
        const char *close = memchr(from, ']', (size_t)(end - from));
        if (!close)
            return err_set(err, ERR_INVALID, "no address in brackets");
        fits = str_fmt(host, FETCH_COAP_HOST, "%.*s", (int)(close - from - 1), from + 1);
        colon = close + 1 < end && close[1] == ':' ? close + 1 : NULL;
    } else {
        colon = memchr(from, ':', (size_t)(end - from));
        fits = str_fmt(host, FETCH_COAP_HOST, "%.*s", (int)((colon ? colon : end) - from), from);
    }
    if (!colon)
        (void)str_copy(port, 8, is_secure(s) ? "5684" : "5683");
    else
        fits &= str_fmt(port, 8, "%.*s", (int)(end - colon - 1), colon + 1);
    return fits ? 0 : err_set(err, ERR_INVALID, "host or port is too long");
}

static coap_session_t *open_session(struct fetch_job *j, const coap_address_t *to, bool secure)
{
    struct coap *c = j->coap;
    uint8_t ip[16];
    bool is_name = inet_pton(AF_INET, c->host, ip) != 1 && inet_pton(AF_INET6, c->host, ip) != 1;

    if (!secure)
        return coap_new_client_session(c->ctx, NULL, to, COAP_PROTO_UDP);
    if (j->psk_len) {
        coap_dtls_cpsk_t psk = {
            .version = COAP_DTLS_CPSK_SETUP_VERSION,
            .client_sni = is_name ? c->host : NULL,
            .psk_info = {.identity = {strlen(j->psk_identity), (uint8_t *)j->psk_identity},
                         .key = {j->psk_len, j->psk}}};
        return coap_new_client_session_psk2(c->ctx, NULL, to, COAP_PROTO_DTLS, &psk);
    }
    coap_dtls_pki_t pki = {.version = COAP_DTLS_PKI_SETUP_VERSION,
                           .verify_peer_cert = 1,
                           .cert_chain_validation = 1,
                           .cert_chain_verify_depth = 4,
                           .allow_no_crl = 1,
                           .validate_cn_call_back = on_certificate,
                           .cn_call_back_arg = c,
                           .client_sni = is_name ? c->host : NULL,
                           .pki_key.key_type = COAP_PKI_KEY_PEM};
    return coap_new_client_session_pki(c->ctx, NULL, to, COAP_PROTO_DTLS, &pki);
}

int fetch_coap_session(struct fetch_job *j, const struct source *s, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    struct coap *c = j->coap;
    char port[8];

    if (c->session && c->session_of == s)
        return 0;
    fetch_coap_forget(c);
    c->tls = ERR_INIT;
    int r = split_host(s, c->host, port, err);
    if (r < 0)
        return r;
    int rc = getaddrinfo(c->host, port, &hints, &found);
    if (rc != 0)
        return err_set(err, ERR_NET, "%s: %s", c->host, gai_strerror(rc));
    /* we handle a session's blocks: it keeps the mode set now ... */
    coap_context_set_block_mode(c->ctx, 0);
    for (struct addrinfo *a = found; a && !c->session; a = a->ai_next) {
        coap_address_t to;
        coap_address_init(&to);
        if (a->ai_addrlen > sizeof(to.addr))
            continue;
        memcpy(&to.addr, a->ai_addr, a->ai_addrlen);
        to.size = a->ai_addrlen;
        c->session = open_session(j, &to, is_secure(s));
    }
    freeaddrinfo(found);
    /* ... while newer libcoaps drop responses with Q-Block2 unless the context's mode has it */
    coap_context_set_block_mode(c->ctx, KNOWS_Q_BLOCK);
    if (!c->session)
        return err_set(err, ERR_NET, "no session");
    coap_session_set_nstart(c->session, BLOCKS_WINDOW);
    c->session_of = s;
    return 0;
}
