/* release.c - which bytes are a version of an app: the release document. See docs.h. */
#include "ota/docs.h"
#include "ota/field.h"

static int read_version(const struct json_cur *root, char dst[LIM_NAME_BYTES], struct err *err)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
    const char *text = NULL;
    int r = json_get_str(root, "version", JSON_REQUIRED, LIM_NAME_BYTES - 1, &text, err);

    if (r < 0)
        return r;
    if (text[0] == '\0' || text[strspn(text, good)] != '\0' || !str_copy(dst, LIM_NAME_BYTES, text))
        return err_set(err, ERR_INVALID, "version: only letters, digits, '.', '_', '+' and '-'");
    return 0;
}

static int read_manifest(const struct json_cur *at, struct release_platform *p, struct err *err)
{
    struct json_cur obj;
    int r = json_get_object(at, "manifest", JSON_REQUIRED, &obj, err);

    if (r >= 0)
        r = field_digest(&obj, "digest", &p->manifest, err);
    if (r >= 0)
        r = json_get_u64(&obj, "size", JSON_REQUIRED, 1, LIM_OCI_JSON_BYTES, &p->manifest_bytes, err);
    return r >= 0 ? json_done(&obj, err) : r;
}

static int read_platform(const struct json_cur *at, struct release_platform *p, struct err *err)
{
    int r = field_word(at, "os", false, p->os, sizeof(p->os), err);

    if (r >= 0)
        r = field_word(at, "architecture", false, p->architecture, sizeof(p->architecture), err);
    if (r >= 0)
        r = field_word(at, "variant", true, p->variant, sizeof(p->variant), err);
    if (r >= 0)
        r = read_manifest(at, p, err);
    if (r >= 0)
        r = json_get_u64(at, "packed_bytes", JSON_REQUIRED, 1, LIM_IMAGE_BYTES, &p->packed_bytes, err);
    if (r >= 0)
        r = json_get_u64(at, "unpacked_bytes", JSON_REQUIRED, 1, LIM_IMAGE_BYTES, &p->unpacked_bytes, err);
    if (r >= 0)
        r = json_get_u64(at, "inodes", JSON_REQUIRED, 1, LIM_IMAGE_INODES, &p->inodes, err);
    return r >= 0 ? json_done(at, err) : r;
}

static bool same_platform(const struct release_platform *a, const struct release_platform *b)
{
    return strcmp(a->os, b->os) == 0 && strcmp(a->architecture, b->architecture) == 0 &&
           strcmp(a->variant, b->variant) == 0;
}

static int read_platforms(const struct json_cur *root, struct release *rel, struct err *err)
{
    struct json_cur arr;
    int r = json_get_array(root, "platforms", JSON_REQUIRED, RELEASE_PLATFORMS, &arr, err);

    if (r < 0)
        return r;
    if (json_len(&arr) == 0)
        return json_fail(&arr, err, ERR_INVALID, "empty");
    for (unsigned i = 0; i < json_len(&arr); i++) {
        struct json_cur at = json_at(&arr, i);
        r = read_platform(&at, &rel->platforms[i], err);
        if (r < 0)
            return r;
        for (unsigned k = 0; k < i; k++)
            if (same_platform(&rel->platforms[k], &rel->platforms[i]))
                return json_fail(&at, err, ERR_INVALID, "the same platform as platforms[%u]", k);
    }
    rel->n_platforms = json_len(&arr);
    return 0;
}

static int read_no_deltas(const struct json_cur *root, struct err *err)
{
    struct json_cur arr;
    int r = json_get_array(root, "deltas", JSON_OPTIONAL, LIM_JSON_TOKENS, &arr, err);

    if (r == 1 && json_len(&arr) > 0)
        return json_fail(&arr, err, ERR_UNSUPPORTED, "this version knows no deltas");
    return r;
}

static int read_release(const struct json_cur *root, struct release *rel, struct err *err)
{
    int r = field_schema(root, "limpet.release/1", err);

    if (r >= 0)
        r = field_name(root, "name", rel->name, err);
    if (r >= 0)
        r = json_get_u64(root, "counter", JSON_REQUIRED, 1, FIELD_COUNTER_MAX, &rel->counter, err);
    if (r >= 0)
        r = read_version(root, rel->version, err);
    if (r >= 0)
        r = json_get_u64(root, "issued", JSON_REQUIRED, 0, FIELD_SECONDS_MAX, &rel->issued_s, err);
    if (r >= 0)
        r = read_platforms(root, rel, err);
    if (r >= 0)
        r = read_no_deltas(root, err);
    return r >= 0 ? json_done(root, err) : r;
}

int release_parse(struct buf json, struct release *ret, struct err *err)
{
    struct json_cur root;
    struct release rel = {0};
    int r = json_parse(json, &json_limits_signed, &root, err);

    if (r < 0)
        return r;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    r = read_release(&root, &rel, err);
    if (r == 0)
        *ret = rel;
    return r;
}

static void build_platform(const struct release_platform *p, struct cJSON *platforms)
{
    struct cJSON *obj = json_push(platforms, json_obj());
    char text[SHA256_TEXT];

    json_put_str(obj, "os", p->os);
    json_put_str(obj, "architecture", p->architecture);
    json_put_str(obj, "variant", p->variant);
    struct cJSON *manifest = json_put(obj, "manifest", json_obj());
    json_put_str(manifest, "digest", digest_text(&p->manifest, text));
    json_put_u64(manifest, "size", p->manifest_bytes);
    json_put_u64(obj, "packed_bytes", p->packed_bytes);
    json_put_u64(obj, "unpacked_bytes", p->unpacked_bytes);
    json_put_u64(obj, "inodes", p->inodes);
}

char *release_build(const struct release *rel)
{
    AUTO_JSON struct cJSON *root = json_obj();

    json_put_str(root, "schema", "limpet.release/1");
    json_put_str(root, "name", rel->name);
    json_put_u64(root, "counter", rel->counter);
    json_put_str(root, "version", rel->version);
    json_put_u64(root, "issued", rel->issued_s);
    struct cJSON *platforms = json_put(root, "platforms", json_arr());
    for (unsigned i = 0; i < rel->n_platforms; i++)
        build_platform(&rel->platforms[i], platforms);
    (void)json_put(root, "deltas", json_arr());
    return json_print(root, false);
}

const struct release_platform *release_choose(const struct release *r, const char *arch, const char *variant)
{
    const struct release_platform *best = NULL;
    int best_rank = -1;

    for (unsigned i = 0; i < r->n_platforms; i++) {
        const struct release_platform *p = &r->platforms[i];
        int rank = platform_rank(arch, variant, p->os, p->architecture, p->variant);
        if (rank >= 0 && (best == NULL || rank < best_rank)) {
            best = p;
            best_rank = rank;
        }
    }
    return best;
}
