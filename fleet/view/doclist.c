#include "fleet/view/doclist.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/doc/keyring.h"
#include "platform/clock.h"

#define SOON_S (30 * 86400ULL)

struct reading {
    const struct ctx *ctx;
    struct doclist list;
    unsigned cap;
};

void doclist_done(struct doclist *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        free((void *)l->list[i].envelope.p);
        l->list[i].doc.node = json_free(l->list[i].doc.node);
    }
    free(l->list);
    *l = (struct doclist){.n = 0};
}

/* "limpet1/FLEET/d/NAME/desired" */
static bool split(const char *topic, struct doclist_entry *e)
{
    const char *p = strstr(topic, "/d/"), *g = strstr(topic, "/g/"), *end;

    e->group = g && (!p || g < p);
    p = e->group ? g : p;
    end = p ? strchr(p + 3, '/') : NULL;
    return end && strcmp(end, "/desired") == 0 &&
           str_fmt(e->name, sizeof(e->name), "%.*s", (int)(end - p - 3), p + 3) && str_is_name(e->name);
}

static void on_message(void *arg, const struct mqtt_msg *msg)
{
    struct reading *r = arg;
    struct doclist_entry e = {.group = false};

    if (!split(msg->topic, &e) || !msg->payload.len)
        return;
    for (unsigned i = 0; i < r->list.n; i++) /* published again while we read */
        if (r->list.list[i].group == e.group && strcmp(r->list.list[i].name, e.name) == 0)
            return;
    if (r->list.n == r->cap) {
        struct doclist_entry *more = mem_need((r->cap = r->cap ? 2 * r->cap : 32) * sizeof(*more));
        if (r->list.n)
            memcpy(more, r->list.list, r->list.n * sizeof(*more));
        free(r->list.list);
        r->list.list = more;
    }
    e.envelope = buf_of(mem_need(msg->payload.len), msg->payload.len);
    memcpy((void *)e.envelope.p, msg->payload.p, msg->payload.len);
    r->list.list[r->list.n++] = e;
}

bool doclist_release_counts(const struct ctx *c, const char *name, uint64_t counter)
{
    AUTO_FREE(envelope) struct envelope *env = NULL;
    AUTO_BUF text = {NULL, 0};
    struct err why = ERR_INIT;
    char file[160];

    (void)str_fmt(file, sizeof(file), "releases/%s/%" PRIu64 ".json", name, counter);
    return ctx_read(c, file, LIM_ENVELOPE_BYTES, &text, &why) < 0 ||
           keyring_verify(c, TRUST_RELEASE, ENVELOPE_TYPE_RELEASE, text, &env, &why) == 0;
}

static void judge_release(const struct ctx *c, const struct json_cur *of, struct doclist_entry *e)
{
    struct json_cur rel;

    if (!e->fault[0] && doc_get(of, "release", &rel) &&
        !doclist_release_counts(c, doc_str(&rel, "name", ""), doc_u64(&rel, "counter")))
        (void)str_fmt(e->fault, sizeof(e->fault),
                      "%s@%" PRIu64 " is signed by a retired key: publish it again",
                      doc_str(&rel, "name", "?"), doc_u64(&rel, "counter"));
}

static void judge_releases(const struct ctx *c, struct doclist_entry *e)
{
    static const char *const more[] = {"os", "agent"};
    struct json_cur apps, other;

    for (unsigned i = 0; doc_get(&e->doc.root, "apps", &apps) && i < json_len(&apps); i++) {
        struct json_cur app = json_at(&apps, i);
        judge_release(c, &app, e);
    }
    for (unsigned i = 0; i < COUNT_OF(more); i++)
        if (doc_get(&e->doc.root, more[i], &other))
            judge_release(c, &other, e);
}

static void judge(const struct ctx *c, struct doclist_entry *e)
{
    AUTO_FREE(envelope) struct envelope *env = NULL;
    struct err why = ERR_INIT;
    uint64_t now = clock_wall_s(), end;
    char left[24];

    if (view_read_desired(c, e->envelope, &e->doc, &why) < 0) {
        (void)str_fmt(e->fault, sizeof(e->fault), "not this fleet's: %.120s", why.msg);
        return;
    }
    end = doc_u64(&e->doc.root, "expires");
    if (keyring_verify(c, TRUST_FLEET, ENVELOPE_TYPE_DESIRED, e->envelope, &env, &why) < 0)
        (void)str_fmt(e->fault, sizeof(e->fault), "signed by a retired key: apply it again");
    else if (end <= now)
        (void)str_fmt(e->fault, sizeof(e->fault), "has expired: apply it again");
    else if (end < now + SOON_S)
        (void)str_fmt(e->fault, sizeof(e->fault), "expires in %s",
                      clock_age((end - now) * 1000, left, sizeof(left)));
    else
        judge_releases(c, e);
}

static int by_name(const void *a, const void *b)
{
    const struct doclist_entry *x = a, *y = b;

    return x->group != y->group ? (x->group ? 1 : -1) : strcmp(x->name, y->name);
}

int doclist_read(const struct ctx *c, const struct target *t, struct doclist *ret, struct err *err)
{
    AUTO_FREE(mqtt) struct mqtt *m = NULL;
    struct reading r = {.ctx = c};
    char topics[2][200];
    const char *list[] = {topics[0], topics[1]};
    int rc = mqtt_new(c, &m, err);

    if (t)
        desired_target_topic(c, t, topics[0]);
    else
        (void)str_fmt(topics[0], sizeof(topics[0]), MQTT_ROOT "/%s/d/+/desired", c->fleet);
    (void)str_fmt(topics[1], sizeof(topics[1]), MQTT_ROOT "/%s/g/+/desired", c->fleet);
    if (rc == 0) {
        mqtt_on_message(m, on_message, &r);
        rc = mqtt_retained(m, list, t ? 1 : 2, err);
    }
    if (rc < 0) {
        doclist_done(&r.list);
        return rc;
    }
    if (r.list.n)
        qsort(r.list.list, r.list.n, sizeof(r.list.list[0]), by_name);
    for (unsigned i = 0; i < r.list.n; i++)
        judge(c, &r.list.list[i]);
    *ret = r.list;
    return 0;
}

static void put_json(struct cJSON *list, const struct doclist_entry *e)
{
    struct cJSON *o = json_push(list, json_obj());

    json_put_str(o, e->group ? "group" : "device", e->name);
    json_put_u64(o, "rev", e->doc.node ? doc_u64(&e->doc.root, "rev") : 0);
    json_put_u64(o, "expires", e->doc.node ? doc_u64(&e->doc.root, "expires") : 0);
    json_put_str(o, "fault", e->fault[0] ? e->fault : NULL);
}

static void put_row(struct table *t, const struct doclist_entry *e)
{
    char rev[24] = "-", age[24] = "-", until[24] = "-", apps[24] = "-";
    const struct json_cur *d = &e->doc.root;
    struct json_cur list;

    if (e->doc.node) {
        (void)str_fmt(rev, sizeof(rev), "%" PRIu64, doc_u64(d, "rev"));
        (void)out_age(doc_u64(d, "issued"), clock_wall_s(), age);
        (void)clock_rfc3339(doc_u64(d, "expires"), until, sizeof(until));
        until[10] = '\0';
        if (doc_bool(d, "withdrawn"))
            (void)str_copy(apps, sizeof(apps), "withdrawn");
        else if (doc_get(d, "apps", &list))
            (void)str_fmt(apps, sizeof(apps), "%u", json_len(&list));
    }
    out_table_row(t,
                  (const char *const[]){e->group ? "group" : "device", e->name, rev, age, until,
                                        e->doc.node ? doc_str(d, "by", "-") : "-", apps, e->fault},
                  e->fault[0] ? TERM_BAD : TERM_NONE);
}

unsigned doclist_print(const struct ctx *c, const struct doclist *l, bool only_faulty)
{
    static const char *const titles[] = {"FOR", "NAME", "REV", "AGE", "EXPIRES", "BY", "APPS", "FAULT"};
    struct cJSON *list = c->output == OUT_JSON ? json_arr() : NULL;
    struct table *t = out_table_new(COUNT_OF(titles), titles);
    unsigned n = 0;

    for (unsigned i = 0; i < l->n; i++) {
        const struct doclist_entry *e = &l->list[i];
        if (only_faulty && !e->fault[0])
            continue;
        n++;
        if (list)
            put_json(list, e);
        else if (c->output == OUT_NAME)
            term_print(stdout, "%s/%s\n", e->group ? "group" : "device", e->name);
        else
            put_row(t, e);
    }
    if (list)
        out_json(list);
    else if (c->output != OUT_NAME && (n || !only_faulty))
        out_table_print(t, stdout);
    out_table_free(t);
    return n;
}
