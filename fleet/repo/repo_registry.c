/* A registry, by the OCI distribution specification 1.0. */
#include <string.h>

#include "fleet/base/ctx.h"
#include "fleet/base/doc.h"
#include "fleet/repo/repo_int.h"
#include "platform/json.h"
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

#define TAGS_PAGES 64
static const struct json_limits tags_limits = {.max_bytes = 1 << 20, .max_depth = 4, .max_tokens = 65536};

/* One page of the list; last: the tag that the page before ended with, then that of this one. */
static int reg_tags_page(struct repo *r, repo_tag_fn each, void *arg, char last[140], bool *ret_more,
                         struct err *err)
{
    struct repo_mem m = {.max = tags_limits.max_bytes};
    char url[URL_BYTES];
    struct http_ask ask = {.url = url, .sink = repo_mem_sink, .arg = &m};
    struct http_answer got;
    struct json_cur root, list;
    const char *tag = "";
    int rc;

    if (!str_fmt(url, sizeof(url), "%s/v2/%s/tags/list%s%s", r->base, r->name, last[0] ? "?last=" : "", last))
        return err_set(err, ERR_INVALID, "address too long");
    rc = http_do(r->http, &ask, &got, err);
    AUTO_BUF text = buf_of(m.p, m.len);
    if (rc < 0)
        return rc;
    if (json_parse(text, &tags_limits, &root, err) < 0)
        return -(int)err->kind;
    rc = json_get_array(&root, "tags", JSON_REQUIRED, 65536, &list, err);
    if (rc < 0 && doc_get(&root, "tags", &list) && json_is_null(&list))
        rc = 0; /* there are none */
    for (unsigned i = 0; rc >= 0 && !json_is_null(&list) && i < json_len(&list); i++) {
        struct json_cur e = json_at(&list, i);
        if (json_as_str(&e, 128, &tag, NULL) >= 0)
            each(arg, tag);
    }
    *ret_more = got.more && tag[0] && strcmp(tag, last) != 0 && !strpbrk(tag, "/:?#&% ");
    (void)str_copy(last, 140, tag);
    json_free(root.node);
    return rc < 0 ? rc : 0;
}

static int reg_tags(struct repo *r, repo_tag_fn each, void *arg, struct err *err)
{
    char last[140] = "";
    bool more = true;

    for (unsigned i = 0; i < TAGS_PAGES && more; i++)
        if (reg_tags_page(r, each, arg, last, &more, err) < 0)
            return -(int)err->kind;
    return more ? err_set(err, ERR_UNSUPPORTED, "it has no end") : 0;
}

const struct repo_kind repo_registry = {.manifest = reg_manifest,
                                        .blob = reg_blob,
                                        .put_blob = reg_put_blob,
                                        .put_manifest = reg_put_manifest,
                                        .tags = reg_tags};
