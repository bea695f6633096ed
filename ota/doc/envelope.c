#include "ota/doc/envelope.h"

#include <stdio.h>

#include "ota/doc/field.h"

#define PACK_MAGIC     "LPE1"
#define PACK_HEAD      10 /* magic, u8 type length, u8 signatures, u32 payload length (little endian) */
#define SIG_TEXT_BYTES 88 /* base64 of 64 bytes */
#define KEYID_BYTES    128

static struct envelope *make(const char *type, size_t payload_len, unsigned n_sigs)
{
    struct envelope *e = mem_need_zero(sizeof(*e) + payload_len);

    if (!str_copy(e->type, sizeof(e->type), type))
        return envelope_free(e);
    e->payload_len = payload_len;
    e->n_sigs = n_sigs;
    return e;
}

struct envelope *envelope_copy(const struct envelope *e)
{
    struct envelope *copy = mem_need(sizeof(*e) + e->payload_len);

    memcpy(copy, e, sizeof(*e) + e->payload_len);
    return copy;
}

struct envelope *envelope_free(struct envelope *e)
{
    free(e);
    return NULL;
}

/* ---- JSON ---- */

static int parse_sig(const struct json_cur *at, struct p256_sig *ret, struct err *err)
{
    const char *text = NULL, *keyid = NULL;
    size_t len = 0;
    int rc = json_get_str(at, "keyid", JSON_OPTIONAL, KEYID_BYTES, &keyid, err);

    if (rc < 0)
        return rc;
    rc = json_get_str(at, "sig", JSON_REQUIRED, SIG_TEXT_BYTES, &text, err);
    if (rc < 0)
        return rc;
    if (base64_decode(buf_str(text), ret->b, sizeof(ret->b), &len, NULL) < 0 || len != sizeof(ret->b))
        return json_fail(at, err, ERR_INVALID, "sig: not base64 of a 64-byte P-256 signature");
    return json_done(at, err);
}

static int parse_sigs(const struct json_cur *arr, struct envelope *e, struct err *err)
{
    for (unsigned i = 0; i < e->n_sigs; i++) {
        struct json_cur at = json_at(arr, i);
        int rc = parse_sig(&at, &e->sigs[i], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The three members, still as text. */
struct members {
    const char *type, *payload;
    struct json_cur sigs;
};

static int read_members(const struct json_cur *root, struct members *m, struct err *err)
{
    int rc = json_get_str(root, "payloadType", JSON_REQUIRED, sizeof(((struct envelope *)0)->type) - 1,
                          &m->type, err);

    if (rc >= 0)
        rc = json_get_str(root, "payload", JSON_REQUIRED, LIM_ENVELOPE_BYTES, &m->payload, err);
    if (rc >= 0)
        rc = json_get_array(root, "signatures", JSON_REQUIRED, LIM_SIGNATURES, &m->sigs, err);
    return rc >= 0 ? json_done(root, err) : rc;
}

int envelope_parse(struct buf json, struct envelope **ret, struct err *err)
{
    struct json_cur root;
    struct members m = {0};

    if (json.len > LIM_ENVELOPE_BYTES)
        return err_set(err, ERR_NOSPACE, "envelope of %zu bytes, at most %d", json.len, LIM_ENVELOPE_BYTES);
    int rc = json_parse(json, &json_limits_signed, &root, err);
    if (rc < 0)
        return rc;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    rc = read_members(&root, &m, err);
    if (rc < 0)
        return rc;

    size_t room = strlen(m.payload) / 4 * 3;
    AUTO_FREE(envelope) struct envelope *e = make(m.type, room, json_len(&m.sigs));
    if (base64_decode(buf_str(m.payload), e->payload, room, &e->payload_len, NULL) < 0)
        return err_set(err, ERR_INVALID, "payload: not base64");
    rc = parse_sigs(&m.sigs, e, err);
    if (rc < 0)
        return rc;
    *ret = steal_ptr(&e);
    return 0;
}

char *envelope_build(const struct envelope *e, const char *const *key_ids)
{
    AUTO_JSON struct cJSON *root = json_obj();
    char AUTO_MEM *payload = base64_encode(buf_of(e->payload, e->payload_len));

    json_put_str(root, "payloadType", e->type);
    json_put_str(root, "payload", payload);
    struct cJSON *sigs = json_put(root, "signatures", json_arr());
    for (unsigned i = 0; i < e->n_sigs; i++) {
        char AUTO_MEM *text = base64_encode(buf_of(e->sigs[i].b, P256_SIG_BYTES));
        struct cJSON *sig = json_push(sigs, json_obj());
        if (key_ids && key_ids[i])
            json_put_str(sig, "keyid", key_ids[i]);
        json_put_str(sig, "sig", text);
    }
    return json_print(root, false);
}

/* ---- the packed record ---- */

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint8_t *envelope_pack(const struct envelope *e, size_t *ret_len)
{
    size_t type_len = strlen(e->type), sig_len = (size_t)e->n_sigs * P256_SIG_BYTES;
    size_t len = PACK_HEAD + type_len + sig_len + e->payload_len;
    uint8_t *out = mem_need(len), *p = out + PACK_HEAD;

    memcpy(out, PACK_MAGIC, 4);
    out[4] = (uint8_t)type_len;
    out[5] = (uint8_t)e->n_sigs;
    put_u32(out + 6, (uint32_t)e->payload_len);
    memcpy(p, e->type, type_len);
    for (unsigned i = 0; i < e->n_sigs; i++)
        memcpy(p + type_len + (size_t)i * P256_SIG_BYTES, e->sigs[i].b, P256_SIG_BYTES);
    if (e->payload_len > 0)
        memcpy(p + type_len + sig_len, e->payload, e->payload_len);
    *ret_len = len;
    return out;
}

int envelope_unpack(struct buf packed, struct envelope **ret, struct err *err)
{
    char type[sizeof(((struct envelope *)0)->type)] = {0};

    if (packed.len > LIM_ENVELOPE_BYTES)
        return err_set(err, ERR_NOSPACE, "record of %zu bytes, at most %d", packed.len, LIM_ENVELOPE_BYTES);
    if (packed.len < PACK_HEAD || memcmp(packed.p, PACK_MAGIC, 4) != 0)
        return err_set(err, ERR_INVALID, "not an envelope record");
    size_t type_len = packed.p[4], n_sigs = packed.p[5], payload_len = get_u32(packed.p + 6);
    if (type_len == 0 || type_len >= sizeof(type) || n_sigs > LIM_SIGNATURES ||
        payload_len > LIM_ENVELOPE_BYTES)
        return err_set(err, ERR_INVALID, "envelope record: a length is out of bounds");
    if (packed.len != PACK_HEAD + type_len + n_sigs * P256_SIG_BYTES + payload_len)
        return err_set(err, ERR_INVALID, "envelope record: lengths do not add up");
    const uint8_t *p = packed.p + PACK_HEAD;
    memcpy(type, p, type_len);
    if (strlen(type) != type_len)
        return err_set(err, ERR_INVALID, "envelope record: NUL in the type");
    p += type_len;
    struct envelope *e = make(type, payload_len, (unsigned)n_sigs);
    if (!e)
        return err_set(err, ERR_INVALID, "envelope record: type too long");
    for (unsigned i = 0; i < n_sigs; i++, p += P256_SIG_BYTES)
        memcpy(e->sigs[i].b, p, P256_SIG_BYTES);
    if (payload_len > 0)
        memcpy(e->payload, p, payload_len);
    *ret = e;
    return 0;
}

/* ---- signatures ---- */

uint8_t *envelope_pae(const char *type, struct buf payload, size_t *ret_len)
{
    char head[192];
    int n = snprintf(head, sizeof(head), "DSSEv1 %zu %s %zu ", strlen(type), type, payload.len);
    size_t head_len = n < 0 || (size_t)n >= sizeof(head) ? 0 : (size_t)n;

    if (head_len == 0) /* no type of ours is that long: the signature of an empty text is never valid */
        payload.len = 0;
    uint8_t *out = mem_need(head_len + payload.len + 1);
    memcpy(out, head, head_len);
    if (payload.len > 0)
        memcpy(out + head_len, payload.p, payload.len);
    *ret_len = head_len + payload.len;
    return out;
}

static bool key_seen(const struct p256_pub *keys, unsigned n, const struct p256_pub *key)
{
    for (unsigned i = 0; i < n; i++)
        if (memcmp(keys[i].b, key->b, sizeof(key->b)) == 0)
            return true;
    return false;
}

/* Does an unused signature verify under this key? A signature can be crafted to fit two keys (both computed
 * from it), so each counts once. */
static bool take_sig(const struct envelope *e, struct buf pae, const struct p256_pub *key, bool *used)
{
    for (unsigned i = 0; i < e->n_sigs; i++)
        if (!used[i] && p256_verify(key, pae, &e->sigs[i], NULL) == 0) {
            used[i] = true;
            return true;
        }
    return false;
}

int envelope_verify(const struct envelope *e, const char *want_type, const struct p256_pub *keys,
                    unsigned n_keys, unsigned threshold, struct err *err)
{
    bool used[LIM_SIGNATURES] = {false};
    unsigned good = 0;
    size_t pae_len = 0;

    if (n_keys == 0 || threshold == 0)
        return err_set(err, ERR_DENIED, "no keys to verify with");
    if (strcmp(e->type, want_type) != 0)
        return err_set(err, ERR_DENIED, "signed as \"%s\", not as \"%s\"", e->type, want_type);
    uint8_t AUTO_MEM *pae = envelope_pae(e->type, buf_of(e->payload, e->payload_len), &pae_len);
    for (unsigned i = 0; i < n_keys && good < threshold; i++)
        if (!key_seen(keys, i, &keys[i]) && take_sig(e, buf_of(pae, pae_len), &keys[i], used))
            good++;
    if (good < threshold)
        return err_set(err, ERR_DENIED, "%u of %u signatures", good, threshold);
    return 0;
}

int envelope_sign(const char *type, struct buf payload, const uint8_t (*privs)[P256_PRIV_BYTES],
                  unsigned n_privs, struct envelope **ret, struct err *err)
{
    size_t pae_len = 0;

    if (n_privs > LIM_SIGNATURES)
        return err_set(err, ERR_INVALID, "%u signatures, at most %d", n_privs, LIM_SIGNATURES);
    AUTO_FREE(envelope) struct envelope *e = make(type, payload.len, n_privs);
    if (!e)
        return err_set(err, ERR_INVALID, "payload type too long");
    if (payload.len > 0)
        memcpy(e->payload, payload.p, payload.len);
    uint8_t AUTO_MEM *pae = envelope_pae(type, payload, &pae_len);
    for (unsigned i = 0; i < n_privs; i++) {
        int rc = p256_sign(privs[i], buf_of(pae, pae_len), &e->sigs[i], err);
        if (rc < 0)
            return rc;
    }
    *ret = steal_ptr(&e);
    return 0;
}
