/* plan_updates.c - the system's own update and the agent's as steps of the plan: what os_update and
 * self_update decide, whenever the apps leave room. Pure. */
#include "agent/decide/plan_int.h"

#define OS_LOOK_MS    2000 /* while an update is in progress */
#define TRIAL_LOOK_MS 1000 /* of a core on trial */

static const struct {
    enum step_kind step;
    enum why why;
} os_table[OS_STEP_COUNT_] = {
    [OS_FETCH] = {STEP_FETCH, WHY_OS_ASKED},         [OS_INSTALL] = {STEP_INSTALL, WHY_OS_HELD},
    [OS_REBOOT] = {STEP_REBOOT, WHY_OS_INSTALLED},   [OS_LOOK] = {STEP_LOOK, WHY_OS_SLOT},
    [OS_CONFIRM] = {STEP_CONFIRM, WHY_OS_GOOD},      [OS_FELL_BACK] = {STEP_FAIL, WHY_OS_FELL_BACK},
    [OS_REVERT] = {STEP_ROLLBACK, WHY_OS_UNHEALTHY}, [OS_REFUSE] = {STEP_REJECT, WHY_OS_NO_UPDATER},
};

static const struct {
    enum step_kind step;
    enum why why; /* for FETCH and INSTALL: how much of its image is present */
} self_table[SELF_STEP_COUNT_] = {
    [SELF_FETCH] = {STEP_FETCH, WHY_COUNT_},
    [SELF_INSTALL] = {STEP_INSTALL, WHY_COUNT_},
    [SELF_SWITCH] = {STEP_SWITCH, WHY_AGENT_INSTALLED},
    [SELF_CONFIRM] = {STEP_CONFIRM, WHY_AGENT_GOOD},
    [SELF_BACK] = {STEP_ROLLBACK, WHY_AGENT_BAD},
    [SELF_REFUSE] = {STEP_REJECT, WHY_AGENT_REFUSED},
};

static const enum why image_whys[IMAGE_STATE_COUNT_] = {
    [IMAGE_NO_RELEASE] = WHY_NO_RELEASE,
    [IMAGE_NO_MANIFEST] = WHY_NO_MANIFEST,
    [IMAGE_NO_LAYERS] = WHY_NO_LAYERS,
    [IMAGE_NO_PATCH] = WHY_NO_PATCH,
    [IMAGE_NO_TREE] = WHY_NO_TREE,
    [IMAGE_NO_CHUNKS] = WHY_NO_CHUNKS,
    [IMAGE_NOT_INSTALLED] = WHY_NOT_INSTALLED,
};

/* Does this plan already have a slow step? */
static bool has_slow(const struct plan *p)
{
    static const bool slow[STEP_KIND_COUNT_] = {
        [STEP_FETCH] = true, [STEP_INSTALL] = true, [STEP_COLLECT] = true, [STEP_SCRUB] = true};

    for (unsigned i = 0; i < p->n; i++)
        if (slow[p->steps[i].kind] || (p->steps[i].of == OWNER_SYSTEM && p->steps[i].kind != STEP_WAIT))
            return true;
    return false;
}

/* Steps that change the apps are followed by another plan: the updates wait for it. */
static bool is_calm(const struct plan *p)
{
    static const bool calm[STEP_KIND_COUNT_] = {
        [STEP_FETCH] = true, [STEP_INSTALL] = true, [STEP_COLLECT] = true,
        [STEP_SCRUB] = true, [STEP_WAIT] = true,    [STEP_KILL] = true};

    for (unsigned i = 0; i < p->n; i++)
        if (!calm[p->steps[i].kind])
            return false;
    return true;
}

static void add_os(struct plan *p, enum os_step what, enum step_kind kind, enum why why, uint64_t at_ms)
{
    struct step *s = plan_add(p, kind, why, "os", NULL, at_ms);

    s->of = OWNER_SYSTEM;
    s->os = what;
}

/* It continues whatever the manifest asks now. */
static bool os_is_under_way(const struct os_facts *f)
{
    return f->revert_reboot || f->memory->phase == OS_INSTALLING || f->memory->phase == OS_INSTALLED;
}

static void plan_os(struct plan *p, const struct os_facts *observed, uint64_t now_ms)
{
    struct os_facts f = *observed;

    if (!f.memory || (!f.want && !os_is_under_way(&f)))
        return;
    if (f.again_ms > now_ms) {
        add_os(p, OS_NOTHING, STEP_WAIT, WHY_RETRY, f.again_ms);
        return;
    }
    if (f.reboot_ms > now_ms) {
        add_os(p, OS_NOTHING, STEP_WAIT, WHY_OS_REBOOT_ASKED, f.reboot_ms);
        return;
    }
    f.converged = p->quiet;
    f.healthy = p->quiet && f.online;
    f.healthy_ms = f.healthy && f.healthy_since_ms ? now_ms - f.healthy_since_ms : 0;
    p->os_judged = true;
    p->os_healthy = f.healthy;
    enum os_step s = f.revert_reboot ? OS_REBOOT : os_decide(&f);
    if (s == OS_REFUSE && f.refused)
        s = OS_NOTHING; /* reported once */
    if (s != OS_NOTHING || os_is_under_way(&f))
        plan_wake(p, now_ms + OS_LOOK_MS);
    if (s == OS_FETCH && f.turn_ms > now_ms)
        add_os(p, OS_NOTHING, STEP_WAIT, WHY_TURN, f.turn_ms);
    else if (s == OS_REBOOT && !f.can_reboot)
        add_os(p, s, STEP_WAIT, WHY_OS_REBOOT_BY_HAND, 0);
    else if (s == OS_NOTHING && f.rebooted && f.slot_changed && os_is_under_way(&f))
        add_os(p, s, STEP_WAIT, WHY_PROBATION, now_ms + OS_LOOK_MS);
    else if (s != OS_NOTHING)
        add_os(p, s, os_table[s].step, f.revert_reboot ? WHY_OS_BAD : os_table[s].why, 0);
}

static void add_self(struct plan *p, enum self_step what, enum step_kind kind, enum why why, uint64_t at_ms)
{
    struct step *s = plan_add(p, kind, why, "agent", NULL, at_ms);

    s->of = OWNER_AGENT;
    s->self = what;
}

/* Slow steps, and those that may keep failing, are delayed. */
static bool wait_self(struct plan *p, enum self_step s, const struct self_facts *f, uint64_t now_ms)
{
    bool slow = s == SELF_FETCH || s == SELF_INSTALL;

    if ((slow || s == SELF_SWITCH) && f->again_ms > now_ms)
        add_self(p, SELF_NOTHING, STEP_WAIT, WHY_RETRY, f->again_ms);
    else if (slow && f->window_ms)
        add_self(p, SELF_NOTHING, STEP_WAIT, WHY_WINDOW, now_ms + f->window_ms);
    else if (slow && f->turn_ms > now_ms)
        add_self(p, SELF_NOTHING, STEP_WAIT, WHY_TURN, f->turn_ms);
    else
        return false;
    return true;
}

static void plan_self(struct plan *p, const struct self_facts *observed, bool job, uint64_t now_ms)
{
    struct self_facts f = *observed;

    if (!f.memory)
        return;
    f.converged = p->quiet && !job;
    f.healthy = (p->quiet || job) && f.online;
    enum self_step s = self_decide(&f);
    if (f.memory->phase == SELF_TRIAL && s == SELF_NOTHING)
        add_self(p, s, STEP_WAIT, WHY_PROBATION, now_ms + TRIAL_LOOK_MS);
    else if (f.memory->phase == SELF_TRIAL) /* a failed save is retried */
        plan_wake(p, now_ms + TRIAL_LOOK_MS);
    if (s == SELF_NOTHING || (job && s != SELF_CONFIRM && s != SELF_BACK) ||
        (s == SELF_REFUSE && f.refused) || wait_self(p, s, &f, now_ms))
        return;
    add_self(p, s, self_table[s].step,
             self_table[s].why == WHY_COUNT_ ? image_whys[f.image] : self_table[s].why, 0);
}

void plan_updates(struct plan *p, const struct observed *o, uint64_t now_ms)
{
    bool job = o->job_running || has_slow(p);

    if (!is_calm(p))
        return;
    if (!job)
        plan_os(p, &o->os, now_ms);
    plan_self(p, &o->self, job || has_slow(p), now_ms);
}
