#include "ota/doc/source.h"

#include "platform/mem.h"

static const struct kind {
    const char *prefix;
    enum source_kind kind;
    unsigned skip; /* length of the prefix */
} kinds[] = {
    {"http://", SOURCE_REGISTRY, 0},
    {"https://", SOURCE_REGISTRY, 0},
    {"layout+http://", SOURCE_LAYOUT, 7},
    {"layout+https://", SOURCE_LAYOUT, 7},
    {"coap://", SOURCE_COAP, 0},
    {"coaps://", SOURCE_COAP, 0},
    {"dir:/", SOURCE_FOLDER, 4},
    {"file:/", SOURCE_FOLDER, 5},
    {"usb:", SOURCE_STICK, 4},
};

size_t source_host_len(const char *url)
{
    const char *host = strstr(url, "://");

    return host ? (size_t)(host - url) + 3 + strcspn(host + 3, "/?#") : 0;
}

static int check_url(const char *text, const struct source *s, struct err *err)
{
    size_t host = source_host_len(s->at), len = strlen(s->at);

    for (const char *p = s->at; *p; p++)
        if (*p <= ' ' || *p > '~' || strchr("@?#\\\"", *p))
            return err_set(err, ERR_INVALID,
                           "source \"%.80s\": contains something that is not allowed in a source URL", text);
    char first = strstr(s->at, "://")[3];
    if (first == '\0' || first == '/' || first == ':' || s->at[host - 1] == ':')
        return err_set(err, ERR_INVALID, "source \"%.80s\": no host", text);
    if (s->kind == SOURCE_REGISTRY && len <= host + 1)
        return err_set(err, ERR_INVALID, "source \"%.80s\": no name after the host", text);
    return 0;
}

static int take_label(const char *text, struct source *s, struct err *err)
{
    size_t n = strcspn(s->at, "/");

    if (n == 0 || s->at[n] != '/' || !str_fmt(s->label, sizeof(s->label), "%.*s", (int)n, s->at))
        return err_set(err, ERR_INVALID, "source \"%.80s\": not usb:LABEL/PATH", text);
    s->at += n;
    return 0;
}

int source_parse(const char *text, struct source *ret, struct err *err)
{
    struct source s = {0};

    for (size_t k = 0; k < COUNT_OF(kinds) && !s.at; k++)
        if (strncmp(text, kinds[k].prefix, strlen(kinds[k].prefix)) == 0)
            s = (struct source){.kind = kinds[k].kind, .at = text + kinds[k].skip};
    if (!s.at || strlen(text) >= SOURCE_BYTES)
        return err_set(
            err, ERR_INVALID,
            "source \"%.80s\": not http(s)://, layout+http(s)://, coap(s)://, dir:/, file:/ or usb:", text);
    int rc = 0;
    if (s.kind == SOURCE_STICK)
        rc = take_label(text, &s, err);
    else if (s.kind != SOURCE_FOLDER)
        rc = check_url(text, &s, err);
    if (rc == 0 && ret)
        *ret = s;
    return rc;
}
