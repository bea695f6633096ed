/* Keys and certificates. Chains are checked by openssl in tests/sys/fleet.sh. */
#include "fleet/doc/x509.h"
#include "platform/clock.h"
#include "tests/unit/check.h"

TEST(a_key_survives_its_pem)
{
    uint8_t priv[P256_PRIV_BYTES], again[P256_PRIV_BYTES];
    struct p256_pub pub, pub_again;
    struct err err = ERR_INIT;
    char AUTO_MEM *pem = NULL;

    CHECK_OK(crypto_init(&err), err);
    CHECK_OK(p256_generate(priv, &pub, &err), err);
    CHECK_OK(x509_key_pem(priv, &pem, &err), err);
    CHECK(strncmp(pem, "-----BEGIN EC PRIVATE KEY-----", 30) == 0);
    CHECK_OK(x509_key_parse(buf_str(pem), again, &pub_again, &err), err);
    CHECK(memcmp(priv, again, sizeof(priv)) == 0 && memcmp(pub.b, pub_again.b, sizeof(pub.b)) == 0);
    memset(again, 7, sizeof(again));
    CHECK_ERR(x509_key_parse(BUF_LIT("-----BEGIN x"), again, &pub_again, &err), ERR_INVALID, err);
    CHECK(again[0] == 7);
}

TEST(a_certificate_says_what_was_wanted)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", "fd00::1"};
    uint8_t ca_priv[P256_PRIV_BYTES], priv[P256_PRIV_BYTES];
    struct p256_pub pub;
    struct err err = ERR_INIT;
    char AUTO_MEM *ca = NULL;
    char AUTO_MEM *leaf = NULL;
    struct x509_info info;
    struct x509_want w = {
        .cn = "demo-CA", .org = "demo", .ca = true, .from_s = 1795200000, .until_s = 4000000000ULL};
    struct x509_issuer by = {.cert_pem = {NULL, 0}, .priv = ca_priv};

    CHECK_OK(crypto_init(&err), err);
    CHECK_OK(p256_generate(ca_priv, &pub, &err), err);
    CHECK_OK(p256_generate(priv, &pub, &err), err);
    CHECK_OK(x509_make(&w, ca_priv, &by, &ca, &err), err);
    by.cert_pem = buf_str(ca);
    w = (struct x509_want){.cn = "broker",
                           .org = "demo",
                           .server = true,
                           .hosts = hosts,
                           .n_hosts = 3,
                           .from_s = 1795200000,
                           .until_s = 1895200000};
    CHECK_OK(x509_make(&w, priv, &by, &leaf, &err), err);
    CHECK_OK(x509_info(buf_str(leaf), &info, &err), err);
    CHECK_STR(info.cn, "broker");
    CHECK(info.from_s == 1795200000 && info.until_s == 1895200000);
    CHECK_OK(x509_info(buf_str(ca), &info, &err), err);
    CHECK(info.until_s == 4000000000ULL); /* behind 2050: another time format */
}

TEST(names_that_would_break_a_certificate)
{
    static const char *const bad[] = {"a,O=evil", "a b", "", "a\"", "a+CN=b"};
    uint8_t priv[P256_PRIV_BYTES];
    struct p256_pub pub;
    struct err err = ERR_INIT;
    char *pem = NULL;
    struct x509_issuer by = {.cert_pem = {NULL, 0}, .priv = priv};

    CHECK_OK(crypto_init(&err), err);
    CHECK_OK(p256_generate(priv, &pub, &err), err);
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        struct x509_want w = {.cn = bad[i], .org = "demo", .from_s = 1, .until_s = 2};
        CHECK_ERR(x509_make(&w, priv, &by, &pem, &err), ERR_INVALID, err);
    }
    CHECK(pem == NULL);
}

TEST_MAIN
