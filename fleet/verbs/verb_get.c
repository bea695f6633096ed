/* get, describe: what the broker and this directory know, as tables or JSON. */
#include <inttypes.h>
#include <string.h>

#include "fleet/doc/keyring.h"
#include "fleet/doc/relstore.h"
#include "fleet/verbs/verbs.h"
#include "fleet/view/doclist.h"
#include "fleet/view/view.h"
#include "platform/clock.h"

#define CELL 64

/* A number as text, "-" for 0 where that says nothing. */
static const char *number(uint64_t n, char dst[CELL])
{
    (void)str_fmt(dst, CELL, "%" PRIu64, n);
    return dst;
}

static bool is_away(const struct view_device *d)
{
    return d->online_known && !d->online;
}

/* "yes", or "no, 3m": since when it has not been heard of. */
static const char *online_word(const struct view_device *d, char dst[CELL])
{
    char age[24];

    if (is_away(d))
        (void)str_fmt(dst, CELL, "no, %s", out_age(view_seen_s(d), clock_wall_s(), age));
    else
        (void)str_copy(dst, CELL, d->online_known ? "yes" : "?");
    return dst;
}

/* Ages of what a device reports do not grow while it is out of sight. */
static uint64_t now_of(const struct view_device *d)
{
    uint64_t now = clock_wall_s(), seen = view_seen_s(d);

    return is_away(d) && seen && seen < now ? seen : now;
}

static void device_row(struct table *t, const struct view_device *d, bool wide)
{
    static const struct json_cur none = {.node = NULL};
    const struct json_cur *s = d->state.node ? &d->state.root : &none;
    const char *phase = d->state.node ? doc_str(s, "phase", "?") : "no report";
    char rev[CELL], since[24], trust[CELL], apps[CELL], online[CELL], msg[VIEW_REASON_BYTES];
    struct json_cur list;
    uint64_t has = d->state.node ? doc_u64(s, "rev") : 0, want = d->state.node ? doc_u64(s, "want") : 0;

    if (has == want)
        (void)number(has, rev);
    else
        (void)str_fmt(rev, sizeof(rev), "%" PRIu64 "/%" PRIu64, has, want);
    (void)number(d->state.node && doc_get(s, "apps", &list) ? json_len(&list) : 0, apps);
    (void)view_reason(d, true, msg);
    (void)out_age(d->state.node ? doc_u64(s, "since") : 0, now_of(d), since);
    (void)number(d->state.node ? doc_u64(s, "trust") : 0, trust);
    const char *cells[] = {d->id, phase, rev, online_word(d, online),
                           since, apps,  msg, d->state.node ? doc_str(s, "agent", "?") : "-",
                           trust};
    const char *wide_cells[] = {cells[0], cells[1], cells[2], cells[3], cells[4],
                                cells[5], cells[7], cells[8], cells[6]};
    out_table_row(t, wide ? wide_cells : cells, out_phase_color(d->state.node ? phase : NULL));
}

static void put_device(struct cJSON *list, const struct view_device *d)
{
    struct cJSON *o = json_push(list, json_obj());

    json_put_str(o, "device", d->id);
    if (d->online_known)
        json_put_bool(o, "online", d->online);
    if (view_seen_s(d))
        json_put_u64(o, "last_seen", view_seen_s(d));
    if (d->state.node)
        json_put_copy(o, "state", &d->state.root);
}

/* Print what was gathered, as the output asks: names went out already. Takes list (NULL: none) and table. */
static int finish(const struct ctx *c, struct cJSON *take_list, struct table *take_table)
{
    if (take_list)
        out_json(take_list);
    else if (c->output != OUT_NAME)
        out_table_print(take_table, stdout);
    out_table_free(take_table);
    return EXIT_DONE;
}

static int get_devices(struct ctx *c, const struct view *v, const struct target *t, struct err *err)
{
    static const char *const titles[] = {"DEVICE", "PHASE", "REV", "ONLINE", "SINCE", "APPS", "REASON"};
    static const char *const wide_titles[] = {"DEVICE", "PHASE", "REV",   "ONLINE", "SINCE",
                                              "APPS",   "AGENT", "TRUST", "REASON"};
    bool wide = c->output == OUT_WIDE;
    struct cJSON *list = c->output == OUT_JSON ? json_arr() : NULL;
    struct table *table = out_table_new(wide ? 9 : 7, wide ? wide_titles : titles);

    (void)err;
    for (unsigned i = 0; i < v->n; i++) {
        const struct view_device *d = v->devices[i];
        if ((t->group && !view_in_group(d, t->group)) || (t->device && strcmp(t->device, d->id) != 0))
            continue;
        if (list)
            put_device(list, d);
        else if (c->output == OUT_NAME)
            term_print(stdout, "%s\n", d->id);
        else
            device_row(table, d, wide);
    }
    return finish(c, list, table);
}

/* "11.2M/24.0M" */
static const char *memory(const struct json_cur *app, char dst[CELL])
{
    uint64_t limit = doc_u64(app, "limit");
    char a[16], b[16];

    (void)str_fmt(dst, CELL, "%s/%s", out_size(doc_u64(app, "mem"), a), limit ? out_size(limit, b) : "-");
    return dst;
}

static void app_row(struct table *t, const struct view_device *d, const struct json_cur *app)
{
    char mem[CELL], peak[16], restarts[CELL], oom[CELL], since[24], exit_text[CELL] = "", was[CELL];
    const char *state = doc_str(app, "state", "?"), *health = doc_str(app, "health", "none");
    bool bad = strcmp(health, "bad") == 0 || strcmp(state, "backoff") == 0 || strcmp(state, "held") == 0;
    struct json_cur last;

    if (doc_get(app, "last_exit", &last) && json_is_object(&last, NULL) == 0)
        (void)str_fmt(exit_text, sizeof(exit_text), "%" PRIu64 " %s", doc_u64(&last, "code"),
                      doc_str(&last, "reason", ""));
    (void)out_age(doc_u64(app, "since"), now_of(d), since);
    (void)str_fmt(was, sizeof(was), "(%.40s)", state); /* so it was when it was heard of last */
    const char *cells[] = {d->id,
                           app->key,
                           is_away(d) ? was : state,
                           doc_str(app, "version", "-"),
                           memory(app, mem),
                           number(doc_u64(app, "restarts"), restarts),
                           number(doc_u64(app, "oom"), oom),
                           health,
                           since,
                           out_size(doc_u64(app, "peak"), peak),
                           exit_text,
                           doc_str(app, "phase", "-")};
    out_table_row(t, cells, bad ? TERM_BAD : strcmp(state, "running") == 0 ? TERM_NONE : TERM_BUSY);
}

static int get_apps(struct ctx *c, const struct view *v, const struct target *t, struct err *err)
{
    static const char *const titles[] = {"DEVICE", "APP",    "STATE", "VERSION", "MEM/LIMIT", "RS",
                                         "OOM",    "HEALTH", "AGE",   "PEAK",    "LAST-EXIT", "PHASE"};
    bool wide = c->output == OUT_WIDE;
    struct cJSON *list = c->output == OUT_JSON ? json_arr() : NULL, *o;
    struct table *table = out_table_new(wide ? 12 : 9, titles);
    struct json_cur apps;

    (void)err;
    for (unsigned i = 0; i < v->n; i++) {
        const struct view_device *d = v->devices[i];
        if ((t->group && !view_in_group(d, t->group)) || (t->device && strcmp(t->device, d->id) != 0) ||
            !d->state.node || !doc_get(&d->state.root, "apps", &apps) || json_is_object(&apps, NULL) < 0)
            continue;
        for (unsigned k = 0; k < json_len(&apps); k++) {
            struct json_cur app = json_member(&apps, k);
            if (json_is_object(&app, NULL) < 0)
                continue;
            if (list) {
                o = json_push(list, json_obj());
                json_put_str(o, "device", d->id);
                json_put_str(o, "app", app.key);
                copy_members(o, &app);
            } else if (c->output == OUT_NAME)
                term_print(stdout, "%s/%s\n", d->id, app.key);
            else
                app_row(table, d, &app);
        }
    }
    return finish(c, list, table);
}

static void trust_row(struct ctx *c, struct table *t, struct cJSON *list, const struct trust_doc *doc)
{
    char version[CELL], since[24], until[24], keys[160] = "";

    (void)c;
    for (unsigned i = 0; i < doc->n_keys; i++) {
        size_t len = strlen(keys);
        (void)str_fmt(keys + len, sizeof(keys) - len, "%s%s", i ? " " : "", doc->keys[i].id);
    }
    if (list) {
        struct cJSON *o = json_push(list, json_obj());
        json_put_u64(o, "version", doc->version);
        json_put_u64(o, "issued", doc->issued_s);
        json_put_u64(o, "expires", doc->expires_s);
        json_put_str(o, "keys", keys);
        return;
    }
    (void)clock_rfc3339(doc->expires_s, until, sizeof(until));
    until[10] = 0;
    out_table_row(t,
                  (const char *const[]){number(doc->version, version),
                                        out_age(doc->issued_s, clock_wall_s(), since), until, keys},
                  TERM_NONE);
}

static int get_trust(struct ctx *c, struct err *err)
{
    static const char *const titles[] = {"VERSION", "AGE", "EXPIRES", "KEYS"};
    struct cJSON *list = c->output == OUT_JSON ? json_arr() : NULL;
    struct table *table = out_table_new(COUNT_OF(titles), titles);
    struct trust_doc AUTO_MEM *doc = mem_need_zero(sizeof(*doc));
    uint64_t last = keyring_trust_last_version(c);
    int rc = 0;

    for (uint64_t v = 1; v <= last && rc == 0; v++) {
        rc = keyring_trust_load(c, v, doc, err);
        if (rc == 0)
            trust_row(c, table, list, doc);
    }
    if (rc == 0 && list)
        out_json(list);
    else if (rc == 0)
        out_table_print(table, stdout);
    out_table_free(table);
    return rc;
}

static void release_row(struct ctx *c, struct table *t, struct cJSON *list, const struct rel *r)
{
    char counter[CELL], size[16], age[24], digest[SHA256_TEXT];

    if (list) {
        struct cJSON *o = json_push(list, json_obj());
        json_put_str(o, "name", r->name);
        json_put_u64(o, "counter", r->counter);
        json_put_str(o, "version", r->version);
        json_put_str(o, "digest", digest_text(&r->digest, digest));
        json_put_str(o, "source", r->source);
        json_put_str(o, "image", r->image);
        json_put_u64(o, "packed_bytes", r->packed_bytes);
        json_put_u64(o, "issued", r->issued_s);
        return;
    }
    if (c->output == OUT_NAME) {
        term_print(stdout, "%s@%" PRIu64 "\n", r->name, r->counter);
        return;
    }
    out_table_row(t,
                  (const char *const[]){r->name, number(r->counter, counter), r->version,
                                        out_size(r->packed_bytes, size),
                                        out_age(r->issued_s, clock_wall_s(), age), r->source},
                  TERM_NONE);
}

static int get_releases(struct ctx *c, struct err *err)
{
    static const char *const titles[] = {"NAME", "COUNTER", "VERSION", "SIZE", "AGE", "SOURCE"};
    struct cJSON *list = c->output == OUT_JSON ? json_arr() : NULL;
    struct table *table = out_table_new(COUNT_OF(titles), titles);
    char **AUTO_MEM names = ctx_list(c, "releases");
    int rc = 0;

    for (char **p = names; *p && rc == 0; p++) {
        struct rel AUTO_MEM *rels = NULL;
        unsigned n = 0;
        rc = relstore_load(c, *p, &rels, &n, err);
        for (unsigned i = 0; rc == 0 && i < n; i++)
            release_row(c, table, list, &rels[i]);
    }
    if (rc == 0 && list)
        out_json(list);
    else if (rc == 0 && c->output != OUT_NAME)
        out_table_print(table, stdout);
    out_table_free(table);
    return rc;
}

/* Kinds that ask the broker. */
static int get_view(struct ctx *c, const struct args *a,
                    int (*show)(struct ctx *, const struct view *, const struct target *, struct err *),
                    struct err *err)
{
    struct target t = {.device = args_str(a, OPT_DEVICE, NULL), .group = args_str(a, OPT_GROUP, NULL)};
    AUTO_FREE(mqtt) struct mqtt *m = NULL;
    struct view v = {.n = 0};
    struct err why = ERR_INIT;
    int rc = mqtt_new(c, &m, err), shown = 0;

    if (rc == 0)
        rc = view_watch(&v, m, c, t.device, NULL, err);
    if (rc == 0 || v.n > 0) /* what came before the broker was lost is shown, and said to be a part */
        shown = show(c, &v, &t, rc == 0 ? err : &why);
    if (rc < 0 && v.n > 0)
        (void)err_wrap(err, "only a part, %u devices", v.n);
    view_done(&v);
    return rc < 0 ? rc : shown;
}

static int get_documents(struct ctx *c, struct err *err)
{
    struct doclist l = {.n = 0};
    int rc = doclist_read(c, NULL, &l, err);

    if (rc == 0)
        (void)doclist_print(c, &l, false);
    doclist_done(&l);
    return rc;
}

/* What a target was asked last, as it was signed. */
static int get_manifest(struct ctx *c, const struct args *a, struct err *err)
{
    struct doclist l = {.n = 0};
    struct target t;
    int rc = desired_target_parse(a, &t, err);

    if (rc == 0)
        rc = doclist_read(c, &t, &l, err);
    if (rc == 0 && l.n == 0)
        rc = err_set(err, ERR_NOTFOUND, "the broker holds no document for %s", t.device ? t.device : t.group);
    if (rc == 0 && !l.list[0].doc.node)
        rc = err_set(err, ERR_DENIED, "%s: %s", l.list[0].name, l.list[0].fault);
    if (rc == 0) {
        char AUTO_MEM *text = json_print(l.list[0].doc.node, true);
        term_json(stdout, text);
        if (l.list[0].fault[0])
            out_note("warning: %s", l.list[0].fault);
    }
    doclist_done(&l);
    return rc;
}

int verb_get(struct ctx *c, const struct args *a, struct err *err)
{
    const char *what = a->pos[0];

    if (strcmp(what, "devices") == 0 || strcmp(what, "device") == 0)
        return get_view(c, a, get_devices, err);
    if (strcmp(what, "apps") == 0 || strcmp(what, "app") == 0)
        return get_view(c, a, get_apps, err);
    if (strcmp(what, "trust") == 0)
        return get_trust(c, err);
    if (strcmp(what, "releases") == 0 || strcmp(what, "release") == 0)
        return get_releases(c, err);
    if (strcmp(what, "documents") == 0 || strcmp(what, "document") == 0)
        return get_documents(c, err);
    if (strcmp(what, "manifest") == 0)
        return get_manifest(c, a, err);
    return err_set(err, ERR_USAGE, "'get %s': write devices, apps, documents, manifest, trust or releases",
                   what);
}

static void describe_host(const struct json_cur *s)
{
    struct json_cur h;
    char a[16], b[16], c[16], d[16];

    if (!doc_get(s, "host", &h))
        return;
    term_print(stdout, "host      %s %s  kernel %s  cgroup %s\n", doc_str(&h, "arch", "?"),
               doc_str(&h, "os", ""), doc_str(&h, "kernel", "?"), doc_str(&h, "cgroup", "?"));
    term_print(stdout, "memory    %s free of %s    disk %s free of %s\n",
               out_size(doc_u64(&h, "mem_free"), a), out_size(doc_u64(&h, "mem"), b),
               out_size(doc_u64(&h, "disk_free"), c), out_size(doc_u64(&h, "disk"), d));
}

/* What is not enforced as asked, per field. */
static void describe_enforce(const struct json_cur *app)
{
    struct json_cur list;

    if (!doc_get(app, "enforce", &list) || json_is_object(&list, NULL) < 0)
        return;
    term_print(stdout, "          ");
    for (unsigned i = 0; i < json_len(&list); i++) {
        struct json_cur f = json_member(&list, i);
        term_print(stdout, " %s:%s", f.key, json_is_object(&f, NULL) == 0 ? doc_str(&f, "state", "?") : "?");
    }
    term_print(stdout, "\n");
}

static void describe_app(const struct view_device *d, const struct json_cur *app)
{
    char mem[CELL], peak[16], since[24];
    struct json_cur last;

    term_print(stdout, "app       %s%s%s  %s  %s  health %s  %s %s\n", out_color(TERM_NONE), app->key,
               out_plain(), doc_str(app, "version", "-"), doc_str(app, "state", "?"),
               doc_str(app, "health", "none"), is_away(d) ? "was up" : "up",
               out_age(doc_u64(app, "since"), now_of(d), since));
    term_print(stdout,
               "           memory %s peak %s  restarts %" PRIu64 "  oom %" PRIu64 "  pid %" PRIu64 "\n",
               memory(app, mem), out_size(doc_u64(app, "peak"), peak), doc_u64(app, "restarts"),
               doc_u64(app, "oom"), doc_u64(app, "pid"));
    if (doc_get(app, "last_exit", &last) && json_is_object(&last, NULL) == 0)
        term_print(stdout, "           last exit %" PRIu64 " %s\n", doc_u64(&last, "code"),
                   doc_str(&last, "reason", ""));
    describe_enforce(app);
}

/* A clock that nobody has set is why documents may look too old, or not yet valid. */
static void describe_time(const struct json_cur *s)
{
    struct json_cur time;
    char now[32], said[32];

    if (!doc_get(s, "time", &time) || json_is_object(&time, NULL) < 0 || doc_bool(&time, "synced"))
        return;
    (void)clock_rfc3339(doc_u64(&time, "now"), now, sizeof(now));
    (void)clock_rfc3339(doc_u64(&time, "clock"), said, sizeof(said));
    term_print(stdout, "time      takes %s for now; its clock is not synchronised and says %s\n", now, said);
    (void)clock_rfc3339(doc_u64(&time, "floor"), now, sizeof(now));
    term_print(stdout, "          not before %s, by %s\n", now, doc_str(&time, "from", "?"));
}

static int describe(struct ctx *c, const struct view *v, const struct target *t, struct err *err)
{
    const struct view_device *d = view_find(v, t->device);
    const struct json_cur *s;
    struct json_cur apps, e;
    char age[24], online[CELL];

    if (!d)
        return err_set(err, ERR_NOTFOUND, "nothing is known of '%s': fleetctl get devices", t->device);
    if (c->output == OUT_JSON)
        return get_devices(c, v, t, err);
    s = &d->state.root;
    if (!d->state.node) {
        term_print(stdout, "device    %s  online %s  no report\n", d->id, online_word(d, online));
        return EXIT_DONE;
    }
    term_print(stdout, "device    %s  %s%s%s  rev %" PRIu64 " of %" PRIu64 "  since %s\n", d->id,
               out_color(out_phase_color(doc_str(s, "phase", ""))), doc_str(s, "phase", "?"), out_plain(),
               doc_u64(s, "rev"), doc_u64(s, "want"), out_age(doc_u64(s, "since"), now_of(d), age));
    term_print(stdout, "agent     %s  trust %" PRIu64 "  boot %" PRIu64 "  online %s\n",
               doc_str(s, "agent", "?"), doc_u64(s, "trust"), doc_u64(s, "boot"), online_word(d, online));
    describe_host(s);
    if (doc_get(s, "err", &e) && json_is_object(&e, NULL) == 0)
        term_print(stdout, "reason    %s: %s\n", doc_str(&e, "kind", "?"), doc_str(&e, "msg", "?"));
    if (doc_get(s, "denied", &e) && json_is_object(&e, NULL) == 0)
        term_print(stdout, "denied    %s ago: %s\n", out_age(doc_u64(&e, "at"), now_of(d), age),
                   doc_str(&e, "msg", "?"));
    describe_time(s);
    for (unsigned i = 0; doc_get(s, "apps", &apps) && json_is_object(&apps, NULL) == 0 && i < json_len(&apps);
         i++) {
        struct json_cur app = json_member(&apps, i);
        describe_app(d, &app);
    }
    return EXIT_DONE;
}

int verb_describe(struct ctx *c, const struct args *a, struct err *err)
{
    struct args with = *a;

    if (!str_is_name(a->pos[0]))
        return err_set(err, ERR_USAGE, "invalid device id '%s'", a->pos[0]);
    with.n_given = with.n_given < ARGS_MAX ? with.n_given : ARGS_MAX - 1;
    with.given[with.n_given].opt = OPT_DEVICE;
    with.given[with.n_given++].val = a->pos[0];
    return get_view(c, &with, describe, err);
}
