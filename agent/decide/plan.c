#include "agent/decide/plan.h"

#include <inttypes.h>
#include <stdio.h>

#include "agent/decide/plan_int.h"
#include "platform/mem.h"

#define TRIAL_DEATHS         3 /* deaths during probation after which a release fails */
#define TRIAL_START_FAILURES 2
#define TRIAL_BOOTS          3 /* a release that brings down the whole device each time */
#define NOTFOUND_TRIES       4 /* a registry may lag behind; after that it is the manifest's fault */

static const char *const verdict_names[VERDICT_COUNT_] = {"none",        "converged", "rejected",
                                                          "rolled-back", "failed",    "superseded"};
static const char *const step_names[STEP_KIND_COUNT_] = {
    [STEP_NOTHING] = "nothing", [STEP_FETCH] = "fetch",     [STEP_INSTALL] = "install",
    [STEP_START] = "start",     [STEP_STOP] = "stop",       [STEP_KILL] = "kill",
    [STEP_CONFIRM] = "confirm", [STEP_REJECT] = "reject",   [STEP_ROLLBACK] = "roll back",
    [STEP_FAIL] = "give up",    [STEP_COLLECT] = "collect", [STEP_LOOK] = "look at",
    [STEP_REBOOT] = "reboot",   [STEP_SWITCH] = "switch",   [STEP_SCRUB] = "scrub",
    [STEP_WAIT] = "wait",
};
static const char *const why_texts[WHY_COUNT_] = {
    [WHY_NO_RELEASE] = "its release document is missing",
    [WHY_NO_MANIFEST] = "its image manifest is missing",
    [WHY_NO_LAYERS] = "layers are missing",
    [WHY_NO_PATCH] = "a patch to it is missing",
    [WHY_NO_TREE] = "the list of its files is missing",
    [WHY_NO_CHUNKS] = "chunks of its files are missing",
    [WHY_NOT_INSTALLED] = "all of it is here but not installed",
    [WHY_UNWANTED] = "the manifest does not name it",
    [WHY_REPLACED] = "the manifest asks for another version or setting",
    [WHY_UNHEALTHY] = "its health check fails",
    [WHY_DOWN] = "it is wanted and not running",
    [WHY_BACKOFF] = "it ended; backoff before the next start",
    [WHY_GRACE] = "it has been asked to stop",
    [WHY_GRACE_OVER] = "it did not stop in time",
    [WHY_PORT] = "an app that is going may hold its port still",
    [WHY_DEVICE] = "a device that it requires is not there",
    [WHY_DEVICE_GONE] = "a device without which it may not run has gone",
    [WHY_DEVICE_LOST] = "a device of it has gone",
    [WHY_NETWORK] = "the app whose network it uses does not run",
    [WHY_NETWORK_GONE] = "the app whose network it uses is gone or was restarted",
    [WHY_RETRY] = "the last try failed; another follows",
    [WHY_TURN] = "downloads of a group's devices are spread over 30 s",
    [WHY_WINDOW] = "outside the hours in which the manifest allows downloads",
    [WHY_PROBATION] = "on probation",
    [WHY_ALL_GOOD] = "every app stayed good through probation",
    [WHY_HEALTH_BAD] = "its health check failed during probation",
    [WHY_CRASHES] = "it ended again and again during probation",
    [WHY_CANNOT_START] = "it cannot be started",
    [WHY_GAVE_UP] = "it failed and its restart policy allows no further start",
    [WHY_REBOOTS] = "the device restarted again and again during probation",
    [WHY_FAULT] = "it cannot be brought in",
    [WHY_GARBAGE] = "images that nothing needs any more",
    [WHY_SCRUB] = "the store is read again from time to time",
    [WHY_OS_ASKED] = "the manifest asks for another system, and its bundle is missing",
    [WHY_OS_HELD] = "the bundle of the system that the manifest asks for is here",
    [WHY_OS_INSTALLED] = "the next boot is into the system that was installed",
    [WHY_OS_REBOOT_BY_HAND] = "the device is to be rebooted, and reboot_command is not set",
    [WHY_OS_REBOOT_ASKED] = "a reboot was asked for",
    [WHY_OS_BAD] = "the next boot is into the system before, since this one did not become healthy",
    [WHY_OS_SLOT] = "which system is booted must be known first",
    [WHY_OS_GOOD] = "the new system stayed healthy through probation",
    [WHY_OS_FELL_BACK] = "the boot loader went back to the system before",
    [WHY_OS_UNHEALTHY] = "the new system did not become healthy",
    [WHY_OS_NO_UPDATER] = "no updater on this device (os_updater)",
    [WHY_AGENT_INSTALLED] = "the agent that the manifest asks for is installed",
    [WHY_AGENT_GOOD] = "the new agent has the apps and the broker as before",
    [WHY_AGENT_BAD] = "the new agent did not have apps and broker as before in time",
    [WHY_AGENT_REFUSED] = "the agent that the manifest asks for may not run here",
};

const char *plan_verdict_name(enum verdict v)
{
    return (unsigned)v < VERDICT_COUNT_ ? verdict_names[v] : "?";
}
const char *plan_step_kind_name(enum step_kind k)
{
    return (unsigned)k < STEP_KIND_COUNT_ ? step_names[k] : "?";
}
const char *plan_why_text(enum why w)
{
    return (unsigned)w < WHY_COUNT_ ? why_texts[w] : "?";
}

uint64_t plan_retry_delay_ms(unsigned in_row)
{
    unsigned doublings = in_row > 1 ? in_row - 1 : 0;
    uint64_t ms = 1000ULL << (doublings < 9 ? doublings : 9);

    return ms < 300000 ? ms : 300000;
}

void plan_wake(struct plan *p, uint64_t at_ms)
{
    if (p->wake_ms == 0 || at_ms < p->wake_ms)
        p->wake_ms = at_ms;
}

struct step *plan_add(struct plan *p, enum step_kind kind, enum why why, const char *app,
                      const struct want *want, uint64_t at_ms)
{
    struct step *s = &p->steps[p->n < PLAN_STEPS ? p->n : PLAN_STEPS - 1];

    if (p->n < PLAN_STEPS)
        p->n++;
    *s = (struct step){.of = OWNER_APPS, .kind = kind, .why = why, .app = app, .want = want, .at_ms = at_ms};
    if (kind == STEP_WAIT && at_ms)
        plan_wake(p, at_ms);
    return s;
}

static const struct seen *find_seen(const struct observed *o, const char *name)
{
    for (unsigned i = 0; i < o->n; i++)
        if (strcmp(o->seen[i].name, name) == 0)
            return &o->seen[i];
    return NULL;
}

static bool is_ready(const struct set_facts *f)
{
    for (unsigned i = 0; i < f->d->n; i++)
        if (f->apps[i].image != IMAGE_INSTALLED)
            return false;
    return true;
}

/* ---- what one box needs: a table, first match wins ---- */

enum fact { ANY, NO, YES };
struct box_row {
    enum box_state box;
    enum fact wanted;
    enum fact same;             /* settings */
    enum fact sick, late;       /* its health is bad; its grace period is over */
    enum fact lacks, must_stop; /* a required device is missing; and it must not run without it */
    enum fact lost;             /* a device that it had is gone, and it must be restarted */
    unsigned restart;           /* 1 + enum restart_verdict; 0: any */
    enum step_kind step;
    enum why why;
};
#define WHEN(verdict) (1U + (unsigned)(verdict))

/* clang-format off */
static const struct box_row box_table[] = {
    {.box = BOX_STOPPING, .late = YES, .step = STEP_KILL, .why = WHY_GRACE_OVER},
    {.box = BOX_STOPPING, .late = NO, .step = STEP_WAIT, .why = WHY_GRACE},
    {.box = BOX_RUNNING, .wanted = NO, .step = STEP_STOP, .why = WHY_UNWANTED},
    {.box = BOX_NONE, .wanted = NO, .step = STEP_NOTHING},
    {.box = BOX_RUNNING, .wanted = YES, .same = NO, .step = STEP_STOP, .why = WHY_REPLACED},
    {.box = BOX_RUNNING, .wanted = YES, .same = YES, .lacks = YES, .must_stop = YES,
     .step = STEP_STOP, .why = WHY_DEVICE_GONE},
    {.box = BOX_RUNNING, .wanted = YES, .same = YES, .lost = YES, .step = STEP_STOP, .why = WHY_DEVICE_LOST},
    {.box = BOX_RUNNING, .wanted = YES, .same = YES, .sick = YES, .step = STEP_STOP, .why = WHY_UNHEALTHY},
    {.box = BOX_RUNNING, .wanted = YES, .same = YES, .sick = NO, .step = STEP_NOTHING},
    {.box = BOX_NONE, .wanted = YES, .restart = WHEN(RESTART_NOW), .lacks = YES, .step = STEP_WAIT,
     .why = WHY_DEVICE},
    {.box = BOX_NONE, .wanted = YES, .restart = WHEN(RESTART_NOW), .step = STEP_START, .why = WHY_DOWN},
    {.box = BOX_NONE, .wanted = YES, .restart = WHEN(RESTART_WAIT), .step = STEP_WAIT, .why = WHY_BACKOFF},
    {.box = BOX_NONE, .wanted = YES, .restart = WHEN(RESTART_DONE), .step = STEP_NOTHING},
    {.box = BOX_NONE, .wanted = YES, .restart = WHEN(RESTART_GIVE_UP), .step = STEP_NOTHING},
};
/* clang-format on */

/* The facts about one app, as in a row. */
struct box_now {
    enum box_state box;
    bool wanted, same, sick, late, lacks, must_stop, lost;
    unsigned restart; /* 0: nothing to start */
};

static bool is(enum fact row, bool fact)
{
    return row == ANY || (row == YES) == fact;
}

static bool fits(const struct box_row *r, const struct box_now *n)
{
    return r->box == n->box && is(r->wanted, n->wanted) && is(r->same, n->same) && is(r->sick, n->sick) &&
           is(r->late, n->late) && is(r->lacks, n->lacks) && is(r->must_stop, n->must_stop) &&
           is(r->lost, n->lost) && (r->restart == 0 || r->restart == n->restart);
}

/* For the backoff a failed start counts as a death. */
static enum restart_verdict when_to_start(const struct want *w, const struct seen *s, bool same,
                                          uint64_t now_ms, uint64_t *at_ms)
{
    if (!s || !same)
        return RESTART_NOW;
    if (s->start_failures) {
        *at_ms = s->start_failed_ms + plan_retry_delay_ms(s->start_failures);
        return *at_ms <= now_ms ? RESTART_NOW : RESTART_WAIT;
    }
    return restart_decide(&w->restart, &s->deaths, w->name, now_ms, at_ms);
}

static void plan_box(struct plan *p, const char *name, const struct want *w, const struct seen *s,
                     const struct lack *lack, uint64_t now_ms)
{
    uint64_t at_ms = s && s->box == BOX_STOPPING ? s->kill_at_ms : 0;
    struct box_now n = {.box = s ? s->box : BOX_NONE,
                        .wanted = w != NULL,
                        .same = w && s && digest_eq(&w->hash, &s->hash),
                        .sick = w && s && s->health.state == HEALTH_BAD && w->health.restart,
                        .lacks = lack->path != NULL,
                        .must_stop = lack->stop,
                        .lost = s && s->device_lost};

    n.late = n.box == BOX_STOPPING && now_ms >= s->kill_at_ms;
    if (w && n.box == BOX_NONE)
        n.restart = WHEN(when_to_start(w, s, n.same, now_ms, &at_ms));
    for (unsigned i = 0; i < COUNT_OF(box_table); i++)
        if (fits(&box_table[i], &n)) {
            if (box_table[i].step != STEP_NOTHING)
                plan_add(p, box_table[i].step, box_table[i].why, name, w, at_ms);
            return;
        }
}

/* When a set replaces another, an app that publishes ports starts once those that are stopping are gone. */
static void hold_starts(struct plan *p, unsigned from)
{
    for (unsigned i = from; i < p->n; i++) {
        struct step *s = &p->steps[i];
        if (s->kind == STEP_START && (s->want->n_ports || s->want->net == NET_HOST)) {
            s->kind = STEP_WAIT;
            s->why = WHY_PORT;
        }
    }
}

/* An app in another one's network starts after it and must not outlive it: it would be left in a network
 * namespace without a connection. from: index of the first step for this app. */
static void plan_join(struct plan *p, unsigned from, const struct desired *run, const struct want *w,
                      const struct seen *s, const struct observed *o)
{
    const struct want *other = manifest_find(run, w->net_name);
    const struct seen *t = find_seen(o, w->net_name);
    bool up = other && t && t->box == BOX_RUNNING && digest_eq(&t->hash, &other->hash);
    bool stale = s && s->box == BOX_RUNNING && (!up || t->started_ms > s->started_ms);

    if (stale && p->n == from)
        plan_add(p, STEP_STOP, WHY_NETWORK_GONE, w->name, w, 0);
    for (unsigned i = from; i < p->n && !up; i++)
        if (p->steps[i].kind == STEP_START) {
            p->steps[i].kind = STEP_WAIT;
            p->steps[i].why = WHY_NETWORK;
        }
}

static void plan_boxes(struct plan *p, const struct set_facts *f, const struct observed *o, uint64_t now_ms)
{
    static const struct lack none;
    const struct desired *run = f->d;
    bool leaving = false;

    for (unsigned i = 0; i < o->n; i++)
        if (!manifest_find(run, o->seen[i].name)) {
            plan_box(p, o->seen[i].name, NULL, &o->seen[i], &none, now_ms);
            leaving |= o->seen[i].box != BOX_NONE;
        }
    unsigned from = p->n;
    for (unsigned i = 0; i < run->n; i++)
        if (f->apps[i].image == IMAGE_INSTALLED) { /* a last-good set in a damaged store runs what is whole */
            const struct want *w = &run->apps[i];
            const struct seen *s = find_seen(o, w->name);
            unsigned at = p->n;
            plan_box(p, w->name, w, s, &f->apps[i].lack, now_ms);
            if (w->net == NET_APP)
                plan_join(p, at, run, w, s, o);
        }
    if (leaving)
        hold_starts(p, from);
}

/* ---- bringing images in: one slow step at a time ---- */

static const struct {
    enum step_kind step;
    enum why why;
} image_table[IMAGE_STATE_COUNT_] = {
    [IMAGE_NO_RELEASE] = {STEP_FETCH, WHY_NO_RELEASE},
    [IMAGE_NO_MANIFEST] = {STEP_FETCH, WHY_NO_MANIFEST},
    [IMAGE_NO_LAYERS] = {STEP_FETCH, WHY_NO_LAYERS},
    [IMAGE_NO_PATCH] = {STEP_FETCH, WHY_NO_PATCH},
    [IMAGE_NO_TREE] = {STEP_FETCH, WHY_NO_TREE},
    [IMAGE_NO_CHUNKS] = {STEP_INSTALL, WHY_NO_CHUNKS},
    [IMAGE_NOT_INSTALLED] = {STEP_INSTALL, WHY_NOT_INSTALLED},
    [IMAGE_INSTALLED] = {STEP_WAIT, WHY_COUNT_},
};

/* Is a retry of this slow step pointless? Decides between another try and the verdict "rejected". */
static bool fault_is_final(const struct fault *f)
{
    if (f->kind == ERR_NONE)
        return false;
    if (f->kind == ERR_NOTFOUND)
        return f->in_row >= NOTFOUND_TRIES;
    if (f->kind == ERR_NOSPACE)
        return f->in_row >= 2; /* the first failure triggers a collect */
    return !err_may_retry(f->kind);
}

static void plan_upkeep(struct plan *p, enum step_kind kind, enum why why, const struct observed *o,
                        uint64_t now_ms)
{
    bool waits = o->upkeep_ms > now_ms;
    struct step *s =
        plan_add(p, waits ? STEP_WAIT : kind, waits ? WHY_RETRY : why, NULL, NULL, waits ? o->upkeep_ms : 0);

    s->of = OWNER_STORE;
}

/* Large downloads wait for their window; documents come at any time, so that the report can say what the rest
 * will cost. */
static bool is_bulk(enum image_state s)
{
    return s == IMAGE_NO_LAYERS || s == IMAGE_NO_PATCH || s == IMAGE_NO_CHUNKS;
}

static void plan_images(struct plan *p, const struct set_facts *f, const struct observed *o, uint64_t now_ms)
{
    const struct desired *aim = f->d;

    if (o->job_running)
        return;
    uint64_t at_ms = o->fault.kind == ERR_NONE ? 0 : o->fault.at_ms + plan_retry_delay_ms(o->fault.in_row);
    for (unsigned i = 0; i < aim->n; i++) {
        enum image_state image = f->apps[i].image;

        if (image == IMAGE_INSTALLED)
            continue;
        if (at_ms > now_ms)
            plan_add(p, STEP_WAIT, WHY_RETRY, aim->apps[i].name, NULL, at_ms);
        else if (o->fault.kind == ERR_NOSPACE && o->has_garbage)
            plan_upkeep(p, STEP_COLLECT, WHY_GARBAGE, o, now_ms);
        else if (o->window_ms && is_bulk(image))
            plan_add(p, STEP_WAIT, WHY_WINDOW, aim->apps[i].name, NULL, now_ms + o->window_ms);
        else if (o->turn_ms > now_ms && is_bulk(image))
            plan_add(p, STEP_WAIT, WHY_TURN, aim->apps[i].name, NULL, o->turn_ms);
        else
            plan_add(p, image_table[image].step, image_table[image].why, aim->apps[i].name, &aim->apps[i], 0);
        if (p->n > 0)
            p->steps[p->n - 1].cost = f->apps[i].cost;
        return;
    }
}

/* ---- the trial of a candidate ---- */

/* Why this app fails its release, or WHY_COUNT_. */
static enum why judge_app(const struct want *w, const struct seen *s, uint64_t now_ms)
{
    uint64_t at_ms;

    if (!s || !digest_eq(&w->hash, &s->hash))
        return WHY_COUNT_;
    if (s->health.state == HEALTH_BAD)
        return WHY_HEALTH_BAD;
    if (s->start_failures >= TRIAL_START_FAILURES)
        return WHY_CANNOT_START;
    if (s->deaths.total >= TRIAL_DEATHS && s->deaths.in_row > 0)
        return WHY_CRASHES;
    if (s->box == BOX_NONE && s->start_failures == 0 && s->deaths.in_row &&
        restart_decide(&w->restart, &s->deaths, w->name, now_ms, &at_ms) == RESTART_GIVE_UP)
        return WHY_GAVE_UP;
    return WHY_COUNT_;
}

/* Since when this app has been good without interruption; UINT64_MAX: it is not. */
static uint64_t good_since(const struct want *w, const struct seen *s, uint64_t now_ms)
{
    uint64_t at_ms;

    if (!s || !digest_eq(&w->hash, &s->hash))
        return UINT64_MAX;
    if (s->box == BOX_NONE && s->deaths.in_row &&
        restart_decide(&w->restart, &s->deaths, w->name, now_ms, &at_ms) == RESTART_DONE)
        return s->deaths.last.at_ms; /* a one-shot that exited successfully */
    if (s->box != BOX_RUNNING)
        return UINT64_MAX;
    if (s->health.state == HEALTH_OK)
        return s->health.since_ms;
    return s->health.state == HEALTH_UNKNOWN ? s->started_ms : UINT64_MAX;
}

static void plan_trial(struct plan *p, const struct desired *candidate, bool has_good,
                       const struct observed *o, uint64_t now_ms)
{
    enum step_kind bad = has_good ? STEP_ROLLBACK : STEP_FAIL;
    uint64_t since = 0;

    if (o->trial_boots > TRIAL_BOOTS) {
        plan_add(p, bad, WHY_REBOOTS, NULL, NULL, 0);
        return;
    }
    for (unsigned i = 0; i < candidate->n; i++) {
        const struct want *w = &candidate->apps[i];
        const struct seen *s = find_seen(o, w->name);
        enum why why = judge_app(w, s, now_ms);
        if (why != WHY_COUNT_) {
            plan_add(p, bad, why, w->name, w, 0);
            return;
        }
        uint64_t t = good_since(w, s, now_ms);
        since = t > since ? t : since;
    }
    for (unsigned i = 0; i < o->n; i++) /* the set is as the manifest says only once the others are gone */
        if (o->seen[i].box != BOX_NONE && !manifest_find(candidate, o->seen[i].name))
            since = UINT64_MAX;
    if (since == UINT64_MAX)
        return; /* starting, or in backoff: an event will follow */
    if (candidate->n == 0 || now_ms >= since + candidate->probation_ms)
        plan_add(p, STEP_CONFIRM, WHY_ALL_GOOD, NULL, NULL, 0);
    else
        plan_add(p, STEP_WAIT, WHY_PROBATION, NULL, NULL, since + candidate->probation_ms);
}

static bool only_waits(const struct plan *p)
{
    for (unsigned i = 0; i < p->n; i++)
        if (p->steps[i].kind != STEP_WAIT || p->steps[i].why == WHY_PROBATION ||
            p->steps[i].why == WHY_RETRY || p->steps[i].why == WHY_WINDOW || p->steps[i].why == WHY_TURN)
            return false;
    return true;
}

static void plan_apps(const struct observed *o, uint64_t now_ms, struct plan *ret)
{
    bool refused = o->verdict == VERDICT_REJECTED || o->verdict == VERDICT_ROLLED_BACK;
    bool aim_candidate = o->candidate.d && !refused;
    bool on_trial = aim_candidate && o->verdict == VERDICT_NONE;
    const struct set_facts *aim = aim_candidate ? &o->candidate : &o->good;

    ret->aim = aim->d;
    if (!ret->aim)
        return;
    bool ready = is_ready(aim);
    const struct set_facts *run = ready || !aim_candidate ? aim : &o->good;
    ret->run = run->d;
    if (!ready && on_trial && fault_is_final(&o->fault)) {
        plan_add(ret, STEP_REJECT, WHY_FAULT, NULL, NULL, 0);
        return;
    }
    if (!ready)
        plan_images(ret, aim, o, now_ms);
    if (ret->run)
        plan_boxes(ret, run, o, now_ms);
    if (ready && on_trial)
        plan_trial(ret, aim->d, o->good.d != NULL, o, now_ms);
    ret->quiet = only_waits(ret) && ready && !o->job_running;
    if (ret->quiet && o->has_garbage && (o->verdict != VERDICT_NONE || !o->candidate.d))
        plan_upkeep(ret, STEP_COLLECT, WHY_GARBAGE, o, now_ms);
    else if (ret->quiet && o->scrub_due)
        plan_upkeep(ret, STEP_SCRUB, WHY_SCRUB, o, now_ms);
}

void plan_make(const struct observed *o, uint64_t now_ms, struct plan *ret)
{
    mem_clear(ret, sizeof(*ret));
    plan_apps(o, now_ms, ret);
    plan_updates(ret, o, now_ms);
}

/* ", patch: 4000 bytes to fetch, 70000 to write, 600000 of memory" */
static void cost_text(const struct cost *c, char *dst, size_t size)
{
    if (!c->route ||
        !str_fmt(dst, size, " (%s: %" PRIu64 " bytes to fetch, %" PRIu64 " to write, %" PRIu64 " of memory)",
                 c->route, c->down_bytes, c->write_bytes, c->memory_bytes))
        dst[0] = '\0';
}

char *plan_text(const struct plan *p)
{
    size_t size = 128 + p->n * 320, len = 0;
    char *text = mem_need(size), cost[120];

    text[0] = '\0';
    for (unsigned i = 0; i < p->n; i++) {
        const struct step *s = &p->steps[i];
        cost_text(&s->cost, cost, sizeof(cost));
        int n = snprintf(text + len, size - len, "%s%s%s: %s%s\n", plan_step_kind_name(s->kind),
                         s->app ? " " : "", s->app ? s->app : "", plan_why_text(s->why), cost);
        len += n > 0 && (size_t)n < size - len ? (size_t)n : 0;
    }
    return text;
}
