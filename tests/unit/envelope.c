#include "ota/doc/envelope.h"

#include "tests/unit/check.h"

#define TYPE ENVELOPE_TYPE_RELEASE

static uint8_t priv[4][P256_PRIV_BYTES];
static struct p256_pub pub[4];

static void keys(void)
{
    static bool done;
    struct err err = ERR_INIT;

    if (done)
        return;
    CHECK_OK(crypto_init(&err), err);
    for (int i = 0; i < 4; i++)
        CHECK_OK(p256_generate(priv[i], &pub[i], &err), err);
    done = true;
}

static struct envelope *signed_by(unsigned n, struct buf payload)
{
    struct envelope *e = NULL;
    struct err err = ERR_INIT;

    keys();
    CHECK_OK(envelope_sign(TYPE, payload, (const uint8_t(*)[P256_PRIV_BYTES])priv, n, &e, &err), err);
    return e;
}

TEST(pae_is_what_dsse_says)
{
    size_t len = 0;
    uint8_t AUTO_MEM *pae = envelope_pae("http://example.com/HelloWorld", BUF_LIT("hello world"), &len);

    CHECK(buf_eq(buf_of(pae, len), BUF_LIT("DSSEv1 29 http://example.com/HelloWorld 11 hello world")));
}

TEST(sign_build_parse_verify)
{
    struct err err = ERR_INIT;
    AUTO_FREE(envelope) struct envelope *e = signed_by(2, BUF_LIT("{\"a\":1}"));
    char AUTO_MEM *text = envelope_build(e, (const char *const[]){"one", NULL});
    AUTO_FREE(envelope) struct envelope *back = NULL;

    CHECK_OK(envelope_parse(buf_str(text), &back, &err), err);
    CHECK(back && back->n_sigs == 2 && back->payload_len == 7 && memcmp(back->payload, "{\"a\":1}", 7) == 0);
    CHECK_OK(envelope_verify(back, TYPE, pub, 2, 2, &err), err);
    CHECK_OK(envelope_verify(back, TYPE, pub, 4, 2, &err), err);
}

TEST(payload_of_every_length_survives)
{
    struct err err = ERR_INIT;

    for (size_t len = 0; len < 70; len++) {
        uint8_t bytes[70];
        memset(bytes, (int)(0xff - len), sizeof(bytes));
        AUTO_FREE(envelope) struct envelope *e = signed_by(1, buf_of(bytes, len));
        char AUTO_MEM *text = envelope_build(e, NULL);
        AUTO_FREE(envelope) struct envelope *back = NULL;
        CHECK_OK(envelope_parse(buf_str(text), &back, &err), err);
        CHECK(back && buf_eq(buf_of(back->payload, back->payload_len), buf_of(bytes, len)));
    }
}

TEST(pack_and_unpack)
{
    struct err err = ERR_INIT;
    size_t len = 0;
    AUTO_FREE(envelope) struct envelope *e = signed_by(3, BUF_LIT("payload"));
    uint8_t AUTO_MEM *rec = envelope_pack(e, &len);
    AUTO_FREE(envelope) struct envelope *back = NULL;

    CHECK_OK(envelope_unpack(buf_of(rec, len), &back, &err), err);
    CHECK(back && strcmp(back->type, TYPE) == 0 && back->n_sigs == 3);
    CHECK_OK(envelope_verify(back, TYPE, pub, 3, 3, &err), err);
    for (size_t cut = 0; cut < len; cut++) {
        struct envelope *none = NULL;
        CHECK_ERR(envelope_unpack(buf_of(rec, cut), &none, &err), ERR_INVALID, err);
        CHECK(none == NULL);
    }
}

TEST(each_flipped_bit_of_the_record_is_refused)
{
    struct err err = ERR_INIT;
    size_t len = 0, accepted = 0;
    AUTO_FREE(envelope) struct envelope *e = signed_by(1, BUF_LIT("x"));
    uint8_t AUTO_MEM *rec = envelope_pack(e, &len);

    for (size_t bit = 0; bit < len * 8; bit += 3) {
        AUTO_FREE(envelope) struct envelope *back = NULL;
        rec[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (envelope_unpack(buf_of(rec, len), &back, &err) == 0 &&
            envelope_verify(back, TYPE, pub, 1, 1, &err) == 0)
            accepted++;
        rec[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    CHECK(accepted == 0);
}

TEST(keys_are_counted_not_signatures)
{
    struct err err = ERR_INIT;
    AUTO_FREE(envelope) struct envelope *e = signed_by(1, BUF_LIT("x"));
    AUTO_FREE(envelope) struct envelope *twice = mem_need_zero(sizeof(*e) + 1);
    struct p256_pub same[2];

    memcpy(twice, e, sizeof(*e) + 1);
    twice->sigs[1] = twice->sigs[0];
    twice->n_sigs = 2;
    CHECK_ERR(envelope_verify(twice, TYPE, pub, 4, 2, &err), ERR_DENIED, err);
    CHECK_MSG(err, "1 of 2 signatures");
    same[0] = same[1] = pub[0];
    CHECK_ERR(envelope_verify(twice, TYPE, same, 2, 2, &err), ERR_DENIED, err);
}

TEST(one_key_signing_twice_counts_once)
{
    struct err err = ERR_INIT;
    uint8_t both[2][P256_PRIV_BYTES];
    AUTO_FREE(envelope) struct envelope *e = NULL;

    keys();
    memcpy(both[0], priv[0], P256_PRIV_BYTES);
    memcpy(both[1], priv[0], P256_PRIV_BYTES);
    CHECK_OK(envelope_sign(TYPE, BUF_LIT("x"), (const uint8_t(*)[P256_PRIV_BYTES])both, 2, &e, &err), err);
    CHECK_ERR(envelope_verify(e, TYPE, pub, 2, 2, &err), ERR_DENIED, err);
}

/* From one signature two keys can be computed that both verify it (r has two points): it still counts once.
 */
TEST(one_signature_that_fits_two_keys_counts_once)
{
    static const char *const texts[] = {
        "04f3134e3c90e8d0a1c331a08117ec7a1b000cac8d1fe643b7c4001dd6c9a49e32"
        "cee1bfbae68a8ad132fa73e63ad79fb700fd033a8debdc0df49726386e2faf9d",
        "043b2364b5bcef81bd89631268b6f32e5689c9ce9851c54641d31b78a8192e86ed"
        "b2b9ae479f908a08682d0f18103824eaa57163f0857a3561ed2c2083ccbf5e77",
    };
    static const char sig[] = "fb50388f29498d0a93ad25ec4c34037b9d3cc3cca4787eb6fedabe2b3003eac8"
                              "000000000000000000000000000000000000000000000000000000003ade68b1";
    struct err err = ERR_INIT;
    struct p256_pub both[2];
    AUTO_FREE(envelope) struct envelope *e = signed_by(1, BUF_LIT("x"));

    CHECK(hex_decode(sig, e->sigs[0].b, P256_SIG_BYTES));
    for (int i = 0; i < 2; i++) {
        CHECK(hex_decode(texts[i], both[i].b, P256_PUB_BYTES));
        CHECK_OK(envelope_verify(e, TYPE, &both[i], 1, 1, &err), err);
    }
    CHECK_ERR(envelope_verify(e, TYPE, both, 2, 2, &err), ERR_DENIED, err);
}

TEST(bad_signatures_beside_good_ones_do_not_hurt)
{
    struct err err = ERR_INIT;
    AUTO_FREE(envelope) struct envelope *e = signed_by(3, BUF_LIT("x"));

    memset(e->sigs[0].b, 0, P256_SIG_BYTES);
    e->sigs[1].b[5] ^= 1;
    CHECK_OK(envelope_verify(e, TYPE, pub, 4, 1, &err), err);
    CHECK_ERR(envelope_verify(e, TYPE, pub, 4, 2, &err), ERR_DENIED, err);
}

/* ---- signatures at the edges of the curve's order */

#define HALF (P256_SIG_BYTES / 2)

static const char order[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
/* RFC 6979, A.2.5 */
static const char rfc_key[] = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
                              "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
static const char rfc_r[] = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716";
static const char rfc_s[] = "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";

static void from_hex(const char *hex, uint8_t *dst)
{
    for (unsigned v; sscanf(hex, "%2x", &v) == 1; hex += 2)
        *dst++ = (uint8_t)v;
}

/* a - b, big-endian */
static void minus(const uint8_t *a, const uint8_t *b, uint8_t *dst)
{
    int borrow = 0;

    for (int i = HALF - 1; i >= 0; i--) {
        int v = a[i] - b[i] - borrow;
        borrow = v < 0;
        dst[i] = (uint8_t)(v & 0xff);
    }
}

TEST(signatures_at_the_edges_are_judged)
{
    uint8_t n[HALF], values[8][HALF] = {{0}};
    struct p256_pub key;
    struct p256_sig good, bad;
    struct err err = ERR_INIT;

    keys();
    from_hex(rfc_key, key.b);
    from_hex(order, n);
    from_hex(rfc_r, good.b);
    from_hex(rfc_s, good.b + HALF);
    CHECK_OK(p256_verify(&key, BUF_LIT("sample"), &good, &err), err);
    CHECK_ERR(p256_verify(&key, BUF_LIT("test"), &good, &err), ERR_INTEGRITY, err);
    values[1][HALF - 1] = 1; /* 0 and 1 */
    memcpy(values[2], n, HALF);
    minus(n, values[1], values[3]);
    memcpy(values[4], n, HALF), values[4][HALF - 1]++;
    memset(values[5], 0xff, HALF);
    minus(n, good.b, values[6]); /* -r */
    minus(good.b, n, values[7]); /* r - n, below 0: taken around */
    for (unsigned half = 0; half < 2; half++)
        for (unsigned i = 0; i < COUNT_OF(values); i++) {
            bad = good;
            memcpy(bad.b + half * HALF, values[i], HALF);
            CHECK_ERR(p256_verify(&key, BUF_LIT("sample"), &bad, &err), ERR_INTEGRITY, err);
            memcpy(bad.b + (1 - half) * HALF, values[i], HALF); /* both */
            CHECK_ERR(p256_verify(&key, BUF_LIT("sample"), &bad, &err), ERR_INTEGRITY, err);
        }
    memcpy(bad.b, good.b + HALF, HALF);
    memcpy(bad.b + HALF, good.b, HALF);
    CHECK_ERR(p256_verify(&key, BUF_LIT("sample"), &bad, &err), ERR_INTEGRITY, err);
}

/* n - s is as right as s, for everybody: so signatures are no names, and keys are counted. */
TEST(the_other_s_is_right_and_counts_once)
{
    AUTO_FREE(envelope) struct envelope *e = signed_by(2, BUF_LIT("x"));
    struct err err = ERR_INIT;
    uint8_t n[HALF];

    from_hex(order, n);
    e->sigs[1] = e->sigs[0];
    minus(n, e->sigs[0].b + HALF, e->sigs[1].b + HALF);
    CHECK(memcmp(&e->sigs[0], &e->sigs[1], sizeof(e->sigs[0])) != 0);
    CHECK_OK(envelope_verify(e, TYPE, pub, 4, 1, &err), err);
    CHECK_ERR(envelope_verify(e, TYPE, pub, 4, 2, &err), ERR_DENIED, err);
    e->sigs[0] = e->sigs[1];
    CHECK_OK(envelope_verify(e, TYPE, pub, 4, 1, &err), err);
}

TEST(keys_off_the_curve_are_no_points)
{
    struct p256_pub key, off;

    keys();
    from_hex(rfc_key, key.b);
    CHECK(p256_is_point(&key));
    off = key, off.b[P256_PUB_BYTES - 1] ^= 1;
    CHECK(!p256_is_point(&off));
    off = key, off.b[0] = 2; /* compressed, but as long as the other form */
    CHECK(!p256_is_point(&off));
    memset(off.b + 1, 0, P256_PUB_BYTES - 1);
    CHECK(!p256_is_point(&off));
    off.b[0] = 4; /* (0, 0) */
    CHECK(!p256_is_point(&off));
    memset(off.b + 1, 0xff, P256_PUB_BYTES - 1);
    CHECK(!p256_is_point(&off));
}

TEST(another_type_of_document_does_not_count)
{
    struct err err = ERR_INIT;
    AUTO_FREE(envelope) struct envelope *e = signed_by(1, BUF_LIT("x"));

    CHECK_ERR(envelope_verify(e, ENVELOPE_TYPE_DESIRED, pub, 1, 1, &err), ERR_DENIED, err);
    strcpy(e->type, ENVELOPE_TYPE_DESIRED); /* renaming it breaks the signature */
    CHECK_ERR(envelope_verify(e, ENVELOPE_TYPE_DESIRED, pub, 1, 1, &err), ERR_DENIED, err);
}

TEST(no_keys_and_no_threshold_are_refused)
{
    struct err err = ERR_INIT;
    AUTO_FREE(envelope) struct envelope *e = signed_by(1, BUF_LIT("x"));

    CHECK_ERR(envelope_verify(e, TYPE, pub, 0, 1, &err), ERR_DENIED, err);
    CHECK_ERR(envelope_verify(e, TYPE, pub, 1, 0, &err), ERR_DENIED, err);
    e->n_sigs = 0;
    CHECK_ERR(envelope_verify(e, TYPE, pub, 1, 1, &err), ERR_DENIED, err);
}

TEST(odd_envelopes_are_refused)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "null",
        "{\"payloadType\":\"t\",\"payload\":\"\",\"signatures\":{}}",
        "{\"payloadType\":\"t\",\"payload\":\"\",\"signatures\":[],\"x\":1}",
        "{\"payloadType\":\"t\",\"payload\":\"\",\"payload\":\"\",\"signatures\":[]}",
        "{\"payloadType\":\"t\",\"payload\":\"YQ\",\"signatures\":[]}",    /* no padding */
        "{\"payloadType\":\"t\",\"payload\":\"YR==\",\"signatures\":[]}",  /* spare bits set */
        "{\"payloadType\":\"t\",\"payload\":\"Y Q==\",\"signatures\":[]}", /* blank */
        "{\"payloadType\":\"t\",\"payload\":\"-_-_\",\"signatures\":[]}",  /* the other alphabet */
        "{\"payloadType\":\"t\",\"payload\":\"\",\"signatures\":[{}]}",
        "{\"payloadType\":\"t\",\"payload\":\"\",\"signatures\":[{\"sig\":\"YQ==\"}]}",
        "{\"payloadType\":\"t\",\"payload\":\"\",\"signatures\":[{\"sig\":1}]}",
        "{\"payloadType\":7,\"payload\":\"\",\"signatures\":[]}",
        "{\"payloadType\":\"t\",\"payload\":\"\",\"signatures\":[]} ,",
    };
    struct err err = ERR_INIT;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct envelope *e = NULL;
        int r = envelope_parse(buf_str(bad[i]), &e, &err);
        if (r != -ERR_INVALID)
            printf("accepted: %s\n", bad[i]);
        CHECK_ERR(r, ERR_INVALID, err);
        CHECK(e == NULL);
        envelope_free(e);
    }
}

TEST(too_many_or_too_large_is_refused)
{
    struct err err = ERR_INIT;
    struct envelope *e = NULL;
    AUTO_FREE(envelope) struct envelope *nine = signed_by(1, BUF_LIT("x"));
    char AUTO_MEM *huge = mem_need(LIM_ENVELOPE_BYTES + 1);

    memset(huge, ' ', LIM_ENVELOPE_BYTES + 1);
    CHECK_ERR(envelope_parse(buf_of(huge, LIM_ENVELOPE_BYTES + 1), &e, &err), ERR_NOSPACE, err);
    CHECK_ERR(envelope_unpack(buf_of(huge, LIM_ENVELOPE_BYTES + 1), &e, &err), ERR_NOSPACE, err);
    char AUTO_MEM *sig = base64_encode(buf_of(nine->sigs[0].b, P256_SIG_BYTES));
    char text[2048] = "{\"payloadType\":\"t\",\"payload\":\"\",\"signatures\":[";
    for (int i = 0; i < LIM_SIGNATURES + 1; i++)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s{\"sig\":\"%s\"}", i ? "," : "",
                       sig);
    strcat(text, "]}");
    CHECK_ERR(envelope_parse(buf_str(text), &e, &err), ERR_INVALID, err);
    CHECK_MSG(err, "signatures");
}

TEST_MAIN
