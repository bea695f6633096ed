#include "fleet/repo/repo_copy.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fleet/base/ctx.h"
#include "fleet/base/doc.h"
#include "fleet/base/out.h"
#include "ota/doc/oci.h"
#include "platform/fs.h"

static int to_file(void *arg, struct buf bytes, struct err *err)
{
    return fs_write_full(fileno(arg), bytes, err);
}

/* Through a file that nobody sees: layers are larger than memory wants to be. */
static int copy_blob(struct repo *from, struct repo *to, const struct oci_blob *b, struct err *err)
{
    FILE *file = tmpfile();
    struct digest d;
    int rc = file ? repo_blob(from, &b->digest, b->size_bytes, to_file, file, err)
                  : err_errno(err, errno, "make a temporary file");

    void *map = rc == 0 && b->size_bytes
                    ? mmap(NULL, (size_t)b->size_bytes, PROT_READ, MAP_PRIVATE, fileno(file), 0)
                    : NULL;
    if (map == MAP_FAILED)
        rc = err_errno(err, errno, "map a blob");
    else if (rc == 0)
        rc = repo_put_blob(to, buf_of(map, (size_t)b->size_bytes), &d, err);
    if (map && map != MAP_FAILED)
        (void)munmap(map, (size_t)b->size_bytes);
    if (file)
        (void)fclose(file);
    return rc;
}

static int copy_manifest(struct repo *from, struct repo *to, struct buf text, const char *name,
                         struct err *err)
{
    struct oci_manifest AUTO_MEM *m = mem_need_zero(sizeof(*m));
    int rc = oci_manifest_parse(text, m, err);

    if (rc == 0)
        rc = copy_blob(from, to, &m->config, err);
    for (unsigned i = 0; rc == 0 && i < m->n_layers; i++) {
        out_progress("copy", i, m->n_layers);
        rc = copy_blob(from, to, &m->layers[i], err);
    }
    out_progress(NULL, 0, 0);
    return rc < 0 ? rc : repo_put_manifest(to, name, text, err);
}

static int copy_index(struct repo *from, struct repo *to, struct buf text, const char *name, struct err *err)
{
    struct json_cur root, list;
    const char *digest;
    int rc = json_parse(text, &json_limits_oci, &root, err);

    if (rc < 0)
        return rc;
    AUTO_DOC *doc = root.node;
    (void)doc;
    rc = json_get_array(&root, "manifests", JSON_REQUIRED, 256, &list, err);
    for (unsigned i = 0; rc >= 0 && i < json_len(&list); i++) {
        struct json_cur e = json_at(&list, i);
        struct repo_doc one = {.text = {NULL, 0}};
        rc = json_get_str(&e, "digest", JSON_REQUIRED, SHA256_TEXT - 1, &digest, err);
        if (rc >= 0)
            rc = repo_manifest(from, digest, &one, err);
        if (rc >= 0)
            rc = copy_manifest(from, to, one.text, digest, err);
        free((void *)one.text.p);
    }
    return rc < 0 ? rc : repo_put_manifest(to, name, text, err);
}

int repo_copy_image(struct repo *from, const char *tag, struct repo *to, struct err *err)
{
    struct repo_doc doc = {.text = {NULL, 0}};
    int rc = repo_manifest(from, tag, &doc, err);

    if (rc < 0)
        return rc;
    AUTO_BUF text = doc.text;
    rc = oci_is_index(text, err);
    if (rc >= 0)
        rc = rc ? copy_index(from, to, text, repo_tag(to), err)
                : copy_manifest(from, to, text, repo_tag(to), err);
    return rc < 0 ? err_wrap(err, "copy to %s", repo_source(to)) : 0;
}
