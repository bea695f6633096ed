#include "fleet/change.h"

#include <pwd.h>
#include <string.h>

#include "fleet/diff.h"
#include "fleet/relstore.h"
#include "fleet/rollout.h"
#include "platform/clock.h"

#define YEAR_MS   (365ULL * 86400ULL * 1000ULL)
#define VALUE_LEN 60

void change_done(struct change *ch)
{
    ch->mqtt = mqtt_free(ch->mqtt);
    view_done(&ch->view);
    ch->old.node = json_free(ch->old.node);
    ch->next.node = json_free(ch->next.node);
    free(ch->text);
    ch->text = NULL;
}

static void last_name(const struct target *t, char dst[100])
{
    (void)str_fmt(dst, 100, "desired/%c-%s.json", t->device ? 'd' : 'g', t->device ? t->device : t->group);
}

/* The revision that we signed last, also when the broker has forgotten it. */
static uint64_t last_signed(const struct ctx *c, const struct target *t)
{
    AUTO_BUF text = {NULL, 0};
    struct view_doc doc = {.node = NULL};
    struct err why = ERR_INIT; /* none, or not ours: no revision */
    char name[100];
    uint64_t rev;

    last_name(t, name);
    if (ctx_read(c, name, LIM_ENVELOPE_BYTES, &text, &why) < 0 || desired_read(c, text, &doc, &why) < 0)
        return 0;
    rev = doc_u64(&doc.root, "rev");
    json_free(doc.node);
    return rev;
}

int change_remember(const struct ctx *c, const struct change *ch, struct buf envelope, struct err *err)
{
    char name[100];

    last_name(&ch->target, name);
    return ctx_replace(c, name, envelope, 0644, err);
}

/* The last revision: the highest of what is retained, what we signed and what the device says it has seen. A
 * device takes only a higher one. */
static void find_old(const struct ctx *c, struct change *ch)
{
    struct err why = ERR_INIT;
    const struct view_device *d = ch->target.device ? view_find(&ch->view, ch->target.device) : NULL;
    uint64_t more = last_signed(c, &ch->target);

    if (ch->view.desired.len && desired_read(c, ch->view.desired, &ch->old, &why) < 0)
        out_note("warning: what the broker holds for this target is not this fleet's: %s", why.msg);
    if (ch->old.node)
        ch->old_rev = doc_u64(&ch->old.root, "rev");
    ch->old_rev = more > ch->old_rev ? more : ch->old_rev;
    if (ch->old.node || !d || !d->state.node || strcmp(doc_str(&d->state.root, "source", ""), "device") != 0)
        return;
    more = doc_u64(&d->state.root, "want");
    ch->old_rev = more > ch->old_rev ? more : ch->old_rev;
}

static const char *user_name(void)
{
    const char *sudo = getenv("SUDO_USER");
    struct passwd *pw = getpwuid(getuid());

    return sudo && *sudo ? sudo : (pw ? pw->pw_name : NULL);
}

int change_make(struct ctx *c, const struct args *a, struct change *ch, struct err *err)
{
    const char *file = args_str(a, OPT_FILE, NULL);
    AUTO_BUF text = {NULL, 0};
    struct fill fill = {.issued_s = clock_wall_s(), .by = args_str(a, OPT_BY, user_name())};
    uint64_t valid_ms = YEAR_MS;

    if (!file)
        return err_set(err, ERR_INVALID, "-f FILE is needed");
    if (target_parse(a, &ch->target, err) < 0 || args_ms(a, OPT_EXPIRES, &valid_ms, err) < 0 ||
        manifest_read(file, &text, err) < 0)
        return -(int)err->kind;
    fill.target = ch->target;
    fill.rev = 1;
    fill.expires_s = fill.issued_s + valid_ms / 1000;
    /* what is wrong with the file shows before the broker is asked */
    if (manifest_fill(c, text, &fill, &ch->text, err) < 0)
        return err_wrap(err, "%s", file);
    free(steal_ptr(&ch->text));
    if (mqtt_new(c, &ch->mqtt, err) < 0 ||
        view_watch(&ch->view, ch->mqtt, c, ch->target.device, &ch->target, err) < 0)
        return -(int)err->kind;
    find_old(c, ch);
    fill.rev = ch->rev = ch->old_rev + 1;
    if (manifest_fill(c, text, &fill, &ch->text, err) < 0 ||
        json_parse(buf_str(ch->text), &json_limits_signed, &ch->next.root, err) < 0)
        return err_wrap(err, "%s", file);
    ch->next.node = ch->next.root.node;
    return 0;
}

struct printer {
    const struct ctx *ctx;
    const struct change *ch;
    FILE *to;
    struct cJSON *json, *app_json; /* NULL: text */
    unsigned count[DIFF_OP_COUNT_], rest;
    bool in_app;
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
    struct err why = ERR_INIT; /* a release of another folder: its number is shown */

    *r = (struct rel){.name = ""};
    if (!app || !doc_get(app, "release", &rel))
        return "-";
    (void)str_fmt(dst, 160, "%s@%llu", doc_str(&rel, "name", "?"),
                  (unsigned long long)doc_u64(&rel, "counter"));
    if (digest_parse(doc_str(&rel, "digest", ""), &d, NULL) == 0 &&
        relstore_by_digest(p->ctx, &d, r, &why) == 0)
        (void)str_fmt(dst, 160, "%s@%llu (%s)", r->name, (unsigned long long)r->counter, r->version);
    return dst;
}

/* Devices that the target means and that do not report this release: they download it. */
static unsigned count_missing(const struct printer *p, const char *name, const char *digest)
{
    unsigned n = 0;

    for (unsigned i = 0; i < p->ch->view.n; i++) {
        const struct view_device *d = &p->ch->view.devices[i];
        struct json_cur apps, app;
        if (!view_meant(d, &p->ch->target) || !rollout_open(&p->ch->next.root, d->id))
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
        out_note("warning: %s: devices that ran @%llu refuse the older @%llu: publish the old image again, "
                 "with a new counter",
                 name, (unsigned long long)doc_u64(&a, "counter"),
                 (unsigned long long)doc_u64(&b, "counter"));
}

static void on_app(void *arg, enum diff_op op, const char *name, const struct json_cur *was,
                   const struct json_cur *will)
{
    struct printer *p = arg;
    struct rel r;
    char before[160], after[160], cost[64] = "", size[16];
    const char *digest = release_digest(will);
    unsigned missing = will ? count_missing(p, name, digest) : 0;
    static const enum term_color colors[DIFF_OP_COUNT_] = {
        [DIFF_SAME] = TERM_DIM, [DIFF_ADD] = TERM_GOOD, [DIFF_CHANGE] = TERM_BUSY, [DIFF_REMOVE] = TERM_BAD};
    const char *old_words = release_words(p, was, &r, before);
    const char *new_words = release_words(p, will, &r, after);

    warn_older(name, was, will);
    p->count[op]++;
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
    on_field(arg, path, was, will);
}

static void count_devices(const struct change *ch, unsigned *ret_all, unsigned *ret_online,
                          unsigned *ret_open)
{
    *ret_all = *ret_online = *ret_open = 0;
    for (unsigned i = 0; i < ch->view.n; i++)
        if (view_meant(&ch->view.devices[i], &ch->target)) {
            ++*ret_all;
            *ret_online += ch->view.devices[i].online;
            *ret_open += rollout_open(&ch->next.root, ch->view.devices[i].id);
        }
}

static void print_head(const struct change *ch, FILE *to)
{
    const struct target *t = &ch->target;
    unsigned all, online, open;
    char rev[32] = "new";

    count_devices(ch, &all, &online, &open);
    if (ch->old_rev)
        (void)str_fmt(rev, sizeof(rev), "%llu", (unsigned long long)ch->old_rev);
    term_print(to, "Plan for %s %s, rev %s -> %llu: ", t->device ? "device" : "group",
               t->device ? t->device : t->group, rev, (unsigned long long)ch->rev);
    if (t->device)
        term_print(to, "%s\n",
                   online ? "online"
                   : all  ? "offline, acts when it is back"
                          : "has not reported yet");
    else
        term_print(to, "%u devices (%u online, %u offline), %u of them act\n", all, online, all - online,
                   open);
}

static void put_json_head(const struct change *ch, struct cJSON *root)
{
    unsigned all, online, open;

    count_devices(ch, &all, &online, &open);
    json_put_str(root, ch->target.device ? "device" : "group",
                 ch->target.device ? ch->target.device : ch->target.group);
    json_put_u64(root, "old_rev", ch->old_rev);
    json_put_u64(root, "rev", ch->rev);
    json_put_u64(root, "devices", all);
    json_put_u64(root, "online", online);
    json_put_u64(root, "acting", open);
}

unsigned change_print(const struct ctx *c, const struct change *ch, FILE *to)
{
    struct printer p = {.ctx = c, .ch = ch, .to = to};
    struct cJSON *root = c->output == OUT_JSON ? json_obj() : NULL;
    struct diff_calls calls = {.app = on_app, .field = on_field, .arg = &p};
    const struct json_cur *old = ch->old.node ? &ch->old.root : NULL;
    char size[16];
    unsigned n;

    if (root) {
        put_json_head(ch, root);
        p.json = json_put(root, "apps", json_arr());
    } else
        print_head(ch, to);
    diff_docs(old, &ch->next.root, &calls);
    calls.field = on_rest;
    p.app_json = root ? json_put(root, "fields", json_arr()) : NULL;
    diff_rest(old, &ch->next.root, &calls);
    n = p.count[DIFF_ADD] + p.count[DIFF_CHANGE] + p.count[DIFF_REMOVE] + p.rest;
    if (root) {
        json_put_u64(root, "changes", n);
        json_put_u64(root, "download_bytes", p.bytes);
        out_json(root);
        return n;
    }
    term_print(to, "%u to add, %u to change, %u to remove, %u unchanged.  Download: %s\n", p.count[DIFF_ADD],
               p.count[DIFF_CHANGE], p.count[DIFF_REMOVE], p.count[DIFF_SAME],
               p.bytes ? out_size(p.bytes, size) : "nothing");
    return n;
}
