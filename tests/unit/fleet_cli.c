/* The command line: options, durations, brokers, near words, sizes. */
#include "fleet/base/args.h"
#include "fleet/base/ctx.h"
#include "fleet/base/out.h"
#include "tests/unit/check.h"

static const struct verb verbs[] = {
    {.name = "apply", .usage = "apply", .opts = OPT_BIT(OPT_FILE) | OPT_BIT(OPT_WAIT) | OPT_BIT(OPT_TIMEOUT)},
    {.name = "get", .usage = "get WHAT", .opts = OPT_BIT(OPT_DEVICE), .min_pos = 1, .max_pos = 1},
    {.name = "events", .usage = "events", .opts = OPT_BIT(OPT_FOLLOW)},
};

static int parse(const struct verb *v, struct args *a, struct err *err, int n, const char **words)
{
    return args_parse(v, n, (char **)words, a, err);
}
#define PARSE(v, ...)                                                                 \
    parse(v, &a, &err, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), \
          (const char *[]){__VA_ARGS__})

TEST(options_in_every_spelling)
{
    struct args a;
    struct err err = ERR_INIT;

    CHECK_OK(PARSE(&verbs[0], "-f", "a.json", "--wait", "--timeout=5m"), err);
    CHECK_STR(args_str(&a, OPT_FILE, NULL), "a.json");
    CHECK(args_has(&a, OPT_WAIT));
    CHECK_STR(args_str(&a, OPT_TIMEOUT, NULL), "5m");
    CHECK_OK(PARSE(&verbs[0], "-fa.json", "--file", "b.json"), err);
    CHECK_STR(args_str(&a, OPT_FILE, NULL), "b.json");
    CHECK_OK(PARSE(&verbs[2], "-f"), err); /* the same letter is another option there */
    CHECK(args_has(&a, OPT_FOLLOW));
    CHECK_OK(PARSE(&verbs[1], "--", "-x"), err);
    CHECK_STR(a.pos[0], "-x");
}

TEST(wrong_options_are_refused)
{
    struct args a;
    struct err err = ERR_INIT;

    CHECK_ERR(PARSE(&verbs[0], "--wat"), ERR_USAGE, err);
    CHECK_MSG(err, "--wat");
    CHECK_ERR(PARSE(&verbs[0], "-f"), ERR_USAGE, err);
    CHECK_ERR(PARSE(&verbs[0], "--wait=yes"), ERR_USAGE, err);
    CHECK_ERR(PARSE(&verbs[1], "-f", "x"), ERR_USAGE, err);
    CHECK_ERR(PARSE(&verbs[1], "-d", "x"), ERR_USAGE, err); /* WHAT is missing */
    CHECK_ERR(PARSE(&verbs[1], "a", "b"), ERR_USAGE, err);
}

TEST(durations)
{
    struct err err = ERR_INIT;
    uint64_t ms = 0;

    CHECK_OK(args_duration_ms("90", &ms, &err), err);
    CHECK(ms == 90000);
    CHECK_OK(args_duration_ms("0.3s", &ms, &err), err);
    CHECK(ms == 300);
    CHECK_OK(args_duration_ms("365d", &ms, &err), err);
    CHECK(ms == 365ULL * 86400000);
    CHECK_ERR(args_duration_ms("", &ms, &err), ERR_USAGE, err);
    CHECK_ERR(args_duration_ms("5x", &ms, &err), ERR_USAGE, err);
    CHECK_ERR(args_duration_ms("-1s", &ms, &err), ERR_USAGE, err);
    CHECK_ERR(args_duration_ms("999999999999d", &ms, &err), ERR_USAGE, err);
    CHECK(ms == 365ULL * 86400000);
}

TEST(near_words)
{
    CHECK_STR(args_verb_guess(verbs, 3, "aply"), "apply");
    CHECK_STR(args_verb_guess(verbs, 3, "evnets"), "events");
    CHECK(args_verb_guess(verbs, 3, "frobnicate") == NULL);
    CHECK(args_verb_guess(verbs, 3, "x") == NULL);
}

TEST(brokers)
{
    struct err err = ERR_INIT;
    char host[256];
    uint16_t port = 0;

    CHECK_OK(ctx_parse_broker("broker.lan:1234", host, &port, &err), err);
    CHECK_STR(host, "broker.lan");
    CHECK(port == 1234);
    CHECK_OK(ctx_parse_broker("broker.lan", host, &port, &err), err);
    CHECK(port == 8883);
    CHECK_OK(ctx_parse_broker("[fd00::1]:99", host, &port, &err), err);
    CHECK_STR(host, "fd00::1");
    CHECK(port == 99);
    CHECK_ERR(ctx_parse_broker("x:0", host, &port, &err), ERR_USAGE, err);
    CHECK_ERR(ctx_parse_broker("x:70000", host, &port, &err), ERR_USAGE, err);
    CHECK_ERR(ctx_parse_broker(":1", host, &port, &err), ERR_USAGE, err);
    CHECK_ERR(ctx_parse_broker("[fd00::1", host, &port, &err), ERR_USAGE, err);
    CHECK_ERR(ctx_parse_broker("[fd00::1]x", host, &port, &err), ERR_USAGE, err);
}

static int code_of(enum err_kind kind)
{
    struct err err = ERR_INIT;

    (void)err_set(&err, kind, "x");
    return args_exit_of(&err);
}

TEST(sizes_and_exits)
{
    char dst[16];

    CHECK_STR(out_size(0, dst), "0");
    CHECK_STR(out_size(999, dst), "999");
    CHECK_STR(out_size(1000, dst), "1.0K");
    CHECK_STR(out_size(22439526, dst), "21.4M");
    CHECK_STR(out_size(UINT64_MAX, dst), "16384P");
    for (unsigned k = 1; k < ERR_KIND_COUNT_; k++)
        CHECK(code_of((enum err_kind)k) != EXIT_DONE);
    CHECK(code_of(ERR_CONFLICT) == 4 && code_of(ERR_NET) == 5 && code_of(ERR_DENIED) == 6 &&
          code_of(ERR_TIMEOUT) == 124 && code_of(ERR_EXISTS) == 4 && code_of(ERR_OFFLINE) == 5);
}

TEST_MAIN
