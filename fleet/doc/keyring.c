#include "fleet/doc/keyring.h"

#include <inttypes.h>
#include <string.h>

#include "fleet/doc/x509.h"
#include "platform/clock.h"
#include "platform/json.h"

#define KEY_FILE_BYTES 4096
#define SOON_S         (30 * 86400ULL)

const char *const role_names[TRUST_ROLE_COUNT_] = {
    [TRUST_ROOT] = "root", [TRUST_RELEASE] = "release", [TRUST_FLEET] = "fleet"};

int keyring_role_parse(const char *word, enum trust_role *ret, struct err *err)
{
    for (unsigned i = 0; i < TRUST_ROLE_COUNT_; i++)
        if (strcmp(word, role_names[i]) == 0) {
            *ret = (enum trust_role)i;
            return 0;
        }
    return err_set(err, ERR_INVALID, "unknown role '%s': root, release or fleet", word);
}

int keyring_key_load(const struct ctx *c, const char *id, struct signing_key *ret, struct err *err)
{
    AUTO_BUF pem = {NULL, 0};
    struct signing_key k;
    char name[LIM_NAME_BYTES + 16];

    if (!str_copy(k.id, sizeof(k.id), id) || !str_fmt(name, sizeof(name), "keys/%s.key", id))
        return err_set(err, ERR_INVALID, "invalid key id '%s'", id);
    if (ctx_read(c, name, KEY_FILE_BYTES, &pem, err) < 0 || x509_key_parse(pem, k.priv, &k.pub, err) < 0)
        return err_wrap(err, "%s/%s", c->path, name);
    *ret = k;
    return 0;
}

int keyring_key_ensure(const struct ctx *c, const char *id, struct signing_key *ret, bool *ret_made,
                       struct err *err)
{
    char name[LIM_NAME_BYTES + 16];
    char AUTO_MEM *pem = NULL;
    struct signing_key k;

    if (!str_copy(k.id, sizeof(k.id), id) || !str_fmt(name, sizeof(name), "keys/%s.key", id))
        return err_set(err, ERR_INVALID, "invalid key id '%s'", id);
    if (ctx_has(c, name)) {
        if (ret_made)
            *ret_made = false;
        return keyring_key_load(c, id, ret, err);
    }
    if (p256_generate(k.priv, &k.pub, err) < 0 || x509_key_pem(k.priv, &pem, err) < 0 ||
        ctx_create(c, name, buf_str(pem), 0600, err) < 0)
        return -(int)err->kind;
    if (ret_made)
        *ret_made = true;
    *ret = k;
    return 0;
}

uint64_t keyring_trust_last_version(const struct ctx *c)
{
    char **AUTO_MEM names = ctx_list(c, "trust");
    uint64_t last = 0, n;
    char stem[24];

    for (char **p = names; *p; p++) {
        const char *dot = strchr(*p, '.');
        if (dot && strcmp(dot, ".json") == 0 && str_fmt(stem, sizeof(stem), "%.*s", (int)(dot - *p), *p) &&
            str_u64(stem, 1, LIM_COUNTER, &n) && n > last)
            last = n;
    }
    return last;
}

int keyring_trust_read(const struct ctx *c, uint64_t version, struct buf *ret_own, struct err *err)
{
    char name[40];

    (void)str_fmt(name, sizeof(name), "trust/%" PRIu64 ".json", version);
    return ctx_read(c, name, LIM_ENVELOPE_BYTES, ret_own, err);
}

static int read_key(const struct json_cur *k, struct trust_doc *t, struct err *err)
{
    const char *id, *pub;
    size_t n = 0;

    if (json_get_str(k, "id", JSON_REQUIRED, LIM_NAME_BYTES - 1, &id, err) < 0 ||
        json_get_str(k, "public", JSON_REQUIRED, 128, &pub, err) < 0 ||
        base64_decode(buf_str(pub), t->keys[t->n_keys].pub.b, P256_PUB_BYTES, &n, err) < 0)
        return -(int)err->kind;
    if (n != P256_PUB_BYTES)
        return json_fail(k, err, ERR_INVALID, "public key of %zu bytes", n);
    (void)str_copy(t->keys[t->n_keys++].id, LIM_NAME_BYTES, id);
    return 0;
}

static int read_role(const struct json_cur *roles, enum trust_role role, struct trust_doc *t, struct err *err)
{
    struct json_cur r, keys;
    uint64_t threshold;
    const char *id;

    if (json_get_object(roles, role_names[role], JSON_REQUIRED, &r, err) < 0 ||
        json_get_u64(&r, "threshold", JSON_REQUIRED, 1, LIM_KEYS, &threshold, err) < 0 ||
        json_get_array(&r, "keys", JSON_REQUIRED, LIM_KEYS, &keys, err) < 0)
        return -(int)err->kind;
    t->roles[role].threshold = (unsigned)threshold;
    for (unsigned i = 0; i < json_len(&keys); i++) {
        struct json_cur k = json_at(&keys, i);
        if (json_as_str(&k, LIM_NAME_BYTES - 1, &id, err) < 0)
            return -(int)err->kind;
        (void)str_copy(t->roles[role].ids[t->roles[role].n++], LIM_NAME_BYTES, id);
    }
    return 0;
}

static int read_doc(const struct json_cur *root, struct trust_doc *t, struct err *err)
{
    struct json_cur keys, roles;

    if (json_get_u64(root, "version", JSON_REQUIRED, 1, LIM_COUNTER, &t->version, err) < 0 ||
        json_get_u64(root, "issued", JSON_REQUIRED, 0, LIM_COUNTER, &t->issued_s, err) < 0 ||
        json_get_u64(root, "expires", JSON_REQUIRED, 0, LIM_COUNTER, &t->expires_s, err) < 0 ||
        json_get_array(root, "keys", JSON_REQUIRED, LIM_KEYS, &keys, err) < 0 ||
        json_get_object(root, "roles", JSON_REQUIRED, &roles, err) < 0)
        return -(int)err->kind;
    for (unsigned i = 0; i < json_len(&keys); i++) {
        struct json_cur k = json_at(&keys, i);
        if (read_key(&k, t, err) < 0)
            return -(int)err->kind;
    }
    for (unsigned i = 0; i < TRUST_ROLE_COUNT_; i++)
        if (read_role(&roles, (enum trust_role)i, t, err) < 0)
            return -(int)err->kind;
    return 0;
}

int keyring_trust_load(const struct ctx *c, uint64_t version, struct trust_doc *ret, struct err *err)
{
    AUTO_BUF text = {NULL, 0};
    AUTO_FREE(envelope) struct envelope *env = NULL;
    struct trust_doc t = {.version = 0};
    struct json_cur root;
    int rc;

    if (keyring_trust_read(c, version, &text, err) < 0 || envelope_parse(text, &env, err) < 0 ||
        json_parse(buf_of(env->payload, env->payload_len), &json_limits_signed, &root, err) < 0)
        return err_wrap(err, "trust/%" PRIu64 ".json", version);
    rc = read_doc(&root, &t, err);
    json_free(root.node);
    if (rc < 0)
        return err_wrap(err, "trust/%" PRIu64 ".json", version);
    *ret = t;
    return 0;
}

static bool role_has(const struct trust_doc *t, enum trust_role role, const char *id)
{
    for (unsigned i = 0; i < t->roles[role].n; i++)
        if (strcmp(t->roles[role].ids[i], id) == 0)
            return true;
    return false;
}

/* Keys that no role names any more leave the document. */
static void drop_unused(struct trust_doc *t)
{
    unsigned n = 0;

    for (unsigned i = 0; i < t->n_keys; i++) {
        bool used = false;
        for (unsigned r = 0; r < TRUST_ROLE_COUNT_; r++)
            used = used || role_has(t, (enum trust_role)r, t->keys[i].id);
        if (used)
            t->keys[n++] = t->keys[i];
    }
    t->n_keys = n;
}

int keyring_trust_add(struct trust_doc *t, enum trust_role role, const struct signing_key *k, bool alone,
                      struct err *err)
{
    if (alone) {
        t->roles[role].n = 0;
        t->roles[role].threshold = 1;
        drop_unused(t);
    }
    if (t->n_keys == LIM_KEYS || t->roles[role].n == LIM_KEYS)
        return err_set(err, ERR_NOSPACE, "a trust document holds at most %d keys", LIM_KEYS);
    if (t->roles[role].threshold == 0)
        t->roles[role].threshold = 1;
    (void)str_copy(t->keys[t->n_keys].id, LIM_NAME_BYTES, k->id);
    t->keys[t->n_keys++].pub = k->pub;
    (void)str_copy(t->roles[role].ids[t->roles[role].n++], LIM_NAME_BYTES, k->id);
    return 0;
}

static char *print_doc(const char *fleet, const struct trust_doc *t)
{
    struct cJSON *root = json_obj(), *keys, *roles;
    char *text;

    json_put_str(root, "schema", "limpet.trust/1");
    json_put_str(root, "fleet", fleet);
    json_put_u64(root, "version", t->version);
    json_put_u64(root, "issued", t->issued_s);
    json_put_u64(root, "expires", t->expires_s);
    keys = json_put(root, "keys", json_arr());
    for (unsigned i = 0; i < t->n_keys; i++) {
        struct cJSON *k = json_push(keys, json_obj());
        char AUTO_MEM *pub = base64_encode(buf_of(t->keys[i].pub.b, P256_PUB_BYTES));
        json_put_str(k, "id", t->keys[i].id);
        json_put_str(k, "public", pub);
    }
    roles = json_put(root, "roles", json_obj());
    for (unsigned r = 0; r < TRUST_ROLE_COUNT_; r++) {
        struct cJSON *role = json_put(roles, role_names[r], json_obj()), *ids;
        json_put_u64(role, "threshold", t->roles[r].threshold);
        ids = json_put(role, "keys", json_arr());
        for (unsigned i = 0; i < t->roles[r].n; i++)
            json_push_str(ids, t->roles[r].ids[i]);
    }
    text = json_print(root, false);
    json_free(root);
    return text;
}

struct signers {
    unsigned n;
    uint8_t privs[LIM_SIGNATURES][P256_PRIV_BYTES];
    char ids[LIM_SIGNATURES][LIM_NAME_BYTES];
    const char *id_list[LIM_SIGNATURES];
};

/* Add the role's keys that lie in keys/; how many of them there are decides. */
static int add_signers(const struct ctx *c, const struct trust_doc *t, enum trust_role role,
                       struct signers *s, struct err *err)
{
    struct signing_key k;
    unsigned have = 0;

    for (unsigned i = 0; i < t->roles[role].n && have < t->roles[role].threshold; i++) {
        const char *id = t->roles[role].ids[i];
        bool known = false;
        for (unsigned j = 0; j < s->n; j++)
            known = known || strcmp(s->ids[j], id) == 0;
        if (!known && (s->n == LIM_SIGNATURES || keyring_key_load(c, id, &k, err) < 0))
            continue;
        have++;
        if (known)
            continue;
        memcpy(s->privs[s->n], k.priv, P256_PRIV_BYTES);
        (void)str_copy(s->ids[s->n], LIM_NAME_BYTES, id);
        s->id_list[s->n] = s->ids[s->n];
        s->n++;
    }
    if (have < t->roles[role].threshold)
        return err_set(err, ERR_DENIED, "%u of %u %s keys are in %s/keys", have, t->roles[role].threshold,
                       role_names[role], c->path);
    return 0;
}

static int sign_with(const struct signers *s, const char *type, struct buf payload, struct envelope **ret,
                     char **ret_text, struct err *err)
{
    int rc = envelope_sign(type, payload, s->privs, s->n, ret, err);

    if (rc < 0)
        return rc;
    *ret_text = envelope_build(*ret, s->id_list);
    return 0;
}

/* Would a device that holds the older one (or none) take it? */
static int check_step(const struct ctx *c, const struct envelope *env, const struct trust_doc *prev,
                      struct err *err)
{
    AUTO_BUF text = {NULL, 0};
    AUTO_FREE(envelope) struct envelope *old_env = NULL;
    struct trust AUTO_MEM *old = mem_need_zero(sizeof(*old));
    struct trust AUTO_MEM *next = mem_need_zero(sizeof(*next));

    if (!prev)
        return trust_step(NULL, env, next, err);
    if (keyring_trust_read(c, prev->version, &text, err) < 0 || envelope_parse(text, &old_env, err) < 0 ||
        trust_parse(buf_of(old_env->payload, old_env->payload_len), old, err) < 0)
        return -(int)err->kind;
    return trust_step(old, env, next, err);
}

int keyring_trust_save(const struct ctx *c, const struct trust_doc *t, const struct trust_doc *prev,
                       struct err *err)
{
    char AUTO_MEM *payload = print_doc(c->fleet, t);
    AUTO_FREE(envelope) struct envelope *env = NULL;
    char AUTO_MEM *text = NULL;
    struct signers s = {.n = 0};
    char name[40];

    if (add_signers(c, t, TRUST_ROOT, &s, err) < 0 ||
        (prev && add_signers(c, prev, TRUST_ROOT, &s, err) < 0) ||
        sign_with(&s, ENVELOPE_TYPE_TRUST, buf_str(payload), &env, &text, err) < 0 ||
        check_step(c, env, prev, err) < 0)
        return err_wrap(err, "trust version %" PRIu64, t->version);
    (void)str_fmt(name, sizeof(name), "trust/%" PRIu64 ".json", t->version);
    return ctx_create(c, name, buf_str(text), 0644, err);
}

int keyring_sign(const struct ctx *c, enum trust_role role, const char *type, struct buf payload, char **ret,
                 struct err *err)
{
    AUTO_FREE(envelope) struct envelope *env = NULL;
    struct trust_doc AUTO_MEM *t = mem_need_zero(sizeof(*t));
    struct signers s = {.n = 0};
    uint64_t now = clock_wall_s();
    char when[24];

    if (keyring_trust_load(c, keyring_trust_last_version(c), t, err) < 0)
        return -(int)err->kind;
    (void)clock_rfc3339(t->expires_s, when, sizeof(when));
    if (now >= t->expires_s)
        return err_set(err, ERR_DENIED, "trust version %" PRIu64 " expired %s: fleetctl keys rotate root",
                       t->version, when);
    if (t->expires_s - now < SOON_S)
        out_note("warning: trust version %" PRIu64 " expires %s: fleetctl keys rotate root", t->version,
                 when);
    if (add_signers(c, t, role, &s, err) < 0)
        return -(int)err->kind;
    return sign_with(&s, type, payload, &env, ret, err);
}

static int verify_by(const struct ctx *c, uint64_t version, enum trust_role role, const char *type,
                     struct buf text, struct envelope **ret, struct err *err)
{
    AUTO_BUF trust_text = {NULL, 0};
    AUTO_FREE(envelope) struct envelope *trust_env = NULL;
    AUTO_FREE(envelope) struct envelope *env = NULL;
    struct trust AUTO_MEM *t = mem_need_zero(sizeof(*t));

    if (keyring_trust_read(c, version, &trust_text, err) < 0 ||
        envelope_parse(trust_text, &trust_env, err) < 0 ||
        trust_parse(buf_of(trust_env->payload, trust_env->payload_len), t, err) < 0 ||
        envelope_parse(text, &env, err) < 0 || trust_verify(t, role, env, type, err) < 0)
        return -(int)err->kind;
    *ret = steal_ptr(&env);
    return 0;
}

int keyring_verify(const struct ctx *c, enum trust_role role, const char *type, struct buf text,
                   struct envelope **ret, struct err *err)
{
    return verify_by(c, keyring_trust_last_version(c), role, type, text, ret, err);
}

int keyring_verify_ever(const struct ctx *c, enum trust_role role, const char *type, struct buf text,
                        struct envelope **ret, struct err *err)
{
    uint64_t last = keyring_trust_last_version(c);
    struct err first = ERR_INIT, ignored = ERR_INIT;

    if (verify_by(c, last, role, type, text, ret, &first) == 0)
        return 0;
    for (uint64_t v = last; v-- > 1;)
        if (verify_by(c, v, role, type, text, ret, &ignored) == 0)
            return 0;
    *err = first;
    return -(int)err->kind;
}
