#include "agent/turn/act.h"

#include <stdio.h>

#include "agent/boxes/apps.h"
#include "agent/core.h"
#include "agent/images/image_jobs.h"
#include "agent/turn/ctl.h"
#include "agent/turn/observe.h"
#include "agent/turn/uplink.h"
#include "platform/clock.h"
#include "platform/log.h"

#define CONFIRM_AGAIN_MS 5000
#define ROUND_MS         300
#define STOP_LOOK_MS     250
#define ROUNDS           8 /* of observe-plan-act in one turn: each does something, then observes again */

/* The program's last line of output, to help find the fault: "; its last line: ..." into dst, or "". */
static void last_words(const struct app *a, char *dst, size_t size)
{
    AUTO_FREE(logring) struct logring *ring = NULL;
    struct logring_line line;
    char name[LIM_NAME_BYTES + 8];

    dst[0] = '\0';
    if (!str_fmt(name, sizeof(name), "%s.log", a->seen.name) ||
        logring_open_read(a->core->app_fd, name, &ring, NULL) < 0)
        return;
    uint64_t seq = logring_tail(ring, 1);
    if (logring_next(ring, &seq, &line) == 1 && line.len > 0)
        (void)str_fmt(dst, size, "; its last line: %.*s", (int)(line.len < 120 ? line.len : 120), line.text);
}

static void act_blame(struct core *c, const struct step *s, char *dst, size_t size)
{
    struct app *a = s->app ? app_find(c, s->app) : NULL;
    const struct jobs_fault *fault = jobs_fault_of(c, OWNER_APPS);
    char more[160] = "", words[160] = "";

    if (s->why == WHY_FAULT)
        (void)str_fmt(more, sizeof(more), "%s%s%.140s", fault->app, fault->app[0] ? ": " : "",
                      fault->err.msg);
    else if (a && s->why == WHY_HEALTH_BAD)
        (void)str_fmt(more, sizeof(more), "%.100s", a->seen.health.last);
    else if (a && s->why == WHY_CANNOT_START)
        (void)str_fmt(more, sizeof(more), "%.140s", a->start_why);
    else if (a && a->seen.deaths.last.at_ms) {
        (void)str_fmt(more, sizeof(more), "%s %d%s", a->seen.deaths.last.signal ? "signal" : "status",
                      a->seen.deaths.last.signal ? a->seen.deaths.last.signal : a->seen.deaths.last.code,
                      a->seen.deaths.last.oom ? ", out of memory inside its ceiling" : "");
        last_words(a, words, sizeof(words));
    }
    if (s->why == WHY_FAULT)
        (void)str_fmt(dst, size, "%s", more);
    else
        (void)str_fmt(dst, size, "%s%s%s%s%s%s", s->app ? s->app : "", s->app ? ": " : "",
                      plan_why_text(s->why), more[0] ? ": " : "", more, words);
}

/* A manifest rolled back: what failed is remembered by release and settings, and not tried again. */
static void mark_bad(struct core *c, const struct step *s)
{
    for (unsigned i = 0; i < c->sets.candidate.d.n; i++) {
        const struct want *w = &c->sets.candidate.d.apps[i];
        const struct want *good = manifest_find(c->sets.good.arena ? &c->sets.good.d : NULL, w->name);
        bool unchanged = good && digest_eq(&good->trial, &w->trial);
        if (!unchanged && (!s->app || strcmp(s->app, w->name) == 0))
            ledger_mark_bad(&c->state.ledger, &w->trial);
    }
}

static void act_verdict(struct core *c, const struct step *s)
{
    static const enum verdict verdicts[STEP_KIND_COUNT_] = {[STEP_REJECT] = VERDICT_REJECTED,
                                                            [STEP_ROLLBACK] = VERDICT_ROLLED_BACK,
                                                            [STEP_FAIL] = VERDICT_FAILED};
    char why[STATE_WHY];

    act_blame(c, s, why, sizeof(why));
    if (s->kind == STEP_ROLLBACK)
        mark_bad(c, s);
    intake_verdict(c, verdicts[s->kind], why);
}

static int start_collect(struct core *c, struct err *err)
{
    struct keep AUTO_MEM *k = mem_need_zero(sizeof(*k));

    images_keep(c, k);
    os_keep(c, k);
    self_keep(c, k);
    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used && c->apps[i].seen.box != BOX_NONE)
            keep_add(k, &c->apps[i].manifest);
    return k->full ? err_set(err, ERR_NOSPACE, "collect: too much is to be kept")
                   : image_jobs_collect(c, k, err);
}

static int start_image(struct core *c, const struct step *s, struct err *err)
{
    const struct image *i = images_of(c, s->want);

    if (!i)
        return err_set(err, ERR_NOTFOUND, "%s is in no set", s->app);
    return s->kind == STEP_FETCH ? image_jobs_fetch(c, OWNER_APPS, s->want, i, err)
                                 : image_jobs_install(c, OWNER_APPS, s->want, i, err);
}

static void act_slow(struct core *c, const struct step *s)
{
    struct err err = ERR_INIT;
    int rc;

    if (jobs_running(c))
        return;
    log_info("%s %s: %s", plan_step_kind_name(s->kind), s->app ? s->app : "", plan_why_text(s->why));
    if (s->kind == STEP_SCRUB)
        rc = scrub_job_start(c, &err);
    else if (s->kind == STEP_COLLECT)
        rc = start_collect(c, &err);
    else
        rc = start_image(c, s, &err);
    if (rc < 0)
        images_fault(c, s->app ? OWNER_APPS : OWNER_STORE, s->app ? s->app : "", &err);
}

static void act_start(struct core *c, const struct step *s)
{
    struct err err = ERR_INIT;

    if (apps_start(c, s->want, &err) == 0)
        log_info("start %s: %s", s->app, plan_why_text(s->why));
    else
        events_add(c, "failed", s->app, "%s", err.msg);
    core_touch(c);
}

static void act_for_apps(struct core *c, const struct step *s)
{
    struct err err = ERR_INIT;
    struct app *a = s->app ? app_find(c, s->app) : NULL;

    switch (s->kind) {
    case STEP_FETCH:
    case STEP_INSTALL:
    case STEP_COLLECT:
    case STEP_SCRUB:
        act_slow(c, s);
        break;
    case STEP_START:
        act_start(c, s);
        break;
    case STEP_STOP:
        if (a)
            apps_stop(a, plan_why_text(s->why), s->why != WHY_UNHEALTHY);
        break;
    case STEP_KILL:
        if (a)
            apps_kill(a);
        break;
    case STEP_CONFIRM:
        if (intake_confirm(c, &err) < 0) { /* disk full or failing: the old set stays good for now */
            log_error("%s", err.msg);
            loop_timer_set(c->loop, &c->act.wake, clock_boot_ms() + CONFIRM_AGAIN_MS);
        }
        break;
    case STEP_REJECT:
    case STEP_ROLLBACK:
    case STEP_FAIL:
        act_verdict(c, s);
        break;
    case STEP_NOTHING:
    case STEP_LOOK: /* these belong to the system and the agent */
    case STEP_REBOOT:
    case STEP_SWITCH:
    case STEP_WAIT:
    case STEP_KIND_COUNT_:
        break;
    }
}

static void act_step(struct core *c, const struct step *s, const struct observed *o)
{
    if (s->of == OWNER_SYSTEM)
        os_do(c, s);
    else if (s->of == OWNER_AGENT)
        self_do(c, s->self, &o->self);
    else
        act_for_apps(c, s);
}

static bool ends_the_round(enum step_kind k)
{
    return k == STEP_CONFIRM || k == STEP_REJECT || k == STEP_ROLLBACK || k == STEP_FAIL;
}

/* True: enough for this turn, but more to do. A start takes a while, and clients must not wait for all of
 * them. */
static bool round_of(struct core *c)
{
    uint64_t began_ms = clock_boot_ms();
    struct observed AUTO_MEM *o = mem_need(sizeof(*o));
    struct plan AUTO_MEM *p = mem_need(sizeof(*p));

    observe(c, o);
    *p = *sets_plan(c, o); /* acting may replace a set, and the cached plan with it */
    if (p->os_judged)
        os_judged(c, p->os_healthy);
    apps_sync(c);
    devices_sync(c);
    for (unsigned i = 0; i < p->n; i++) {
        struct step s = p->steps[i];
        char name[LIM_NAME_BYTES] = ""; /* the set may be freed while we act */
        if (s.app) {
            (void)str_copy(name, sizeof(name), s.app);
            s.app = name;
        }
        act_step(c, &s, o);
        if (s.of == OWNER_APPS && ends_the_round(s.kind))
            break;
        if (s.kind == STEP_START && clock_boot_ms() - began_ms >= ROUND_MS) {
            core_touch(c);
            return true;
        }
    }
    if (p->wake_ms)
        loop_timer_set(c->loop, &c->act.wake, p->wake_ms);
    return false;
}

void act_turn(struct core *c)
{
    if (c->stopping) {
        if (!app_table_any_box(c) && !jobs_running(c) && uplink_is_gone(c))
            loop_stop(c->loop);
        return;
    }
    for (unsigned i = 0; i < ROUNDS && c->dirty && c->keeper.ready; i++) {
        c->dirty = false;
        if (round_of(c))
            break;
    }
    if (c->dirty) /* more to do, after the other fds had their turn */
        loop_timer_set(c->loop, &c->act.wake, clock_boot_ms() + 1);
}

static void wake_fired(struct loop_timer *t)
{
    core_touch(container_of(t, struct core, act.wake));
}

void act_open(struct core *c)
{
    c->act.wake.on_fire = wake_fired;
}

/* ---- stop ---- */

static void stop_late(struct loop_timer *t)
{
    struct core *c = container_of(t, struct core, act.wake);

    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used && c->apps[i].seen.box != BOX_NONE &&
            clock_boot_ms() >= c->apps[i].seen.kill_at_ms)
            apps_kill(&c->apps[i]);
    loop_timer_set(c->loop, t, clock_boot_ms() + STOP_LOOK_MS);
}

void act_stop(struct core *c)
{
    if (c->stopping)
        return;
    log_info("stopping: apps are asked to end");
    c->stopping = true;
    ctl_close(c);
    uplink_stop(c);
    jobs_cancel(c, "the agent stops");
    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used && c->apps[i].seen.box == BOX_RUNNING)
            apps_stop(&c->apps[i], "the agent stops", true);
    c->act.wake.on_fire = stop_late;
    loop_timer_set(c->loop, &c->act.wake, clock_boot_ms() + STOP_LOOK_MS);
    keeper_client_say(c, "bye", -1);
}
