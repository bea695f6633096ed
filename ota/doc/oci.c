#include "ota/doc/oci.h"

#include <stdio.h>

#include "ota/doc/field.h"
#include "ota/doc/machine.h"

#define MEDIA_BYTES       160
#define INDEX_ENTRIES_MAX 128
#define THERE_BYTES       300

enum kind { KIND_INDEX, KIND_MANIFEST, KIND_CONFIG, KIND_LAYER };

static const struct {
    const char *media;
    enum kind kind;
    enum oci_codec codec;
} medias[] = {
    {"application/vnd.oci.image.index.v1+json", KIND_INDEX, 0},
    {"application/vnd.docker.distribution.manifest.list.v2+json", KIND_INDEX, 0},
    {"application/vnd.oci.image.manifest.v1+json", KIND_MANIFEST, 0},
    {"application/vnd.docker.distribution.manifest.v2+json", KIND_MANIFEST, 0},
    {"application/vnd.oci.image.config.v1+json", KIND_CONFIG, 0},
    {"application/vnd.docker.container.image.v1+json", KIND_CONFIG, 0},
    {"application/vnd.oci.image.layer.v1.tar", KIND_LAYER, OCI_TAR},
    {"application/vnd.oci.image.layer.v1.tar+gzip", KIND_LAYER, OCI_TAR_GZIP},
    {"application/vnd.oci.image.layer.v1.tar+zstd", KIND_LAYER, OCI_TAR_ZSTD},
    {"application/vnd.docker.image.rootfs.diff.tar", KIND_LAYER, OCI_TAR},
    {"application/vnd.docker.image.rootfs.diff.tar.gzip", KIND_LAYER, OCI_TAR_GZIP},
};

/* Index in medias, or -1. */
static int find_media(const char *media, enum kind kind)
{
    for (size_t i = 0; i < COUNT_OF(medias); i++)
        if (medias[i].kind == kind && strcmp(medias[i].media, media) == 0)
            return (int)i;
    return -1;
}

/* mediaType of the document itself: optional in OCI, but if present it must match. */
static int check_own_media(const struct json_cur *root, enum kind kind, struct err *err)
{
    const char *media = NULL;
    int rc = json_get_str(root, "mediaType", JSON_OPTIONAL, MEDIA_BYTES, &media, err);

    if (rc == 1 && find_media(media, kind) < 0)
        return err_set(err, ERR_UNSUPPORTED, "mediaType: \"%s\" is not what is read here", media);
    return rc;
}

/* The kind of document: an object with manifests, or one with config and layers, never both. */
static int kind_of(const struct json_cur *root, struct err *err)
{
    struct json_cur at;
    uint64_t version = 0;
    int rc = json_get_u64(root, "schemaVersion", JSON_REQUIRED, 2, 2, &version, err);

    if (rc < 0)
        return rc;
    bool manifests = json_get(root, "manifests", JSON_OPTIONAL, &at, NULL) == 1;
    bool layers = json_get(root, "layers", JSON_OPTIONAL, &at, NULL) == 1;
    bool config = json_get(root, "config", JSON_OPTIONAL, &at, NULL) == 1;
    if (manifests == (layers || config))
        return err_set(err, ERR_INVALID, "%s", manifests ? "both an index and a manifest" : "no manifest");
    rc = check_own_media(root, manifests ? KIND_INDEX : KIND_MANIFEST, err);
    return rc < 0 ? rc : manifests;
}

int oci_is_index(struct buf json, struct err *err)
{
    struct json_cur root;
    int rc = json_parse(json, &json_limits_oci, &root, err);

    if (rc < 0)
        return rc;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    return kind_of(&root, err);
}

static int read_descriptor(const struct json_cur *at, enum kind kind, uint64_t max_bytes,
                           struct oci_blob *ret, struct err *err)
{
    const char *media = NULL;
    int rc = json_get_str(at, "mediaType", JSON_REQUIRED, MEDIA_BYTES, &media, err);

    if (rc < 0)
        return rc;
    int row = find_media(media, kind);
    if (row < 0)
        return json_fail(at, err, ERR_UNSUPPORTED, "mediaType \"%s\" is not what is read here%s", media,
                         kind == KIND_LAYER ? " (tar, tar+gzip and tar+zstd are)" : "");
    rc = field_digest(at, "digest", &ret->digest, err);
    if (rc >= 0)
        rc = json_get_u64(at, "size", JSON_REQUIRED, 1, max_bytes, &ret->size_bytes, err);
    ret->codec = medias[row].codec;
    return rc;
}

/* ---- index ---- */

struct choice {
    const char *arch, *variant;
    int best_rank;
    struct oci_blob best;
    unsigned n_without; /* manifests that name no platform */
    struct oci_blob without;
    char there[THERE_BYTES];
};

static void note_platform(struct choice *c, const char *os, const char *arch, const char *variant)
{
    size_t used = strlen(c->there);

    (void)snprintf(c->there + used, sizeof(c->there) - used, "%s%s/%s%s%s", used ? ", " : "", os, arch,
                   variant[0] ? "/" : "", variant);
}

static int read_entry_platform(const struct json_cur *entry, const char **os, const char **arch,
                               const char **variant, struct err *err)
{
    struct json_cur p;
    int rc = json_get_object(entry, "platform", JSON_OPTIONAL, &p, err);

    if (rc <= 0)
        return rc;
    rc = json_get_str(&p, "os", JSON_REQUIRED, 32, os, err);
    if (rc >= 0)
        rc = json_get_str(&p, "architecture", JSON_REQUIRED, 32, arch, err);
    if (rc >= 0)
        rc = json_get_str(&p, "variant", JSON_OPTIONAL, 32, variant, err);
    return rc < 0 ? rc : 1;
}

static int judge_entry(const struct json_cur *entry, struct choice *c, struct err *err)
{
    const char *media = NULL, *os = "", *arch = "", *variant = "";
    struct oci_blob blob;
    int rc = json_get_str(entry, "mediaType", JSON_REQUIRED, MEDIA_BYTES, &media, err);

    if (rc < 0 || find_media(media, KIND_MANIFEST) < 0) /* skip artifacts and nested indexes */
        return rc;
    rc = read_descriptor(entry, KIND_MANIFEST, LIM_OCI_JSON_BYTES, &blob, err);
    if (rc >= 0)
        rc = read_entry_platform(entry, &os, &arch, &variant, err);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        c->n_without++;
        c->without = blob;
        return 0;
    }
    note_platform(c, os, arch, variant);
    int rank = machine_rank(c->arch, c->variant, os, arch, variant);
    if (rank >= 0 && (c->best_rank < 0 || rank < c->best_rank)) {
        c->best_rank = rank;
        c->best = blob;
    }
    return 0;
}

int oci_index_choose(struct buf json, const char *arch, const char *variant, struct oci_blob *ret,
                     struct err *err)
{
    struct json_cur root, arr;
    struct choice c = {.arch = arch, .variant = variant, .best_rank = -1};
    int rc = json_parse(json, &json_limits_oci, &root, err);

    if (rc < 0)
        return rc;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    rc = kind_of(&root, err);
    if (rc == 0)
        return err_set(err, ERR_INVALID, "a manifest, not an index");
    if (rc > 0)
        rc = json_get_array(&root, "manifests", JSON_REQUIRED, INDEX_ENTRIES_MAX, &arr, err);
    for (unsigned i = 0; rc >= 0 && i < json_len(&arr); i++) {
        struct json_cur at = json_at(&arr, i);
        rc = judge_entry(&at, &c, err);
    }
    if (rc < 0)
        return rc;
    if (c.best_rank < 0 && c.n_without != 1)
        return err_set(err, ERR_NOTFOUND, "no image for linux/%s%s%s; there: %s", arch, variant[0] ? "/" : "",
                       variant, c.there[0] ? c.there : "none");
    *ret = c.best_rank >= 0 ? c.best : c.without; /* local layouts often have one image without a platform */
    return 0;
}

/* ---- manifest ---- */

static int read_layers(const struct json_cur *root, struct oci_manifest *m, struct err *err)
{
    struct json_cur arr;
    int rc = json_get_array(root, "layers", JSON_REQUIRED, LIM_OCI_LAYERS, &arr, err);

    if (rc < 0)
        return rc;
    m->n_layers = json_len(&arr);
    if (m->n_layers == 0)
        return json_fail(&arr, err, ERR_INVALID, "empty");
    for (unsigned i = 0; rc >= 0 && i < m->n_layers; i++) {
        struct json_cur at = json_at(&arr, i);
        rc = read_descriptor(&at, KIND_LAYER, LIM_IMAGE_BYTES, &m->layers[i], err);
    }
    return rc;
}

static int read_manifest(const struct json_cur *root, struct oci_manifest *m, struct err *err)
{
    struct json_cur config;
    int rc = kind_of(root, err);

    if (rc == 1)
        return err_set(err, ERR_INVALID, "an index, not a manifest");
    if (rc == 0)
        rc = json_get_object(root, "config", JSON_REQUIRED, &config, err);
    if (rc >= 0)
        rc = read_descriptor(&config, KIND_CONFIG, LIM_OCI_JSON_BYTES, &m->config, err);
    if (rc >= 0)
        rc = read_layers(root, m, err);
    return rc < 0 ? rc : 0;
}

int oci_manifest_parse(struct buf json, struct oci_manifest *ret, struct err *err)
{
    struct json_cur root;
    struct oci_manifest m = {0};
    int rc = json_parse(json, &json_limits_oci, &root, err);

    if (rc < 0)
        return rc;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    rc = read_manifest(&root, &m, err);
    if (rc == 0)
        *ret = m;
    return rc;
}

/* ---- config ---- */

static int keep_str(struct arena *a, const char *text, const char **ret, struct err *err)
{
    const char *copy = arena_str(a, text);

    if (!copy)
        return err_set(err, ERR_NOMEM, "image config is too large");
    *ret = copy;
    return 0;
}

/* An optional string: missing, null and "" all mean "none". */
static int read_text(const struct json_cur *obj, const char *key, struct arena *a, const char **ret,
                     struct err *err)
{
    const char *text = NULL;

    if (field_is_null(obj, key))
        return 0;
    int rc = json_get_str(obj, key, JSON_OPTIONAL, LIM_TEXT_BYTES, &text, err);
    if (rc <= 0 || text[0] == '\0')
        return rc;
    return keep_str(a, text, ret, err);
}

static int read_list(const struct json_cur *obj, const char *key, unsigned max, struct arena *a,
                     const char *const **ret, struct err *err)
{
    struct json_cur arr;

    if (field_is_null(obj, key))
        return 0;
    int rc = json_get_array(obj, key, JSON_OPTIONAL, max, &arr, err);
    if (rc <= 0 || json_len(&arr) == 0)
        return rc;
    const char **list = arena_get(a, (json_len(&arr) + 1) * sizeof(*list));
    if (!list)
        return err_set(err, ERR_NOMEM, "image config is too large");
    for (unsigned i = 0; i < json_len(&arr); i++) {
        struct json_cur at = json_at(&arr, i);
        const char *text = NULL;
        rc = json_as_str(&at, LIM_TEXT_BYTES, &text, err);
        if (rc >= 0)
            rc = keep_str(a, text, &list[i], err);
        if (rc < 0)
            return rc;
    }
    *ret = list;
    return 0;
}

static int read_process(const struct json_cur *root, struct arena *a, struct oci_config *c, struct err *err)
{
    struct json_cur obj;

    if (field_is_null(root, "config"))
        return 0;
    int rc = json_get_object(root, "config", JSON_OPTIONAL, &obj, err);
    if (rc <= 0)
        return rc;
    rc = read_list(&obj, "Entrypoint", LIM_ARGS, a, &c->entrypoint, err);
    if (rc >= 0)
        rc = read_list(&obj, "Cmd", LIM_ARGS, a, &c->cmd, err);
    if (rc >= 0)
        rc = read_list(&obj, "Env", LIM_ENVS, a, &c->env, err);
    if (rc >= 0)
        rc = read_text(&obj, "User", a, &c->user, err);
    if (rc >= 0)
        rc = read_text(&obj, "WorkingDir", a, &c->working_dir, err);
    return rc < 0 ? rc : read_text(&obj, "StopSignal", a, &c->stop_signal, err);
}

static int read_diff_ids(const struct json_cur *root, struct oci_config *c, struct err *err)
{
    struct json_cur rootfs, arr;
    const char *type = NULL, *text = NULL;
    int rc = json_get_object(root, "rootfs", JSON_REQUIRED, &rootfs, err);

    if (rc >= 0)
        rc = json_get_str(&rootfs, "type", JSON_REQUIRED, 16, &type, err);
    if (rc >= 0 && strcmp(type, "layers") != 0)
        return json_fail(&rootfs, err, ERR_UNSUPPORTED, "type is not \"layers\"");
    if (rc >= 0)
        rc = json_get_array(&rootfs, "diff_ids", JSON_REQUIRED, LIM_OCI_LAYERS, &arr, err);
    for (unsigned i = 0; rc >= 0 && i < json_len(&arr); i++) {
        struct json_cur at = json_at(&arr, i);
        rc = json_as_str(&at, SHA256_TEXT, &text, err);
        if (rc >= 0 && digest_parse(text, &c->diff_ids[i], NULL) < 0)
            rc = json_fail(&at, err, ERR_INVALID, "not \"sha256:\" and 64 lower-case hex digits");
        c->n_diff_ids = i + 1;
    }
    return rc;
}

static int read_config(const struct json_cur *root, struct arena *a, struct oci_config *c, struct err *err)
{
    int rc = read_text(root, "architecture", a, &c->architecture, err);

    if (rc >= 0)
        rc = read_text(root, "os", a, &c->os, err);
    if (rc >= 0)
        rc = read_text(root, "variant", a, &c->variant, err);
    if (rc >= 0 && (!c->architecture || !c->os))
        return err_set(err, ERR_INVALID, "%s: missing", c->os ? "architecture" : "os");
    if (rc >= 0)
        rc = read_process(root, a, c, err);
    if (rc >= 0)
        rc = read_diff_ids(root, c, err);
    return rc < 0 ? rc : 0;
}

int oci_config_parse(struct buf json, struct arena *arena, struct oci_config *ret, struct err *err)
{
    struct json_cur root;
    struct oci_config c = {0};
    int rc = json_parse(json, &json_limits_oci, &root, err);

    if (rc < 0)
        return rc;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    rc = read_config(&root, arena, &c, err);
    if (rc == 0)
        *ret = c;
    return rc;
}
