#include "fleet/waiting.h"

#include <string.h>
#include <unistd.h>

#include "fleet/rollout.h"
#include "platform/clock.h"

#define POLL_MS   500
#define BAR_CELLS 20

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

static bool meant(const struct waiting *w, const struct view_device *d)
{
    return view_meant(d, &w->target) && (!w->doc || rollout_open(w->doc, d->id));
}

struct tally {
    unsigned all, n[4]; /* by verdict */
};

static struct tally count(const struct waiting *w)
{
    struct tally t = {.all = 0};

    for (unsigned i = 0; i < w->view->n; i++) {
        const struct view_device *d = &w->view->devices[i];
        if (!meant(w, d))
            continue;
        t.all++;
        t.n[d->state.node ? wait_judge(&d->state.root, w->rev, w->want_phase) : VERDICT_OPEN]++;
    }
    return t;
}

/* "downloading  web  [#####......]  40%  8.2M of 21.4M", from what the device said last. */
static void describe_device(const struct waiting *w, const struct view_device *d, char dst[160],
                            unsigned *ret_step)
{
    const struct json_cur *s = &d->state.root, *p = &d->progress.root;
    bool seen = d->state.node && doc_u64(s, "want") >= w->rev;
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
    uint64_t start_ms;
};

static void show(const struct waiting *w, const struct tally *t, struct line *l)
{
    char now[160], age[24];
    unsigned step = 0;
    const struct view_device *d = w->target.device ? view_find(w->view, w->target.device) : NULL;

    if (d)
        describe_device(w, d, now, &step);
    else if (w->target.device)
        (void)str_copy(now, sizeof(now), "has not reported yet");
    else
        (void)str_fmt(now, sizeof(now), "%u of %u converged, %u failed, %u to go", t->n[VERDICT_DONE], t->all,
                      t->n[VERDICT_BAD], t->n[VERDICT_OPEN]);
    (void)clock_age(clock_boot_ms() - l->start_ms, age, sizeof(age));
    if (l->tty)
        term_print(stderr, "\r\033[K%s  %s  %s", w->target.device ? w->target.device : w->target.group, now,
                   age);
    else if (step ? step != l->last_step : strcmp(now, l->last) != 0)
        term_print(stderr, "%s  %s  %s\n", w->target.device ? w->target.device : w->target.group, now, age);
    fflush(stderr);
    (void)str_copy(l->last, sizeof(l->last), now);
    l->last_step = step;
}

static void print_reasons(const struct waiting *w)
{
    struct json_cur e;

    for (unsigned i = 0; i < w->view->n; i++) {
        const struct view_device *d = &w->view->devices[i];
        if (!meant(w, d) || !d->state.node ||
            wait_judge(&d->state.root, w->rev, w->want_phase) != VERDICT_BAD)
            continue;
        const char *phase = doc_str(&d->state.root, "phase", "?");
        if (doc_get(&d->state.root, "err", &e) && json_is_object(&e, NULL) == 0)
            out_note("%s: %s: %s", d->id, phase, doc_str(&e, "msg", "no reason given"));
        else
            out_note("%s: %s, no reason given", d->id, phase);
    }
}

/* One object for scripts: how each device ended. */
static void print_json(const struct waiting *w, const char *result)
{
    struct cJSON *root = json_obj(), *list;
    struct json_cur e;

    json_put_u64(root, "rev", w->rev);
    json_put_str(root, "result", result);
    list = json_put(root, "devices", json_arr());
    for (unsigned i = 0; i < w->view->n; i++) {
        const struct view_device *d = &w->view->devices[i];
        struct cJSON *o;
        if (!meant(w, d) || !d->state.node)
            continue;
        o = json_push(list, json_obj());
        json_put_str(o, "device", d->id);
        json_put_str(o, "phase", doc_str(&d->state.root, "phase", "?"));
        json_put_u64(o, "rev", doc_u64(&d->state.root, "rev"));
        if (doc_get(&d->state.root, "err", &e))
            json_put_copy(o, "err", &e);
    }
    out_json(root);
}

static int conclude(const struct waiting *w, const struct tally *t, const struct line *l)
{
    const char *name = w->target.device ? w->target.device : w->target.group;
    char age[24];

    if (l->tty)
        term_print(stderr, "\n");
    (void)clock_age(clock_boot_ms() - l->start_ms, age, sizeof(age));
    if (w->ctx->output == OUT_JSON)
        print_json(w, t->n[VERDICT_BAD] ? "failed" : t->n[VERDICT_SUPERSEDED] ? "superseded" : "done");
    if (t->n[VERDICT_BAD]) {
        print_reasons(w);
        return EXIT_UNREADY;
    }
    if (t->n[VERDICT_SUPERSEDED]) {
        out_note("%s: another revision came after %llu", name, (unsigned long long)w->rev);
        return EXIT_CONFLICT;
    }
    if (w->ctx->output != OUT_JSON)
        term_print(stdout, "%s%s%s  %s  in %s\n", out_color(TERM_GOOD),
                   w->want_phase ? w->want_phase : "converged", out_plain(), name, age);
    return EXIT_DONE;
}

int wait_all(const struct waiting *w, struct err *err)
{
    struct line l = {.last = "", .tty = isatty(STDERR_FILENO), .start_ms = w->start_ms};
    uint64_t last_shown = 0;
    unsigned changes = w->view->changes - 1;

    for (;;) {
        struct tally t = count(w);
        uint64_t now = clock_boot_ms();
        if (changes != w->view->changes || (l.tty && now - last_shown > 1000)) {
            show(w, &t, &l);
            changes = w->view->changes;
            last_shown = now;
        }
        if (w->target.group && t.all == 0) {
            out_note("no device of group %s that has reported acts on this", w->target.group);
            return EXIT_UNREADY;
        }
        if (t.all > 0 && t.n[VERDICT_OPEN] == 0)
            return conclude(w, &t, &l);
        if (now - l.start_ms > w->timeout_ms) {
            if (l.tty)
                term_print(stderr, "\n");
            return err_set(err, ERR_TIMEOUT,
                           "not there yet; the devices go on without us: fleetctl get devices");
        }
        if (mqtt_poll(w->mqtt, POLL_MS, err) < 0)
            return -(int)err->kind;
    }
}
