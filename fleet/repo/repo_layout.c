/* An OCI image layout in a directory: blobs/sha256/<hex>, index.json with names as annotations. */
#include <fcntl.h>
#include <string.h>

#include "fleet/base/ctx.h"
#include "fleet/base/doc.h"
#include "fleet/repo/repo_int.h"
#include "platform/fs.h"
#include "platform/json.h"
#include "platform/limits.h"

#define REF_NAME "org.opencontainers.image.ref.name"
#define CHUNK    65536

static int blob_path(const char *digest, char dst[96], struct err *err)
{
    struct digest d;

    if (digest_parse(digest, &d, err) < 0)
        return -(int)err->kind;
    (void)str_fmt(dst, 96, "blobs/sha256/%s", digest + 7);
    return 0;
}

/* The ref name of an index entry, NULL: none. */
static const char *entry_name(const struct json_cur *entry)
{
    struct json_cur notes;

    return doc_get(entry, "annotations", &notes) ? doc_str(&notes, REF_NAME, NULL) : NULL;
}

static int find_entry(const struct json_cur *root, const char *tag, char digest[SHA256_TEXT], struct err *err)
{
    struct json_cur list;
    const char *name, *text;

    if (json_get_array(root, "manifests", JSON_REQUIRED, 4096, &list, err) < 0)
        return -(int)err->kind;
    for (unsigned i = 0; i < json_len(&list); i++) {
        struct json_cur e = json_at(&list, i);
        name = entry_name(&e);
        if (!name || strcmp(name, tag) != 0)
            continue;
        if (json_get_str(&e, "digest", JSON_REQUIRED, SHA256_TEXT - 1, &text, err) < 0)
            return -(int)err->kind;
        return str_copy(digest, SHA256_TEXT, text) ? 0 : err_set(err, ERR_INVALID, "digest too long");
    }
    return err_set(err, ERR_NOTFOUND, "index.json names no '%s'", tag);
}

static int lay_manifest(struct repo *r, const char *tag, struct buf *ret_own, struct err *err)
{
    char digest[SHA256_TEXT], path[96];
    AUTO_BUF index = {NULL, 0};
    struct json_cur root;
    uint8_t *p = NULL;
    size_t len = 0;
    int rc = 0;

    if (strncmp(tag, "sha256:", 7) == 0) {
        if (!str_copy(digest, sizeof(digest), tag))
            return err_set(err, ERR_INVALID, "invalid digest '%s'", tag);
    } else {
        if (fs_read(r->dir_fd, "index.json", LIM_OCI_JSON_BYTES, &p, &len, err) < 0)
            return -(int)err->kind;
        index = buf_of(p, len);
        if (json_parse(index, &json_limits_oci, &root, err) < 0)
            return err_wrap(err, "index.json");
        rc = find_entry(&root, tag, digest, err);
        json_free(root.node);
    }
    if (rc < 0 || blob_path(digest, path, err) < 0 ||
        fs_read(r->dir_fd, path, LIM_OCI_JSON_BYTES, &p, &len, err) < 0)
        return -(int)err->kind;
    *ret_own = buf_of(p, len);
    return 0;
}

static int lay_blob(struct repo *r, const char *digest, http_sink sink, void *arg, struct err *err)
{
    AUTO_FD int fd = -1;
    char path[96];
    char AUTO_MEM *chunk = mem_need(CHUNK);
    ssize_t n;

    if (blob_path(digest, path, err) < 0 || fs_open_in_root(r->dir_fd, path, O_RDONLY, 0, &fd, err) < 0)
        return -(int)err->kind;
    while ((n = fs_read_full(fd, chunk, CHUNK, err)) > 0)
        if (sink(arg, buf_of(chunk, (size_t)n), err) < 0)
            return -(int)err->kind;
    return n < 0 ? -(int)err->kind : 0;
}

static int lay_put_blob(struct repo *r, struct buf bytes, const char *digest, struct err *err)
{
    AUTO_FD int dir = -1;
    char path[96];

    if (blob_path(digest, path, err) < 0)
        return -(int)err->kind;
    if (faccessat(r->dir_fd, path, F_OK, 0) == 0)
        return 0;
    if (fs_open_dir(r->dir_fd, "blobs/sha256", true, 0755, &dir, err) < 0)
        return -(int)err->kind;
    return fs_write_durable(dir, digest + 7, bytes, 0644, err);
}

static void push_entry(struct cJSON *list, const char *tag, const char *type, const char *digest, size_t size)
{
    struct cJSON *e = json_push(list, json_obj()), *notes;

    json_put_str(e, "mediaType", type);
    json_put_str(e, "digest", digest);
    json_put_u64(e, "size", size);
    notes = json_put(e, "annotations", json_obj());
    json_put_str(notes, REF_NAME, tag);
}

/* index.json with one more entry, or with the one of that name exchanged. */
static char *index_with(const struct json_cur *root, const char *tag, const char *type, const char *digest,
                        size_t size)
{
    struct cJSON *out = json_obj(), *list = NULL;
    char *text;

    for (unsigned i = 0; i < json_len(root); i++) {
        struct json_cur m = json_member(root, i);
        if (strcmp(m.key, "manifests") != 0) {
            json_put_copy(out, m.key, &m);
            continue;
        }
        list = json_put(out, "manifests", json_arr());
        for (unsigned j = 0; j < json_len(&m); j++) {
            struct json_cur e = json_at(&m, j);
            const char *name = entry_name(&e);
            if (!name || strcmp(name, tag) != 0)
                copy_members(json_push(list, json_obj()), &e);
        }
    }
    if (!list)
        list = json_put(out, "manifests", json_arr());
    push_entry(list, tag, type, digest, size);
    text = json_print(out, false);
    json_free(out);
    return text;
}

static int lay_put_manifest(struct repo *r, const char *tag, struct buf text, struct err *err)
{
    char AUTO_MEM *index = NULL;
    AUTO_BUF old = {NULL, 0};
    struct json_cur root;
    struct digest d;
    char digest[SHA256_TEXT];
    uint8_t *p = NULL;
    size_t len = 0;

    if (sha256(text, &d, err) < 0 || lay_put_blob(r, text, digest_text(&d, digest), err) < 0 ||
        fs_read(r->dir_fd, "index.json", LIM_OCI_JSON_BYTES, &p, &len, err) < 0)
        return -(int)err->kind;
    old = buf_of(p, len);
    if (strncmp(tag, "sha256:", 7) == 0)
        return 0; /* the child of an index needs no name */
    if (json_parse(old, &json_limits_oci, &root, err) < 0)
        return err_wrap(err, "index.json");
    index = index_with(&root, tag, repo_type(text), digest, text.len);
    json_free(root.node);
    return fs_write_durable(r->dir_fd, "index.json", buf_str(index), 0644, err);
}

int repo_layout_make(int dir_fd, struct err *err)
{
    AUTO_FD int blobs = -1;
    int rc = fs_open_dir(dir_fd, "blobs/sha256", true, 0755, &blobs, err);

    if (rc == 0)
        rc = fs_write_durable(dir_fd, "oci-layout", BUF_LIT("{\"imageLayoutVersion\":\"1.0.0\"}"), 0644, err);
    return rc < 0 ? rc
                  : fs_write_durable(dir_fd, "index.json", BUF_LIT("{\"schemaVersion\":2,\"manifests\":[]}"),
                                     0644, err);
}

static int lay_tags(struct repo *r, repo_tag_fn each, void *arg, struct err *err)
{
    AUTO_BUF index = {NULL, 0};
    struct json_cur root, list;
    uint8_t *p = NULL;
    size_t len = 0;
    int rc;

    if (fs_read(r->dir_fd, "index.json", LIM_OCI_JSON_BYTES, &p, &len, err) < 0)
        return -(int)err->kind;
    index = buf_of(p, len);
    if (json_parse(index, &json_limits_oci, &root, err) < 0)
        return err_wrap(err, "index.json");
    rc = json_get_array(&root, "manifests", JSON_REQUIRED, 4096, &list, err);
    for (unsigned i = 0; rc >= 0 && i < json_len(&list); i++) {
        struct json_cur e = json_at(&list, i);
        const char *name = entry_name(&e);
        if (name)
            each(arg, name);
    }
    json_free(root.node);
    return rc < 0 ? rc : 0;
}

const struct repo_kind repo_layout = {.manifest = lay_manifest,
                                      .blob = lay_blob,
                                      .put_blob = lay_put_blob,
                                      .put_manifest = lay_put_manifest,
                                      .tags = lay_tags};
