#include "fleet/verbs/waiting.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "agent/manifest/manifest.h"
#include "fleet/doc/keyring.h"
#include "fleet/doc/rollout.h"
#include "platform/clock.h"
#include "platform/fnv.h"

#define POLL_MS     500
#define SHOW_MS     1000
#define REASONS_MAX 20
#define TELL_MAX    20 /* reasons while waiting, of a group */
#define BAR_CELLS   20

enum verdict wait_judge(const struct json_cur *state, uint64_t rev, const char *want)
{
    const char *phase = doc_str(state, "phase", "");
    uint64_t has = doc_u64(state, "rev"), seen = doc_u64(state, "want");
    bool bad =
        strcmp(phase, "rejected") == 0 || strcmp(phase, "rolled-back") == 0 || strcmp(phase, "failed") == 0;

    want = want ? want : "converged";
    if (rev == 0)
        rev = seen;
    if (seen > rev)
        return VERDICT_SUPERSEDED;
    if (strcmp(phase, want) == 0 && (has == rev || (bad && seen == rev)))
        return VERDICT_DONE;
    if (strcmp(phase, "converged") == 0 && has == rev)
        return VERDICT_BAD; /* something else was waited for */
    if (seen == rev && bad)
        return VERDICT_BAD;
    return seen == rev && strcmp(phase, "superseded") == 0 ? VERDICT_SUPERSEDED : VERDICT_OPEN;
}

/* Where a device stands. */
enum place {
    PLACE_OUT,  /* not of the target, or it follows another document */
    PLACE_HELD, /* its rollout slot is closed */
    PLACE_OPEN,
    PLACE_OFFLINE, /* open, and nobody can say until it is back */
    PLACE_DONE,
    PLACE_BAD,
    PLACE_SUPERSEDED,
    PLACE_COUNT_
};
static const char *const place_words[PLACE_COUNT_] = {[PLACE_OUT] = "other",
                                                      [PLACE_HELD] = "held",
                                                      [PLACE_OPEN] = "open",
                                                      [PLACE_OFFLINE] = "offline",
                                                      [PLACE_DONE] = "done",
                                                      [PLACE_BAD] = "failed",
                                                      [PLACE_SUPERSEDED] = "superseded"};

struct tally { /* kept up to date by each message about the one device that it is about */
    const struct waiting *w;
    const char *salt; /* NULL: no rollout */
    uint64_t slots;
    unsigned n_groups; /* of the view, when all were placed */
    unsigned n[PLACE_COUNT_];
    bool tty;
    unsigned told; /* reasons */
};

/* rev, want and phase are of the topic that the device follows: while that is another one, they say nothing
 * of ours. */
static bool speaks_of(const struct waiting *w, const struct view_device *d)
{
    struct json_cur any;

    if (!d->state.node || w->rev == 0) /* 0: whatever it was asked last */
        return d->state.node != NULL;
    return view_is_about(d, &w->target) ||
           (!doc_get(&d->state.root, "follows", &any) && !doc_get(&d->state.root, "source", &any));
}

/* A higher rev from before a trust document that the device has not taken yet may be of an epoch that it
 * ends. */
static enum verdict judge_epoch(const struct waiting *w, const struct json_cur *state)
{
    enum verdict v = wait_judge(state, w->rev, w->want_phase);

    return v == VERDICT_SUPERSEDED && doc_u64(state, "trust") < keyring_trust_last_version(w->ctx)
               ? VERDICT_OPEN
               : v;
}

static enum place place_of(const struct tally *t, struct view_device *d)
{
    static const enum place of[] = {[VERDICT_OPEN] = PLACE_OPEN,
                                    [VERDICT_DONE] = PLACE_DONE,
                                    [VERDICT_BAD] = PLACE_BAD,
                                    [VERDICT_SUPERSEDED] = PLACE_SUPERSEDED};
    const struct waiting *w = t->w;
    enum place p;

    if (!view_meant(w->view, d, &w->target))
        return PLACE_OUT;
    if (t->salt) {
        d->slot = d->slot ? d->slot : manifest_slot(t->salt, d->id) + 1;
        if (d->slot > t->slots)
            return PLACE_HELD;
    }
    p = of[speaks_of(w, d) ? judge_epoch(w, &d->state.root) : VERDICT_OPEN];
    return p == PLACE_OPEN && d->online_known && !d->online ? PLACE_OFFLINE : p;
}

/* It has seen what we wait for: its phase and err are about that. */
static bool has_seen(const struct waiting *w, const struct view_device *d)
{
    return speaks_of(w, d) && doc_u64(&d->state.root, "want") >= w->rev;
}

static uint32_t text_hash(const char *text)
{
    uint32_t h = FNV32_INIT;

    for (; *text; text++)
        h = fnv32_add(h, (uint8_t)*text);
    return h;
}

/* Why a device makes no progress, each time that this changes: the wait may end long before it continues. */
static void tell_reason(struct tally *t, struct view_device *d)
{
    const struct waiting *w = t->w;
    char msg[VIEW_REASON_BYTES];
    uint32_t hash;

    if (d->place != PLACE_OPEN || (w->target.group && t->told >= TELL_MAX))
        return;
    hash = text_hash(view_reason(d, has_seen(w, d), msg));
    if (!msg[0] || hash == d->told)
        return;
    d->told = hash;
    if (t->tty)
        term_print(stderr, "\r\033[K"); /* the bar comes again below it */
    out_note("%s: %s", d->id, msg);
    if (++t->told == TELL_MAX && w->target.group)
        out_note("further reasons: fleetctl get devices -g %s", w->target.group);
}

static void tell_all(struct tally *t)
{
    for (unsigned i = 0; i < t->w->view->n; i++)
        tell_reason(t, t->w->view->devices[i]);
}

static void place_one(struct tally *t, struct view_device *d, bool placed)
{
    if (placed)
        t->n[d->place]--;
    d->place = place_of(t, d);
    t->n[d->place]++;
}

static void place_all(struct tally *t)
{
    memset(t->n, 0, sizeof(t->n));
    for (unsigned i = 0; i < t->w->view->n; i++)
        place_one(t, t->w->view->devices[i], false);
    t->n_groups = t->w->view->n_groups;
}

static void on_message(void *arg, const struct mqtt_msg *msg)
{
    struct tally *t = arg;
    struct view *v = t->w->view;
    unsigned before = v->n;

    view_take(v, msg);
    if (v->touched) {
        place_one(t, v->touched, v->n == before);
        tell_reason(t, v->touched);
    } else if (v->n_groups != t->n_groups)
        place_all(t); /* whom they follow has changed */
}

static unsigned meant_by(const struct tally *t)
{
    return t->n[PLACE_OPEN] + t->n[PLACE_OFFLINE] + t->n[PLACE_DONE] + t->n[PLACE_BAD] +
           t->n[PLACE_SUPERSEDED];
}

static const char *name_of(const struct waiting *w)
{
    return w->target.device ? w->target.device : w->target.group;
}

/* "downloading  web  [#####......]  40%  8.2M of 21.4M", from what the device said last. */
static void describe_device(const struct waiting *w, const struct view_device *d, char dst[160],
                            unsigned *ret_step)
{
    const struct json_cur *s = &d->state.root, *p = &d->progress.root;
    bool seen = has_seen(w, d);
    const char *phase = seen        ? doc_str(s, "phase", "?")
                        : d->online ? "sent"
                                    : "offline, acts when it is back";
    uint64_t done = d->progress.node ? doc_u64(p, "done") : 0,
             total = d->progress.node ? doc_u64(p, "total") : 0;
    char bar[BAR_CELLS + 1], a[16], b[16];
    unsigned cells;

    *ret_step = 0;
    if (!seen || !total || doc_u64(p, "rev") != doc_u64(s, "want") || done > total) {
        (void)str_copy(dst, 160, phase);
        return;
    }
    cells = (unsigned)(done * BAR_CELLS / total);
    for (unsigned i = 0; i < BAR_CELLS; i++)
        bar[i] = i < cells ? '#' : '.';
    bar[BAR_CELLS] = 0;
    *ret_step = 1 + cells / 5;
    (void)str_fmt(dst, 160, "%s %s [%s] %3u%% %s of %s", phase, doc_str(p, "app", ""), bar,
                  (unsigned)(done * 100 / total), out_size(done, a), out_size(total, b));
}

struct line {
    char last[160];
    unsigned last_step;
    bool tty;
    uint64_t shown_ms;
    unsigned changes;
};

static void describe_group(const struct tally *t, char dst[160])
{
    static const struct {
        enum place place;
        const char *word;
    } more[] = {{PLACE_SUPERSEDED, "superseded"}, {PLACE_OFFLINE, "offline"}, {PLACE_HELD, "held"}};

    (void)str_fmt(dst, 160, "%u of %u converged, %u failed, %u to go", t->n[PLACE_DONE], meant_by(t),
                  t->n[PLACE_BAD], t->n[PLACE_OPEN]);
    for (unsigned i = 0; i < COUNT_OF(more); i++)
        if (t->n[more[i].place]) {
            size_t len = strlen(dst);
            (void)str_fmt(dst + len, 160 - len, ", %u %s", t->n[more[i].place], more[i].word);
        }
}

static void show(const struct tally *t, struct line *l)
{
    const struct waiting *w = t->w;
    char now[160], age[24];
    unsigned step = 0;
    const struct view_device *d = w->target.device ? view_find(w->view, w->target.device) : NULL;

    if (d)
        describe_device(w, d, now, &step);
    else if (w->target.device)
        (void)str_copy(now, sizeof(now), "has not reported yet");
    else
        describe_group(t, now);
    (void)clock_age(clock_boot_ms() - w->start_ms, age, sizeof(age));
    if (l->tty)
        term_print(stderr, "\r\033[K%s  %s  %s", name_of(w), now, age);
    else if (step ? step != l->last_step : strcmp(now, l->last) != 0)
        term_print(stderr, "%s  %s  %s\n", name_of(w), now, age);
    fflush(stderr);
    (void)str_copy(l->last, sizeof(l->last), now);
    l->last_step = step;
}

/* Each change of one device at once, those of many once a second. */
static void show_news(const struct tally *t, struct line *l)
{
    uint64_t now = clock_boot_ms();
    bool news = l->changes != t->w->view->changes, due = now - l->shown_ms > SHOW_MS;

    if (!(l->tty || t->w->target.group ? due : news) || !(news || l->tty))
        return;
    show(t, l);
    l->changes = t->w->view->changes;
    l->shown_ms = now;
}

static void print_reason(const struct view_device *d, enum place place)
{
    const struct json_cur *s = &d->state.root;
    const char *phase = d->state.node ? doc_str(s, "phase", "?") : "has not reported yet";
    char age[24], msg[VIEW_REASON_BYTES];

    (void)view_reason(d, true, msg);
    if (place == PLACE_OFFLINE)
        out_note("%s: offline, last seen %s ago; acts when it is back", d->id,
                 out_age(view_seen_s(d), clock_wall_s(), age));
    else if (place == PLACE_BAD || msg[0])
        out_note("%s: %s: %s", d->id, phase, msg[0] ? msg : "no reason given");
    else
        out_note("%s: %s", d->id, phase);
}

/* Why this did not go well: one line a device, not more than a screen of each kind. */
static void print_reasons(const struct tally *t)
{
    static const enum place told[] = {PLACE_BAD, PLACE_OPEN, PLACE_OFFLINE};
    const struct view *v = t->w->view;

    for (unsigned k = 0; k < COUNT_OF(told); k++) {
        unsigned n = 0;
        for (unsigned i = 0; i < v->n; i++)
            if (v->devices[i]->place == (int)told[k] && n++ < REASONS_MAX)
                print_reason(v->devices[i], told[k]);
        if (n > REASONS_MAX)
            out_note("and %u more that are %s", n - REASONS_MAX, place_words[told[k]]);
    }
}

/* One object for scripts: how each device ended. */
static void print_json(const struct tally *t, const char *result)
{
    struct cJSON *root = json_obj(), *list;
    const struct view *v = t->w->view;
    struct json_cur e;

    json_put_u64(root, "rev", t->w->rev);
    json_put_str(root, "result", result);
    json_put_u64(root, "held", t->n[PLACE_HELD]);
    list = json_put(root, "devices", json_arr());
    for (unsigned i = 0; i < v->n; i++) {
        const struct view_device *d = v->devices[i];
        struct cJSON *o;
        if (d->place == PLACE_OUT || d->place == PLACE_HELD)
            continue;
        o = json_push(list, json_obj());
        json_put_str(o, "device", d->id);
        json_put_str(o, "verdict", place_words[d->place]);
        if (d->place == PLACE_OFFLINE)
            json_put_u64(o, "last_seen", view_seen_s(d));
        if (!d->state.node)
            continue;
        json_put_str(o, "phase", doc_str(&d->state.root, "phase", "?"));
        json_put_u64(o, "rev", doc_u64(&d->state.root, "rev"));
        if (doc_get(&d->state.root, "err", &e))
            json_put_copy(o, "err", &e);
    }
    out_json(root);
}

/* The first that holds is the answer. */
static const struct {
    enum place place;
    const char *result;
    int code;
} ends[] = {{PLACE_BAD, "failed", EXIT_UNREADY},
            {PLACE_SUPERSEDED, "superseded", EXIT_CONFLICT},
            {PLACE_OPEN, "timeout", EXIT_LATE},
            {PLACE_OFFLINE, "offline", EXIT_UNREADY}};

static int conclude(const struct tally *t, bool late)
{
    const struct waiting *w = t->w;
    const char *result = "done";
    int code = EXIT_DONE;
    char age[24], group[160];

    for (unsigned i = 0; i < COUNT_OF(ends) && code == EXIT_DONE; i++)
        if (t->n[ends[i].place]) {
            result = late ? "timeout" : ends[i].result;
            code = late ? EXIT_LATE : ends[i].code;
        }
    if (late && code == EXIT_DONE) {
        result = "timeout"; /* no device has answered */
        code = EXIT_LATE;
    }
    (void)clock_age(clock_boot_ms() - w->start_ms, age, sizeof(age));
    if (w->ctx->output == OUT_JSON)
        print_json(t, result);
    print_reasons(t);
    if (w->target.group && code != EXIT_DONE) {
        describe_group(t, group);
        out_note("%s: %s", w->target.group, group);
    }
    if (code == EXIT_CONFLICT)
        out_note("%s: another revision came after %" PRIu64, name_of(w), w->rev);
    else if (late)
        out_note("fleetctl: not done after %s; the devices continue by themselves: fleetctl get devices",
                 age);
    else if (code == EXIT_DONE && w->ctx->output != OUT_JSON)
        term_print(stdout, "%s%s%s  %s  in %s\n", out_color(TERM_GOOD),
                   w->want_phase ? w->want_phase : "converged", out_plain(), name_of(w), age);
    return code;
}

/* A group in which nobody acts: an exit code, or -1 when there is somebody to wait for. */
static int nobody_acts(const struct tally *t)
{
    const struct waiting *w = t->w;
    unsigned others = 0;
    bool held;

    if (!w->target.group || meant_by(t))
        return -1;
    for (unsigned i = 0; i < w->view->n; i++)
        others += view_in_target(w->view->devices[i], &w->target);
    held =
        others > 0 && others == t->n[PLACE_HELD]; /* as the rollout says; else nobody does what was asked */
    if (w->ctx->output == OUT_JSON)
        print_json(t, held ? "held" : others ? "other" : "nobody");
    if (!others)
        out_note("no device has reported that it is in group %s", w->target.group);
    else
        out_note("no device of group %s acts on this: %u wait for their slot, %u follow another document",
                 w->target.group, t->n[PLACE_HELD], others - t->n[PLACE_HELD]);
    return held ? EXIT_DONE : EXIT_UNREADY;
}

int waiting_all(const struct waiting *w, struct err *err)
{
    struct line l = {.last = "", .tty = isatty(STDERR_FILENO), .changes = w->view->changes - 1};
    struct tally t = {.w = w, .tty = l.tty};
    struct json_cur clause;

    if (w->doc && doc_get(w->doc, "rollout", &clause)) {
        t.salt = doc_str(&clause, "salt", "");
        t.slots = doc_u64(&clause, "slots");
    }
    place_all(&t);
    tell_all(&t);
    mqtt_on_message(w->mqtt, on_message, &t);
    for (;;) {
        int code = nobody_acts(&t);
        bool late = clock_boot_ms() - w->start_ms > w->timeout_ms;
        /* one device is waited for also while it is offline: the operator may be about to switch it on */
        bool open = t.n[PLACE_OPEN] || (w->target.device && (t.n[PLACE_OFFLINE] || !meant_by(&t)));
        if (code < 0)
            show_news(&t, &l);
        if (code < 0 && (!open || late)) {
            if (l.tty)
                term_print(stderr, "\n");
            code = conclude(&t, late && open);
        }
        if (code >= 0)
            return code;
        if (mqtt_poll(w->mqtt, POLL_MS, err) < 0)
            return -(int)err->kind;
    }
}
