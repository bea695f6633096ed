/* release.c - which bytes are a version of an app: the release document. See release.h. */
#include "ota/doc/release.h"
#include "ota/doc/field.h"
#include "ota/doc/pack_codec.h"

static int read_version(const struct json_cur *root, char dst[LIM_NAME_BYTES], struct err *err)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
    const char *text = NULL;
    int rc = json_get_str(root, "version", JSON_REQUIRED, LIM_NAME_BYTES - 1, &text, err);

    if (rc < 0)
        return rc;
    if (text[0] == '\0' || text[strspn(text, good)] != '\0' || !str_copy(dst, LIM_NAME_BYTES, text))
        return err_set(err, ERR_INVALID, "version: only letters, digits, '.', '_', '+' and '-'");
    return 0;
}

/* {"digest","size"}; other members are read by the caller. */
static int read_blob(const struct json_cur *at, const char *key, uint64_t max, struct release_blob *ret,
                     struct json_cur *ret_obj, struct err *err)
{
    int rc = json_get_object(at, key, JSON_REQUIRED, ret_obj, err);

    if (rc >= 0)
        rc = field_digest(ret_obj, "digest", &ret->digest, err);
    if (rc >= 0)
        rc = json_get_u64(ret_obj, "size", JSON_REQUIRED, 1, max, &ret->bytes, err);
    return rc;
}

static int read_manifest(const struct json_cur *at, struct release_platform *p, struct err *err)
{
    struct release_blob blob = {.bytes = 0};
    struct json_cur obj;
    int rc = read_blob(at, "manifest", LIM_OCI_JSON_BYTES, &blob, &obj, err);

    p->manifest = blob.digest;
    p->manifest_bytes = blob.bytes;
    return rc >= 0 ? json_done(&obj, err) : rc;
}

static int read_tree(const struct json_cur *at, struct release_platform *p, struct err *err)
{
    struct json_cur obj;
    int rc = json_get_object(at, "tree", JSON_OPTIONAL, &obj, err);

    if (rc <= 0)
        return rc;
    rc = read_blob(at, "tree", LIM_TREE_BYTES, &p->tree, &obj, err);
    if (rc >= 0)
        rc = json_get_u64(&obj, "bytes", JSON_REQUIRED, 0, LIM_IMAGE_BYTES, &p->object_bytes, err);
    return rc >= 0 ? json_done(&obj, err) : rc;
}

static int read_from(const struct json_cur *at, struct release_pack *p, struct err *err)
{
    struct json_cur obj;
    int rc = json_get_object(at, "from", JSON_REQUIRED, &obj, err);

    if (rc >= 0)
        rc = field_digest(&obj, "tree", &p->from.digest, err);
    if (rc >= 0)
        rc = json_get_u64(&obj, "size", JSON_REQUIRED, 1, LIM_TREE_BYTES, &p->from.bytes, err);
    if (rc >= 0)
        rc = json_done(&obj, err);
    return rc >= 0 ? json_get_u64(at, "writes", JSON_REQUIRED, 0, LIM_IMAGE_BYTES, &p->write_bytes, err) : rc;
}

static int read_known_pack(const struct json_cur *at, struct release_pack *p, struct err *err)
{
    struct json_cur obj;
    int rc = field_digest(at, "digest", &p->blob.digest, err);

    if (rc >= 0)
        rc = json_get_u64(at, "size", JSON_REQUIRED, 1, LIM_IMAGE_BYTES, &p->blob.bytes, err);
    if (rc >= 0)
        rc = json_get_u64(at, "memory", JSON_REQUIRED, 0, LIM_IMAGE_BYTES, &p->memory_bytes, err);
    if (rc >= 0 && p->kind == RELEASE_PACK_PATCH)
        rc = read_from(at, p, err);
    if (rc >= 0 && p->kind == RELEASE_PACK_FULL) {
        rc = read_blob(at, "data", LIM_IMAGE_BYTES, &p->data, &obj, err);
        if (rc >= 0)
            rc = json_done(&obj, err);
    }
    return rc >= 0 ? json_done(at, err) : rc;
}

/* 1: read; 0: of a kind from a later version, ignored. */
static int read_pack(const struct json_cur *at, struct release_pack *p, struct err *err)
{
    char kind[16], codec[24];
    int rc = field_word(at, "kind", false, kind, sizeof(kind), err);

    if (rc >= 0)
        rc = field_word(at, "codec", false, codec, sizeof(codec), err);
    if (rc < 0)
        return rc;
    bool full = strcmp(kind, "full") == 0;
    if (!full && strcmp(kind, "patch") != 0)
        return 0;
    p->kind = full ? RELEASE_PACK_FULL : RELEASE_PACK_PATCH;
    p->codec = pack_codec_parse(codec);
    rc = read_known_pack(at, p, err);
    return rc < 0 ? rc : 1;
}

static int read_packs(const struct json_cur *at, struct release_platform *p, struct err *err)
{
    struct json_cur arr;
    int rc = json_get_array(at, "packs", JSON_OPTIONAL, RELEASE_PACKS, &arr, err);

    if (rc <= 0)
        return rc;
    if (json_len(&arr) > 0 && p->tree.bytes == 0)
        return json_fail(&arr, err, ERR_INVALID, "packs of no tree");
    for (unsigned i = 0; rc >= 0 && i < json_len(&arr); i++) {
        struct json_cur one = json_at(&arr, i);
        rc = read_pack(&one, &p->packs[p->n_packs], err);
        p->n_packs += rc == 1;
    }
    return rc;
}

static int read_platform(const struct json_cur *at, struct release_platform *p, struct err *err)
{
    int rc = field_word(at, "os", false, p->os, sizeof(p->os), err);

    if (rc >= 0)
        rc = field_word(at, "architecture", false, p->architecture, sizeof(p->architecture), err);
    if (rc >= 0)
        rc = field_word(at, "variant", true, p->variant, sizeof(p->variant), err);
    if (rc >= 0)
        rc = read_manifest(at, p, err);
    if (rc >= 0)
        rc = json_get_u64(at, "packed_bytes", JSON_REQUIRED, 1, LIM_IMAGE_BYTES, &p->packed_bytes, err);
    if (rc >= 0)
        rc = json_get_u64(at, "unpacked_bytes", JSON_REQUIRED, 0, LIM_IMAGE_BYTES, &p->unpacked_bytes, err);
    if (rc >= 0)
        rc = json_get_u64(at, "inodes", JSON_REQUIRED, 1, LIM_IMAGE_INODES, &p->inodes, err);
    if (rc >= 0)
        rc = read_tree(at, p, err);
    if (rc >= 0)
        rc = read_packs(at, p, err);
    return rc >= 0 ? json_done(at, err) : rc;
}

static bool same_platform(const struct release_platform *a, const struct release_platform *b)
{
    return strcmp(a->os, b->os) == 0 && strcmp(a->architecture, b->architecture) == 0 &&
           strcmp(a->variant, b->variant) == 0;
}

static int read_platforms(const struct json_cur *root, struct release *rel, struct err *err)
{
    struct json_cur arr;
    int rc = json_get_array(root, "platforms", JSON_REQUIRED, RELEASE_PLATFORMS, &arr, err);

    if (rc < 0)
        return rc;
    if (json_len(&arr) == 0)
        return json_fail(&arr, err, ERR_INVALID, "empty");
    for (unsigned i = 0; i < json_len(&arr); i++) {
        struct json_cur at = json_at(&arr, i);
        rc = read_platform(&at, &rel->platforms[i], err);
        if (rc < 0)
            return rc;
        for (unsigned k = 0; k < i; k++)
            if (same_platform(&rel->platforms[k], &rel->platforms[i]))
                return json_fail(&at, err, ERR_INVALID, "the same platform as platforms[%u]", k);
    }
    rel->n_platforms = json_len(&arr);
    return 0;
}

static int read_bundle(const struct json_cur *root, struct release *rel, struct err *err)
{
    struct json_cur obj;
    int rc = json_get_object(root, "bundle", JSON_OPTIONAL, &obj, err);

    if (rc <= 0)
        return rc;
    rc = read_blob(root, "bundle", LIM_IMAGE_BYTES, &rel->bundle, &obj, err);
    return rc >= 0 ? json_done(&obj, err) : rc;
}

static int read_release(const struct json_cur *root, struct release *rel, struct err *err)
{
    int rc = field_schema(root, "limpet.release/1", err);

    if (rc >= 0)
        rc = field_name(root, "name", rel->name, err);
    if (rc >= 0)
        rc = json_get_u64(root, "counter", JSON_REQUIRED, 1, LIM_COUNTER, &rel->counter, err);
    if (rc >= 0)
        rc = read_version(root, rel->version, err);
    if (rc >= 0)
        rc = json_get_u64(root, "issued", JSON_REQUIRED, 0, FIELD_SECONDS_MAX, &rel->issued_s, err);
    if (rc >= 0)
        rc = read_bundle(root, rel, err);
    if (rc >= 0 && rel->bundle.bytes == 0)
        rc = read_platforms(root, rel, err);
    return rc >= 0 ? json_done(root, err) : rc;
}

int release_parse(struct buf json, struct release *ret, struct err *err)
{
    struct json_cur root;
    struct release AUTO_MEM *rel = mem_need_zero(sizeof(*rel));
    int rc = json_parse(json, &json_limits_signed, &root, err);

    if (rc < 0)
        return rc;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    rc = read_release(&root, rel, err);
    if (rc == 0)
        *ret = *rel;
    return rc;
}

static void put_blob(struct cJSON *to, const char *key, const struct release_blob *b)
{
    char text[SHA256_TEXT];

    json_put_str(to, key, digest_text(&b->digest, text));
    json_put_u64(to, "size", b->bytes);
}

static void build_pack(const struct release_pack *p, struct cJSON *packs)
{
    struct cJSON *obj = json_push(packs, json_obj());

    json_put_str(obj, "kind", p->kind == RELEASE_PACK_FULL ? "full" : "patch");
    json_put_str(obj, "codec", pack_codec_name((enum pack_codec)p->codec));
    put_blob(obj, "digest", &p->blob);
    json_put_u64(obj, "memory", p->memory_bytes);
    if (p->kind == RELEASE_PACK_FULL) {
        put_blob(json_put(obj, "data", json_obj()), "digest", &p->data);
    } else {
        put_blob(json_put(obj, "from", json_obj()), "tree", &p->from);
        json_put_u64(obj, "writes", p->write_bytes);
    }
}

static void build_platform(const struct release_platform *p, struct cJSON *platforms)
{
    struct cJSON *obj = json_push(platforms, json_obj());
    struct release_blob manifest = {p->manifest, p->manifest_bytes};

    json_put_str(obj, "os", p->os);
    json_put_str(obj, "architecture", p->architecture);
    json_put_str(obj, "variant", p->variant);
    put_blob(json_put(obj, "manifest", json_obj()), "digest", &manifest);
    json_put_u64(obj, "packed_bytes", p->packed_bytes);
    json_put_u64(obj, "unpacked_bytes", p->unpacked_bytes);
    json_put_u64(obj, "inodes", p->inodes);
    if (p->tree.bytes) {
        struct cJSON *tree = json_put(obj, "tree", json_obj());
        put_blob(tree, "digest", &p->tree);
        json_put_u64(tree, "bytes", p->object_bytes);
    }
    struct cJSON *packs = p->n_packs ? json_put(obj, "packs", json_arr()) : NULL;
    for (unsigned i = 0; i < p->n_packs; i++)
        build_pack(&p->packs[i], packs);
}

char *release_build(const struct release *rel)
{
    AUTO_JSON struct cJSON *root = json_obj();

    json_put_str(root, "schema", "limpet.release/1");
    json_put_str(root, "name", rel->name);
    json_put_u64(root, "counter", rel->counter);
    json_put_str(root, "version", rel->version);
    json_put_u64(root, "issued", rel->issued_s);
    if (rel->bundle.bytes) {
        put_blob(json_put(root, "bundle", json_obj()), "digest", &rel->bundle);
        return json_print(root, false);
    }
    struct cJSON *platforms = json_put(root, "platforms", json_arr());
    for (unsigned i = 0; i < rel->n_platforms; i++)
        build_platform(&rel->platforms[i], platforms);
    return json_print(root, false);
}

const struct release_platform *release_choose(const struct release *r, const char *arch, const char *variant)
{
    const struct release_platform *best = NULL;
    int best_rank = -1;

    for (unsigned i = 0; i < r->n_platforms; i++) {
        const struct release_platform *p = &r->platforms[i];
        int rank = machine_rank(arch, variant, p->os, p->architecture, p->variant);
        if (rank >= 0 && (best == NULL || rank < best_rank)) {
            best = p;
            best_rank = rank;
        }
    }
    return best;
}
