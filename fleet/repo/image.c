#include "fleet/repo/image.h"

#include <string.h>

#include "fleet/base/ctx.h"
#include "fleet/base/doc.h"
#include "fleet/pack/flat.h"
#include "fleet/pack/measure.h"
#include "platform/arena.h"

#define CONFIG_ARENA (512 * 1024)

struct check {
    struct repo *r;
    int objects_fd;       /* -1: no trees are wanted */
    struct buf *ret_tree; /* of the platform at hand */
};

static int tap_entry(void *arg, const struct entry *e, struct err *err)
{
    (void)err;
    flat_entry(arg, e);
    return 0;
}

static int tap_bytes(void *arg, struct buf bytes, struct err *err)
{
    return flat_bytes(arg, bytes, err);
}

static int to_measure(void *arg, struct buf bytes, struct err *err)
{
    return measure_add(arg, bytes, err);
}

static int check_layer(struct repo *r, struct measure *m, const struct oci_blob *layer,
                       const struct digest *diff_id, struct err *err)
{
    struct digest got;

    if (measure_begin(m, layer->codec, err) < 0 ||
        repo_blob(r, &layer->digest, layer->size_bytes, to_measure, m, err) < 0 ||
        measure_end(m, &got, err) < 0)
        return -(int)err->kind;
    if (!digest_eq(&got, diff_id))
        return err_set(err, ERR_INTEGRITY, "it unpacks to other bytes than the config's diff_id says");
    return 0;
}

static int check_layers(struct check *c, const struct oci_manifest *man, const struct oci_config *conf,
                        struct release_platform *p, struct err *err)
{
    AUTO_FREE(flat) struct flat *flat = flat_new(c->objects_fd);
    struct measure_tap tap = {tap_entry, tap_bytes, flat};
    AUTO_FREE(measure) struct measure *m = measure_new(&tap);
    struct measure_sum sum;

    if (conf->n_diff_ids != man->n_layers)
        return err_set(err, ERR_INVALID, "%u layers, but %u diff_ids in the config", man->n_layers,
                       conf->n_diff_ids);
    for (unsigned i = 0; i < man->n_layers; i++) {
        if (check_layer(c->r, m, &man->layers[i], &conf->diff_ids[i], err) < 0 || flat_layer(flat, err) < 0)
            return err_wrap(err, "layer %u of %u", i + 1, man->n_layers);
        p->packed_bytes += man->layers[i].size_bytes;
    }
    sum = measure_sum(m);
    p->unpacked_bytes = sum.bytes;
    p->inodes = sum.inodes;
    return c->objects_fd < 0 ? 0 : flat_end(flat, c->ret_tree, err);
}

static int set_words(struct release_platform *p, const char *os, const char *arch, const char *variant,
                     struct err *err)
{
    if (!os || !arch || !str_copy(p->os, sizeof(p->os), os) ||
        !str_copy(p->architecture, sizeof(p->architecture), arch) ||
        !str_copy(p->variant, sizeof(p->variant), variant ? variant : ""))
        return err_set(err, ERR_INVALID, "the image's config names no platform that fits: %s/%s/%s",
                       os ? os : "?", arch ? arch : "?", variant ? variant : "");
    return 0;
}

static int check_config(struct check *c, const struct oci_manifest *man, struct release_platform *p,
                        struct err *err)
{
    AUTO_FREE(arena) struct arena *arena = arena_new(CONFIG_ARENA);
    AUTO_BUF text = {NULL, 0};
    struct oci_config conf;

    if (repo_blob_read(c->r, &man->config.digest, man->config.size_bytes, &text, err) < 0 ||
        oci_config_parse(text, arena, &conf, err) < 0)
        return err_wrap(err, "config");
    if (!p->os[0] && set_words(p, conf.os, conf.architecture, conf.variant, err) < 0)
        return -(int)err->kind;
    if (!conf.architecture || strcmp(conf.architecture, p->architecture) != 0)
        return err_set(err, ERR_INTEGRITY, "the index says %s, the image's config %s", p->architecture,
                       conf.architecture ? conf.architecture : "nothing");
    p->packed_bytes = p->manifest_bytes + man->config.size_bytes;
    return check_layers(c, man, &conf, p, err);
}

/* p's platform words are set by the index, or empty: then the config says them. */
static int check_manifest(struct check *c, const struct repo_doc *doc, struct release_platform *p,
                          struct err *err)
{
    struct oci_manifest AUTO_MEM *man = mem_need_zero(sizeof(*man));

    p->manifest = doc->digest;
    p->manifest_bytes = doc->text.len;
    if (oci_manifest_parse(doc->text, man, err) < 0)
        return -(int)err->kind;
    return check_config(c, man, p, err);
}

/* One entry of an index. 1 taken, 0 left out (attestations and the like have no real platform). */
static int check_entry(struct check *c, const struct json_cur *e, struct release_platform *p, struct err *err)
{
    struct repo_doc doc = {.text = {NULL, 0}};
    struct json_cur plat;
    const char *digest, *os, *arch;
    int rc;

    if (!doc_get(e, "platform", &plat))
        return 0;
    os = doc_str(&plat, "os", "unknown");
    arch = doc_str(&plat, "architecture", "unknown");
    if (strcmp(os, "linux") != 0 || strcmp(arch, "unknown") == 0)
        return 0;
    if (set_words(p, os, arch, doc_str(&plat, "variant", ""), err) < 0 ||
        json_get_str(e, "digest", JSON_REQUIRED, SHA256_TEXT - 1, &digest, err) < 0 ||
        repo_manifest(c->r, digest, &doc, err) < 0)
        return -(int)err->kind;
    rc = check_manifest(c, &doc, p, err);
    free((void *)doc.text.p);
    return rc < 0 ? err_wrap(err, "%s/%s%s%s", p->os, p->architecture, p->variant[0] ? "/" : "", p->variant)
                  : 1;
}

static int check_index(struct check *c, struct buf text, struct image *img, struct err *err)
{
    AUTO_DOC *doc = NULL;
    struct json_cur root, list;

    if (json_parse(text, &json_limits_oci, &root, err) < 0)
        return -(int)err->kind;
    doc = root.node;
    if (json_get_array(&root, "manifests", JSON_REQUIRED, 256, &list, err) < 0)
        return -(int)err->kind;
    for (unsigned i = 0; i < json_len(&list); i++) {
        struct json_cur e = json_at(&list, i);
        struct release_platform p = {.os = ""};
        struct buf tree = {NULL, 0};
        c->ret_tree = &tree;
        int rc = check_entry(c, &e, &p, err);
        c->ret_tree = NULL;
        if (rc < 0)
            return rc;
        if (rc && img->n_platforms == RELEASE_PLATFORMS)
            rc = err_set(err, ERR_NOSPACE, "more than %d platforms in the index", RELEASE_PLATFORMS);
        if (rc < 0) {
            free((void *)tree.p);
            return rc;
        }
        if (rc) {
            img->trees[img->n_platforms] = tree;
            img->platforms[img->n_platforms++] = p;
        }
    }
    (void)doc;
    return img->n_platforms ? 0 : err_set(err, ERR_NOTFOUND, "the index holds no image for linux");
}

int image_check(struct repo *r, const char *tag, int objects_fd, struct image *ret, struct err *err)
{
    struct check c = {.r = r, .objects_fd = objects_fd};
    struct repo_doc doc = {.text = {NULL, 0}};
    struct image img = {.n_platforms = 0};
    int rc;

    if (repo_manifest(r, tag, &doc, err) < 0)
        return -(int)err->kind;
    img.digest = doc.digest;
    img.bytes = doc.text.len;
    rc = oci_is_index(doc.text, err);
    img.index = rc == 1;
    if (rc == 1)
        rc = check_index(&c, doc.text, &img, err);
    else if (rc == 0) {
        img.n_platforms = 1;
        c.ret_tree = &img.trees[0];
        rc = check_manifest(&c, &doc, &img.platforms[0], err);
    }
    free((void *)doc.text.p);
    if (rc < 0) {
        image_done(&img);
        return err_wrap(err, "%s:%s", repo_source(r), tag);
    }
    *ret = img;
    return 0;
}

void image_done(struct image *img)
{
    for (unsigned i = 0; i < img->n_platforms; i++)
        free((void *)img->trees[i].p);
    *img = (struct image){.n_platforms = 0};
}
