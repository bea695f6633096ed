/* change_print.c - what plan prints: apps and fields that change, and what each device will do. */
#include <inttypes.h>
#include <string.h>

#include "fleet/doc/diff.h"
#include "fleet/doc/relstore.h"
#include "fleet/doc/rollout.h"
#include "fleet/verbs/change.h"
#include "fleet/view/doclist.h"
#include "fleet/view/reach.h"

#define VALUE_LEN     60
#define DEVICES_SHOWN 30

struct printer {
    const struct ctx *ctx;
    const struct change *ch;
    FILE *to;
    struct cJSON *json, *app_json; /* NULL: text */
    unsigned count[DIFF_OP_COUNT_], rest;
    bool counting;  /* nothing is printed */
    uint64_t bytes; /* all downloads together */
};

static const char *release_digest(const struct json_cur *app)
{
    struct json_cur rel;

    return app && doc_get(app, "release", &rel) ? doc_str(&rel, "digest", "") : "";
}

/* "web@2 (1.4.2)" */
static const char *release_words(const struct printer *p, const struct json_cur *app, struct rel *r,
                                 char dst[160])
{
    struct json_cur rel;
    struct digest d;
    struct err why = ERR_INIT; /* a release of another directory: its number is shown */

    *r = (struct rel){.name = ""};
    if (!app || !doc_get(app, "release", &rel))
        return "-";
    (void)str_fmt(dst, 160, "%s@%" PRIu64, doc_str(&rel, "name", "?"), doc_u64(&rel, "counter"));
    if (digest_parse(doc_str(&rel, "digest", ""), &d, NULL) == 0 &&
        relstore_by_digest(p->ctx, &d, r, &why) == 0)
        (void)str_fmt(dst, 160, "%s@%" PRIu64 " (%s)", r->name, r->counter, r->version);
    return dst;
}

/* Devices that the target means and that do not report this release: they download it. */
static unsigned count_missing(const struct printer *p, const char *name, const char *digest)
{
    unsigned n = 0;

    for (unsigned i = 0; i < p->ch->view.n; i++) {
        const struct view_device *d = p->ch->view.devices[i];
        struct json_cur apps, app;
        if (!view_meant(&p->ch->view, d, &p->ch->target) || !rollout_open(&p->ch->next.root, d->id))
            continue;
        if (!d->state.node || !doc_get(&d->state.root, "apps", &apps) || !doc_get(&apps, name, &app) ||
            strcmp(doc_str(&app, "release", ""), digest) != 0)
            n++;
    }
    if (n == 0 && p->ch->target.device && !view_find(&p->ch->view, p->ch->target.device))
        n = 1; /* it has not reported yet */
    return n;
}

/* Devices take no release below one that they have run: say so before they do. */
static void warn_older(const char *name, const struct json_cur *was, const struct json_cur *will)
{
    struct json_cur a, b;

    if (was && will && doc_get(was, "release", &a) && doc_get(will, "release", &b) &&
        strcmp(doc_str(&a, "name", ""), doc_str(&b, "name", "")) == 0 &&
        doc_u64(&b, "counter") < doc_u64(&a, "counter"))
        out_note("warning: %s: devices that ran @%" PRIu64 " refuse the older @%" PRIu64
                 ": publish the old image again, "
                 "with a new counter",
                 name, doc_u64(&a, "counter"), doc_u64(&b, "counter"));
}

/* Signed by a key that counted once: devices refuse it now. */
static void warn_retired(const struct ctx *c, const char *name, const struct json_cur *will)
{
    struct json_cur rel;

    if (will && doc_get(will, "release", &rel) &&
        !doclist_release_counts(c, doc_str(&rel, "name", ""), doc_u64(&rel, "counter")))
        out_note("warning: %s: %s@%" PRIu64
                 " is signed by a key that is retired: devices refuse it; publish the "
                 "image again",
                 name, doc_str(&rel, "name", "?"), doc_u64(&rel, "counter"));
}

static void on_app(void *arg, enum diff_op op, const char *name, const struct json_cur *was,
                   const struct json_cur *will)
{
    struct printer *p = arg;
    struct rel r;
    char before[160], after[160], cost[64] = "", size[16];
    const char *digest = release_digest(will);
    static const enum term_color colors[DIFF_OP_COUNT_] = {
        [DIFF_SAME] = TERM_DIM, [DIFF_ADD] = TERM_GOOD, [DIFF_CHANGE] = TERM_BUSY, [DIFF_REMOVE] = TERM_BAD};

    p->count[op]++;
    if (p->counting)
        return;
    unsigned missing = will ? count_missing(p, name, digest) : 0;
    const char *old_words = release_words(p, was, &r, before);
    const char *new_words = release_words(p, will, &r, after);

    warn_older(name, was, will);
    warn_retired(p->ctx, name, will);
    p->bytes += r.packed_bytes * missing;
    if (p->json) {
        static const char *const words[DIFF_OP_COUNT_] = {"same", "add", "change", "remove"};
        p->app_json = json_push(p->json, json_obj());
        json_put_str(p->app_json, "app", name);
        json_put_str(p->app_json, "action", words[op]);
        json_put_u64(p->app_json, "download_bytes", r.packed_bytes * missing);
        p->app_json = json_put(p->app_json, "fields", json_arr());
        return;
    }
    if (missing && r.packed_bytes)
        (void)str_fmt(cost, sizeof(cost), "   %s to download", out_size(r.packed_bytes, size));
    term_print(p->to, "%s  %c %-16s ", out_color(colors[op]), diff_signs[op], name);
    if (op == DIFF_CHANGE && strcmp(release_digest(was), digest) != 0)
        term_print(p->to, "%s -> %s%s", old_words, new_words, cost);
    else
        term_print(p->to, "%s%s%s", will ? new_words : old_words, op == DIFF_SAME ? "   unchanged" : "",
                   cost);
    term_print(p->to, "%s\n", out_plain());
}

static void on_field(void *arg, const char *path, const char *was, const char *will)
{
    struct printer *p = arg;

    if (p->json) {
        struct cJSON *f = json_push(p->app_json, json_obj());
        json_put_str(f, "field", path);
        json_put_str(f, "from", was);
        json_put_str(f, "to", will);
        return;
    }
    if (strncmp(path, "release.", 8) == 0)
        return; /* said in the line above */
    term_print(p->to, "      %s: %.*s -> %.*s\n", path, VALUE_LEN, was ? was : "(none)", VALUE_LEN,
               will ? will : "(none)");
}

static void on_rest(void *arg, const char *path, const char *was, const char *will)
{
    struct printer *p = arg;

    p->rest++;
    if (!p->counting)
        on_field(arg, path, was, will);
}

static unsigned count_changes(const struct change *ch)
{
    struct printer p = {.counting = true};
    struct diff_calls calls = {.app = on_app, .field = on_rest, .arg = &p};
    const struct json_cur *old = ch->old.node ? &ch->old.root : NULL;
    struct diff_calls apps = {.app = on_app, .arg = &p};

    diff_docs(old, &ch->next.root, &apps);
    diff_rest(old, &ch->next.root, &calls);
    return p.count[DIFF_ADD] + p.count[DIFF_CHANGE] + p.count[DIFF_REMOVE] + p.rest;
}

/* What each device of the target will do: reached[i] of view.devices[i], act REACH_ACT_COUNT_: not of the
 * target. */
struct reached {
    struct reach *list; /* owned */
    unsigned all, online, n[REACH_ACT_COUNT_];
};

static struct reached find_reached(const struct change *ch, unsigned changes)
{
    struct reached r = {.list = mem_need_zero((ch->view.n + 1) * sizeof(*r.list))};

    for (unsigned i = 0; i < ch->view.n; i++) {
        const struct view_device *d = ch->view.devices[i];
        r.list[i].act = REACH_ACT_COUNT_;
        if (!view_in_target(d, &ch->target))
            continue;
        r.list[i] = reach_of(&ch->view, d, &ch->target, &ch->next.root, ch->old_rev, changes);
        r.all++;
        r.online += d->online;
        r.n[r.list[i].act]++;
    }
    return r;
}

static unsigned acting(const struct reached *r)
{
    return r->n[REACH_ACTS] + r->n[REACH_SAME] + r->n[REACH_REFUSES];
}

static void print_head(const struct change *ch, const struct reached *r, FILE *to)
{
    const struct target *t = &ch->target;
    char rev[32] = "new";

    if (ch->old_rev)
        (void)str_fmt(rev, sizeof(rev), "%" PRIu64, ch->old_rev);
    term_print(to, "Plan for %s %s, rev %s -> %" PRIu64 ": ", t->device ? "device" : "group",
               t->device ? t->device : t->group, rev, ch->rev);
    if (t->device)
        term_print(to, "%s\n",
                   r->online ? "online"
                   : r->all  ? "offline, acts when it is back"
                             : "has not reported yet");
    else
        term_print(to, "%u devices (%u online, %u offline), %u of them act\n", r->all, r->online,
                   r->all - r->online, acting(r));
}

static void put_json_head(const struct change *ch, const struct reached *r, struct cJSON *root)
{
    json_put_str(root, ch->target.device ? "device" : "group",
                 ch->target.device ? ch->target.device : ch->target.group);
    json_put_u64(root, "old_rev", ch->old_rev);
    json_put_u64(root, "rev", ch->rev);
    json_put_u64(root, "devices", r->all);
    json_put_u64(root, "online", r->online);
    json_put_u64(root, "acting", acting(r));
}

static void put_json_devices(const struct change *ch, const struct reached *r, struct cJSON *root)
{
    struct cJSON *list = json_put(root, "targets", json_arr());

    for (unsigned i = 0; i < ch->view.n; i++) {
        const struct reach *x = &r->list[i];
        if (x->act == REACH_ACT_COUNT_)
            continue;
        struct cJSON *o = json_push(list, json_obj());
        json_put_str(o, "device", ch->view.devices[i]->id);
        json_put_bool(o, "online", ch->view.devices[i]->online);
        json_put_str(o, "does", reach_words[x->act]);
        json_put_str(o, "follows", !x->follows ? NULL : *x->follows ? x->follows : "device");
        json_put_str(o, "why", x->why);
    }
}

static void print_devices(const struct ctx *c, const struct change *ch, const struct reached *r, FILE *to)
{
    static const char *const titles[] = {"DEVICE", "ONLINE", "DOES", "WHY"};
    static const enum term_color colors[REACH_ACT_COUNT_] = {[REACH_REFUSES] = TERM_BAD,
                                                             [REACH_OTHER] = TERM_DIM,
                                                             [REACH_HELD] = TERM_DIM,
                                                             [REACH_SAME] = TERM_DIM};
    struct table *t;
    unsigned shown = 0, most = c->output == OUT_WIDE ? UINT32_MAX : DEVICES_SHOWN;

    if (!r->all)
        return;
    t = out_table_new(COUNT_OF(titles), titles);
    for (unsigned i = 0; i < ch->view.n; i++) {
        const struct view_device *d = ch->view.devices[i];
        const struct reach *x = &r->list[i];
        if (x->act == REACH_ACT_COUNT_ || shown++ >= most)
            continue;
        const char *cells[] = {d->id, d->online ? "yes" : "no", reach_words[x->act], x->why};
        out_table_row(t, cells, colors[x->act]);
    }
    out_table_print(t, to);
    out_table_free(t);
    if (shown > most)
        term_print(to, "and %u more (-o wide shows them)\n", shown - most);
}

/* A target that nobody is: mistyped, most likely. */
static void warn_nobody(const struct ctx *c, const struct change *ch, const struct reached *r)
{
    const struct target *t = &ch->target;
    char path[100];

    if (r->all)
        return;
    (void)str_fmt(path, sizeof(path), "devices/%s", t->device ? t->device : "");
    if (t->group)
        out_note("warning: no device has reported that it is in group %s: is the name right?", t->group);
    else if (!ctx_has(c, path))
        out_note("warning: no device %s has ever reported, and devices/ has none: is the name right?",
                 t->device);
}

unsigned change_print(const struct ctx *c, const struct change *ch, FILE *to)
{
    struct printer p = {.ctx = c, .ch = ch, .to = to};
    struct cJSON *root = c->output == OUT_JSON ? json_obj() : NULL;
    struct diff_calls calls = {.app = on_app, .field = on_field, .arg = &p};
    const struct json_cur *old = ch->old.node ? &ch->old.root : NULL;
    unsigned n = count_changes(ch);
    struct reached r = find_reached(ch, n);
    char size[16];

    warn_nobody(c, ch, &r);
    if (root) {
        put_json_head(ch, &r, root);
        p.json = json_put(root, "apps", json_arr());
    } else
        print_head(ch, &r, to);
    diff_docs(old, &ch->next.root, &calls);
    calls.field = on_rest;
    p.app_json = root ? json_put(root, "fields", json_arr()) : NULL;
    diff_rest(old, &ch->next.root, &calls);
    if (root) {
        json_put_u64(root, "changes", n);
        json_put_u64(root, "download_bytes", p.bytes);
        put_json_devices(ch, &r, root);
        out_json(root);
        free(r.list);
        return n;
    }
    term_print(to, "%u to add, %u to change, %u to remove, %u unchanged.  Download: %s\n", p.count[DIFF_ADD],
               p.count[DIFF_CHANGE], p.count[DIFF_REMOVE], p.count[DIFF_SAME],
               p.bytes ? out_size(p.bytes, size) : "nothing");
    print_devices(c, ch, &r, to);
    free(r.list);
    return n;
}
