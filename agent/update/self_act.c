/* self_act.c - observes and acts for self_update.c: brings the agent's image in like any other, hands over to
 * the core in it, and in that core confirms or goes back. What is remembered is made durable before the step
 * that it records. */
#include <inttypes.h>
#include <stdio.h>

#include "agent/core.h"
#include "agent/images/image_jobs.h"
#include "agent/turn/uplink.h"
#include "agent/update/self_start.h"
#include "platform/clock.h"
#include "platform/log.h"

static void save_or_tell(struct core *c)
{
    struct err err = ERR_INIT;

    if (self_save(c->state_fd, &c->self.memory, &err) < 0)
        log_error("%s", err.msg);
}

/* This core has lasted: its start no longer counts as a crash. */
static void timer_fired(struct loop_timer *t)
{
    self_settled(container_of(t, struct core, self.timer));
}

/* Report how the last trial ended, once. */
static void tell(struct core *c)
{
    struct self_memory *m = &c->self.memory;

    if (m->phase != SELF_ROLLED_BACK || m->told)
        return;
    m->told = true;
    save_or_tell(c);
    images_leave_garbage(c);
    events_add(c, "agent-rolled-back", NULL, "%s: %s", m->next.version, m->why);
}

void self_open(struct core *c)
{
    struct self *s = &c->self;
    struct self_memory *m = &s->memory;
    struct err err = ERR_INIT;
    char hex[SHA256_HEX];

    s->timer.on_fire = timer_fired;
    if (self_load(c->state_fd, m, &err) < 0) {
        *m = (struct self_memory){.phase = SELF_NONE};
        if (err.kind != ERR_NOTFOUND)
            log_error("the saved state of the agent's update cannot be read: %s", err.msg);
    }
    const struct self_image *both[] = {&m->now, &m->next};
    for (unsigned i = 0; s->image_arg && i < COUNT_OF(both); i++)
        if (strcmp(digest_hex(&both[i]->image, hex), s->image_arg) == 0)
            s->running = *both[i];
    loop_timer_set(c->loop, &s->timer, c->started_ms + SELF_STABLE_MS + 1);
    tell(c);
}

static const struct desired *settled(const struct core *c)
{
    const struct ledger *l = &c->state.ledger;
    bool ok = c->sets.candidate.arena && l->candidate_verdict == VERDICT_CONVERGED && !l->follow_previous;

    return ok && c->sets.candidate.d.has_agent ? &c->sets.candidate.d : NULL;
}

/* State of the wanted image in the store; examined again when the store or the manifest changed. */
static void look(struct core *c, const struct desired *d)
{
    struct self *s = &c->self;

    if (s->known && s->seen_store == c->changes.store && s->seen_sets == c->changes.sets &&
        digest_eq(&s->want.release, &d->agent.release)) {
        s->want = d->agent; /* its strings may have moved */
        return;
    }
    if (!digest_eq(&s->want.release, &d->agent.release)) {
        s->refused = false;
        jobs_fault_clear(c, OWNER_AGENT);
    }
    s->want = d->agent;
    images_look(c, &s->want, true, &s->image);
    if (!self_is_built_in(&s->memory.now)) /* its files may contain parts of the new image */
        s->image.old_image = s->memory.now.image;
    s->known = true;
    s->seen_store = c->changes.store;
    s->seen_sets = c->changes.sets;
}

static uint64_t count_boxes(const struct core *c)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < LIM_APPS; i++)
        n += c->apps[i].used && c->apps[i].seen.box == BOX_RUNNING;
    return n;
}

/* Boxes taken over from the previous core: still running, or known how they ended. */
static uint64_t count_taken(const struct core *c)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < LIM_APPS; i++) {
        const struct app *a = &c->apps[i];
        bool runs = a->seen.box == BOX_RUNNING && a->seen.started_ms <= c->started_ms;
        n += a->used && (runs || a->seen.deaths.last.at_ms >= c->self.memory.began_ms);
    }
    return n;
}

/* ---- steps ---- */

/* Exit for the next core, which reads what is saved; apps keep running. */
static void leave(struct core *c)
{
    if (c->intake.unsaved)
        intake_save(c);
    keeper_client_leave(c);
}

static void bring_in(struct core *c, enum self_step step)
{
    struct self *s = &c->self;
    struct err err = ERR_INIT;
    int rc = step == SELF_FETCH ? image_jobs_fetch(c, OWNER_AGENT, &s->want, &s->image, &err)
                                : image_jobs_install(c, OWNER_AGENT, &s->want, &s->image, &err);

    if (rc < 0)
        images_fault(c, OWNER_AGENT, s->want.name, &err);
}

static void change_over(struct core *c, const struct desired *d)
{
    struct self *s = &c->self;
    struct self_memory *m = &s->memory;
    struct self_memory before = *m;
    struct err err = ERR_INIT;

    m->phase = SELF_TRIAL;
    m->next = (struct self_image){.release = s->want.release, .image = s->image.manifest};
    (void)str_copy(m->next.version, sizeof(m->next.version), s->image.version);
    (void)str_copy(m->base, sizeof(m->base), s->base);
    clock_boot_id(m->boot_id, sizeof(m->boot_id));
    m->began_ms = clock_boot_ms();
    m->confirm_s = d->agent_confirm_s;
    m->starts = 0;
    m->boxes = count_boxes(c);
    m->was_online = uplink_is_up(c);
    m->told = false;
    m->why[0] = '\0';
    if (self_save(c->state_fd, m, &err) < 0) {
        *m = before;
        jobs_fault(c, OWNER_AGENT, s->want.name, &err);
        return;
    }
    log_info("agent %s: handing over to it", m->next.version);
    leave(c);
}

static void confirm(struct core *c)
{
    struct self *s = &c->self;
    struct self_memory *m = &s->memory;
    struct self_memory before = *m;
    struct err err = ERR_INIT;

    m->now = m->next;
    m->phase = SELF_GOOD;
    m->told = true;
    if (self_save(c->state_fd, m, &err) < 0) {
        *m = before;
        log_error("%s", err.msg);
        return;
    }
    keeper_client_good(c);
    if (s->known && digest_eq(&s->want.release, &m->now.release) &&
        ledger_raise(&c->state.ledger, s->want.release_name, s->want.counter))
        intake_save(c);
    images_leave_garbage(c);
    events_add(c, "agent-updated", NULL, "%s runs and is good", m->now.version);
    core_touch(c);
}

static void go_back(struct core *c, const struct self_facts *f)
{
    struct self_memory *m = &c->self.memory;
    char why[200];

    if (f->lost)
        (void)str_fmt(why, sizeof(why), "of %" PRIu64 " apps it took over only %" PRIu64, m->boxes,
                      c->self.taken);
    else if (m->was_online && !uplink_is_up(c))
        (void)str_fmt(why, sizeof(why), "the broker was not reached in %" PRIu64 " s: %.120s", m->confirm_s,
                      uplink_text(c));
    else
        (void)str_fmt(why, sizeof(why), "the apps were not as asked in %" PRIu64 " s", m->confirm_s);
    self_roll_back(m, why);
    save_or_tell(c);
    log_error("this agent is left: %s", m->why);
    leave(c);
}

static void refuse(struct core *c, const struct self_facts *f)
{
    struct self *s = &c->self;

    s->refused = true;
    s->refusal = f->below_floor ? "its counter is below that of a release that was good here"
                                : "this core has no keeper that would start the next one";
    core_tell(c);
}

void self_observe(struct core *c, struct self_facts *ret)
{
    struct self *s = &c->self;
    const struct self_memory *m = &s->memory;
    const struct desired *d = settled(c);
    char boot[40];

    if (d)
        look(c, d);
    else
        s->known = false;
    clock_boot_id(boot, sizeof(boot));
    *ret = (struct self_facts){.want = d ? &s->want : NULL,
                               .memory = m,
                               .running = &s->running,
                               .image = s->image.state,
                               .has_keeper = c->keeper.is_there,
                               .below_floor = d && s->want.counter <
                                                       ledger_floor(&c->state.ledger, s->want.release_name),
                               .lost = s->taken < m->boxes,
                               .trial_over = self_trial_left_ms(m, boot, clock_boot_ms()) == 0,
                               .online = !m->was_online || uplink_is_up(c),
                               .refused = s->refused,
                               .again_ms = jobs_again_ms(c, OWNER_AGENT),
                               .window_ms = d ? 1000 * manifest_window_s(&d->download, clock_wall_s()) : 0,
                               .turn_ms = c->intake.turn_ms};
}

void self_took_over(struct core *c)
{
    c->self.taken = count_taken(c);
}

void self_do(struct core *c, enum self_step step, const struct self_facts *f)
{
    const struct desired *d = settled(c);

    switch (step) {
    case SELF_FETCH:
    case SELF_INSTALL:
        bring_in(c, step);
        break;
    case SELF_SWITCH:
        if (d)
            change_over(c, d);
        break;
    case SELF_CONFIRM:
        confirm(c);
        break;
    case SELF_BACK:
        go_back(c, f);
        break;
    case SELF_REFUSE:
        refuse(c, f);
        break;
    case SELF_NOTHING:
    case SELF_STEP_COUNT_:
        break;
    }
}

void self_keep(struct core *c, struct keep *k)
{
    const struct self_memory *m = &c->self.memory;
    const struct set *set = &c->sets.candidate;
    struct image image;

    if (!self_is_built_in(&m->now)) {
        keep_add(k, &m->now.release);
        keep_add(k, &m->now.image);
    }
    if (m->phase == SELF_TRIAL)
        keep_add(k, &m->next.image);
    if (!set->arena || !set->d.has_agent || self_is_bad(m, &set->d.agent.release))
        return;
    images_look(c, &set->d.agent, false, &image);
    keep_add(k, &set->d.agent.release);
    if (image.state > IMAGE_NO_RELEASE)
        keep_add(k, &image.manifest);
    if (image.state != IMAGE_INSTALLED && image.route.kind != ROUTE_LAYERS)
        keep_add(k, &image.pack.blob.digest);
}

/* ---- report ---- */

static const char *phase_word(const struct core *c, bool about)
{
    const struct self *s = &c->self;

    if (about && s->memory.phase != SELF_NONE)
        return self_phase_name(s->memory.phase);
    if (s->refused)
        return "refused";
    if (jobs_is_of(c, OWNER_AGENT))
        return c->jobs.step == STEP_FETCH ? "downloading" : "installing";
    return "pending";
}

struct cJSON *self_report(const struct core *c)
{
    const struct self *s = &c->self;
    const struct self_memory *m = &s->memory;
    const struct desired *d = settled(c);

    if (!d && m->phase == SELF_NONE)
        return NULL;
    bool about = !d || digest_eq(&d->agent.release, &m->next.release);
    struct cJSON *r = json_obj();
    const char *release = about ? m->next.version : s->known ? s->image.version : "";
    json_put_str(r, "phase", phase_word(c, about));
    json_put_str(r, "release", release[0] ? release : d ? d->agent.release_name : "");
    const char *why = about ? m->why : s->refused ? s->refusal : jobs_fault_of(c, OWNER_AGENT)->err.msg;
    if (why[0])
        json_put_str(r, "why", why);
    return r;
}
