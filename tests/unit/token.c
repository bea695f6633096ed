/* What is asked of a token server, and who may see the password. */
#include "ota/fetch/token.h"
#include "tests/unit/check.h"

#define REG "https://reg.example:5000/v2/a/b/manifests/1"

TEST(asks_for_what_the_challenge_says)
{
    char url[TOKEN_URL_BYTES];
    bool password = false;
    struct err err = ERR_INIT;

    CHECK_OK(
        token_url("realm=\"https://auth.example/t?x=1\",service=\"a b\",scope=\"repository:a/b:pull,push\"",
                  REG, false, url, &password, &err),
        err);
    CHECK_STR(url, "https://auth.example/t?x=1&service=a%20b&scope=repository%3Aa%2Fb%3Apull%2Cpush");
    CHECK(password);
    CHECK_OK(token_url("realm=\"https://auth.example/t\"", REG, true, url, &password, &err), err);
    CHECK_STR(url, "https://auth.example/t?scope=repository%3Aa%2Fb%3Apull%2Cpush");
    CHECK_OK(token_url("error=\"xscope=\",realm=\"https://auth.example/t\"", "https://h/v2/", false, url,
                       &password, &err),
             err);
    CHECK_STR(url, "https://auth.example/t");
}

TEST(password_goes_to_few)
{
    static const struct {
        const char *realm, *url;
        int rc; /* 1: with the password, 0: without, -1: not at all */
    } cases[] = {
        {"https://auth.example/t", REG, 1},
        {"https://reg.example/t", REG, 1},
        {"http://reg.example/t", REG, -1},
        {"http://reg:5001/t", "http://reg:5000/v2/", 1},
        {"http://reg.evil/t", "http://reg:5000/v2/", 0},
        {"http://re/t", "http://reg:5000/v2/", 0},
        {"https://evil/t", "http://reg:5000/v2/", 0},
        {"http://reg:5000@evil/t", "http://reg:5000/v2/", -1},
        {"file:///etc/passwd", REG, -1},
        {"ftp://reg/t", "http://reg/v2/", -1},
        {"", REG, -1},
    };
    char url[TOKEN_URL_BYTES], challenge[200];
    struct err err = ERR_INIT;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bool password = false;
        (void)str_fmt(challenge, sizeof(challenge), "realm=\"%s\"", cases[i].realm);
        int rc = token_url(challenge, cases[i].url, false, url, &password, &err);
        CHECK((rc < 0 ? -1 : password) == cases[i].rc);
    }
    CHECK_ERR(token_url("service=\"x\"", REG, false, url, &(bool){false}, &err), ERR_DENIED, err);
}

TEST(reads_tokens)
{
    char *token = NULL;
    struct err err = ERR_INIT;

    CHECK_OK(token_parse(buf_str("{\"token\":\"abc.def\",\"expires_in\":3}"), &token, &err), err);
    CHECK_STR(token, "abc.def");
    free(token);
    CHECK_OK(token_parse(buf_str("{\"access_token\":\"x\"}"), &token, &err), err);
    free(token);
    CHECK_ERR(token_parse(buf_str("{\"token\":\"a\\r\\nX: y\"}"), &token, &err), ERR_INVALID, err);
    CHECK_ERR(token_parse(buf_str("{}"), &token, &err), ERR_INVALID, err);
    CHECK_ERR(token_parse(buf_str("no JSON"), &token, &err), ERR_INVALID, err);
    CHECK(token_same_origin("https://a:1/x", "https://a:1/y") &&
          !token_same_origin("https://a:1/x", "http://a:1/x") &&
          !token_same_origin("https://a:1/x", "https://a:11/x") &&
          !token_same_origin("https://a/x", "https://a.b/x"));
}

TEST_MAIN
