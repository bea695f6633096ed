/* check.h - the test harness: CHECK prints what failed and where, and goes on; main returns how it went.
 *   TEST(store_refuses_wrong_digest) { CHECK(x == 1); CHECK_OK(call(&err), err); CHECK_ERR(call(&err),
 * ERR_INVALID, err); } TEST_MAIN */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/err.h"

struct check_test {
    const char *name;
    void (*fn)(void);
    struct check_test *next;
};
static struct check_test *check_first_, **check_last_ = &check_first_;
static int check_failed_, check_count_;

#define TEST(id)                                               \
    static void id(void);                                      \
    static struct check_test test_##id##_ = {#id, id, NULL};   \
    __attribute__((constructor)) static void add_##id##_(void) \
    {                                                          \
        *check_last_ = &test_##id##_;                          \
        check_last_ = &test_##id##_.next;                      \
    }                                                          \
    static void id(void)

#define CHECK(cond)                                                   \
    do {                                                              \
        check_count_++;                                               \
        if (!(cond)) {                                                \
            check_failed_++;                                          \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
        }                                                             \
    } while (0)
#define CHECK_STR(got, want)                                                                               \
    do {                                                                                                   \
        const char *g_ = (got), *w_ = (want);                                                              \
        check_count_++;                                                                                    \
        if (strcmp(g_ ? g_ : "(null)", w_) != 0) {                                                         \
            check_failed_++;                                                                               \
            printf("%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #got, g_ ? g_ : "(null)", w_); \
        }                                                                                                  \
    } while (0)
#define CHECK_OK(call, err)                                                  \
    do {                                                                     \
        check_count_++;                                                      \
        if ((call) < 0) {                                                    \
            check_failed_++;                                                 \
            printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, (err).msg); \
        }                                                                    \
    } while (0)
#define CHECK_ERR(call, want, err)                                                             \
    do {                                                                                       \
        int r_ = (call);                                                                       \
        check_count_++;                                                                        \
        if (r_ != -(int)(want)) {                                                              \
            check_failed_++;                                                                   \
            printf("%s:%d: %s: returned %d, wanted -%s (%s)\n", __FILE__, __LINE__, #call, r_, \
                   err_kind_name(want), r_ < 0 ? (err).msg : "no error");                      \
        }                                                                                      \
    } while (0)
/* The message must contain this. */
#define CHECK_MSG(err, part)                                                                       \
    do {                                                                                           \
        check_count_++;                                                                            \
        if (strstr((err).msg, (part)) == NULL) {                                                   \
            check_failed_++;                                                                       \
            printf("%s:%d: message \"%s\" lacks \"%s\"\n", __FILE__, __LINE__, (err).msg, (part)); \
        }                                                                                          \
    } while (0)
#define SKIP(why)                     \
    do {                              \
        printf("skipped: %s\n", why); \
        exit(77);                     \
    } while (0)

#define TEST_MAIN                                                                   \
    int main(int argc, char **argv)                                                 \
    {                                                                               \
        int n = 0;                                                                  \
        setvbuf(stdout, NULL, _IOLBF, 0);                                           \
        for (struct check_test *t = check_first_; t; t = t->next) {                 \
            if (argc > 1 && strcmp(argv[1], t->name) != 0)                          \
                continue;                                                           \
            int before = check_failed_;                                             \
            t->fn();                                                                \
            n++;                                                                    \
            printf("%s %s\n", check_failed_ == before ? "ok  " : "FAIL", t->name);  \
        }                                                                           \
        printf("%d tests, %d checks, %d failed\n", n, check_count_, check_failed_); \
        return check_failed_ || n == 0 ? 1 : 0;                                     \
    }
#endif
