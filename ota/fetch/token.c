#include "ota/fetch/token.h"

#include "ota/doc/field.h"
#include "ota/doc/source.h"
#include "platform/json.h"

#define PART_BYTES 512

static bool part_of(const char *challenge, const char *name, char dst[PART_BYTES])
{
    size_t n = strlen(name);

    for (const char *at = challenge; (at = strstr(at, name)) != NULL; at += n) {
        bool begins = at == challenge || at[-1] == ' ' || at[-1] == ',';
        if (begins && at[n] == '=' && at[n + 1] == '"')
            return str_fmt(dst, PART_BYTES, "%.*s", (int)strcspn(at + n + 2, "\""), at + n + 2);
    }
    return false;
}

static bool is_https(const char *url)
{
    return strncmp(url, "https://", 8) == 0;
}

bool token_same_origin(const char *a, const char *b)
{
    size_t n = source_host_len(a);

    return n == source_host_len(b) && strncmp(a, b, n) == 0;
}

/* Host without scheme and port. */
static bool same_host(const char *a, const char *b)
{
    a += strcspn(a, ":") + 3;
    b += strcspn(b, ":") + 3;
    size_t n = strcspn(a, ":/?#");
    return n == strcspn(b, ":/?#") && strncasecmp(a, b, n) == 0;
}

static bool put_query(char dst[TOKEN_URL_BYTES], const char *name, const char *value)
{
    size_t used = strlen(dst);

    if (!str_fmt(dst + used, TOKEN_URL_BYTES - used, "%c%s=", strchr(dst, '?') ? '&' : '?', name))
        return false;
    for (used = strlen(dst); *value; value++) {
        bool plain = (*value >= '0' && *value <= '9') || (*value >= 'A' && *value <= 'Z') ||
                     (*value >= 'a' && *value <= 'z') || strchr("-._~", *value);
        if (!str_fmt(dst + used, TOKEN_URL_BYTES - used, plain ? "%c" : "%%%02X", (unsigned char)*value))
            return false;
        used += plain ? 1 : 3;
    }
    return true;
}

/* "repository:NAME:pull" of ".../v2/NAME/blobs/..." */
static bool scope_of(const char *url, bool change, char dst[PART_BYTES])
{
    static const char *const ends[] = {"/blobs/", "/manifests/"};
    const char *name = strstr(url, "/v2/");

    for (size_t i = 0; name && i < COUNT_OF(ends); i++) {
        const char *end = strstr(name + 4, ends[i]);
        if (end)
            return str_fmt(dst, PART_BYTES, "repository:%.*s:%s", (int)(end - name - 4), name + 4,
                           change ? "pull,push" : "pull");
    }
    return false;
}

int token_url(const char *challenge, const char *url, bool change, char dst[TOKEN_URL_BYTES],
              bool *ret_password, struct err *err)
{
    char realm[PART_BYTES], part[PART_BYTES];

    if (!part_of(challenge, "realm", realm) || strchr(realm, '@') ||
        (!is_https(realm) && (is_https(url) || strncmp(realm, "http://", 7) != 0)))
        return err_set(err, ERR_DENIED, "%s: asks for a token from a host that is not trusted", url);
    (void)str_copy(dst, TOKEN_URL_BYTES, realm);
    bool fits = !part_of(challenge, "service", part) || put_query(dst, "service", part);
    if (fits && (part_of(challenge, "scope", part) || scope_of(url, change, part)))
        fits = put_query(dst, "scope", part);
    if (!fits)
        return err_set(err, ERR_DENIED, "%s: its challenge is too long", url);
    *ret_password = same_host(realm, url) || (is_https(realm) && is_https(url));
    return 0;
}

int token_parse(struct buf answer, char **ret, struct err *err)
{
    struct json_cur root;
    const char *token = NULL;
    int rc = json_parse(answer, &json_limits_oci, &root, err);

    if (rc < 0)
        return rc;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    rc = json_get_str(&root, "token", JSON_OPTIONAL, TOKEN_BYTES - 1, &token, err);
    if (rc == 0)
        rc = json_get_str(&root, "access_token", JSON_REQUIRED, TOKEN_BYTES - 1, &token, err);
    if (rc < 0)
        return rc;
    for (const char *p = token; *p; p++)
        if (*p <= ' ' || *p > '~')
            return err_set(err, ERR_INVALID, "malformed token");
    *ret = mem_need(strlen(token) + 1);
    memcpy(*ret, token, strlen(token) + 1);
    return 0;
}
