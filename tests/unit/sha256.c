/* sha256.c - SHA-256 by the processor's instructions (where it has them) against mbedtls' own. */
#include <psa/crypto.h>

#include "check.h"
#include "platform/crypto.h"

static void by_mbedtls(const uint8_t *p, size_t n, struct digest *ret)
{
    size_t len = 0;

    CHECK(psa_hash_compute(PSA_ALG_SHA_256, p, n, ret->b, sizeof(ret->b), &len) == PSA_SUCCESS);
    CHECK(len == sizeof(ret->b));
}

/* In pieces of so many bytes. */
static void by_us(const uint8_t *p, size_t n, size_t piece, struct digest *ret)
{
    AUTO_FREE(sha256) struct sha256 *h = sha256_new();
    struct err err = ERR_INIT;

    for (size_t at = 0; at < n; at += piece)
        CHECK_OK(sha256_add(h, buf_of(p + at, n - at < piece ? n - at : piece), &err), err);
    CHECK_OK(sha256_end(h, ret, &err), err);
    CHECK(sha256_end(h, ret, &err) < 0); /* once */
}

TEST(all_lengths_and_pieces)
{
    static const size_t pieces[] = {1, 3, 63, 64, 65, 127, 128, 200, 1000};
    static uint8_t bytes[1000];
    struct digest want, got;
    struct err err = ERR_INIT;

    CHECK_OK(crypto_init(&err), err);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * i + 7 * i);
    for (size_t n = 0; n <= 300; n++) {
        by_mbedtls(bytes + n % 5, n, &want);
        for (size_t i = 0; i < COUNT_OF(pieces); i++) {
            by_us(bytes + n % 5, n, pieces[i], &got);
            CHECK(digest_eq(&got, &want));
        }
    }
}

/* FIPS 180-4's last example. */
TEST(a_million_times_a)
{
    static uint8_t as[1000000];
    char text[SHA256_TEXT];
    struct digest d;

    memset(as, 'a', sizeof(as));
    by_us(as, sizeof(as), 16384, &d);
    CHECK_STR(digest_text(&d, text),
              "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_MAIN
