#include "fleet/view/view.h"

#include <stdlib.h>
#include <string.h>

#include "fleet/doc/keyring.h"

#define POINTER       sizeof(void *)
#define WITHDRAWN_MAX 8192 /* bytes of such an envelope: its signatures and long names */

/* What a device says of itself: larger than anything we sign. */
static const struct json_limits report_limits = {.max_bytes = LIM_MQTT_PACKET_BYTES,
                                                 .max_depth = LIM_JSON_DEPTH,
                                                 .max_tokens = 2 * LIM_JSON_TOKENS,
                                                 .floats = true};

static void doc_done(struct view_doc *d)
{
    d->node = json_free(d->node);
}

void view_done(struct view *v)
{
    for (unsigned i = 0; i < v->n; i++) {
        doc_done(&v->devices[i]->state);
        doc_done(&v->devices[i]->progress);
        free(v->devices[i]);
    }
    free(v->devices);
    free(v->groups);
    free((void *)v->desired.p);
    *v = (struct view){.n = 0};
}

static unsigned lower_bound(const struct view *v, const char *id)
{
    unsigned lo = 0, hi = v->n;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (strcmp(v->devices[mid]->id, id) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct view_device *view_find(const struct view *v, const char *id)
{
    unsigned at = lower_bound(v, id);

    return at < v->n && strcmp(v->devices[at]->id, id) == 0 ? v->devices[at] : NULL;
}

static struct view_device *find_or_add(struct view *v, const char *id)
{
    struct view_device *d = view_find(v, id);
    unsigned at;

    if (d)
        return d;
    if (v->n == v->cap) {
        unsigned cap = v->cap ? v->cap * 2 : 64;
        struct view_device **more = mem_need(cap * POINTER);
        if (v->n)
            memcpy(more, v->devices, v->n * POINTER);
        free(v->devices);
        v->devices = more;
        v->cap = cap;
    }
    at = lower_bound(v, id);
    memmove(&v->devices[at + 1], &v->devices[at], (v->n - at) * POINTER);
    v->n++;
    d = v->devices[at] = mem_need_zero(sizeof(*d));
    (void)str_copy(d->id, sizeof(d->id), id);
    return d;
}

static void take_doc(struct view_doc *to, struct buf payload)
{
    struct view_doc fresh = {.node = NULL};

    if (payload.len && json_parse(payload, &report_limits, &fresh.root, NULL) < 0)
        return;
    fresh.node = payload.len ? fresh.root.node : NULL;
    if (fresh.node && json_is_object(&fresh.root, NULL) < 0)
        fresh.node = json_free(fresh.node);
    doc_done(to);
    *to = fresh;
}

/* A late will of an older connection must not hide a newer birth: conn only rises. */
static void take_online(struct view_device *d, struct buf payload)
{
    struct view_doc doc = {.node = NULL};
    uint64_t conn;
    bool on;

    take_doc(&doc, payload);
    if (!doc.node)
        return;
    conn = doc_u64(&doc.root, "conn");
    on = doc_bool(&doc.root, "on");
    if (!d->online_known || on || conn >= d->conn) {
        d->online_known = true;
        d->online = on;
        d->conn = conn;
        d->online_s = doc_u64(&doc.root, "ts");
    }
    doc_done(&doc);
}

/* "limpet1/FLEET/d/ID/WHAT" -> ID and WHAT. */
static const char *split_topic(const char *topic, char id[LIM_NAME_BYTES])
{
    const char *p = topic, *end;

    for (unsigned i = 0; i < 2; i++) {
        p = strchr(p, '/');
        if (!p++)
            return NULL;
    }
    if (strncmp(p, "d/", 2) != 0 || !(end = strchr(p + 2, '/')) ||
        !str_fmt(id, LIM_NAME_BYTES, "%.*s", (int)(end - p - 2), p + 2) || !str_is_name(id))
        return NULL;
    return end + 1;
}

/* Has this retained document an opinion? An empty one has not, nor one that is withdrawn (small: it has no
 * apps). */
static bool has_opinion(struct buf payload)
{
    AUTO_FREE(envelope) struct envelope *env = NULL;
    struct view_doc doc = {.node = NULL};
    bool withdrawn;

    if (payload.len == 0 || payload.len > WITHDRAWN_MAX || envelope_parse(payload, &env, NULL) < 0)
        return payload.len > 0;
    take_doc(&doc, buf_of(env->payload, env->payload_len));
    withdrawn = doc.node && doc_bool(&doc.root, "withdrawn");
    doc_done(&doc);
    return !withdrawn;
}

static int group_at(const struct view *v, const char *name)
{
    for (unsigned i = 0; i < v->n_groups; i++)
        if (strcmp(v->groups[i], name) == 0)
            return (int)i;
    return -1;
}

/* "limpet1/FLEET/g/NAME/desired": there is a document, or none any more. */
static void take_group(struct view *v, const struct mqtt_msg *msg)
{
    char name[LIM_NAME_BYTES];
    const char *p = strstr(msg->topic, "/g/"), *end = p ? strchr(p + 3, '/') : NULL;
    int at;

    if (!end || strcmp(end, "/desired") != 0 ||
        !str_fmt(name, sizeof(name), "%.*s", (int)(end - p - 3), p + 3) || !str_is_name(name))
        return;
    at = group_at(v, name);
    bool opinion = has_opinion(msg->payload);
    if (at >= 0 && !opinion) {
        memcpy(v->groups[at], v->groups[--v->n_groups], sizeof(v->groups[0]));
    } else if (at < 0 && opinion) {
        char(*more)[LIM_NAME_BYTES] = mem_need((v->n_groups + 1) * sizeof(*more));
        if (v->n_groups)
            memcpy(more, v->groups, v->n_groups * sizeof(*more));
        (void)str_copy(more[v->n_groups++], sizeof(*more), name);
        free(v->groups);
        v->groups = more;
    }
}

void view_take(struct view *v, const struct mqtt_msg *msg)
{
    char id[LIM_NAME_BYTES];
    const char *what = split_topic(msg->topic, id);

    v->touched = NULL;
    v->changes++;
    if (v->desired_topic[0] && strcmp(msg->topic, v->desired_topic) == 0) {
        uint8_t *p = mem_need_zero(msg->payload.len + 1);
        if (msg->payload.len)
            memcpy(p, msg->payload.p, msg->payload.len);
        free((void *)v->desired.p);
        v->desired = buf_of(p, msg->payload.len);
    }
    if (!what) {
        take_group(v, msg);
        return;
    }
    if (strcmp(what, "state") == 0)
        take_doc(&(v->touched = find_or_add(v, id))->state, msg->payload);
    else if (strcmp(what, "progress") == 0)
        take_doc(&(v->touched = find_or_add(v, id))->progress, msg->payload);
    else if (strcmp(what, "online") == 0)
        take_online(v->touched = find_or_add(v, id), msg->payload);
    else if (strcmp(what, "desired") == 0)
        (v->touched = find_or_add(v, id))->has_own = has_opinion(msg->payload);
}

static void on_message(void *arg, const struct mqtt_msg *msg)
{
    view_take(arg, msg);
}

int view_watch(struct view *v, struct mqtt *m, const struct ctx *c, const char *device,
               const struct target *t, struct err *err)
{
    static const char *const parts[] = {"state", "online", "progress", "desired"};
    char filters[COUNT_OF(parts) + 1][200];
    const char *list[COUNT_OF(parts) + 1];
    unsigned n = 0;

    for (; n < COUNT_OF(parts); n++) {
        (void)str_fmt(filters[n], sizeof(filters[n]), MQTT_ROOT "/%s/d/%s/%s", c->fleet,
                      device ? device : "+", parts[n]);
        list[n] = filters[n];
    }
    if (t) {
        desired_target_topic(c, t, v->desired_topic);
        (void)str_fmt(filters[n], sizeof(filters[n]), MQTT_ROOT "/%s/g/+/desired", c->fleet);
        list[n] = filters[n];
        n++;
    }
    mqtt_on_message(m, on_message, v);
    return mqtt_retained(m, list, n, err);
}

/* The i-th group that a device reports, NULL behind the last one. */
static const char *group_of(const struct view_device *d, unsigned i)
{
    struct json_cur groups, g;
    const char *name;

    if (!d->state.node || !doc_get(&d->state.root, "groups", &groups) || i >= json_len(&groups))
        return NULL;
    g = json_at(&groups, i);
    return json_as_str(&g, LIM_NAME_BYTES, &name, NULL) == 0 ? name : "";
}

bool view_in_group(const struct view_device *d, const char *group)
{
    const char *name;

    for (unsigned i = 0; (name = group_of(d, i)); i++)
        if (strcmp(name, group) == 0)
            return true;
    return d->state.node && strcmp(group, "all") == 0;
}

static bool has_document(const struct view *v, const char *group, const struct target *t)
{
    return (t->group && strcmp(t->group, group) == 0) || group_at(v, group) >= 0;
}

const char *view_follows(const struct view *v, const struct view_device *d, const struct target *t)
{
    const char *name;

    if (d->has_own || (t->device && strcmp(t->device, d->id) == 0))
        return "";
    for (unsigned i = 0; (name = group_of(d, i)); i++)
        if (has_document(v, name, t))
            return name;
    return d->state.node && has_document(v, "all", t) ? "all" : NULL;
}

bool view_in_target(const struct view_device *d, const struct target *t)
{
    return t->device ? strcmp(d->id, t->device) == 0 : view_in_group(d, t->group);
}

bool view_meant(const struct view *v, const struct view_device *d, const struct target *t)
{
    const char *whose;

    if (!view_in_target(d, t))
        return false;
    whose = view_follows(v, d, t);
    return whose && strcmp(whose, t->device ? "" : t->group) == 0;
}

bool view_is_about(const struct view_device *d, const struct target *t)
{
    struct json_cur any;
    bool told =
        d->state.node && doc_get(&d->state.root, "follows", &any); /* an older agent tells only "source" */
    const char *source = d->state.node ? doc_str(&d->state.root, told ? "follows" : "source", "") : "";

    return t->device ? strcmp(source, "device") == 0
                     : strncmp(source, "group:", 6) == 0 && strcmp(source + 6, t->group) == 0;
}

uint64_t view_seen_s(const struct view_device *d)
{
    uint64_t said = d->state.node ? doc_u64(&d->state.root, "ts") : 0;

    return said > d->online_s ? said : d->online_s;
}

const char *view_reason(const struct view_device *d, bool about, char dst[VIEW_REASON_BYTES])
{
    const struct json_cur *s = &d->state.root;
    struct json_cur e;
    const char *app;

    dst[0] = '\0';
    if (!d->state.node)
        return dst;
    if (about && doc_get(s, "err", &e) && json_is_object(&e, NULL) == 0) {
        app = doc_str(&e, "app", "");
        (void)str_fmt(dst, VIEW_REASON_BYTES, "%.64s%s%.170s", app, *app ? ": " : "", doc_str(&e, "msg", ""));
    }
    if (!dst[0] && doc_get(s, "denied", &e) && json_is_object(&e, NULL) == 0)
        (void)str_fmt(dst, VIEW_REASON_BYTES, "denied: %.200s", doc_str(&e, "msg", "no reason given"));
    return dst;
}

int view_read_desired(const struct ctx *c, struct buf envelope, struct view_doc *ret, struct err *err)
{
    AUTO_FREE(envelope) struct envelope *env = NULL;
    struct view_doc doc;

    if (keyring_verify_ever(c, TRUST_FLEET, ENVELOPE_TYPE_DESIRED, envelope, &env, err) < 0 ||
        json_parse(buf_of(env->payload, env->payload_len), &json_limits_signed, &doc.root, err) < 0)
        return -(int)err->kind;
    doc.node = doc.root.node;
    *ret = doc;
    return 0;
}
