#include "fleet/base/http.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "ota/doc/source.h"
#include "ota/fetch/token.h"
#include "platform/fs.h"

#define CONNECT_S   10L
#define SLOW_BPS    64L /* slower than this for SLOW_S is a dead line */
#define SLOW_S      60L
#define QUOTE_BYTES 160

struct http {
    CURL *curl;
    char ca[512];
    char *auth;       /* user:password */
    char *token;      /* of the registry; NULL: none yet */
    char origin[512]; /* of the first request: nobody else is told password or token */
};
enum credentials { NOTHING, PASSWORD, TOKEN };

/* One transfer under way. */
struct flight {
    struct http *http;
    const struct http_ask *ask;
    struct err *err;
    int sink_rc;
    size_t sent;
    char quote[QUOTE_BYTES];
};

static int read_auth(const char *file, char **ret, struct err *err)
{
    uint8_t *text = NULL;
    size_t len = 0;

    if (fs_read(AT_FDCWD, file, 4096, &text, &len, err) < 0)
        return err_wrap(err, "%s", file);
    text[strcspn((char *)text, "\r\n")] = 0;
    if (!strchr((char *)text, ':')) {
        free(text);
        return err_set(err, ERR_INVALID, "%s: one line user:password is expected", file);
    }
    *ret = (char *)text;
    return 0;
}

int http_new(const char *ca_file, const char *auth_file, struct http **ret, struct err *err)
{
    AUTO_FREE(http) struct http *h = mem_need_zero(sizeof(*h));

    if (auth_file && *auth_file && read_auth(auth_file, &h->auth, err) < 0)
        return -(int)err->kind;
    if (ca_file && !str_copy(h->ca, sizeof(h->ca), ca_file))
        return err_set(err, ERR_INVALID, "%s: path too long", ca_file);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    h->curl = curl_easy_init();
    if (!h->curl)
        return err_set(err, ERR_NOMEM, "no memory for HTTP");
    *ret = steal_ptr(&h);
    return 0;
}

struct http *http_free(struct http *h)
{
    if (!h)
        return NULL;
    if (h->curl)
        curl_easy_cleanup(h->curl);
    free(h->auth);
    free(h->token);
    free(h);
    return NULL;
}

static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
    struct flight *f = arg;
    size_t len = one * n;
    long status = 0;

    curl_easy_getinfo(f->http->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 400) {
        if (!f->quote[0])
            (void)snprintf(f->quote, sizeof(f->quote), "%.*s", (int)(len < 150 ? len : 150), p);
        return len;
    }
    if (!f->ask->sink || len == 0)
        return len;
    f->sink_rc = f->ask->sink(f->ask->arg, buf_of(p, len), f->err);
    return f->sink_rc < 0 ? 0 : len;
}

static size_t on_send(char *dst, size_t one, size_t n, void *arg)
{
    struct flight *f = arg;
    size_t left = f->ask->body.len - f->sent, len = one * n < left ? one * n : left;

    if (len)
        memcpy(dst, f->ask->body.p + f->sent, len);
    f->sent += len;
    return len;
}

/* curl drops them when a redirect leaves the host; nor may one go from https to http with them. */
static void set_credentials(struct http *h, const char *url, enum credentials who)
{
    if (who == PASSWORD) {
        curl_easy_setopt(h->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(h->curl, CURLOPT_USERPWD, h->auth);
    } else if (who == TOKEN) {
        curl_easy_setopt(h->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(h->curl, CURLOPT_XOAUTH2_BEARER, h->token);
    }
    if (who != NOTHING && strncmp(url, "https://", 8) == 0)
        curl_easy_setopt(h->curl, CURLOPT_REDIR_PROTOCOLS_STR, "https");
}

static void set_request(struct http *h, struct flight *f, struct curl_slist *headers, enum credentials who)
{
    const struct http_ask *a = f->ask;

    curl_easy_reset(h->curl);
    curl_easy_setopt(h->curl, CURLOPT_URL, a->url);
    curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h->curl, CURLOPT_USERAGENT, "fleetctl/" LIMPET_VERSION);
    curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, SLOW_BPS);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, SLOW_S);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, f);
    if (h->ca[0])
        curl_easy_setopt(h->curl, CURLOPT_CAINFO, h->ca);
    set_credentials(h, a->url, who);
    if (!a->method) {
        curl_easy_setopt(h->curl, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(h->curl, CURLOPT_MAXREDIRS, 5L);
        return;
    }
    if (strcmp(a->method, "HEAD") == 0) {
        curl_easy_setopt(h->curl, CURLOPT_NOBODY, 1L);
        return;
    }
    curl_easy_setopt(h->curl, CURLOPT_CUSTOMREQUEST, a->method);
    curl_easy_setopt(h->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(h->curl, CURLOPT_READFUNCTION, on_send);
    curl_easy_setopt(h->curl, CURLOPT_READDATA, f);
    curl_easy_setopt(h->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)a->body.len);
}

/* The Location header, made absolute; empty when there is none. */
static void read_location(struct http *h, char dst[1024])
{
    char *url = NULL;

    /* curl resolves it against the request as it would to follow it */
    if (curl_easy_getinfo(h->curl, CURLINFO_REDIRECT_URL, &url) == CURLE_OK && url)
        (void)str_copy(dst, 1024, url);
    else {
        struct curl_header *found = NULL;
        if (curl_easy_header(h->curl, "Location", 0, CURLH_HEADER, -1, &found) == CURLHE_OK)
            (void)str_copy(dst, 1024, found->value);
    }
}

static bool goes_on(struct http *h)
{
    struct curl_header *found = NULL;

    return curl_easy_header(h->curl, "Link", 0, CURLH_HEADER, -1, &found) == CURLHE_OK &&
           strstr(found->value, "rel=\"next\"");
}

static int status_fail(const struct flight *f, long status, struct err *err)
{
    enum err_kind kind = status == 404                    ? ERR_NOTFOUND
                         : status == 401 || status == 403 ? ERR_DENIED
                         : status == 405 || status == 501 ? ERR_UNSUPPORTED
                                                          : ERR_NET;

    for (const char *p = f->quote; *p; p++)
        if (*p < ' ' || *p > '~')
            return err_set(err, kind, "%s: HTTP status %ld", f->ask->url, status);
    return err_set(err, kind, "%s: HTTP status %ld%s%s", f->ask->url, status, f->quote[0] ? ": " : "",
                   f->quote);
}

/* The registry's wish for a token; "": it has none. */
static void read_challenge(struct http *h, char dst[1024])
{
    struct curl_header *found = NULL;

    dst[0] = '\0';
    for (size_t i = 0;
         curl_easy_header(h->curl, "WWW-Authenticate", i, CURLH_HEADER, -1, &found) == CURLHE_OK; i++)
        if (strncasecmp(found->value, "Bearer ", 7) == 0) {
            (void)str_copy(dst, 1024, found->value + 7);
            return;
        }
}

/* challenge: of an answer 401. */
static int exchange(struct http *h, const struct http_ask *ask, enum credentials who, struct http_answer *ret,
                    char challenge[1024], struct err *err)
{
    struct flight f = {.http = h, .ask = ask, .err = err};
    struct http_answer got = {.status = 0};
    struct curl_slist *headers = NULL;
    char line[512], *type = NULL;

    CURLcode rc;

    headers = curl_slist_append(headers, "Expect:");
    if (ask->accept && str_fmt(line, sizeof(line), "Accept: %s", ask->accept))
        headers = curl_slist_append(headers, line);
    if (ask->content_type && str_fmt(line, sizeof(line), "Content-Type: %s", ask->content_type))
        headers = curl_slist_append(headers, line);
    challenge[0] = '\0';
    set_request(h, &f, headers, who);
    rc = curl_easy_perform(h->curl);
    curl_slist_free_all(headers);
    if (f.sink_rc < 0)
        return f.sink_rc;
    if (rc != CURLE_OK)
        return err_set(err, ERR_NET, "%s: %s", ask->url, curl_easy_strerror(rc));
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &got.status);
    if (got.status == 401)
        read_challenge(h, challenge);
    if (got.status >= 400)
        return status_fail(&f, got.status, err);
    if (curl_easy_getinfo(h->curl, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type)
        (void)str_fmt(got.type, sizeof(got.type), "%.*s", (int)strcspn(type, "; "), type);
    read_location(h, got.location);
    got.more = goes_on(h);
    if (ret)
        *ret = got;
    return 0;
}

struct text {
    uint8_t bytes[TOKEN_BYTES];
    size_t len;
};

static int take_text(void *arg, struct buf bytes, struct err *err)
{
    struct text *t = arg;

    if (bytes.len > sizeof(t->bytes) - t->len)
        return err_set(err, ERR_INVALID, "the token is too large");
    memcpy(t->bytes + t->len, bytes.p, bytes.len);
    t->len += bytes.len;
    return 0;
}

static int get_token(struct http *h, const struct http_ask *ask, const char *challenge, struct err *err)
{
    struct text AUTO_MEM *t = mem_need_zero(sizeof(*t));
    char url[TOKEN_URL_BYTES], none[1024];
    bool change = ask->method && strcmp(ask->method, "HEAD") != 0, password = false;
    struct http_ask get = {.url = url, .sink = take_text, .arg = t};
    char *token = NULL;
    int rc = token_url(challenge, ask->url, change, url, &password, err);

    if (rc == 0)
        rc = exchange(h, &get, password && h->auth ? PASSWORD : NOTHING, NULL, none, err);
    if (rc == 0)
        rc = token_parse(buf_of(t->bytes, t->len), &token, err);
    if (rc < 0)
        return err_wrap(err, "token");
    free(h->token);
    h->token = token;
    return 0;
}

/* A token ends some time, or is for pulls only: then the registry asks for another one, once for each
 * request. */
int http_do(struct http *h, const struct http_ask *ask, struct http_answer *ret, struct err *err)
{
    struct err refused = ERR_INIT;
    char challenge[1024];

    if (!h->origin[0] &&
        !str_fmt(h->origin, sizeof(h->origin), "%.*s", (int)source_host_len(ask->url), ask->url))
        return err_set(err, ERR_INVALID, "address too long");
    bool own = token_same_origin(ask->url, h->origin);
    enum credentials who = own && h->token ? TOKEN : own && h->auth ? PASSWORD : NOTHING;
    int rc = exchange(h, ask, who, ret, challenge, &refused);
    if (rc < 0 && own && challenge[0]) {
        rc = get_token(h, ask, challenge, err);
        return rc < 0 ? rc : exchange(h, ask, TOKEN, ret, challenge, err);
    }
    return rc < 0 ? err_set(err, refused.kind, "%s", refused.msg) : 0;
}

static void read_names(CURL *curl, char dst[HTTP_NAMES_BYTES])
{
    static const char key[] = "X509v3 Subject Alternative Name:";
    struct curl_certinfo *chain = NULL;

    (void)str_copy(dst, HTTP_NAMES_BYTES, "no name");
    if (curl_easy_getinfo(curl, CURLINFO_CERTINFO, &chain) != CURLE_OK || !chain || chain->num_of_certs < 1)
        return;
    for (const struct curl_slist *line = chain->certinfo[0]; line; line = line->next)
        if (strncmp(line->data, key, sizeof(key) - 1) == 0)
            (void)snprintf(dst, HTTP_NAMES_BYTES, "%s", line->data + sizeof(key) - 1);
}

int http_tls_names(const char *host, uint16_t port, const char *ca_file, char dst[HTTP_NAMES_BYTES],
                   struct err *err)
{
    bool six = strchr(host, ':') != NULL;
    AUTO_FREE(http) struct http *h = NULL;
    char url[300];

    CURLcode rc;

    if (!str_fmt(url, sizeof(url), "https://%s%s%s:%u", six ? "[" : "", host, six ? "]" : "", port))
        return err_set(err, ERR_INVALID, "address too long");
    if (http_new(NULL, NULL, &h, err) < 0)
        return -(int)err->kind;
    curl_easy_setopt(h->curl, CURLOPT_URL, url);
    curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(h->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->curl, CURLOPT_TIMEOUT, CONNECT_S);
    curl_easy_setopt(h->curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(h->curl, CURLOPT_CERTINFO, 1L);
    curl_easy_setopt(h->curl, CURLOPT_CAINFO, ca_file);
    curl_easy_setopt(h->curl, CURLOPT_SSL_VERIFYHOST, 0L); /* to learn the names, not to trust them */
    rc = curl_easy_perform(h->curl);
    if (rc != CURLE_OK)
        return err_set(err, ERR_NET, "%s: %s", url, curl_easy_strerror(rc));
    read_names(h->curl, dst);
    return 0;
}
