/* events, logs: what devices say as it happens, and what they are asked. */
#include <inttypes.h>
#include <string.h>

#include "fleet/verbs/verbs.h"
#include "fleet/view/view.h"
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

static void print_one(struct listener *l, const char *device, const struct json_cur *e)
{
    l->seen++;
    if (l->ctx->output == OUT_JSON) {
        struct cJSON *o = json_obj();
        char AUTO_MEM *text = NULL;
        json_put_str(o, "device", device);
        copy_members(o, e);
        text = json_print(o, false);
        json_free(o);
        term_json(stdout, text);
    } else
        print_event(device, e);
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
    (void)doc;
    if (json_is_object(&root, NULL) < 0)
        return;
    print_one(l, device, &root);
    fflush(stdout);
}

struct asked {
    char id[24];
    bool done;
    uint64_t next;  /* chunk that comes next */
    struct err err; /* kind set: the device refused */
    FILE *kept;     /* the answer goes there instead of stdout; NULL: it does not */
    char *text;
    size_t size;
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
        err_set(&q->err, ERR_NET, "a part of the answer is missing");
    if (q->kept)
        term_lines(q->kept, buf_str(doc_str(&root, "out", "")));
    else
        term_lines(stdout, buf_str(doc_str(&root, "out", "")));
    q->done = !doc_bool(&root, "more");
}

/* A question to a device: VERB of cmd/VERB, with an app or none. */
struct question {
    const char *device, *verb, *app;
    uint64_t lines, wait_ms;
};

static char *print_ask(const struct ctx *c, const struct question *ask, const char *client, const char *id)
{
    AUTO_DOC *o = json_obj();
    char reply[220];

    (void)str_fmt(reply, sizeof(reply), MQTT_ROOT "/%s/d/%s/reply/%s", c->fleet, ask->device, client);
    json_put_u64(o, "v", 1);
    json_put_str(o, "id", id);
    json_put_str(o, "reply", reply);
    json_put_u64(o, "exp", clock_wall_s() + CMD_S);
    if (ask->app)
        json_put_str(o, "app", ask->app);
    json_put_u64(o, "lines", ask->lines);
    return json_print(o, false);
}

/* Devices that are offline or unknown are not waited for. */
static int check_there(const struct ctx *c, struct mqtt *m, const char *device, struct err *err)
{
    struct view v = {.n = 0};
    char age[24];
    int rc = view_watch(&v, m, c, device, NULL, err);
    const struct view_device *d = view_find(&v, device);

    if (rc == 0 && (!d || (!d->online_known && !d->state.node)))
        rc = err_set(err, ERR_NET, "no device %s has ever reported: fleetctl get devices", device);
    else if (rc == 0 && d->online_known && !d->online)
        rc = err_set(err, ERR_NET, "%s is offline, last seen %s ago", device,
                     out_age(view_seen_s(d), clock_wall_s(), age));
    mqtt_on_message(m, NULL, NULL);
    view_done(&v);
    return rc;
}

static int send_question(struct ctx *c, struct mqtt *m, const struct question *ask, struct asked *q,
                         struct err *err)
{
    char AUTO_MEM *text = NULL;
    uint8_t salt[4];
    char topic[220], hex[9];
    const char *list[] = {topic};
    int rc;

    if (crypto_random(salt, sizeof(salt), err) < 0)
        return -(int)err->kind;
    (void)str_fmt(q->id, sizeof(q->id), "c-%s", hex_encode(buf_of(salt, sizeof(salt)), hex));
    (void)str_fmt(topic, sizeof(topic), MQTT_ROOT "/%s/d/%s/reply/%s", c->fleet, ask->device, mqtt_client(m));
    mqtt_on_message(m, on_reply, q);
    if (mqtt_subscribe(m, list, 1, err) < 0)
        return -(int)err->kind;
    text = print_ask(c, ask, mqtt_client(m), q->id);
    (void)str_fmt(topic, sizeof(topic), MQTT_ROOT "/%s/d/%s/cmd/%s", c->fleet, ask->device, ask->verb);
    rc =
        mqtt_publish(m, &(struct mqtt_msg){.topic = topic, .payload = buf_str(text), .expiry_s = CMD_S}, err);
    return rc == 1 ? err_set(err, ERR_NET, "%s is offline", ask->device) : rc;
}

/* Ask, and hand the lines of the answer to q->take. */
static int ask_device(struct ctx *c, const struct question *ask, struct asked *q, struct err *err)
{
    AUTO_FREE(mqtt) struct mqtt *m = NULL;
    uint64_t start = clock_boot_ms();

    if (mqtt_new(c, &m, err) < 0 || check_there(c, m, ask->device, err) < 0 ||
        send_question(c, m, ask, q, err) < 0)
        return -(int)err->kind;
    while (!q->done) {
        if (clock_boot_ms() - start > ask->wait_ms)
            return err_set(err, ERR_NET, "%s does not answer", ask->device);
        if (mqtt_poll(m, 200, err) < 0)
            return -(int)err->kind;
    }
    if (q->err.kind) {
        *err = q->err;
        return -(int)err->kind;
    }
    return EXIT_DONE;
}

int verb_logs(struct ctx *c, const struct args *a, struct err *err)
{
    const char *slash = strchr(a->pos[0], '/');
    char device[LIM_NAME_BYTES];
    struct question ask = {.device = device, .verb = "logs", .lines = 20, .wait_ms = ASK_MS};
    struct asked q = {.done = false};

    if (!slash || !str_fmt(device, sizeof(device), "%.*s", (int)(slash - a->pos[0]), a->pos[0]) ||
        !str_is_name(device) || !str_is_name(slash + 1))
        return err_set(err, ERR_USAGE, "usage: fleetctl logs DEVICE/APP");
    ask.app = slash + 1;
    if (args_u64(a, OPT_LINES, 1, 100000, &ask.lines, err) < 0 ||
        args_ms(a, OPT_TIMEOUT, &ask.wait_ms, err) < 0)
        return -(int)err->kind;
    return ask_device(c, &ask, &q, err);
}

/* ---- events ---- */

/* Lines of JSON, as the device keeps them. */
static void print_past(struct listener *l, const char *device, char *lines)
{
    for (char *save = NULL, *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        AUTO_DOC *doc = NULL;
        struct json_cur root;
        if (json_parse(buf_str(line), &limits, &root, NULL) < 0)
            continue;
        doc = root.node;
        (void)doc;
        if (json_is_object(&root, NULL) == 0)
            print_one(l, device, &root);
    }
}

static int past_events(struct ctx *c, const char *device, uint64_t n, struct listener *l, struct err *err)
{
    struct question ask = {.device = device, .verb = "events", .lines = n, .wait_ms = ASK_MS};
    struct asked q = {.done = false};
    int rc;

    if (strcmp(device, "+") == 0)
        return err_set(err, ERR_USAGE, "--past asks one device: give -d ID");
    q.kept = open_memstream(&q.text, &q.size);
    if (!q.kept)
        return err_set(err, ERR_NOMEM, "no memory for an answer");
    rc = ask_device(c, &ask, &q, err);
    (void)fclose(q.kept);
    if (rc == EXIT_DONE)
        print_past(l, device, q.text);
    free(q.text);
    return rc;
}

int verb_events(struct ctx *c, const struct args *a, struct err *err)
{
    AUTO_FREE(mqtt) struct mqtt *m = NULL;
    const char *device = args_str(a, OPT_DEVICE, "+");
    struct listener l = {.ctx = c, .stop_after = UINT64_MAX};
    uint64_t left_ms = args_has(a, OPT_FOLLOW) ? FOR_EVER : 60000, start = clock_boot_ms(), past = 0;
    char filter[200];
    const char *list[] = {filter};

    if (strcmp(device, "+") != 0 && !str_is_name(device))
        return err_set(err, ERR_USAGE, "invalid device id '%s'", device);
    (void)str_fmt(filter, sizeof(filter), MQTT_ROOT "/%s/d/%s/event", c->fleet, device);
    if (args_ms(a, OPT_TIMEOUT, &left_ms, err) < 0 || args_u64(a, OPT_PAST, 1, 10000, &past, err) < 0 ||
        args_u64(a, OPT_LINES, 1, 1ULL << 32, &l.stop_after, err) < 0)
        return -(int)err->kind;
    if (past && past_events(c, device, past, &l, err) < 0)
        return -(int)err->kind;
    if (past && !args_has(a, OPT_FOLLOW))
        return EXIT_DONE;
    l.seen = 0;
    if (mqtt_new(c, &m, err) < 0)
        return -(int)err->kind;
    mqtt_on_message(m, on_event, &l);
    if (mqtt_subscribe(m, list, 1, err) < 0)
        return -(int)err->kind;
    if (!args_has(a, OPT_FOLLOW))
        out_note("events are not kept by the broker: listening for %" PRIu64
                 " s (-f follows; -d ID --past N asks a "
                 "device)",
                 (left_ms / 1000));
    while (l.seen < l.stop_after && clock_boot_ms() - start < left_ms)
        if (mqtt_poll(m, 500, err) < 0)
            return -(int)err->kind;
    return EXIT_DONE;
}
