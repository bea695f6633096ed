/* fetch_http.c - registries (OCI distribution-spec) and layouts over HTTP and HTTPS; the only place here that
 * uses curl. It runs in the sandbox and its bytes are not trusted: its checks only save traffic and time.
 * Proxy settings from the environment are ignored. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "ota/fetch/fetch_int.h"
#include "ota/fetch/token.h"
#include "platform/addr.h"
#include "platform/clock.h"

#define HEADER_BYTES  (8 * 1024)
#define REFUSAL_BYTES (64 * 1024) /* of an error response's body that are skipped */
#define URL_BYTES     2048
#define CONNECT_MS    30000L
#define REDIRECTS     3L
#define AGENT         "limpet/" LIMPET_VERSION

struct http {
    CURL *curl;
    struct curl_slist *accept;
    char token[TOKEN_BYTES]; /* bearer token for token_source, "" none */
    const struct source *token_source;
    /* where the registry redirected us for this item: chunks are requested there directly, without a
     * password */
    char moved[URL_BYTES];
    const struct fetch_item *moved_item;
    const struct source *moved_source;
    enum addr_reach reach[LIM_SOURCES]; /* of the address that sources[i] responded from */
};

/* One request and what was received so far. */
struct xfer {
    struct fetch_job *j;
    struct fetch_item *it; /* NULL: a token is fetched into text */
    unsigned source;       /* index of its source */
    bool moved;            /* url is where the source redirected us */
    bool elsewhere;        /* from here on a server chose the URL, not a signed manifest */
    long status;
    size_t header_bytes, refusal_bytes, text_len;
    struct fetch_span span; /* the range requested */
    uint64_t at, end; /* offset in the blob of the next body byte; end of the response (0: blob's end) */
    bool judged, has_length, has_range, encoded;
    uint64_t length, range_from, range_to, range_total;
    uint64_t pause_s;      /* Retry-After in seconds ... */
    time_t pause_at, date; /* ... or as a date, next to the server's own; 0: none */
    char challenge[1024], etag[FETCH_ETAG_BYTES];
    char text[TOKEN_BYTES];
    struct err err; /* why a callback stopped */
};

int fetch_http_init(struct fetch_job *j, struct err *err)
{
    static const char *const accepts[] = {
        "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
        "application/vnd.docker.distribution.manifest.v2+json, "
        "application/vnd.docker.distribution.manifest.list.v2+json",
    };
    struct http *h = mem_need_zero(sizeof(*h));

    j->http = h;
    for (unsigned i = 0; i < LIM_SOURCES; i++)
        h->reach[i] = ADDR_GLOBAL; /* until known */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(h->curl = curl_easy_init()) ||
        !(h->accept = curl_slist_append(NULL, accepts[0])))
        return err_set(err, ERR_NOMEM, "curl does not start");
    return 0;
}

void fetch_http_done(struct fetch_job *j)
{
    if (!j->http)
        return;
    curl_slist_free_all(j->http->accept);
    curl_easy_cleanup(j->http->curl);
    curl_global_cleanup();
    free(j->http);
    j->http = NULL;
}

/* ---- where a server may redirect us ---- */

static enum addr_reach reach_of(const char *ip)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    char bare[INET6_ADDRSTRLEN];

    if (!str_fmt(bare, sizeof(bare), "%.*s", (int)strcspn(ip, "%"), ip)) /* "fe80::1%eth0" */
        return ADDR_OTHER;
    if (inet_pton(AF_INET, bare, &v4.sin_addr) == 1)
        return addr_reach((struct sockaddr *)&v4);
    return inet_pton(AF_INET6, bare, &v6.sin6_addr) == 1 ? addr_reach((struct sockaddr *)&v6) : ADDR_OTHER;
}

/* Not closer than the address that the source itself responds from: a remote server must not redirect us to
 * this machine or into its network. The connection's address counts, whatever the name is. */
static bool may_go(struct xfer *x, enum addr_reach reach)
{
    enum addr_reach from = x->j->http->reach[x->source];

    if (!x->elsewhere || (reach >= from && reach != ADDR_OTHER))
        return true;
    (void)err_set(&x->err, ERR_DENIED, "redirects to a %s address", addr_reach_name(reach));
    return false;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    (void)purpose;
    if (!may_go(arg, addr_reach(&a->addr)))
        return CURL_SOCKET_BAD;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

#if LIBCURL_VERSION_NUM >= 0x075000
/* An existing connection is reused. */
static int before_request(void *arg, char *ip, char *own_ip, int port, int own_port)
{
    (void)own_ip;
    (void)port;
    (void)own_port;
    return may_go(arg, reach_of(ip)) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}
#endif

/* A response begins. The source's own shows where the source is; after a redirect it is whoever the redirect
 * named. */
static void note_where(struct xfer *x)
{
    struct http *h = x->j->http;
    char *ip = NULL;

    if (x->status < 200 || x->elsewhere)
        return;
    if (curl_easy_getinfo(h->curl, CURLINFO_PRIMARY_IP, &ip) == CURLE_OK && ip && *ip)
        h->reach[x->source] = reach_of(ip);
    x->elsewhere = x->status >= 300 && x->status < 400;
}

/* ---- responses ---- */

static const char *header_value(const char *line, const char *name)
{
    size_t n = strlen(name);

    if (strncasecmp(line, name, n) != 0 || line[n] != ':')
        return NULL;
    line += n + 1;
    return line + strspn(line, " \t");
}

static void take_header(struct xfer *x, const char *line)
{
    const char *v;
    unsigned long long a = 0, b = 0, c = 0;

    if (strncmp(line, "HTTP/", 5) == 0) { /* also after a redirect: forget the previous one */
        x->header_bytes = 0;
        x->has_length = x->has_range = x->encoded = false;
        x->challenge[0] = x->etag[0] = '\0';
        x->pause_s = 0;
        x->pause_at = x->date = 0;
        x->status = 0;
        (void)sscanf(line, "%*s %ld", &x->status);
        note_where(x);
    } else if ((v = header_value(line, "Content-Length")) != NULL) {
        x->has_length = sscanf(v, "%llu", &a) == 1;
        x->length = a;
    } else if ((v = header_value(line, "Content-Range")) != NULL) {
        x->has_range = sscanf(v, "bytes %llu-%llu/%llu", &a, &b, &c) == 3;
        x->range_from = a;
        x->range_to = b;
        x->range_total = c;
    } else if ((v = header_value(line, "Content-Encoding")) != NULL) {
        x->encoded = strncasecmp(v, "identity", 8) != 0;
    } else if ((v = header_value(line, "Retry-After")) != NULL && strspn(v, "0123456789") == strlen(v)) {
        x->pause_s = sscanf(v, "%9llu", &a) == 1 ? a : 0;
    } else if (v != NULL) { /* Retry-After as a date */
        x->pause_at = curl_getdate(v, NULL);
    } else if ((v = header_value(line, "Date")) != NULL) {
        x->date = curl_getdate(v, NULL);
    } else if ((v = header_value(line, "ETag")) != NULL) {
        (void)str_fmt(x->etag, sizeof(x->etag), "%s", v); /* truncation is fine: it is only compared */
    } else if ((v = header_value(line, "WWW-Authenticate")) != NULL && strncasecmp(v, "Bearer ", 7) == 0) {
        (void)str_fmt(x->challenge, sizeof(x->challenge), "%s", v + 7);
    }
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct xfer *x = arg;
    char line[1024];

    if (n >= 5 && strncmp(p, "HTTP/", 5) == 0)
        x->header_bytes = 0;
    x->header_bytes += n * size;
    x->j->fetched += n * size;
    if (fetch_count(x->j, n * size, &x->err) < 0)
        return 0;
    if (x->header_bytes > HEADER_BYTES) {
        (void)err_set(&x->err, ERR_NET, "headers of more than %d bytes", HEADER_BYTES);
        return 0;
    }
    (void)snprintf(line, sizeof(line), "%.*s", (int)(n * size), p);
    line[strcspn(line, "\r\n")] = '\0';
    take_header(x, line);
    return n * size;
}

static bool length_is_wrong(const struct xfer *x, uint64_t length)
{
    return x->it->size && length != x->it->size;
}

/* A blob that continues where an earlier response ended must be the same one. If not, other sources are tried
 * first; on this source's next turn it is accepted; the digest decides. Chunks have their own checks. */
static int judge_etag(struct xfer *x, struct err *err)
{
    char *known = x->it->etags[x->source];
    bool changed = known[0] && strcmp(known, x->etag) != 0 && x->span.from > 0 && !x->it->chunks;

    (void)str_copy(known, FETCH_ETAG_BYTES, x->etag);
    return changed ? err_set(err, ERR_NET, "its ETag changed") : 0;
}

/* Can the body of this response be what was requested? Checked once, before its first byte. */
static int judge_head(struct xfer *x, struct err *err)
{
    const struct fetch_item *it = x->it;

    if (x->encoded)
        return err_set(err, ERR_INTEGRITY, "answers with a content encoding");
    if (x->status == 200) { /* no support for ranges: what precedes ours is skipped */
        if (x->has_length && length_is_wrong(x, x->length))
            return err_set(err, ERR_INTEGRITY, "has %" PRIu64 " bytes, signed are %" PRIu64, x->length,
                           it->size);
        return judge_etag(x, err);
    }
    if (!x->has_range || x->range_from != x->span.from || x->range_to < x->range_from ||
        (x->span.to && x->range_to != x->span.to - 1))
        return err_set(err, ERR_NET, "answers with another range than was asked");
    if (length_is_wrong(x, x->range_total) || x->range_to >= x->range_total)
        return err_set(err, ERR_INTEGRITY, "has %" PRIu64 " bytes, signed are %" PRIu64, x->range_total,
                       it->size);
    x->at = x->range_from;
    x->end = x->span.to;
    return judge_etag(x, err);
}

static int take_blob(struct xfer *x, struct buf bytes)
{
    if (!x->judged && judge_head(x, &x->err) < 0)
        return -1;
    x->judged = true;
    if (x->it->chunks && !fetch_next(x->it, &x->span))
        return -1; /* the rest of a full response is not needed */
    uint64_t at = x->at;
    x->at += bytes.len;
    if (x->end && x->at > x->end)
        return err_set(&x->err, ERR_NET, "sends more than the range");
    return fetch_take(x->j, x->it, at, bytes, &x->err);
}

static int take_body(struct xfer *x, struct buf bytes)
{
    if (fetch_count(x->j, bytes.len, &x->err) < 0)
        return -1;
    fetch_sleep(fetch_brake_ms(x->j)); /* the socket buffer fills up, which holds back the peer */
    if (x->status != 200 && x->status != 206) {
        x->refusal_bytes += bytes.len;
        return x->refusal_bytes <= REFUSAL_BYTES ? 0 : err_set(&x->err, ERR_NET, "status %ld", x->status);
    }
    if (x->it)
        return take_blob(x, bytes);
    if (bytes.len >= sizeof(x->text) - x->text_len)
        return err_set(&x->err, ERR_INVALID, "token is too large");
    memcpy(x->text + x->text_len, bytes.p, bytes.len);
    x->text_len += bytes.len;
    return 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    return take_body(arg, buf_of(p, n * size)) < 0 ? 0 : n * size;
}

/* ---- requests ---- */

static bool is_same_host(const char *a, const char *b)
{
    return source_host_len(a) == source_host_len(b) && strncmp(a, b, source_host_len(a)) == 0;
}

static bool is_https(const char *url)
{
    return strncmp(url, "https://", 8) == 0;
}

/* A password is sent unencrypted only to this machine itself. */
static bool may_have_password(const char *url)
{
    return is_https(url) || strncmp(url, "http://127.0.0.1:", 17) == 0 ||
           strncmp(url, "http://localhost:", 17) == 0;
}

static void set_bounds(const struct fetch_job *j, CURL *c)
{
    uint64_t now = clock_boot_ms(), left = j->deadline_ms > now ? j->deadline_ms - now : 1;

    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(left < INT32_MAX ? left : INT32_MAX));
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, (long)j->min_rate);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)j->stall_s);
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    (void)curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, AGENT);
    (void)curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 16384L);
}

/* Redirects stay on the same scheme; TLS 1.2 at least, verifying chain and name (curl's default, set
 * explicitly). */
static void set_transport(const struct fetch_job *j, CURL *c, const char *url)
{
    const char *scheme = is_https(url) ? "https" : "http";

#if LIBCURL_VERSION_NUM >= 0x075500
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, scheme);
    (void)curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, scheme);
#else
    long only = is_https(url) ? CURLPROTO_HTTPS : CURLPROTO_HTTP;
    (void)scheme;
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS, only);
    (void)curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS, only);
#endif
    (void)curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    (void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    if (j->ca) {
        struct curl_blob ca = {.data = j->ca, .len = j->ca_len, .flags = CURL_BLOB_NOCOPY};
        (void)curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca);
    }
}

static int judge_curl(struct xfer *x, CURLcode code, struct err *err)
{
    if (x->err.kind != ERR_NONE)
        return err_set(err, x->err.kind, "%s", x->err.msg);
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(err, ERR_TIMEOUT, "%s", "too slow or silent");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return err_set(err, ERR_DENIED, "%s", curl_easy_strerror(code));
    case CURLE_UNSUPPORTED_PROTOCOL:
        return err_set(err, ERR_DENIED, "a redirect to another scheme");
    case CURLE_TOO_MANY_REDIRECTS:
        return err_set(err, ERR_DENIED, "more than %ld redirects", REDIRECTS);
    case CURLE_OUT_OF_MEMORY:
        return err_set(err, ERR_NOMEM, "%s", curl_easy_strerror(code));
    default:
        return err_set(err, ERR_NET, "%s", curl_easy_strerror(code));
    }
}

static int judge_status(long status, struct err *err)
{
    static const struct {
        long from, to;
        enum err_kind kind;
    } kinds[] = {
        {401, 401, ERR_DENIED},  {403, 403, ERR_DENIED},   {404, 404, ERR_NOTFOUND},
        {408, 408, ERR_TIMEOUT}, {410, 410, ERR_NOTFOUND}, {416, 416, ERR_INTEGRITY},
        {425, 425, ERR_NET},     {429, 429, ERR_NET},      {400, 499, ERR_INVALID},
    };

    if (status == 200 || status == 206)
        return 0;
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (status >= kinds[i].from && status <= kinds[i].to)
            return err_set(err, kinds[i].kind, "status %ld", status);
    return err_set(err, ERR_NET, "status %ld", status);
}

/* An overloaded server says for how long (Retry-After): until then it is not asked for anything. A date is
 * relative to the server's own clock, since ours may not be set. */
static void note_pause(const struct xfer *x)
{
    uint64_t s = x->pause_s;

    if (x->status != 429 && x->status != 503)
        return;
    if (x->date > 0 && x->pause_at > x->date)
        s = (uint64_t)(x->pause_at - x->date);
    s = s > LIM_RETRY_AFTER_S ? LIM_RETRY_AFTER_S : s;
    x->j->pause_ms[x->source] = s ? clock_boot_ms() + s * 1000 : 0;
}

/* One request with its redirects; the result is in x. */
static int ask(struct fetch_job *j, struct xfer *x, const char *url, const char *token, struct err *err)
{
    CURL *c = j->http->curl;
    char range[48];

    curl_easy_reset(c);
    set_bounds(j, c);
    set_transport(j, c, url);
    (void)curl_easy_setopt(c, CURLOPT_URL, url);
    (void)curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, x);
#if LIBCURL_VERSION_NUM >= 0x075000
    (void)curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, before_request);
    (void)curl_easy_setopt(c, CURLOPT_PREREQDATA, x);
#endif
    (void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
    if (x->it && x->it->manifest)
        (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, j->http->accept);
    if (x->span.from > 0 || x->span.to > 0) {
        (void)str_fmt(range, sizeof(range), "%" PRIu64 "-", x->span.from);
        if (x->span.to)
            (void)str_fmt(range, sizeof(range), "%" PRIu64 "-%" PRIu64, x->span.from, x->span.to - 1);
        (void)curl_easy_setopt(c, CURLOPT_RANGE, range);
    }
    if (x->moved) {
        ;                  /* a storage host: it must not see what is meant for the source */
    } else if (token[0]) { /* curl drops token and password if a redirect leaves the host */
        (void)curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        (void)curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, token);
    } else if (j->auth && may_have_password(url)) {
        (void)curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        (void)curl_easy_setopt(c, CURLOPT_USERPWD, j->auth);
    }
    CURLcode code = curl_easy_perform(c);
    note_pause(x);
    return judge_curl(x, code, err);
}

/* ---- tokens (distribution-spec's "Bearer" challenge) ---- */

/* The password is sent only to the source's own host; another host issues an anonymous token or none. */
static int get_token(struct fetch_job *j, const char *challenge, unsigned index, struct err *err)
{
    const struct source *source = &j->sources[index];
    struct xfer AUTO_MEM *x = mem_need_zero(sizeof(*x));
    char url[TOKEN_URL_BYTES], *auth = j->auth;
    char AUTO_MEM *token = NULL;
    bool may; /* fleetctl allows more; here only the source's own host gets the password */
    int rc = token_url(challenge, source->at, false, url, &may, err);

    if (rc < 0)
        return rc;
    x->j = j;
    x->source = index;
    x->elsewhere = !is_same_host(url, source->at);
    if (!may || !is_same_host(url, source->at))
        j->auth = NULL;
    rc = ask(j, x, url, "", err);
    j->auth = auth;
    if (rc == 0)
        rc = judge_status(x->status, err);
    if (rc == 0)
        rc = token_parse(buf_of(x->text, x->text_len), &token, err);
    if (rc == 0) {
        (void)str_copy(j->http->token, sizeof(j->http->token), token); /* same size: both are TOKEN_BYTES */
        j->http->token_source = source;
    }
    return rc < 0 ? err_wrap(err, "token") : 0;
}

/* For a registry "http://host/a/b" -> "http://host/v2/a/b/blobs/sha256:...", for a layout
 * "http://host/a/b/blobs/sha256/..." */
static int blob_url(const struct source *s, const struct fetch_item *it, char dst[URL_BYTES], struct err *err)
{
    char digest[SHA256_TEXT], path[96];
    size_t host = source_host_len(s->at), len = strlen(s->at);
    bool fits;

    while (len > host && s->at[len - 1] == '/')
        len--;
    if (s->kind == SOURCE_LAYOUT)
        fits = str_fmt(dst, URL_BYTES, "%.*s/%s", (int)len, s->at, fetch_dir_blob_path(it, path));
    else
        fits = str_fmt(dst, URL_BYTES, "%.*s/v2%.*s/%s/%s", (int)host, s->at, (int)(len - host), s->at + host,
                       it->manifest ? "manifests" : "blobs", digest_text(&it->digest, digest));
    return fits ? 0 : err_set(err, ERR_INVALID, "too long");
}

/* Get one span from where the source redirected us before: 1, or 0 to ask the source again (for what is
 * missing). */
static int get_moved(struct fetch_job *j, struct xfer *x, struct fetch_span span, struct err *err)
{
    struct http *h = j->http;

    if (h->moved_item != x->it || h->moved_source != &j->sources[x->source])
        return 0;
    *x = (struct xfer){
        .j = j, .it = x->it, .source = x->source, .span = span, .moved = true, .elsewhere = true};
    int rc = ask(j, x, h->moved, "", err);
    if (j->ours || (rc == 0 && (x->status == 200 || x->status == 206)))
        return rc < 0 ? rc : 1;
    h->moved_item = NULL;
    if (rc == 0 && j->pause_ms[x->source] > clock_boot_ms())
        return judge_status(x->status, err);
    fetch_begin(x->it);
    return 0;
}

static void note_moved(struct fetch_job *j, const struct xfer *x, const char *url)
{
    char *at = NULL;

    if (!x->it->chunks || curl_easy_getinfo(j->http->curl, CURLINFO_EFFECTIVE_URL, &at) != CURLE_OK || !at ||
        is_same_host(at, url) || !str_copy(j->http->moved, URL_BYTES, at))
        return;
    j->http->moved_item = x->it;
    j->http->moved_source = &j->sources[x->source];
}

/* Get one span, with a token if the registry requires one. */
static int get_span(struct fetch_job *j, struct xfer *x, struct fetch_span span, const char *url,
                    struct err *err)
{
    const struct source *s = &j->sources[x->source];
    int rc = fetch_afford(j, x->it, span, err);

    if (rc == 0)
        rc = get_moved(j, x, span, err);
    if (rc != 0 || !fetch_next(x->it, &span))
        return rc < 0 ? rc : 0;
    for (int tries = 0; rc == 0 && tries < 2; tries++) {
        *x = (struct xfer){.j = j, .it = x->it, .source = x->source, .span = span};
        rc = ask(j, x, url, j->http->token_source == s ? j->http->token : "", err);
        if (rc < 0 || x->status != 401 || !x->challenge[0] || tries > 0)
            break;
        rc = get_token(j, x->challenge, x->source, err);
    }
    if (rc == 0)
        rc = judge_status(x->status, err);
    if (x->status == 401 && j->auth && !may_have_password(url))
        return err_set(
            err, ERR_DENIED,
            "status 401: the password in the settings is sent by https and on this machine, not by http");
    if (rc == 0)
        note_moved(j, x, url);
    return rc;
}

int fetch_http_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err)
{
    struct xfer AUTO_MEM *x = mem_need_zero(sizeof(*x));
    struct fetch_span span;
    char url[URL_BYTES];
    int rc = blob_url(&j->sources[source], it, url, err);

    x->it = it;
    x->source = source;
    while (rc == 0 && fetch_next(it, &span)) {
        uint64_t had = it->have;
        rc = get_span(j, x, span, url, err);
        if (!it->chunks || it->have == had)
            break; /* the caller checks whether it was all */
    }
    return rc;
}
