/* The operator's file: comments, the closed schema, what differs, what a report means. */
#include "agent/manifest/manifest.h"
#include "fleet/base/doc.h"
#include "fleet/doc/desired.h"
#include "fleet/doc/diff.h"
#include "fleet/doc/rollout.h"
#include "fleet/doc/schema.h"
#include "fleet/verbs/waiting.h"
#include "fleet/view/view.h"
#include "tests/unit/check.h"

TEST(comments_go_texts_stay)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{} // x\n1", "{}     \n1"},       {"\"//\" /* \"a\" */ 1", "\"//\"           1"},
        {"\"\\\"//\"", "\"\\\"//\""},       {"/*/ 1 */2", "        2"},
        {"/* a\nb */1", "    \n    1"},     {"1 /", "1 /"},
        {"/* never ends", "             "}, {"// ends with it", "               "},
        {"\"\\\\\" // c", "\"\\\\\"     "},
    };
    char text[64];

    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        CHECK(str_copy(text, sizeof(text), cases[i].in));
        desired_strip(text);
        CHECK_STR(text, cases[i].out);
    }
}

#define HEAD                        \
    "{\"schema\":\"limpet.desired/" \
    "1\",\"fleet\":\"demo\",\"target\":{\"device\":\"d1\"},\"rev\":1,\"issued\":1,\"expires\":2,"
#define REL                                                                                                 \
    "\"release\":{\"name\":\"web\",\"counter\":1,\"digest\":"                                               \
    "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",\"size\":9},\"sources\":[" \
    "\"dir:/x\"]"
#define APP(more) HEAD "\"apps\":[{\"name\":\"web\"," REL more "}]}"

TEST(schema_takes_what_is_right)
{
    static const char *const good[] = {
        HEAD "\"apps\":[]}",
        APP(""),
        APP(",\"memory\":{\"max_bytes\":65536,\"swap_bytes\":0,\"enforce\":\"required\"}"),
        APP(",\"env\":{\"A\":\"1\"},\"args\":[\"a\"],\"capabilities\":[\"NET_BIND_SERVICE\"]"),
        APP(",\"network\":{\"mode\":\"bridge\",\"ports\":[{\"host\":1,\"container\":2,\"address\":\"127.0.0."
            "1\"}]}"),
        APP(",\"health\":{\"http\":{\"port\":80,\"path\":\"/x\"},\"retries\":1}"),
    };
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < COUNT_OF(good); i++)
        CHECK_OK(schema_check(buf_str(good[i]), &err), err);
}

TEST(schema_refuses_with_the_path)
{
    static const struct {
        const char *text, *path;
    } bad[] = {
        {HEAD "\"apps\":[],\"x\":1}", "x"},
        {HEAD "\"apps\":[{\"name\":\"web\"}]}", "apps[0].release"},
        {APP(",\"memory\":{\"max_bytes\":1}"), "apps[0].memory.max_bytes"},
        {APP(",\"memory\":{\"max_bytes\":65536,\"x\":1}"), "apps[0].memory.x"},
        {APP(",\"cwd\":\"/a/../b\""), "apps[0].cwd"},
        {APP(",\"userns\":\"yes\""), "apps[0].userns"},
        {APP(",\"capabilities\":[\"SYS_ADMIN\"]"), "apps[0].capabilities[0]"},
        {APP(",\"env\":{\"A\":1}"), "apps[0].env.A"},
        {APP(",\"health\":{\"retries\":1}"), "apps[0].health"},
        {APP(",\"health\":{\"exec\":[\"x\"],\"tcp\":{\"port\":1}}"), "apps[0].health"},
        {APP(",\"network\":{\"mode\":\"host\",\"ports\":[{\"host\":1,\"container\":1}]}"),
         "apps[0].network.ports"},
        {HEAD "\"apps\":[{\"name\":\"a\"," REL "},{\"name\":\"a\"," REL "}]}", "apps[1]"},
        {HEAD "\"apps\":[],\"rollout\":{\"salt\":\"s\",\"slots\":1}}", "rollout"},
    };
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        CHECK_ERR(schema_check(buf_str(bad[i].text), &err), ERR_INVALID, err);
        CHECK_MSG(err, bad[i].path);
    }
    CHECK_ERR(schema_explain("apps.nope", &err), ERR_NOTFOUND, err);
}

static char diff_log[1000];

static void on_app(void *arg, enum diff_op op, const char *name, const struct json_cur *was,
                   const struct json_cur *will)
{
    size_t n = strlen(diff_log);

    (void)arg, (void)was, (void)will;
    (void)str_fmt(diff_log + n, sizeof(diff_log) - n, "%c%s;", diff_signs[op], name);
}

static void on_field(void *arg, const char *path, const char *was, const char *will)
{
    size_t n = strlen(diff_log);

    (void)arg;
    (void)str_fmt(diff_log + n, sizeof(diff_log) - n, "%s %s %s;", path, was ? was : "-", will ? will : "-");
}

static const char *diff(const char *a, const char *b)
{
    const struct diff_calls calls = {.app = on_app, .field = on_field};
    struct json_cur old = {.node = NULL}, next;

    diff_log[0] = 0;
    if ((a && json_parse(buf_str(a), &json_limits_signed, &old, NULL) < 0) ||
        json_parse(buf_str(b), &json_limits_signed, &next, NULL) < 0)
        return "not JSON";
    diff_docs(a ? &old : NULL, &next, &calls);
    diff_rest(a ? &old : NULL, &next, &calls);
    json_free(old.node);
    json_free(next.node);
    return diff_log;
}

TEST(differences)
{
    CHECK_STR(diff(NULL, "{\"apps\":[{\"name\":\"a\"}]}"), "+a;");
    CHECK_STR(diff("{\"apps\":[{\"name\":\"a\"},{\"name\":\"b\"}]}", "{\"apps\":[{\"name\":\"b\"}]}"),
              "=b;-a;");
    CHECK_STR(diff("{\"apps\":[{\"name\":\"a\",\"m\":{\"x\":1,\"y\":2}}]}",
                   "{\"apps\":[{\"name\":\"a\",\"m\":{\"x\":3,\"z\":[1]}}]}"),
              "~a;m.x 1 3;m.z - [1];m.y 2 -;");
    /* the order of members says nothing */
    CHECK_STR(diff("{\"apps\":[{\"name\":\"a\",\"b\":1,\"c\":2}]}",
                   "{\"apps\":[{\"c\":2,\"name\":\"a\",\"b\":1}]}"),
              "=a;");
    CHECK_STR(diff("{\"apps\":[]}", "{\"apps\":[],\"update\":{\"probation_ms\":5}}"),
              "update.probation_ms - 5;");
}

static enum verdict judge(const char *state, uint64_t rev, const char *want)
{
    struct json_cur root;
    enum verdict v;

    if (json_parse(buf_str(state), &json_limits_signed, &root, NULL) < 0)
        return (enum verdict)99;
    v = wait_judge(&root, rev, want);
    json_free(root.node);
    return v;
}

TEST(what_a_report_means)
{
    CHECK(judge("{\"rev\":4,\"want\":4,\"phase\":\"converged\"}", 5, NULL) == VERDICT_OPEN);
    CHECK(judge("{\"rev\":5,\"want\":5,\"phase\":\"downloading\"}", 5, NULL) == VERDICT_OPEN);
    CHECK(judge("{\"rev\":5,\"want\":5,\"phase\":\"converged\"}", 5, NULL) == VERDICT_DONE);
    /* the old one failed; ours is not seen yet */
    CHECK(judge("{\"rev\":3,\"want\":4,\"phase\":\"rolled-back\"}", 5, NULL) == VERDICT_OPEN);
    CHECK(judge("{\"rev\":4,\"want\":5,\"phase\":\"rolled-back\"}", 5, NULL) == VERDICT_BAD);
    CHECK(judge("{\"rev\":4,\"want\":5,\"phase\":\"rejected\"}", 5, NULL) == VERDICT_BAD);
    CHECK(judge("{\"rev\":4,\"want\":5,\"phase\":\"rolled-back\"}", 5, "rolled-back") == VERDICT_DONE);
    CHECK(judge("{\"rev\":6,\"want\":6,\"phase\":\"converged\"}", 5, NULL) == VERDICT_SUPERSEDED);
    CHECK(judge("{\"rev\":5,\"want\":5,\"phase\":\"converged\"}", 0, NULL) == VERDICT_DONE);
    CHECK(judge("{}", 1, NULL) == VERDICT_OPEN);
}

static void take(struct view *v, const char *topic, const char *text)
{
    view_take(v, &(struct mqtt_msg){.topic = topic, .payload = buf_str(text)});
}

TEST(slots_are_spread_evenly)
{
    unsigned open = 0;
    char id[16];
    struct json_cur root;
    struct err err = ERR_INIT;

    CHECK_OK(crypto_init(&err), err);
    CHECK_OK(json_parse(BUF_LIT("{\"rollout\":{\"salt\":\"s\",\"slots\":2500}}"), &json_limits_signed, &root,
                        &err),
             err);
    for (unsigned i = 0; i < 4000; i++) {
        CHECK(str_fmt(id, sizeof(id), "dev-%u", i));
        open += rollout_open(&root, id);
    }
    CHECK(open > 900 && open < 1100); /* a quarter of 4000 */
    json_free(root.node);
}

TEST(view_of_a_fleet)
{
    struct view v = {.n = 0};
    struct target group = {.group = "g"};

    take(&v, "limpet1/demo/d/b/state", "{\"rev\":1,\"groups\":[\"g\"]}");
    take(&v, "limpet1/demo/d/a/online", "{\"on\":true,\"conn\":5}");
    take(&v, "limpet1/demo/d/a/online",
         "{\"on\":false,\"conn\":4}"); /* the late will of an older connection */
    CHECK(v.n == 2 && strcmp(v.devices[0]->id, "a") == 0 && v.devices[0]->online);
    take(&v, "limpet1/demo/d/a/online", "{\"on\":false,\"conn\":5}");
    CHECK(!v.devices[0]->online);
    CHECK(view_in_group(v.devices[1], "g") && !view_in_group(v.devices[0], "g"));
    CHECK(view_meant(&v, v.devices[1], &group));
    take(&v, "limpet1/demo/d/b/desired", "x"); /* its own document wins over the group's */
    CHECK(!view_meant(&v, v.devices[1], &group));
    take(&v, "limpet1/demo/d/b/desired", "");
    CHECK(view_meant(&v, v.devices[1], &group));
    /* nonsense changes nothing */
    take(&v, "limpet1/demo/d/b/state", "not JSON");
    take(&v, "limpet1/demo/d/b/state", "[]");
    CHECK(v.devices[1]->state.node == NULL || doc_u64(&v.devices[1]->state.root, "rev") == 1);
    take(&v, "limpet1/demo/d/../state", "{}");
    take(&v, "limpet1/demo/d/UPPER/state", "{}");
    take(&v, "x", "{}");
    CHECK(v.n == 2);
    take(&v, "limpet1/demo/d/b/state", ""); /* the broker forgot it */
    CHECK(v.devices[1]->state.node == NULL);
    view_done(&v);
}

TEST(the_order_of_documents)
{
    struct view v = {.n = 0};
    struct target a = {.group = "a"}, b = {.group = "b"}, all = {.group = "all"}, own = {.device = "x"};
    const struct view_device *d;

    take(&v, "limpet1/demo/d/x/state", "{\"rev\":1,\"groups\":[\"a\",\"b\"]}");
    take(&v, "limpet1/demo/d/silent/online", "{\"on\":true,\"conn\":1}");
    d = view_find(&v, "x");
    CHECK(view_in_group(d, "all") && !view_in_group(view_find(&v, "silent"), "all"));
    CHECK_STR(view_follows(&v, d, &all), "all");
    take(&v, "limpet1/demo/g/b/desired", "x");
    CHECK_STR(view_follows(&v, d, &all), "b");
    CHECK_STR(view_follows(&v, d, &a), "a"); /* as if the target had its document already */
    CHECK(view_meant(&v, d, &b) && !view_meant(&v, d, &all));
    take(&v, "limpet1/demo/g/a/desired", "x");
    CHECK(!view_meant(&v, d, &b));
    CHECK_STR(view_follows(&v, d, &own), "");
    take(&v, "limpet1/demo/d/x/desired", "x");
    CHECK_STR(view_follows(&v, d, &a), "");
    take(&v, "limpet1/demo/d/x/desired", "");
    take(&v, "limpet1/demo/g/a/desired", "");
    take(&v, "limpet1/demo/g/b/desired", "");
    CHECK(v.n_groups == 0 && view_meant(&v, d, &all));
    view_done(&v);
}

TEST_MAIN
