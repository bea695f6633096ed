/* trust.c - the trust document: who may sign what. See trust.h. */
#include "ota/doc/trust.h"

#include "ota/doc/field.h"
#include "platform/clock.h"
#include <inttypes.h>

#define KEY_TEXT_BYTES 88 /* base64 of 65 bytes */

static const char *const role_names[] = {
    [TRUST_ROOT] = "root",
    [TRUST_RELEASE] = "release",
    [TRUST_FLEET] = "fleet",
};
_Static_assert(COUNT_OF(role_names) == TRUST_ROLE_COUNT_, "a name for each role");

/* The key list while roles are read: ids point into the document, used counts the roles that name each
 * key. */
struct key_list {
    unsigned n;
    const char *ids[LIM_KEYS];
    struct p256_pub keys[LIM_KEYS];
    unsigned used[LIM_KEYS];
};

static int find_key(const struct key_list *l, const char *id)
{
    for (unsigned i = 0; i < l->n; i++)
        if (strcmp(l->ids[i], id) == 0)
            return (int)i;
    return -1;
}

static int read_key(const struct json_cur *at, struct key_list *l, struct err *err)
{
    const char *text = NULL, *id = NULL;
    size_t len = 0;
    struct p256_pub *key = &l->keys[l->n];
    int rc = json_get_str(at, "id", JSON_REQUIRED, LIM_NAME_BYTES - 1, &id, err);

    if (rc >= 0)
        rc = json_get_str(at, "public", JSON_REQUIRED, KEY_TEXT_BYTES, &text, err);
    if (rc >= 0)
        rc = json_done(at, err);
    if (rc < 0)
        return rc;
    if (base64_decode(buf_str(text), key->b, sizeof(key->b), &len, NULL) < 0 || len != sizeof(key->b) ||
        !p256_is_point(key))
        return json_fail(at, err, ERR_INVALID, "public: not base64 of an uncompressed P-256 point");
    if (!str_is_name(id) || find_key(l, id) >= 0)
        return json_fail(at, err, ERR_INVALID, "id: invalid or duplicate");
    for (unsigned i = 0; i < l->n; i++)
        if (memcmp(l->keys[i].b, key->b, sizeof(key->b)) == 0)
            return json_fail(at, err, ERR_INVALID, "the same key as \"%s\"", l->ids[i]);
    l->ids[l->n++] = id;
    return 0;
}

static int read_keys(const struct json_cur *root, struct key_list *l, struct err *err)
{
    struct json_cur arr;
    int rc = json_get_array(root, "keys", JSON_REQUIRED, LIM_KEYS, &arr, err);

    for (unsigned i = 0; rc >= 0 && i < json_len(&arr); i++) {
        struct json_cur at = json_at(&arr, i);
        rc = read_key(&at, l, err);
    }
    return rc;
}

static int read_role_key(const struct json_cur *at, enum trust_role role, struct key_list *l, struct trust *t,
                         struct err *err)
{
    const char *id = NULL;
    int rc = json_as_str(at, LIM_NAME_BYTES - 1, &id, err);

    if (rc < 0)
        return rc;
    int k = find_key(l, id);
    if (k < 0)
        return json_fail(at, err, ERR_INVALID, "no such key in keys");
    if (l->used[k]++ > 0)
        return json_fail(at, err, ERR_INVALID, "this key serves twice; each key has one role");
    t->roles[role].keys[t->roles[role].n_keys++] = l->keys[k];
    return 0;
}

static int read_role(const struct json_cur *roles, enum trust_role role, struct key_list *l, struct trust *t,
                     struct err *err)
{
    struct json_cur obj, keys;
    uint64_t threshold = 0;
    int rc = json_get_object(roles, role_names[role], JSON_REQUIRED, &obj, err);

    if (rc >= 0)
        rc = json_get_u64(&obj, "threshold", JSON_REQUIRED, 1, LIM_KEYS, &threshold, err);
    if (rc >= 0)
        rc = json_get_array(&obj, "keys", JSON_REQUIRED, LIM_KEYS, &keys, err);
    if (rc >= 0)
        rc = json_done(&obj, err);
    for (unsigned i = 0; rc >= 0 && i < json_len(&keys); i++) {
        struct json_cur at = json_at(&keys, i);
        rc = read_role_key(&at, role, l, t, err);
    }
    if (rc < 0)
        return rc;
    if (threshold > t->roles[role].n_keys || threshold > LIM_THRESHOLD)
        return json_fail(&obj, err, ERR_INVALID,
                         "threshold %u of %u keys can't be met; at most all keys of the role, and %d",
                         (unsigned)threshold, t->roles[role].n_keys, LIM_THRESHOLD);
    t->roles[role].threshold = (unsigned)threshold;
    return 0;
}

static int read_roles(const struct json_cur *root, struct key_list *l, struct trust *t, struct err *err)
{
    struct json_cur roles;
    int rc = json_get_object(root, "roles", JSON_REQUIRED, &roles, err);

    for (int i = 0; rc >= 0 && i < TRUST_ROLE_COUNT_; i++)
        rc = read_role(&roles, (enum trust_role)i, l, t, err);
    if (rc >= 0)
        rc = json_done(&roles, err);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < l->n; i++)
        if (l->used[i] == 0)
            return err_set(err, ERR_INVALID, "keys[%u]: \"%s\" has no role", i, l->ids[i]);
    return 0;
}

static int read_trust(const struct json_cur *root, struct trust *t, struct err *err)
{
    struct key_list l = {0};
    int rc = field_schema(root, "limpet.trust/1", err);

    if (rc >= 0)
        rc = field_name(root, "fleet", t->fleet, err);
    if (rc >= 0)
        rc = json_get_u64(root, "version", JSON_REQUIRED, 1, LIM_COUNTER, &t->version, err);
    if (rc >= 0)
        rc = json_get_u64(root, "issued", JSON_REQUIRED, 0, FIELD_SECONDS_MAX, &t->issued_s, err);
    if (rc >= 0)
        rc = json_get_u64(root, "expires", JSON_REQUIRED, 1, FIELD_SECONDS_MAX, &t->expires_s, err);
    if (rc >= 0)
        rc = read_keys(root, &l, err);
    if (rc >= 0)
        rc = read_roles(root, &l, t, err);
    if (rc >= 0)
        rc = json_done(root, err);
    if (rc >= 0 && t->expires_s <= t->issued_s)
        rc = err_set(err, ERR_INVALID, "expires: not after issued");
    return rc < 0 ? rc : 0;
}

int trust_parse(struct buf json, struct trust *ret, struct err *err)
{
    struct json_cur root;
    struct trust t = {0};
    int rc = json_parse(json, &json_limits_signed, &root, err);

    if (rc < 0)
        return rc;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    rc = read_trust(&root, &t, err);
    if (rc == 0)
        *ret = t;
    return rc;
}

char *trust_key_id(const struct p256_pub *key, char dst[17])
{
    struct digest d = {{0}};
    char hex[SHA256_HEX];

    /* hashing a buffer never fails in our builds; the name is informational */
    err_ignore(sha256(buf_of(key->b, sizeof(key->b)), &d, NULL));
    (void)str_fmt(dst, 17, "%.16s", digest_hex(&d, hex));
    return dst;
}

static void build_role(const struct trust *t, int role, struct cJSON *keys, struct cJSON *roles)
{
    struct cJSON *obj = json_put(roles, role_names[role], json_obj());
    char id[17];

    json_put_u64(obj, "threshold", t->roles[role].threshold);
    struct cJSON *ids = json_put(obj, "keys", json_arr());
    for (unsigned i = 0; i < t->roles[role].n_keys; i++) {
        const struct p256_pub *pub = &t->roles[role].keys[i];
        char AUTO_MEM *text = base64_encode(buf_of(pub->b, sizeof(pub->b)));
        struct cJSON *key = json_push(keys, json_obj());
        json_put_str(key, "id", trust_key_id(pub, id));
        json_put_str(key, "public", text);
        json_push_str(ids, id);
    }
}

char *trust_build(const struct trust *t)
{
    AUTO_JSON struct cJSON *root = json_obj();

    json_put_str(root, "schema", "limpet.trust/1");
    json_put_str(root, "fleet", t->fleet);
    json_put_u64(root, "version", t->version);
    json_put_u64(root, "issued", t->issued_s);
    json_put_u64(root, "expires", t->expires_s);
    struct cJSON *keys = json_put(root, "keys", json_arr());
    struct cJSON *roles = json_put(root, "roles", json_obj());
    for (int i = 0; i < TRUST_ROLE_COUNT_; i++)
        build_role(t, i, keys, roles);
    return json_print(root, false);
}

int trust_verify(const struct trust *t, enum trust_role role, const struct envelope *e, const char *type,
                 struct err *err)
{
    if (role != TRUST_ROOT && e->n_sigs > t->roles[role].n_keys) /* each would be checked against each key */
        return err_set(err, ERR_DENIED, "%s keys: %u signatures, there are %u keys", role_names[role],
                       e->n_sigs, t->roles[role].n_keys);
    int rc =
        envelope_verify(e, type, t->roles[role].keys, t->roles[role].n_keys, t->roles[role].threshold, err);

    return rc < 0 && err ? err_wrap(err, "%s keys", role_names[role]) : rc;
}

int trust_is_valid(const struct trust *t, uint64_t now_s, struct err *err)
{
    char when[24];

    if (now_s < t->expires_s)
        return 0;
    return err_set(err, ERR_DENIED, "trust version %" PRIu64 " expired %s", t->version,
                   clock_rfc3339(t->expires_s, when, sizeof(when)));
}

static bool has_key(const struct trust *t, int role, const struct p256_pub *key)
{
    for (unsigned i = 0; i < t->roles[role].n_keys; i++)
        if (memcmp(t->roles[role].keys[i].b, key->b, sizeof(key->b)) == 0)
            return true;
    return false;
}

void trust_changes(const struct trust *cur, const struct trust *next, bool ret[TRUST_ROLE_COUNT_])
{
    for (int rc = 0; rc < TRUST_ROLE_COUNT_; rc++) {
        ret[rc] = false;
        for (unsigned i = 0; i < cur->roles[rc].n_keys; i++)
            ret[rc] |= !has_key(next, rc, &cur->roles[rc].keys[i]);
    }
}

static int check_succession(const struct trust *cur, const struct trust *next, struct err *err)
{
    if (strcmp(cur->fleet, next->fleet) != 0)
        return err_set(err, ERR_DENIED, "trust for fleet \"%s\", not \"%s\"", next->fleet, cur->fleet);
    if (next->version != cur->version + 1)
        return err_set(err, ERR_DENIED, "trust version %" PRIu64 " does not follow %" PRIu64, next->version,
                       cur->version);
    return 0;
}

int trust_step(const struct trust *cur, const struct envelope *next_env, struct trust *ret, struct err *err)
{
    struct trust next;
    int rc = cur ? trust_verify(cur, TRUST_ROOT, next_env, ENVELOPE_TYPE_TRUST, err) : 0;

    if (rc == 0) /* now the bytes are authenticated (or shipped with the device): they may be parsed */
        rc = trust_parse(buf_of(next_env->payload, next_env->payload_len), &next, err);
    if (rc == 0 && cur)
        rc = check_succession(cur, &next, err);
    if (rc == 0)
        rc = trust_verify(&next, TRUST_ROOT, next_env, ENVELOPE_TYPE_TRUST, err);
    if (rc == 0)
        *ret = next;
    return rc;
}
