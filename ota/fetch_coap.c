/* fetch_coap.c - layouts over CoAP and CoAPS; the only place that knows libcoap. Block2 GETs of our own making: any
 * block of a blob is asked for by its number with a token of its own, a few at a time, so that it starts anywhere
 * and every answer is held against what was asked. Runs in the sandbox; its bytes are believed by nobody. */
#include <arpa/inet.h>
#include <coap3/coap.h>
#include <netdb.h>
#include <stdio.h>

#include "ota/cert.h"
#include "ota/fetch_int.h"
#include "platform/clock.h"

#define BLOCK_SZX   6 /* 1024 bytes: the largest that CoAP over UDP has */
#define BLOCK_BYTES 1024
#define TOKEN_BYTES 8
#define WINDOW      8    /* questions under way: grows with quick answers, falls to 1 with a slow one */
#define SLOW_MS     2000 /* ACK_TIMEOUT of RFC 7252: later answers were asked for twice */
#define HOST_BYTES  256
#define SEGMENTS    512 /* all of a path */
#define TURN_MS     200
#define CA_DIR      "/etc/ssl/certs"

struct block_ask {
    uint8_t token[TOKEN_BYTES], data[BLOCK_BYTES];
    uint64_t at, sent_ms;
    unsigned szx; /* that was asked with */
    uint16_t len;
    bool answered, last;
};
struct coap {
    coap_context_t *ctx;
    coap_session_t *session;
    const struct source *session_of;
    char host[HOST_BYTES];
    struct err tls; /* why a certificate was not liked */
    struct coap_get *get;
};
/* One item from one source. Asks are a ring in the order of their offsets. */
struct coap_get {
    struct fetch_job *j;
    struct fetch_item *it;
    struct block_ask asks[WINDOW];
    unsigned first, n, window;
    unsigned szx;
    uint64_t next_at; /* offset behind the last ask */
    bool ended;       /* the last block of a blob whose size nobody knows is here */
    uint8_t path[SEGMENTS];
    size_t path_len;
    int n_segments;
    bool has_etag;
    uint8_t etag[8];
    size_t etag_len;
    struct err err;
};

static struct block_ask *ask_at(struct coap_get *g, unsigned i)
{
    return &g->asks[(g->first + i) % WINDOW];
}

/* ---- what comes back ---- */

static struct block_ask *find_ask(struct coap_get *g, const coap_pdu_t *pdu)
{
    coap_bin_const_t token = coap_pdu_get_token(pdu);

    for (unsigned i = 0; g && i < g->n; i++)
        if (token.length == TOKEN_BYTES && memcmp(token.s, ask_at(g, i)->token, TOKEN_BYTES) == 0)
            return ask_at(g, i);
    return NULL;
}

static int judge_code(coap_pdu_code_t code, struct err *err)
{
    unsigned class = COAP_RESPONSE_CLASS(code), detail = code & 0x1f;
    enum err_kind kind = ERR_NET;

    if (code == COAP_RESPONSE_CODE_CONTENT)
        return 0;
    if (code == COAP_RESPONSE_CODE_NOT_FOUND)
        kind = ERR_NOTFOUND;
    else if (code == COAP_RESPONSE_CODE_UNAUTHORIZED || code == COAP_RESPONSE_CODE_FORBIDDEN)
        kind = ERR_DENIED;
    else if (class != 5 && code != COAP_RESPONSE_CODE(429))
        kind = ERR_INVALID;
    return err_set(err, kind, "answers %u.%02u", class, detail);
}

/* The resource must stay the same from the first block to the last. */
static int judge_etag(struct coap_get *g, const coap_pdu_t *pdu, struct err *err)
{
    coap_opt_iterator_t it;
    const coap_opt_t *o = coap_check_option(pdu, COAP_OPTION_ETAG, &it);
    size_t len = o ? coap_opt_length(o) : 0;

    if (len > sizeof(g->etag))
        return err_set(err, ERR_NET, "an ETag of %zu bytes", len);
    if (!g->has_etag) {
        g->has_etag = true;
        g->etag_len = len;
        if (len)
            memcpy(g->etag, coap_opt_value(o), len);
    }
    return buf_eq(buf_of(g->etag, g->etag_len), buf_of(o ? coap_opt_value(o) : NULL, len))
               ? 0
               : err_set(err, ERR_NET, "its ETag changed");
}

static int judge_size(const struct fetch_item *item, const coap_pdu_t *pdu, struct err *err)
{
    coap_opt_iterator_t it;
    const coap_opt_t *o = coap_check_option(pdu, COAP_OPTION_SIZE2, &it);

    if (!o || !item->size)
        return 0;
    uint64_t size = coap_decode_var_bytes8(coap_opt_value(o), coap_opt_length(o));
    return size == item->size ? 0
                              : err_set(err, ERR_INTEGRITY, "has %llu bytes, signed are %llu",
                                        (unsigned long long)size, (unsigned long long)item->size);
}

/* Exactly the block that was asked for: neither gap nor overlap, full unless it is the last. */
static int judge_block(struct coap_get *g, const struct block_ask *a, const coap_pdu_t *pdu, size_t len,
                       bool *ret_last, struct err *err)
{
    uint64_t size = g->it->size;
    coap_block_t b = {0};

    if (!coap_get_block(pdu, COAP_OPTION_BLOCK2, &b)) {
        b = (coap_block_t){.num = 0, .m = 0, .szx = BLOCK_SZX};
        if (a->at != 0)
            return err_set(err, ERR_NET, "answers without a block");
    }
    if (b.szx > a->szx || (uint64_t)b.num << (b.szx + 4) != a->at)
        return err_set(err, ERR_NET, "answers with another block than was asked");
    if (b.m ? len != (size_t)1 << (b.szx + 4) : len > (size_t)1 << (b.szx + 4))
        return err_set(err, ERR_NET, "answers with a block of %zu bytes", len);
    if (size && (a->at + len > size || (b.m == 0) != (a->at + len == size)))
        return err_set(err, ERR_INTEGRITY, "ends at another byte than the %llu that were signed",
                       (unsigned long long)size);
    if (b.szx < a->szx && b.m) { /* it has smaller blocks: what was asked behind this one is asked again */
        g->szx = b.szx < g->szx ? b.szx : g->szx;
        while (g->n > 0 && ask_at(g, g->n - 1)->at > a->at)
            g->n--;
        g->next_at = a->at + len;
    }
    *ret_last = !b.m;
    return 0;
}

static size_t pdu_bytes(const coap_pdu_t *pdu, size_t data)
{
    size_t bytes = 4 + coap_pdu_get_token(pdu).length + (data ? data + 1 : 0);
    coap_opt_iterator_t it;
    const coap_opt_t *o;

    coap_option_iterator_init(pdu, &it, COAP_OPT_ALL);
    while ((o = coap_option_next(&it)) != NULL)
        bytes += coap_opt_size(o);
    return bytes;
}

static int take_answer(struct coap_get *g, struct block_ask *a, const coap_pdu_t *pdu, struct err *err)
{
    const uint8_t *data = NULL;
    size_t len = 0;

    (void)coap_get_data(pdu, &len, &data);
    size_t bytes = pdu_bytes(pdu, len);
    g->j->fetched += bytes - len;
    int r = fetch_count(g->j, bytes, err);
    if (r == 0)
        r = judge_code(coap_pdu_get_code(pdu), err);
    if (r == 0)
        r = judge_size(g->it, pdu, err);
    if (r == 0)
        r = judge_etag(g, pdu, err);
    if (r == 0 && len > BLOCK_BYTES)
        r = err_set(err, ERR_NET, "answers with a block of %zu bytes", len);
    if (r == 0)
        r = judge_block(g, a, pdu, len, &a->last, err);
    if (r < 0)
        return r;
    if (len)
        memcpy(a->data, data, len);
    a->len = (uint16_t)len;
    a->answered = true;
    if (clock_boot_ms() - a->sent_ms >= SLOW_MS)
        g->window = 1;
    else if (g->window < WINDOW)
        g->window++;
    return 0;
}

static struct coap *coap_of(coap_session_t *session)
{
    return coap_get_app_data(coap_session_get_context(session));
}

/* A token that nobody asked with is refused (RST): a guess, or an answer that comes too late. */
static coap_response_t on_response(coap_session_t *session, const coap_pdu_t *sent,
                                   const coap_pdu_t *received, const coap_mid_t mid)
{
    struct coap_get *g = coap_of(session)->get;
    struct block_ask *a = find_ask(g, received);

    (void)sent;
    (void)mid;
    if (!a)
        return COAP_RESPONSE_FAIL;
    if (!a->answered && g->err.kind == ERR_NONE)
        (void)take_answer(g, a, received, &g->err);
    return COAP_RESPONSE_OK;
}

static void on_nack(coap_session_t *session, const coap_pdu_t *sent, const coap_nack_reason_t reason,
                    const coap_mid_t mid)
{
    static const char *const why[] = {[COAP_NACK_TOO_MANY_RETRIES] = "does not answer",
                                      [COAP_NACK_NOT_DELIVERABLE] = "cannot be reached",
                                      [COAP_NACK_RST] = "resets the message",
                                      [COAP_NACK_TLS_FAILED] = "DTLS fails",
                                      [COAP_NACK_ICMP_ISSUE] = "cannot be reached"};
    struct coap *c = coap_of(session);

    (void)sent;
    (void)mid;
    if (!c->get || c->get->err.kind != ERR_NONE)
        return;
    if (c->tls.kind != ERR_NONE)
        c->get->err = c->tls;
    else
        (void)err_set(&c->get->err, reason == COAP_NACK_TOO_MANY_RETRIES ? ERR_TIMEOUT : ERR_NET, "%s",
                      (size_t)reason < COUNT_OF(why) && why[reason] ? why[reason] : "fails");
}

static int on_event(coap_session_t *session, const coap_event_t event)
{
    if (event == COAP_EVENT_DTLS_ERROR)
        on_nack(session, NULL, COAP_NACK_TLS_FAILED, 0);
    return 0;
}

static int on_certificate(const char *cn, const uint8_t *der, size_t len, coap_session_t *session,
                          unsigned depth, int validated, void *arg)
{
    struct coap *c = arg;

    (void)cn;
    (void)session;
    if (!validated)
        (void)err_set(&c->tls, ERR_DENIED, "its certificate is not trusted");
    else if (depth == 0)
        (void)cert_is_for(buf_of(der, len), c->host, &c->tls);
    return c->tls.kind == ERR_NONE;
}

/* ---- session ---- */

int fetch_coap_init(struct fetch_job *j, struct err *err)
{
    bool wanted = false;

    for (unsigned i = 0; i < j->n_sources; i++)
        wanted |= j->sources[i].kind == SOURCE_COAP;
    if (!wanted)
        return 0;
    j->coap = mem_need_zero(sizeof(*j->coap));
    coap_startup();
    coap_set_log_level(LOG_EMERG);
    j->coap->ctx = coap_new_context(NULL);
    if (!j->coap->ctx)
        return err_set(err, ERR_NOMEM, "libcoap does not start");
    coap_set_app_data(j->coap->ctx, j->coap);
    coap_register_response_handler(j->coap->ctx, on_response);
    coap_register_nack_handler(j->coap->ctx, on_nack);
    coap_register_event_handler(j->coap->ctx, on_event);
    /* the file is read here by OpenSSL's variant, later by others: then it must be readable for our user */
    if (coap_dtls_is_supported() &&
        !coap_context_set_pki_root_cas(j->coap->ctx, j->ca_path, j->ca_path ? NULL : CA_DIR))
        return err_set(err, ERR_INVALID, "%s: no certificates for DTLS", j->ca_path ? j->ca_path : CA_DIR);
    return 0;
}

static void forget_session(struct coap *c)
{
    if (c->session)
        coap_session_release(c->session);
    c->session = NULL;
    c->session_of = NULL;
}

void fetch_coap_done(struct fetch_job *j)
{
    if (!j->coap)
        return;
    j->coap->get = NULL;
    forget_session(j->coap);
    if (j->coap->ctx)
        coap_free_context(j->coap->ctx);
    coap_cleanup();
    free(j->coap);
    j->coap = NULL;
}

static bool is_secure(const struct source *s)
{
    return strncmp(s->at, "coaps://", 8) == 0;
}

/* "coap://[::1]:5683/img" -> "::1" and "5683" */
static int split_host(const struct source *s, char host[HOST_BYTES], char port[8], struct err *err)
{
    const char *from = strstr(s->at, "://") + 3, *end = s->at + source_host_len(s->at), *colon;
    bool fits;

    if (*from == '[') {
        const char *close = memchr(from, ']', (size_t)(end - from));
        if (!close)
            return err_set(err, ERR_INVALID, "no address in brackets");
        fits = str_fmt(host, HOST_BYTES, "%.*s", (int)(close - from - 1), from + 1);
        colon = close + 1 < end && close[1] == ':' ? close + 1 : NULL;
    } else {
        colon = memchr(from, ':', (size_t)(end - from));
        fits = str_fmt(host, HOST_BYTES, "%.*s", (int)((colon ? colon : end) - from), from);
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

static int need_session(struct fetch_job *j, const struct source *s, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    struct coap *c = j->coap;
    char port[8];

    if (c->session && c->session_of == s)
        return 0;
    forget_session(c);
    c->tls = ERR_INIT;
    int r = split_host(s, c->host, port, err);
    if (r < 0)
        return r;
    int rc = getaddrinfo(c->host, port, &hints, &found);
    if (rc != 0)
        return err_set(err, ERR_NET, "%s: %s", c->host, gai_strerror(rc));
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
    if (!c->session)
        return err_set(err, ERR_NET, "no session");
    coap_session_set_nstart(c->session, WINDOW);
    c->session_of = s;
    return 0;
}

/* ---- asking ---- */

static int split_path(struct coap_get *g, const struct source *s, struct err *err)
{
    const char *path = s->at + source_host_len(s->at);
    char whole[SOURCE_BYTES + 96], blob[96];
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/')
        len--;
    g->path_len = sizeof(g->path);
    bool fits = str_fmt(whole, sizeof(whole), "%.*s/%s", (int)len, path, dir_blob_path(g->it, blob));
    g->n_segments =
        fits ? coap_split_path((const uint8_t *)whole + 1, strlen(whole) - 1, g->path, &g->path_len) : -1;
    return g->n_segments > 0 ? 0 : err_set(err, ERR_INVALID, "too long a path");
}

static bool put_options(const struct coap_get *g, coap_pdu_t *pdu, const struct block_ask *a)
{
    const uint8_t *segment = g->path;
    uint8_t number[8];
    bool ok = true;

    for (int i = 0; i < g->n_segments; i++) {
        ok &=
            coap_add_option(pdu, COAP_OPTION_URI_PATH, coap_opt_length(segment), coap_opt_value(segment)) > 0;
        segment += coap_opt_size(segment);
    }
    unsigned block = (unsigned)(a->at >> (g->szx + 4)) << 4 | g->szx;
    ok &= coap_add_option(pdu, COAP_OPTION_BLOCK2, coap_encode_var_safe(number, sizeof(number), block),
                          number) > 0;
    if (!g->has_etag) /* the first: how large is all of it? An empty option is 0 */
        ok &= coap_add_option(pdu, COAP_OPTION_SIZE2, 0, NULL) > 0;
    return ok;
}

static int send_ask(struct coap *c, const struct coap_get *g, struct block_ask *a, struct err *err)
{
    int r = crypto_random(a->token, TOKEN_BYTES, err);

    if (r < 0)
        return r;
    coap_pdu_t *pdu = coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_GET, c->session);
    if (!pdu)
        return err_set(err, ERR_NOMEM, "a message");
    a->sent_ms = clock_boot_ms();
    if (!coap_add_token(pdu, TOKEN_BYTES, a->token) || !put_options(g, pdu, a)) {
        coap_delete_pdu(pdu);
        return err_set(err, ERR_INVALID, "too long a path");
    }
    return coap_send(c->session, pdu) == COAP_INVALID_MID ? err_set(err, ERR_NET, "cannot send") : 0;
}

/* The next block that holds something wanted. Block numbers have 20 bits. */
static bool next_block(const struct coap_get *g, uint64_t *ret_at)
{
    struct fetch_span span;

    if (g->ended || !fetch_next_after(g->it, g->next_at, &span))
        return false;
    *ret_at = span.from >> (g->szx + 4) << (g->szx + 4);
    return true;
}

static int ask_more(struct coap *c, struct coap_get *g, struct err *err)
{
    unsigned window = g->it->size ? g->window : 1;
    uint64_t at = 0;
    int r = 0;

    while (r == 0 && g->n < window && next_block(g, &at)) {
        struct block_ask *a = ask_at(g, g->n);
        uint64_t block = (uint64_t)1 << (g->szx + 4);
        if (at >> (g->szx + 4) >= 1 << 20)
            return err_set(err, ERR_UNSUPPORTED, "CoAP has no block behind byte %llu",
                           (unsigned long long)at);
        *a = (struct block_ask){.at = at, .szx = g->szx};
        r = fetch_afford(g->j, g->it, (struct fetch_span){at, at + block}, err);
        if (r == 0)
            r = send_ask(c, g, a, err);
        g->n += r == 0;
        g->next_at = at + block;
    }
    return r;
}

/* Hand on what has come in order. */
static int take_ready(struct coap_get *g, struct err *err)
{
    int r = 0;

    while (r == 0 && g->n > 0 && ask_at(g, 0)->answered) {
        const struct block_ask *a = ask_at(g, 0);
        g->ended |= a->last;
        r = fetch_take(g->j, g->it, a->at, buf_of(a->data, a->len), err);
        g->first = (g->first + 1) % WINDOW;
        g->n--;
    }
    return r;
}

/* Too slow for too long? */
struct pace {
    uint64_t mark_ms, mark_bytes;
};

static int keep_pace(struct coap_get *g, struct pace *p, struct err *err)
{
    const struct fetch_job *j = g->j;
    uint64_t now = clock_boot_ms(), bytes = j->from_network;

    if (now >= j->deadline_ms)
        return err_set(err, ERR_TIMEOUT, "deadline");
    if (now - p->mark_ms >= j->stall_s * 1000) {
        if (bytes - p->mark_bytes < j->min_rate * j->stall_s)
            return err_set(err, ERR_TIMEOUT, "too slow or silent");
        *p = (struct pace){now, bytes};
    }
    return 0;
}

static int get_blocks(struct coap *c, struct coap_get *g, struct err *err)
{
    struct pace p = {clock_boot_ms(), g->j->from_network};
    uint64_t at;
    int r = 0;

    while (r == 0 && (g->n > 0 || next_block(g, &at))) {
        uint64_t brake = fetch_brake_ms(g->j);
        if (brake == 0)
            r = ask_more(c, g, err);
        if (r == 0 && coap_io_process(c->ctx, brake > 0 && brake < TURN_MS ? (uint32_t)brake : TURN_MS) < 0)
            r = err_set(err, ERR_NET, "the socket fails");
        if (r == 0 && g->err.kind != ERR_NONE)
            r = err_set(err, g->err.kind, "%s", g->err.msg);
        if (r == 0)
            r = take_ready(g, err);
        if (r == 0)
            r = keep_pace(g, &p, err);
    }
    return r;
}

int fetch_coap_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err)
{
    struct coap_get AUTO_MEM *g = mem_need_zero(sizeof(*g));
    const struct source *s = &j->sources[source];
    struct fetch_span span;

    *g = (struct coap_get){.j = j, .it = it, .window = 1, .szx = BLOCK_SZX};
    if (fetch_next(it, &span))
        g->next_at = span.from;
    int r = split_path(g, s, err);
    if (r == 0)
        r = need_session(j, s, err);
    j->coap->get = g;
    if (r == 0)
        r = get_blocks(j->coap, g, err);
    j->coap->get = NULL;
    if (r < 0) /* what is still under way must not meet the next question */
        forget_session(j->coap);
    return r;
}
