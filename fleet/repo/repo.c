#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "fleet/base/doc.h"
#include "fleet/repo/repo_int.h"
#include "ota/doc/oci.h"
#include "platform/fs.h"
#include "platform/limits.h"

int repo_mem_sink(void *arg, struct buf bytes, struct err *err)
{
    struct repo_mem *m = arg;

    if (bytes.len > m->max - m->len)
        return err_set(err, ERR_INVALID, "more than %zu bytes", m->max);
    if (m->len + bytes.len + 1 > m->cap) {
        size_t cap = (m->len + bytes.len + 1) * 2;
        uint8_t *p = mem_need(cap);
        if (m->len)
            memcpy(p, m->p, m->len);
        free(m->p);
        m->p = p;
        m->cap = cap;
    }
    if (bytes.len)
        memcpy(m->p + m->len, bytes.p, bytes.len);
    m->len += bytes.len;
    m->p[m->len] = 0;
    return 0;
}

static int set_tag(const char *ref, const char *from, bool digest, char tag[140], struct err *err)
{
    if (!str_copy(tag, 140, from))
        return err_set(err, ERR_INVALID, "'%s': tag too long", ref);
    if (!digest && strpbrk(tag, "/:?#% "))
        return err_set(err, ERR_INVALID, "invalid tag '%s'", tag);
    return 0;
}

/* Split "NAME:tag" or "NAME@sha256:..." at text+from; the tag is empty when there is none. */
static int split_tag(const char *text, size_t from, size_t *ret_len, char tag[140], struct err *err)
{
    const char *at = strchr(text + from, '@'), *slash = strrchr(text + from, '/');
    const char *colon = strchr(slash ? slash : text + from, ':');
    const char *cut = at ? at : colon;

    *ret_len = cut ? (size_t)(cut - text) : strlen(text);
    return set_tag(text, cut ? cut + 1 : "", at != NULL, tag, err);
}

static int open_layout(const char *ref, bool make, struct repo *r, struct err *err)
{
    char path[600];
    size_t len;

    if (split_tag(ref, 4, &len, r->tag, err) < 0)
        return -(int)err->kind;
    if (!str_fmt(r->source, sizeof(r->source), "%.*s", (int)len, ref) ||
        !str_copy(path, sizeof(path), r->source + 4))
        return err_set(err, ERR_INVALID, "'%s' is too long", ref);
    if (path[0] != '/')
        return err_set(err, ERR_INVALID, "'%s': a layout's path is absolute: dir:/media/usb/limpet:TAG", ref);
    r->kind = &repo_layout;
    if (make) { /* absent directories too */
        if (fs_open_dir(AT_FDCWD, path, true, 0755, &r->dir_fd, err) < 0)
            return -(int)err->kind;
        if (faccessat(r->dir_fd, "index.json", R_OK, 0) != 0)
            return repo_layout_make(r->dir_fd, err);
        return 0;
    }
    r->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->dir_fd < 0 || faccessat(r->dir_fd, "index.json", R_OK, 0) != 0)
        return err_set(err, ERR_NOTFOUND, "%s is not an OCI layout: no index.json", path);
    return 0;
}

/* Where the file's name ends: at the first colon before which there is such a file; at the end when there is
 * none. */
static char *end_of_file(char *text)
{
    for (char *at = strpbrk(text, ":@"); at; at = strpbrk(at + 1, ":@")) {
        char was = *at;
        *at = '\0';
        bool there = access(text, F_OK) == 0;
        *at = was;
        if (there)
            return at;
    }
    return text + strlen(text);
}

/* "docker-archive:FILE" and "oci-archive:FILE", both with an optional ":TAG" or, as podman and skopeo write
 * it, ":NAME:TAG". */
static int open_archive(const char *ref, size_t from, struct repo *r, struct err *err)
{
    char text[600];

    if (!str_copy(text, sizeof(text), ref) || !str_copy(r->source, sizeof(r->source), ref))
        return err_set(err, ERR_INVALID, "'%s' is too long", ref);
    char *end = end_of_file(text + from);
    char *rest = *end ? end + 1 : end, *colon = *end == ':' ? strrchr(rest, ':') : NULL;
    const char *tag = colon ? colon + 1 : rest;
    if (set_tag(ref, tag, *end == '@', r->tag, err) < 0)
        return -(int)err->kind;
    if (colon && !str_fmt(r->name, sizeof(r->name), "%.*s", (int)(colon - rest), rest))
        return err_set(err, ERR_INVALID, "'%s' is too long", ref);
    if (*tag)
        r->source[tag - 1 - text] = '\0';
    *end = '\0';
    return repo_open_archive(text + from, r, err);
}

static int open_registry(const char *ref, const struct repo_opts *o, struct repo *r, struct err *err)
{
    const char *host = strstr(ref, "://") + 3, *path = strchr(host, '/');
    size_t len;

    if (!path || path == host || !path[1])
        return err_set(err, ERR_INVALID, "'%s': write http://HOST:PORT/REPOSITORY:TAG", ref);
    if (split_tag(ref, (size_t)(path - ref), &len, r->tag, err) < 0)
        return -(int)err->kind;
    if (!str_fmt(r->source, sizeof(r->source), "%.*s", (int)len, ref) ||
        !str_fmt(r->base, sizeof(r->base), "%.*s", (int)(path - ref), ref) ||
        !str_fmt(r->name, sizeof(r->name), "%s", r->source + (path - ref) + 1) || strpbrk(r->name, "?#% "))
        return err_set(err, ERR_INVALID, "invalid repository '%s'", ref);
    r->kind = &repo_registry;
    return http_new(o->ca_file, o->auth_file, &r->http, err);
}

int repo_open(const char *ref, const struct repo_opts *o, struct repo **ret, struct err *err)
{
    AUTO_FREE(repo) struct repo *r = mem_need_zero(sizeof(*r));
    int rc;

    r->dir_fd = -1;
    if (strncmp(ref, "dir:", 4) == 0)
        rc = open_layout(ref, o->make, r, err);
    else if (strncmp(ref, "docker-archive:", 15) == 0 || strncmp(ref, "oci-archive:", 12) == 0)
        rc = open_archive(ref, strcspn(ref, ":") + 1, r, err);
    else if (strncmp(ref, "http://", 7) == 0 || strncmp(ref, "https://", 8) == 0)
        rc = open_registry(ref, o, r, err);
    else
        rc =
            err_set(err, ERR_INVALID,
                    "'%s': write http://HOST:PORT/REPOSITORY:TAG, dir:/DIRECTORY:TAG, docker-archive:FILE or "
                    "oci-archive:FILE",
                    ref);
    if (rc < 0)
        return rc;
    if (!r->tag[0])
        (void)str_copy(r->tag, sizeof(r->tag), "latest");
    *ret = steal_ptr(&r);
    return 0;
}

struct repo *repo_free(struct repo *r)
{
    if (!r)
        return NULL;
    mem_auto_close_(&r->dir_fd);
    if (r->temporary[0])
        err_ignore(fs_remove_tree(AT_FDCWD, r->temporary, NULL));
    http_free(r->http);
    free(r);
    return NULL;
}

const char *repo_source(const struct repo *r)
{
    return r->source;
}

const char *repo_tag(const struct repo *r)
{
    return r->tag;
}

const char *repo_short_name(const struct repo *r)
{
    const char *slash = strrchr(r->source, '/');

    return slash ? slash + 1 : r->source;
}

int repo_manifest(struct repo *r, const char *tag, struct repo_doc *ret, struct err *err)
{
    struct repo_doc doc = {.text = {NULL, 0}};
    struct digest want;
    bool named = digest_parse(tag, &want, NULL) == 0;

    if (r->kind->manifest(r, tag, &doc.text, err) < 0)
        return err_wrap(err, "%s:%s", r->source, tag);
    if (sha256(doc.text, &doc.digest, err) < 0 || (named && !digest_eq(&want, &doc.digest))) {
        free((void *)doc.text.p);
        return err_set(err, ERR_INTEGRITY, "%s: manifest %s holds other bytes", r->source, tag);
    }
    *ret = doc;
    return 0;
}

/* Between a repository and the caller's sink: counts and hashes. */
struct checked {
    http_sink sink;
    void *arg;
    struct sha256 *hash;
    uint64_t left;
    struct err refused; /* the sink's error: told only when the bytes are what they should be */
};

static int checked_sink(void *arg, struct buf bytes, struct err *err)
{
    struct checked *c = arg;

    if (bytes.len > c->left)
        return err_set(err, ERR_INTEGRITY, "more bytes than its size says");
    c->left -= bytes.len;
    if (sha256_add(c->hash, bytes, err) < 0)
        return -(int)err->kind;
    if (!c->refused.kind)
        (void)c->sink(c->arg, bytes, &c->refused);
    return 0;
}

int repo_blob(struct repo *r, const struct digest *d, uint64_t size, http_sink sink, void *arg,
              struct err *err)
{
    AUTO_FREE(sha256) struct sha256 *hash = sha256_new();
    struct checked c = {.sink = sink, .arg = arg, .hash = hash, .left = size};
    struct digest got;
    char text[SHA256_TEXT];

    digest_text(d, text);
    if (r->kind->blob(r, text, checked_sink, &c, err) < 0)
        return err_wrap(err, "%s: blob %.19s", r->source, text);
    if (sha256_end(hash, &got, err) < 0)
        return -(int)err->kind;
    if (c.left || !digest_eq(d, &got))
        return err_set(err, ERR_INTEGRITY, "%s: blob %.19s holds other bytes", r->source, text);
    if (c.refused.kind) {
        *err = c.refused;
        return err_wrap(err, "%s: blob %.19s", r->source, text);
    }
    return 0;
}

int repo_blob_read(struct repo *r, const struct digest *d, uint64_t size, struct buf *ret_own,
                   struct err *err)
{
    struct repo_mem m = {.max = LIM_OCI_JSON_BYTES};

    if (size > m.max)
        return err_set(err, ERR_INVALID, "%s: a document of %" PRIu64 " bytes, at most %zu", r->source, size,
                       m.max);
    if (repo_blob(r, d, size, repo_mem_sink, &m, err) < 0) {
        free(m.p);
        return -(int)err->kind;
    }
    *ret_own = buf_of(m.p, m.len);
    return 0;
}

int repo_put_blob(struct repo *r, struct buf bytes, struct digest *ret, struct err *err)
{
    struct digest d;
    char text[SHA256_TEXT];

    if (sha256(bytes, &d, err) < 0)
        return -(int)err->kind;
    if (r->kind->put_blob(r, bytes, digest_text(&d, text), err) < 0)
        return err_wrap(err, "%s: push", r->source);
    *ret = d;
    return 0;
}

const char *repo_type(struct buf text)
{
    static const char *const known[] = {REPO_TYPE_MANIFEST, REPO_TYPE_INDEX,
                                        "application/vnd.docker.distribution.manifest.v2+json",
                                        "application/vnd.docker.distribution.manifest.list.v2+json"};
    struct json_cur root;
    const char *said, *type = oci_is_index(text, NULL) == 1 ? REPO_TYPE_INDEX : REPO_TYPE_MANIFEST;

    if (json_parse(text, &json_limits_oci, &root, NULL) < 0)
        return type;
    said = doc_str(&root, "mediaType", "");
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (strcmp(said, known[i]) == 0)
            type = known[i];
    json_free(root.node);
    return type;
}

int repo_put_manifest(struct repo *r, const char *tag, struct buf text, struct err *err)
{
    if (r->kind->put_manifest(r, tag, text, err) < 0)
        return err_wrap(err, "%s: push %s", r->source, tag);
    return 0;
}

int repo_tags(struct repo *r, repo_tag_fn each, void *arg, struct err *err)
{
    if (r->kind->tags(r, each, arg, err) < 0)
        return err_wrap(err, "%s: list of tags", r->source);
    return 0;
}

const char *repo_release_tag(const struct digest *envelope, char dst[REPO_RELEASE_TAG_BYTES])
{
    char hex[SHA256_HEX];

    (void)str_fmt(dst, REPO_RELEASE_TAG_BYTES, "sha256-%.12s.release", digest_hex(envelope, hex));
    return dst;
}
