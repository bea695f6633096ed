/* events, logs: what devices say as it happens, and what they are asked. */
#include <string.h>

#include "fleet/verbs.h"
#include "fleet/view.h"
#include "platform/clock.h"
#include "platform/crypto.h"

#define ASK_MS   15000ULL /* a device that is online answers within it */
#define CMD_S    30       /* a command that comes later is not carried out */
#define FOR_EVER (365ULL * 86400ULL * 1000ULL)
static const struct json_limits limits = {.max_bytes = LIM_MQTT_PACKET_BYTES,
                                          .max_depth = LIM_JSON_DEPTH,
                                          .max_tokens = LIM_JSON_TOKENS,
                                          .floats = true};

struct listener {
    struct ctx *ctx;
    uint64_t seen, stop_after;
};

static void print_event(const char *device, const struct json_cur *e)
{
    static const char *const bad[] = {"oom",      "crash-loop", "health-bad", "rolled-back",
                                      "rejected", "failed",     "denied"};
    enum term_color color = TERM_NONE;
    const char *kind = doc_str(e, "kind", "?"), *app = doc_str(e, "app", "");
    char when[24];

    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        if (strcmp(kind, bad[i]) == 0)
            color = TERM_BAD;
    (void)clock_rfc3339(doc_u64(e, "ts"), when, sizeof(when));
    term_print(stdout, "%s  %-12s %s%-12s%s %s%s%s\n", when, device, out_color(color), kind, out_plain(), app,
               *app ? ": " : "", doc_str(e, "msg", ""));
}

static void on_event(void *arg, const struct mqtt_msg *msg)
{
    struct listener *l = arg;
    AUTO_DOC *doc = NULL;
    struct json_cur root;
    char device[LIM_NAME_BYTES];
    const char *d = strstr(msg->topic, "/d/"), *end = d ? strchr(d + 3, '/') : NULL;

    if (!end || !str_fmt(device, sizeof(device), "%.*s", (int)(end - d - 3), d + 3) ||
        json_parse(msg->payload, &limits, &root, NULL) < 0)
        return;
    doc = root.node;
    if (json_is_object(&root, NULL) < 0)
        return;
    l->seen++;
    if (l->ctx->output == OUT_JSON) {
        struct cJSON *o = json_obj();
        char AUTO_MEM *text = NULL;
        json_put_str(o, "device", device);
        copy_members(o, &root);
        text = json_print(o, false);
        json_free(o);
        term_json(stdout, text);
    } else
        print_event(device, &root);
    (void)doc;
    fflush(stdout);
}

int verb_events(struct ctx *c, const struct args *a, struct err *err)
{
    AUTO_FREE(mqtt) struct mqtt *m = NULL;
    const char *device = args_str(a, OPT_DEVICE, "+");
    struct listener l = {.ctx = c, .stop_after = UINT64_MAX};
    uint64_t left_ms = args_has(a, OPT_FOLLOW) ? FOR_EVER : 60000, start = clock_boot_ms();
    char filter[200];
    const char *list[] = {filter};

    if (strcmp(device, "+") != 0 && !str_is_name(device))
        return usage_fail(err, "'%s' is no device id", device);
    (void)str_fmt(filter, sizeof(filter), MQTT_ROOT "/%s/d/%s/event", c->fleet, device);
    if (args_ms(a, OPT_TIMEOUT, &left_ms, err) < 0 ||
        args_u64(a, OPT_LINES, 1, 1ULL << 32, &l.stop_after, err) < 0 || mqtt_new(c, &m, err) < 0)
        return -(int)err->kind;
    mqtt_on_message(m, on_event, &l);
    if (mqtt_subscribe(m, list, 1, err) < 0)
        return -(int)err->kind;
    if (!args_has(a, OPT_FOLLOW))
        out_note("events are not kept by the broker: listening for %llu s (-f goes on)",
                 (unsigned long long)(left_ms / 1000));
    while (l.seen < l.stop_after && clock_boot_ms() - start < left_ms)
        if (mqtt_poll(m, 500, err) < 0)
            return -(int)err->kind;
    return EXIT_DONE;
}

struct asked {
    char id[24];
    bool done;
    uint64_t next;  /* chunk that comes next */
    struct err err; /* kind set: the device refused */
};

static void on_reply(void *arg, const struct mqtt_msg *msg)
{
    struct asked *q = arg;
    AUTO_DOC *doc = NULL;
    struct json_cur root, e;

    if (q->done || json_parse(msg->payload, &limits, &root, NULL) < 0)
        return;
    doc = root.node;
    (void)doc;
    if (strcmp(doc_str(&root, "id", ""), q->id) != 0)
        return;
    if (doc_get(&root, "error", &e) && json_is_object(&e, NULL) == 0) {
        enum err_kind kind = err_kind_parse(doc_str(&e, "kind", ""));
        err_set(&q->err, kind ? kind : ERR_IO, "the device says: %s", doc_str(&e, "msg", "no reason"));
        q->done = true;
        return;
    }
    if (doc_u64(&root, "n") != q->next++)
        out_note("warning: a part of the answer is missing");
    term_lines(stdout, buf_str(doc_str(&root, "out", "")));
    q->done = !doc_bool(&root, "more");
}

static char *print_ask(const struct ctx *c, const char *client, const char *device, const char *app,
                       const char *id, uint64_t lines)
{
    AUTO_DOC *o = json_obj();
    char reply[220];

    (void)str_fmt(reply, sizeof(reply), MQTT_ROOT "/%s/d/%s/reply/%s", c->fleet, device, client);
    json_put_u64(o, "v", 1);
    json_put_str(o, "id", id);
    json_put_str(o, "reply", reply);
    json_put_u64(o, "exp", clock_wall_s() + CMD_S);
    json_put_str(o, "app", app);
    json_put_u64(o, "lines", lines);
    return json_print(o, false);
}

static int ask(struct ctx *c, const char *device, const char *app, uint64_t lines, uint64_t wait_ms,
               struct err *err)
{
    AUTO_FREE(mqtt) struct mqtt *m = NULL;
    char AUTO_MEM *text = NULL;
    struct asked q = {.done = false};
    uint64_t start = clock_boot_ms();
    uint8_t salt[4];
    char topic[220], hex[9];
    const char *list[] = {topic};
    int rc;

    if (crypto_random(salt, sizeof(salt), err) < 0 || mqtt_new(c, &m, err) < 0)
        return -(int)err->kind;
    (void)str_fmt(q.id, sizeof(q.id), "c-%s", hex_encode(buf_of(salt, sizeof(salt)), hex));
    (void)str_fmt(topic, sizeof(topic), MQTT_ROOT "/%s/d/%s/reply/%s", c->fleet, device, mqtt_client(m));
    mqtt_on_message(m, on_reply, &q);
    if (mqtt_subscribe(m, list, 1, err) < 0)
        return -(int)err->kind;
    text = print_ask(c, mqtt_client(m), device, app, q.id, lines);
    (void)str_fmt(topic, sizeof(topic), MQTT_ROOT "/%s/d/%s/cmd/logs", c->fleet, device);
    rc =
        mqtt_publish(m, &(struct mqtt_msg){.topic = topic, .payload = buf_str(text), .expiry_s = CMD_S}, err);
    if (rc < 0)
        return rc;
    if (rc == 1)
        return err_set(err, ERR_NET, "%s is offline", device);
    while (!q.done) {
        if (clock_boot_ms() - start > wait_ms)
            return err_set(err, ERR_NET, "%s does not answer", device);
        if (mqtt_poll(m, 200, err) < 0)
            return -(int)err->kind;
    }
    if (q.err.kind) {
        *err = q.err;
        return -(int)err->kind;
    }
    return EXIT_DONE;
}

int verb_logs(struct ctx *c, const struct args *a, struct err *err)
{
    const char *slash = strchr(a->pos[0], '/');
    char device[LIM_NAME_BYTES];
    uint64_t lines = 20, wait_ms = ASK_MS;

    if (!slash || !str_fmt(device, sizeof(device), "%.*s", (int)(slash - a->pos[0]), a->pos[0]) ||
        !str_is_name(device) || !str_is_name(slash + 1))
        return usage_fail(err, "fleetctl logs DEVICE/APP");
    if (args_u64(a, OPT_LINES, 1, 100000, &lines, err) < 0 || args_ms(a, OPT_TIMEOUT, &wait_ms, err) < 0)
        return -(int)err->kind;
    return ask(c, device, slash + 1, lines, wait_ms, err);
}
