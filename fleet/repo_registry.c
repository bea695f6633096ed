/* A registry, by the OCI distribution specification 1.0. */
#include <string.h>

#include "fleet/repo_priv.h"
#include "platform/limits.h"

#define ACCEPT                                                                  \
    REPO_TYPE_MANIFEST ", application/vnd.oci.image.index.v1+json, "            \
                       "application/vnd.docker.distribution.manifest.v2+json, " \
                       "application/vnd.docker.distribution.manifest.list.v2+json"
#define URL_BYTES 1400

static int reg_manifest(struct repo *r, const char *tag, struct buf *ret_own, struct err *err)
{
    struct repo_mem m = {.max = LIM_OCI_JSON_BYTES};
    char url[URL_BYTES];
    struct http_ask ask = {.url = url, .accept = ACCEPT, .sink = repo_mem_sink, .arg = &m};

    if (!str_fmt(url, sizeof(url), "%s/v2/%s/manifests/%s", r->base, r->name, tag))
        return err_set(err, ERR_INVALID, "address too long");
    if (http_do(r->http, &ask, NULL, err) < 0) {
        free(m.p);
        return -(int)err->kind;
    }
    if (!m.p)
        return err_set(err, ERR_NET, "empty answer");
    *ret_own = buf_of(m.p, m.len);
    return 0;
}

static int reg_blob(struct repo *r, const char *digest, http_sink sink, void *arg, struct err *err)
{
    char url[URL_BYTES];
    struct http_ask ask = {.url = url, .sink = sink, .arg = arg};

    if (!str_fmt(url, sizeof(url), "%s/v2/%s/blobs/%s", r->base, r->name, digest))
        return err_set(err, ERR_INVALID, "address too long");
    return http_do(r->http, &ask, NULL, err);
}

static int reg_has_blob(struct repo *r, const char *digest)
{
    char url[URL_BYTES];
    struct http_ask ask = {.method = "HEAD", .url = url};

    return str_fmt(url, sizeof(url), "%s/v2/%s/blobs/%s", r->base, r->name, digest) &&
           http_do(r->http, &ask, NULL, NULL) == 0;
}

static int reg_put_blob(struct repo *r, struct buf bytes, const char *digest, struct err *err)
{
    struct http_answer begun;
    char url[URL_BYTES];
    struct http_ask ask = {.method = "POST", .url = url};

    if (reg_has_blob(r, digest))
        return 0;
    if (!str_fmt(url, sizeof(url), "%s/v2/%s/blobs/uploads/", r->base, r->name))
        return err_set(err, ERR_INVALID, "address too long");
    if (http_do(r->http, &ask, &begun, err) < 0)
        return -(int)err->kind;
    if (!begun.location[0] ||
        !str_fmt(url, sizeof(url), "%s%s%cdigest=%s", begun.location[0] == '/' ? r->base : "", begun.location,
                 strchr(begun.location, '?') ? '&' : '?', digest))
        return err_set(err, ERR_NET, "the registry named no place to upload to");
    ask = (struct http_ask){
        .method = "PUT", .url = url, .content_type = "application/octet-stream", .body = bytes};
    return http_do(r->http, &ask, NULL, err);
}

static int reg_put_manifest(struct repo *r, const char *tag, struct buf text, struct err *err)
{
    char url[URL_BYTES];
    struct http_ask ask = {.method = "PUT", .url = url, .content_type = repo_type(text), .body = text};

    if (!str_fmt(url, sizeof(url), "%s/v2/%s/manifests/%s", r->base, r->name, tag))
        return err_set(err, ERR_INVALID, "address too long");
    return http_do(r->http, &ask, NULL, err);
}

const struct repo_kind repo_registry = {
    .manifest = reg_manifest, .blob = reg_blob, .put_blob = reg_put_blob, .put_manifest = reg_put_manifest};
