/* fetch_coap.c - layouts over CoAP and CoAPS. We build our own GETs: any block of a blob is requested by its
 * number with an unguessable token, so that a transfer can start anywhere and every response is matched with
 * its request (fetch_coap_blocks.h). A peer's support of Q-Block2 (RFC 9177) is probed once, by a confirmable
 * request for 16 bytes: with it one request brings ten blocks; without it Block2, several requests at a time.
 * Runs in the sandbox; its bytes are not trusted. */
#include "ota/fetch/fetch_coap_int.h"

#include "platform/clock.h"
#include <inttypes.h>

#define Q_BLOCK2 31  /* Debian 12's libcoap does not define it */
#define SEGMENTS 512 /* for a whole path */
#define TURN_MS  200
#define CA_DIR   "/etc/ssl/certs"

/* One item from one source. */
struct coap_get {
    struct fetch_job *j;
    struct fetch_item *it;
    const struct source *source;
    enum blocks_peer *peer;
    enum blocks_way way;
    bool new_way; /* what we know of the peer has changed */
    bool trying;  /* the probe for 16 bytes is outstanding */
    uint8_t try_token[BLOCKS_TOKEN];
    struct blocks b;
    uint64_t useful; /* bytes of responses that were useful */
    uint8_t path[SEGMENTS];
    size_t path_len;
    int n_segments;
    bool has_etag;
    uint8_t etag[8];
    size_t etag_len;
    struct err err;
};

/* ---- responses ---- */

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
    return size == item->size
               ? 0
               : err_set(err, ERR_INTEGRITY, "has %" PRIu64 " bytes, signed are %" PRIu64, size, item->size);
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

static struct block_answer read_answer(const coap_pdu_t *pdu)
{
    coap_bin_const_t token = coap_pdu_get_token(pdu);
    struct block_answer w = {.token = token.s, .token_len = token.length};
    coap_block_t b = {0};

    (void)coap_get_data(pdu, &w.len, &w.data);
    w.has_block = coap_get_block(pdu, COAP_OPTION_BLOCK2, &b) != 0 || coap_get_block(pdu, Q_BLOCK2, &b) != 0;
    w.num = b.num;
    w.more = b.m;
    w.szx = b.szx;
    return w;
}

static void know_peer(struct coap_get *g, enum blocks_peer peer)
{
    *g->peer = peer;
    g->new_way = true;
}

/* Codes of a server that does not support the option, rather than about the blob. */
static bool refuses_sets(coap_pdu_code_t code)
{
    return code == COAP_RESPONSE_CODE_BAD_OPTION || code == COAP_RESPONSE_CODE_BAD_REQUEST ||
           code == COAP_RESPONSE_CODE_NOT_IMPLEMENTED;
}

static int take_answer(struct coap_get *g, struct block_ask *a, const struct block_answer *w,
                       const coap_pdu_t *pdu, struct err *err)
{
    int rc = judge_code(coap_pdu_get_code(pdu), err);

    if (rc == 0)
        rc = judge_size(g->it, pdu, err);
    if (rc == 0)
        rc = judge_etag(g, pdu, err);
    return rc == 0 ? blocks_take(&g->b, a, w, g->it->size, clock_boot_ms(), err) : rc;
}

/* The bytes of a probe do not matter: its set arrives as a whole. Nor do those of a block already
 * received. */
static int take_other(struct coap_get *g, bool is_try, const coap_pdu_t *pdu, struct err *err)
{
    coap_pdu_code_t code = coap_pdu_get_code(pdu);
    coap_opt_iterator_t it;

    if (!is_try && code == COAP_RESPONSE_CODE_CONTENT)
        return 0;
    g->trying = false;
    if (code == COAP_RESPONSE_CODE_CONTENT)
        know_peer(g, coap_check_option(pdu, Q_BLOCK2, &it) ? PEER_SETS : PEER_SINGLES);
    else if (refuses_sets(code))
        know_peer(g, PEER_SINGLES);
    else
        return judge_code(code, err);
    return 0;
}

static int take_any(struct coap_get *g, const coap_pdu_t *pdu, bool *ret_ours, struct err *err)
{
    struct block_answer w = read_answer(pdu);
    struct block_ask *a = NULL;
    bool is_try =
        g->trying && w.token_len == BLOCKS_TOKEN && memcmp(w.token, g->try_token, BLOCKS_TOKEN) == 0;
    enum blocks_match match = is_try ? BLOCKS_NEEDLESS : blocks_match(&g->b, &w, &a);
    bool is_other = is_try || match == BLOCKS_NEEDLESS ||
                    (g->b.sets && coap_pdu_get_code(pdu) != COAP_RESPONSE_CODE_CONTENT);

    *ret_ours = match != BLOCKS_STRANGE;
    if (match == BLOCKS_STRANGE || (match == BLOCKS_NEEDLESS && !is_try && !g->b.sets))
        return 0;
    size_t bytes = pdu_bytes(pdu, w.len);
    g->j->fetched += bytes - (is_other ? 0 : w.len);
    int rc = fetch_count(g->j, bytes, err);
    if (rc < 0 || is_other)
        return rc < 0 ? rc : take_other(g, is_try, pdu, err);
    rc = take_answer(g, a, &w, pdu, err);
    g->useful += rc == 0 ? bytes : 0;
    return rc;
}

static struct coap *coap_of(coap_session_t *session)
{
    return coap_get_app_data(coap_session_get_context(session));
}

/* An unknown token is rejected (RST): a guess, or a response that is too late. */
static coap_response_t on_response(coap_session_t *session, const coap_pdu_t *sent,
                                   const coap_pdu_t *received, const coap_mid_t mid)
{
    struct coap_get *g = coap_of(session)->get;
    bool ours = false;

    (void)sent;
    (void)mid;
    if (g && g->err.kind == ERR_NONE)
        (void)take_any(g, received, &ours, &g->err);
    return ours ? COAP_RESPONSE_OK : COAP_RESPONSE_FAIL;
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
    if (reason == COAP_NACK_RST && c->get->trying) {
        c->get->trying = false;
        know_peer(c->get, PEER_SINGLES);
        return;
    }
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

/* ---- start and end ---- */

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
    coap_register_option(j->coap->ctx, Q_BLOCK2); /* it is a critical option: otherwise responses with it are
                                                   * dropped */
    coap_register_response_handler(j->coap->ctx, on_response);
    coap_register_nack_handler(j->coap->ctx, on_nack);
    coap_register_event_handler(j->coap->ctx, on_event);
    /* this file is read here by libcoap's OpenSSL variant, later by others: then our user must be able to
     * read it */
    if (coap_dtls_is_supported() &&
        !coap_context_set_pki_root_cas(j->coap->ctx, j->ca_path, j->ca_path ? NULL : CA_DIR))
        return err_set(err, ERR_INVALID, "%s: no certificates for DTLS", j->ca_path ? j->ca_path : CA_DIR);
    return 0;
}

void fetch_coap_done(struct fetch_job *j)
{
    if (!j->coap)
        return;
    j->coap->get = NULL;
    fetch_coap_forget(j->coap);
    if (j->coap->ctx)
        coap_free_context(j->coap->ctx);
    coap_cleanup();
    free(j->coap);
    j->coap = NULL;
}

/* ---- requests ---- */

static int split_path(struct coap_get *g, const struct source *s, struct err *err)
{
    const char *path = s->at + source_host_len(s->at);
    char whole[SOURCE_BYTES + 96], blob[96];
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/')
        len--;
    g->path_len = sizeof(g->path);
    bool fits = str_fmt(whole, sizeof(whole), "%.*s/%s", (int)len, path, fetch_dir_blob_path(g->it, blob));
    g->n_segments =
        fits ? coap_split_path((const uint8_t *)whole + 1, strlen(whole) - 1, g->path, &g->path_len) : -1;
    return g->n_segments > 0 ? 0 : err_set(err, ERR_INVALID, "too long a path");
}

static bool put_path(const struct coap_get *g, coap_pdu_t *pdu)
{
    const uint8_t *segment = g->path;
    bool ok = true;

    for (int i = 0; i < g->n_segments; i++) {
        ok &=
            coap_add_option(pdu, COAP_OPTION_URI_PATH, coap_opt_length(segment), coap_opt_value(segment)) > 0;
        segment += coap_opt_size(segment);
    }
    return ok;
}

static bool put_block(coap_pdu_t *pdu, coap_option_num_t option, uint64_t at, bool more, unsigned szx)
{
    uint8_t number[8];
    unsigned block = (unsigned)(at >> (szx + 4)) << 4 | (more ? 8U : 0) | szx;

    return coap_add_option(pdu, option, coap_encode_var_safe(number, sizeof(number), block), number) > 0;
}

/* Options must be in order of their numbers: Block2, Size2, Q-Block2. */
static bool put_options(struct coap_get *g, coap_pdu_t *pdu, const struct block_ask *single)
{
    bool ok = put_path(g, pdu);

    if (single)
        ok &= put_block(pdu, COAP_OPTION_BLOCK2, single->at, false, single->szx);
    if (!g->has_etag) /* the first request: ask for the total size. An empty option is 0 */
        ok &= coap_add_option(pdu, COAP_OPTION_SIZE2, 0, NULL) > 0;
    if (g->way == WAY_TRY)
        ok &= put_block(pdu, Q_BLOCK2, 0, false, 0);
    else if (!single && g->b.whole)
        ok &= put_block(pdu, Q_BLOCK2, 0, true, g->b.szx);
    for (unsigned i = 0; !single && !g->b.whole && i < g->b.n; i++)
        if (!blocks_at(&g->b, i)->answered)
            ok &= put_block(pdu, Q_BLOCK2, blocks_at(&g->b, i)->at, false, g->b.szx);
    return ok;
}

/* Request one block, or (single NULL) as the mode says: a probe or a set. Only sets are not confirmable: what
 * is missing of them is known by number. */
static int send_question(struct coap *c, struct coap_get *g, uint8_t token[BLOCKS_TOKEN],
                         const struct block_ask *single, struct err *err)
{
    int rc = crypto_random(token, BLOCKS_TOKEN, err);

    if (rc < 0)
        return rc;
    coap_pdu_t *pdu = coap_new_pdu(g->way == WAY_SETS ? COAP_MESSAGE_NON : COAP_MESSAGE_CON,
                                   COAP_REQUEST_CODE_GET, c->session);
    if (!pdu)
        return err_set(err, ERR_NOMEM, "a message");
    if (!coap_add_token(pdu, BLOCKS_TOKEN, token) || !put_options(g, pdu, single)) {
        coap_delete_pdu(pdu);
        return err_set(err, ERR_INVALID, "too long a path");
    }
    return coap_send(c->session, pdu) == COAP_INVALID_MID ? err_set(err, ERR_NET, "cannot send") : 0;
}

/* The block with the next byte wanted at or after `from`. */
static bool next_block(const struct coap_get *g, uint64_t from, uint64_t *ret_at)
{
    unsigned bits = g->b.szx + 4;
    struct fetch_span span;

    if (g->b.ended || !fetch_next_after(g->it, from, &span))
        return false;
    *ret_at = span.from >> bits << bits;
    return true;
}

/* Block numbers have 20 bits. */
static int may_ask(const struct coap_get *g, uint64_t at, uint64_t bytes, struct err *err)
{
    return at >> (g->b.szx + 4) >= 1 << 20
               ? err_set(err, ERR_UNSUPPORTED, "CoAP has no block behind byte %" PRIu64, at)
               : fetch_afford(g->j, g->it, (struct fetch_span){at, at + bytes}, err);
}

static int ask_singles(struct coap *c, struct coap_get *g, struct err *err)
{
    unsigned window = g->it->size ? g->b.window : 1;
    uint64_t at = 0;
    int rc = 0;

    while (rc == 0 && g->b.n < window && next_block(g, g->b.next_at, &at)) {
        rc = may_ask(g, at, blocks_size(&g->b), err);
        if (rc < 0)
            return rc;
        struct block_ask *a = blocks_add(&g->b, at);
        a->sent_ms = clock_boot_ms();
        rc = send_question(c, g, a->token, a, err);
    }
    return rc;
}

static unsigned next_set(const struct coap_get *g, uint64_t at[BLOCKS_SET])
{
    uint64_t from = g->b.next_at;
    unsigned n = 0;

    while (n < BLOCKS_SET && next_block(g, from, &at[n]))
        from = at[n++] + blocks_size(&g->b);
    return n;
}

static int begin_set(struct coap_get *g, struct err *err)
{
    uint64_t at[BLOCKS_SET], bytes = 0;
    unsigned n = next_set(g, at);
    int rc = 0;

    for (unsigned i = 0; i < n; i++)
        bytes += g->it->size - at[i] < blocks_size(&g->b) ? g->it->size - at[i] : blocks_size(&g->b);
    if (n > 0)
        rc = may_ask(g, at[n - 1], bytes, err);
    for (unsigned i = 0; rc == 0 && i < n; i++)
        (void)blocks_add(&g->b, at[i]);
    g->b.whole = blocks_is_start(g->it->size, g->b.szx, at, n);
    return rc;
}

static int ask_set(struct coap *c, struct coap_get *g, uint64_t *ret_due_ms, struct err *err)
{
    enum blocks_step step =
        g->b.n == 0 ? BLOCKS_AGAIN : blocks_step_decide(&g->b, clock_boot_ms(), ret_due_ms);
    uint8_t token[BLOCKS_TOKEN];
    int rc = 0;

    if (step == BLOCKS_DEAD)
        return err_set(err, ERR_TIMEOUT, "does not answer");
    if (step == BLOCKS_ONLY_ONE)
        know_peer(g, PEER_FROM_START);
    if (step != BLOCKS_AGAIN)
        return 0;
    if (g->b.n == 0)
        rc = begin_set(g, err);
    if (rc < 0 || g->b.n == 0)
        return rc;
    rc = send_question(c, g, token, NULL, err);
    if (rc == 0)
        blocks_asked(&g->b, token, clock_boot_ms());
    return rc;
}

/* At the start, and when more is known about the peer. What is in flight is requested again. */
static int choose_way(struct coap *c, struct coap_get *g, struct err *err)
{
    uint64_t at[BLOCKS_SET];

    blocks_begin(&g->b, g->b.next_at, false);
    unsigned n = next_set(g, at);
    g->way = blocks_way_decide(*g->peer, g->it->size, g->b.szx, at, n);
    g->b.sets = g->way == WAY_SETS;
    g->new_way = g->trying = false;
    if (g->etag_len == 0) /* a single block from a server that supports sets may lack it */
        g->has_etag = false;
    if (g->way == WAY_SINGLES && c->spoke_sets)
        fetch_coap_forget(c);
    int rc = fetch_coap_session(g->j, g->source, err);
    c->spoke_sets |= g->way == WAY_SETS;
    return rc;
}

static int ask(struct coap *c, struct coap_get *g, uint64_t *ret_due_ms, struct err *err)
{
    int rc = g->new_way ? choose_way(c, g, err) : 0;

    if (rc < 0 || g->way == WAY_SINGLES)
        return rc < 0 ? rc : ask_singles(c, g, err);
    if (g->way == WAY_SETS)
        return ask_set(c, g, ret_due_ms, err);
    if (g->trying)
        return 0;
    g->trying = true;
    return send_question(c, g, g->try_token, NULL, err);
}

/* Pass on what has arrived in order. */
static int take_ready(struct coap_get *g, struct err *err)
{
    const struct block_ask *a;
    int rc = 0;

    while (rc == 0 && (a = blocks_ready(&g->b)) != NULL) {
        g->b.ended |= a->last;
        rc = fetch_take(g->j, g->it, a->at, buf_of(a->data, a->len), err);
        blocks_drop(&g->b);
    }
    return rc;
}

/* Too slow for too long? */
struct pace {
    uint64_t mark_ms, mark_bytes;
};

static int keep_pace(struct coap_get *g, struct pace *p, struct err *err)
{
    const struct fetch_job *j = g->j;
    uint64_t now = clock_boot_ms(), bytes = g->useful;

    if (now >= j->deadline_ms)
        return err_set(err, ERR_TIMEOUT, "deadline");
    if (now - p->mark_ms >= j->stall_s * 1000) {
        if (bytes - p->mark_bytes < j->min_rate * j->stall_s)
            return err_set(err, ERR_TIMEOUT, "too slow or silent");
        *p = (struct pace){now, bytes};
    }
    return 0;
}

static uint32_t turn_ms(uint64_t brake_ms, uint64_t due_ms)
{
    uint64_t now = clock_boot_ms(), turn = brake_ms > 0 && brake_ms < TURN_MS ? brake_ms : TURN_MS;

    if (due_ms && due_ms < now + turn)
        turn = due_ms > now ? due_ms - now : 1; /* 0 would mean no timeout */
    return (uint32_t)turn;
}

static int get_blocks(struct coap *c, struct coap_get *g, struct err *err)
{
    struct pace p = {clock_boot_ms(), 0};
    uint64_t at;
    int rc = 0;

    while (rc == 0 && (g->b.n > 0 || next_block(g, g->b.next_at, &at))) {
        uint64_t brake = fetch_brake_ms(g->j), due = 0;
        if (brake == 0)
            rc = ask(c, g, &due, err);
        if (rc == 0 && coap_io_process(c->ctx, turn_ms(brake, due)) < 0)
            rc = err_set(err, ERR_NET, "the socket fails");
        if (rc == 0 && g->err.kind != ERR_NONE)
            rc = err_set(err, g->err.kind, "%s", g->err.msg);
        if (rc == 0)
            rc = take_ready(g, err);
        if (rc == 0)
            rc = keep_pace(g, &p, err);
    }
    return rc;
}

int fetch_coap_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err)
{
    struct coap_get AUTO_MEM *g = mem_need_zero(sizeof(*g));
    struct fetch_span span;

    *g = (struct coap_get){.j = j,
                           .it = it,
                           .source = &j->sources[source],
                           .peer = &j->coap->peers[source],
                           .new_way = true,
                           .b.szx = BLOCKS_SZX};
    if (fetch_next(it, &span))
        g->b.next_at = span.from;
    int rc = split_path(g, g->source, err);
    if (rc == 0)
        rc = fetch_coap_session(j, g->source, err);
    j->coap->get = g;
    if (rc == 0)
        rc = get_blocks(j->coap, g, err);
    j->coap->get = NULL;
    if (rc == -ERR_TIMEOUT && g->way != WAY_SINGLES && g->useful == 0)
        *g->peer = PEER_SINGLES; /* something on the path may drop it: next time use the common mode */
    if (rc < 0)                  /* outstanding responses must not be taken for those to the next request */
        fetch_coap_forget(j->coap);
    return rc;
}
