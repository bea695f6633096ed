/* The regular expressions of delete --regex, beside those of libc. */
#include "runtime/limpet/regex.h"

#include <regex.h>

#include "check.h"
#include "platform/mem.h"

static bool libc_says(const char *expression, const char *text)
{
    regex_t re;
    bool hit;

    if (regcomp(&re, expression, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    hit = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return hit;
}

static const char *const expressions[] = {"web",
                                          "^web",
                                          "web$",
                                          "^web$",
                                          "w.b",
                                          "^[a-c]+$",
                                          "[^0-9]",
                                          "^(a|b)*c$",
                                          "^a*b*c*$",
                                          "a|b|c",
                                          "^(ab|cd)",
                                          "x?y+z",
                                          "^$",
                                          "^(web|db)-[0-9]+$",
                                          "\\.",
                                          "^a\\.b$",
                                          "((a)(b))+c",
                                          "^(a*)*$",
                                          "[]a]",
                                          "[a-]",
                                          "^(|x)y$",
                                          "a**b",
                                          "^.*-1$",
                                          "(^a|b$)",
                                          "[^]x]",
                                          "^(a+|b+)+$",
                                          "a+?",
                                          "(a|(b|(c|d)e)f)g",
                                          "^a{2}b",
                                          "^(ab){2}",
                                          "^a{2,}b",
                                          "^[a-z]{1,3}$",
                                          "^x{0}y{1}$",
                                          "^a{0,2}b+c*$",
                                          "(a|b){3}c",
                                          "^(a{1,2}b){2,}",
                                          "^a{0,}b",
                                          "b{3}c{3}",
                                          "^.{4}$",
                                          "^[[:alpha:]]+$",
                                          "^[[:digit:]-]+$",
                                          "[^[:alnum:]]",
                                          "[[:upper:]]",
                                          "^[[:lower:][:digit:]]*$",
                                          "[[:space:]]",
                                          "[[:punct:]_a]",
                                          "^([[:alpha:]]{2,3}|[[:digit:]]{1})$",
                                          "a{1}{2}",
                                          "^[[:xdigit:]]{2,7}$"};
static const char *const texts[] = {"",    "web", "web-1", "myweb", "a.b",   "aXb", "aaabbbccc", "abab",
                                    "abc", "cc",  "xyz",   "yz",    "db-77", "db-", "]",         "-",
                                    "x",   "y",   "xy",    "ab",    "b",     "aab", "cefg",      "bfg",
                                    "ag",  "dg",  "ababc", "w b",   "WEB",   "99",  "a-1",       "abcabc"};

TEST(it_says_what_libc_says)
{
    struct regex m;
    struct err err = ERR_INIT;
    unsigned hits = 0;

    for (size_t i = 0; i < COUNT_OF(expressions); i++) {
        CHECK_OK(regex_compile(&m, expressions[i], &err), err);
        for (size_t k = 0; k < COUNT_OF(texts); k++) {
            bool got = regex_text(&m, texts[k]);
            hits += got;
            if (got != libc_says(expressions[i], texts[k]))
                printf("\"%s\" on \"%s\": %d\n", expressions[i], texts[k], got);
            CHECK(got == libc_says(expressions[i], texts[k]));
        }
    }
    CHECK(hits > 100);
}

TEST(wrong_ones_are_refused)
{
    static const char *const wrong[] = {
        "(",   ")",          "[a",        "*a",      "a\\",     "[b-a]",
        "a{2", "a{2,1}",     "a{x}",      "a{,2}",   "a{500}",  "(((a{9}){9}){9}){9}",
        "{2}", "[[:alpa:]]", "[[:alpha]", "[[.a.]]", "[[=a=]]", "(a"};
    struct regex m;
    char text[600];

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct err err = ERR_INIT;
        CHECK_ERR(regex_compile(&m, wrong[i], &err), ERR_INVALID, err);
    }
    for (unsigned len = 1; len < sizeof text; len++) {
        struct err err = ERR_INIT;
        memset(text, len % 2 ? 'a' : '|', len);
        text[len] = '\0';
        if (regex_compile(&m, text, &err) == 0)
            CHECK(m.n <= REGEX_STEPS);
        memset(text, '(', len);
        CHECK_ERR(regex_compile(&m, text, &err), ERR_INVALID, err);
    }
}

TEST_MAIN
