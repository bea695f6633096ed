/* Strict JSON: what must be refused, what must pass, cursors that know their path. */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/json.h"
#include "tests/unit/check.h"

static const struct {
    const char *text, *why;
} refused[] = {
    {"", "value"},
    {" ", "value"},
    {"{", "string"},
    {"[1,]", "value"},
    {"[1 2]", "expected"},
    {"{\"a\" 1}", "':'"},
    {"{\"a\":1,}", "string"},
    {"nul", "value"},
    {"tru", "value"},
    {"[01]", "leading zero"},
    {"[1.0]", "integers"},
    {"[1e3]", "integers"},
    {"[-]", "value"},
    {"[+1]", "value"},
    {"[.5]", "value"},
    {"[NaN]", "value"},
    {"\"a", "closed"},
    {"\"\\x\"", "escape"},
    {"\"\\u12\"", "cut off"},
    {"\"\\u12g4\"", "hex"},
    {"\"\\u0000\"", "u0000"},
    {"\"\\ud800\"", "surrogate"},
    {"\"\\udc00\"", "surrogate"},
    {"\"\\ud800\\u0041\"", "surrogate"},
    {"\"\x01\"", "control"},
    {"\"\x1f\"", "control"},
    {"\"\n\"", "control"},
    {"\"\xc0\xaf\"", "UTF-8"},
    {"\"\xe0\x80\xaf\"", "UTF-8"},
    {"\"\xed\xa0\x80\"", "UTF-8"},
    {"\"\xf4\x90\x80\x80\"", "UTF-8"},
    {"\"\x80\"", "UTF-8"},
    {"\"\xe2\x82\"", "UTF-8"},
    {"\xef\xbb\xbf{}", "value"},
    {"{} x", "after the end"},
    {"{}{}", "after the end"},
    {"{\"a\":1,\"a\":2}", "duplicate"},
    {"{\"a\":{\"b\":1,\"b\":2}}", "duplicate"},
    {"{\"\\u0061\":1,\"a\":2}", "duplicate"}, /* the same, written in another way */
    {"{\"b\":1,\"\\/\":1,\"c\":2,\"/\":3}", "duplicate"},
    {"{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", "duplicate"},
    {"{\"\\u00e9\":1,\"\xc3\xa9\":2}", "duplicate"},
    {"[9007199254740993]", "2^53"},
    {"[99999999999999999999]", "2^53"},
    {"[-9007199254740993]", "2^53"},
    {"[1,,2]", "value"},
    {"[,1]", "value"},
    {"[", "value"},
    {"[1", "expected"},
    {"[1]]", "after the end"},
    {"[1;2]", "expected"},
    {"[\"a\":1]", "expected"},
    {"{\"a\"}", "':'"},
    {"{\"a\":", "value"},
    {"{\"a\":}", "value"},
    {"{\"a\":1 \"b\":2}", "expected"},
    {"{,}", "string"},
    {"{1:1}", "string"},
    {"{null:1}", "string"},
    {"{}}", "after the end"},
    {"[}", "value"},
    {"{]", "string"},
    {"[true fals]", "expected"},
    {"TRUE", "value"},
    {"truth", "value"},
    {"nulls", "after the end"},
    {"[0x1]", "expected"},
    {"[-01]", "leading zero"},
    {"[--1]", "value"},
    {"[1 000]", "expected"},
    {"[Infinity]", "value"},
    {"\"", "closed"},
    {"\"\\", "escape"},
    {"\"\\\"", "closed"},
    {"\"\\U0041\"", "escape"},
    {"\"\\'\"", "escape"},
    {"\"\\u{41}\"", "hex"},
    {"\"\\u 041\"", "hex"},
    {"\"\\udc00\\ud800\"", "surrogate"},
    {"\"\\ud800\\ud800\"", "surrogate"},
    {"\"\\ud800x\"", "surrogate"},
    {"\"\xff\"", "UTF-8"},
    {"\"\xc0\x80\"", "UTF-8"},
    {"\"\xf0\x80\x80\x80\"", "UTF-8"},
    {"\"\xf8\x88\x80\x80\x80\"", "UTF-8"},
    {"\"\xed\xbf\xbf\"", "UTF-8"},
    {"\"\xe2\x82x\"", "UTF-8"},
    {"\xc2\xa0[]", "value"},
    {"\f[]", "value"},
    {"[\v]", "value"},
    {"[]\xe2\x81\xa0", "after the end"},
    {"/**/{}", "value"},
    {"{}#", "after the end"},
    {"'a'", "value"},
    {"{a:1}", "string"},
    {"[1]//", "after the end"},
    {"\"a\tb\"", "control"},
};

TEST(refuses_what_is_no_json_or_not_ours)
{
    for (unsigned i = 0; i < COUNT_OF(refused); i++) {
        struct err err = ERR_INIT;
        int rc = json_check(buf_str(refused[i].text), &json_limits_signed, &err);
        if (rc != -ERR_INVALID || !strstr(err.msg, refused[i].why))
            printf("  %s: %s\n", refused[i].text, rc ? err.msg : "accepted");
        CHECK(rc == -ERR_INVALID && strstr(err.msg, refused[i].why));
    }
}

TEST(accepts_what_is_json)
{
    static const char *const good[] = {
        "{}",
        "[]",
        " [ ] ",
        "null",
        "true",
        "0",
        "-0",
        "-1",
        "9007199254740992",
        "\"\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\ud83d\\ude00\"",
        "\"\x7f\"",
        "{\"a\\u0026b\":1,\"a\\u0027b\":2,\"ab\":3}", /* as Go's encoder writes labels */
        "{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]}",
        "\"\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]}",
        /* the last character, one that is none, a line's end */
        "\"\xf4\x8f\xbf\xbf\xef\xbf\xbf\xe2\x80\xa8\"",
        "\"\\u005C\\u0022\\uFFFF\\u0020/\"",
        "\"\\udbff\\udfff\"",
        "{\"\":0,\" \":{\"\":[]},\"a\":[[],[[]],{}]}",
        " 1 ",
        "[false,null , true]",
        "[[[[[[1]]]]]]",
        "{\"A\":1,\"a\":2}",
        "\t\r\n{\"a\" : [ 1 , 2 ] }\n",
    };

    for (unsigned i = 0; i < COUNT_OF(good); i++) {
        struct err err = ERR_INIT;
        CHECK_OK(json_check(buf_str(good[i]), &json_limits_signed, &err), err);
    }
    struct err err = ERR_INIT;
    CHECK_OK(json_check(BUF_LIT("[1.5,1e3,-0.1E-2,123456789012345678901]"), &json_limits_oci, &err), err);
    CHECK_OK(json_check(BUF_LIT("[0e1,0E+1,-0.0,0.0e0,1e-02,1E400]"), &json_limits_oci, &err), err);
}

TEST(refuses_what_is_no_number)
{
    static const char *const bad[] = {"1.",    "1.e1", ".1",    "-.5",  "1e",    "1e+",         "1eE2",
                                      "1e1.5", "0.",   "00",    "01.5", "-",     "-e1",         "1.5.2",
                                      "1_0",   "1f",   "0x1p3", "+1",   "1e+-2", "\xef\xbc\x91"};

    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        struct err err = ERR_INIT;
        int rc = json_check(buf_str(bad[i]), &json_limits_oci, &err);
        if (rc != -ERR_INVALID)
            printf("  %s: accepted\n", bad[i]);
        CHECK(rc == -ERR_INVALID);
    }
}

TEST(a_nul_byte_is_no_end)
{
    struct err err = ERR_INIT;

    CHECK_ERR(json_check(buf_of("{}\0", 3), &json_limits_signed, &err), ERR_INVALID, err);
    CHECK_ERR(json_check(buf_of("\"a\0b\"", 5), &json_limits_signed, &err), ERR_INVALID, err);
}

TEST(bounds_hold)
{
    struct err err = ERR_INIT;
    char text[70000];

    memset(text, '[', sizeof(text));
    CHECK_ERR(json_check(buf_of(text, 17), &json_limits_signed, &err), ERR_INVALID, err);
    CHECK_MSG(err, "too deep");
    CHECK_ERR(json_check(buf_of(text, sizeof(text)), &json_limits_signed, &err), ERR_INVALID, err);
    CHECK_MSG(err, "at most 65536");
    text[0] = '[';
    for (unsigned i = 1; i < 10001; i += 2)
        memcpy(text + i, "1,", 2);
    CHECK_ERR(json_check(buf_of(text, 10001), &json_limits_signed, &err), ERR_INVALID, err);
    CHECK_MSG(err, "too many values");
    /* as deep as allowed */
    CHECK_OK(json_check(BUF_LIT("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"), &json_limits_signed, &err), err);
}

enum { KEYS = 32760, CPU_S = 10 };

static bool judges_many_keys(void)
{
    struct rlimit most = {CPU_S, CPU_S};
    struct err err = ERR_INIT;
    char AUTO_MEM *text = mem_need((size_t)KEYS * 20);
    char *end = text;

    if (setrlimit(RLIMIT_CPU, &most) < 0)
        return false;
    for (int i = 0; i < KEYS; i++)
        end += sprintf(end, "%c\"key-%d\":1", i ? ',' : '{', i);
    strcpy(end, "}");
    if (json_check(buf_str(text), &json_limits_config, &err) < 0)
        return false;
    strcpy(end, ",\"key-0\":1}");
    return json_check(buf_str(text), &json_limits_config, &err) < 0 && strstr(err.msg, "duplicate");
}

/* As many keys as a document may have, in a process that must not need long. */
TEST(many_keys_are_little_work)
{
    struct rusage used;
    int status = -1;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0)
        _exit(judges_many_keys() ? 0 : 1);
    CHECK(wait4(pid, &status, 0, &used) == pid);
    printf("%d keys: %ld ms of processor time\n", KEYS,
           (long)(used.ru_utime.tv_sec * 1000 + used.ru_utime.tv_usec / 1000));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(cursors_name_the_path)
{
    struct err err = ERR_INIT;
    struct json_cur root, apps, app, memory;
    uint64_t n = 7;
    const char *s = "before";

    CHECK_OK(json_parse(BUF_LIT("{\"apps\":[{\"name\":\"web\"},{\"memory\":{\"max\":12,\"oops\":1}}]}"),
                        &json_limits_signed, &root, &err),
             err);
    CHECK(json_get_array(&root, "apps", JSON_REQUIRED, 5, &apps, &err) == 1);
    CHECK(json_len(&apps) == 2);
    app = json_at(&apps, 1);
    CHECK(json_get_object(&app, "memory", JSON_REQUIRED, &memory, &err) == 1);
    CHECK_ERR(json_get_u64(&memory, "max", JSON_REQUIRED, 13, 99, &n, &err), ERR_INVALID, err);
    CHECK_STR(err.msg, "apps[1].memory.max: 12 is below 13");
    CHECK(n == 7); /* outputs stay untouched on failure */
    CHECK(json_get_u64(&memory, "max", JSON_REQUIRED, 1, 99, &n, &err) == 1 && n == 12);
    CHECK_ERR(json_done(&memory, &err), ERR_INVALID, err);
    CHECK_STR(err.msg, "apps[1].memory.oops: unknown field");
    CHECK(json_get_str(&app, "name", JSON_OPTIONAL, 9, &s, &err) == 0);
    CHECK_STR(s, "before");
    CHECK_ERR(json_get_str(&app, "name", JSON_REQUIRED, 9, &s, &err), ERR_INVALID, err);
    CHECK_STR(err.msg, "apps[1].name: missing");
    CHECK_ERR(json_get_str(&app, "memory", JSON_REQUIRED, 9, &s, &err), ERR_INVALID, err);
    app = json_at(&apps, 0);
    CHECK_ERR(json_get_str(&app, "name", JSON_REQUIRED, 2, &s, &err), ERR_INVALID, err);
    CHECK_ERR(json_get_array(&root, "apps", JSON_REQUIRED, 1, &apps, &err), ERR_INVALID, err);
    CHECK_ERR(json_get(&apps, "x", JSON_OPTIONAL, &app, &err), ERR_INVALID, err); /* an array is no object */
    (void)json_free(root.node);
}

TEST(wrong_types_are_refused)
{
    struct err err = ERR_INIT;
    struct json_cur root;
    uint64_t n;
    bool b;
    int e;
    static const char *const names[] = {"red", "blue"};

    CHECK_OK(json_parse(BUF_LIT("{\"neg\":-1,\"text\":\"1\",\"null\":null,\"one\":1,\"name\":\"green\"}"),
                        &json_limits_signed, &root, &err),
             err);
    CHECK_ERR(json_get_u64(&root, "neg", JSON_REQUIRED, 0, 9, &n, &err), ERR_INVALID, err);
    CHECK_ERR(json_get_u64(&root, "text", JSON_REQUIRED, 0, 9, &n, &err), ERR_INVALID, err);
    CHECK_ERR(json_get_u64(&root, "null", JSON_OPTIONAL, 0, 9, &n, &err), ERR_INVALID, err);
    CHECK_ERR(json_get_bool(&root, "one", JSON_REQUIRED, &b, &err), ERR_INVALID, err);
    CHECK_ERR(json_get_enum(&root, "name", JSON_REQUIRED, names, 2, &e, &err), ERR_INVALID, err);
    CHECK_STR(err.msg, "name: \"green\" is none of red, blue");
    CHECK_ERR(json_get_u64(&root, "NEG", JSON_REQUIRED, 0, 9, &n, &err), ERR_INVALID, err); /* case counts */
    (void)json_free(root.node);
}

TEST(what_is_built_is_read_again)
{
    struct err err = ERR_INIT;
    struct json_cur root, list, first;
    const char *s;
    uint64_t n;
    struct cJSON *o = json_obj();

    json_put_str(o, "text", "a\"b\\c\n\x01\xe2\x82\xac");
    json_put_u64(o, "large", 1ULL << 53);
    json_put_u64(o, "larger", UINT64_MAX);
    json_push_str(json_put(o, "list", json_arr()), "x");
    char *text = json_print(o, false);
    CHECK_OK(json_parse(buf_str(text), &json_limits_signed, &root, &err), err);
    CHECK(json_get_str(&root, "text", JSON_REQUIRED, 99, &s, &err) == 1 &&
          strcmp(s, "a\"b\\c\n\x01\xe2\x82\xac") == 0);
    CHECK(json_get_u64(&root, "large", JSON_REQUIRED, 0, 1ULL << 53, &n, &err) == 1 && n == 1ULL << 53);
    CHECK(json_get_str(&root, "larger", JSON_REQUIRED, 99, &s, &err) == 1);
    CHECK_STR(s, "18446744073709551615");
    CHECK(json_get_array(&root, "list", JSON_REQUIRED, 9, &list, &err) == 1);
    first = json_at(&list, 0);
    CHECK_OK(json_as_str(&first, 9, &s, &err), err);
    free(text);
    (void)json_free(o);
    (void)json_free(root.node);
}

TEST(a_copy_keeps_all_digits)
{
    static const char text[] = "{\"a\":9007199254740992,\"b\":[-1796108557123456],\"c\":7}";
    struct cJSON *o = json_obj();
    struct json_cur root;
    struct err err = ERR_INIT;

    CHECK_OK(json_parse(buf_str(text), &json_limits_signed, &root, &err), err);
    for (unsigned i = 0; i < json_len(&root); i++) {
        struct json_cur m = json_member(&root, i);
        json_put_copy(o, m.key, &m);
    }
    char AUTO_MEM *again = json_print(o, false);
    CHECK_STR(again, text);
    (void)json_free(o);
    (void)json_free(root.node);
}

TEST_MAIN
