#include "agent/turn/observe.h"

#include "agent/core.h"
#include "platform/clock.h"

static struct cost cost_of(const struct image *i)
{
    if (i->state < IMAGE_NO_LAYERS || i->state >= IMAGE_INSTALLED || !i->route.known)
        return (struct cost){.route = NULL};
    return (struct cost){route_name(i->route.kind), i->route.down_bytes, i->route.write_bytes,
                         i->route.memory_bytes};
}

static void observe_set(const struct core *c, const struct desired *d, struct set_facts *ret)
{
    ret->d = d;
    for (unsigned i = 0; d && i < d->n; i++) {
        const struct image *image = images_of(c, &d->apps[i]);
        ret->apps[i] = (struct app_facts){
            .image = image->state, .cost = cost_of(image), .lack = devices_lack(c, &d->apps[i])};
    }
}

void observe(struct core *c, struct observed *ret)
{
    const struct desired *candidate, *good;

    memset(ret, 0, sizeof(*ret));
    images_observe(c);
    devices_observe(c);
    sets_candidates(c, &candidate, &good);
    observe_set(c, candidate, &ret->candidate);
    observe_set(c, good, &ret->good);
    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used)
            ret->seen[ret->n++] = c->apps[i].seen;
    if (c->sets.candidate.arena)
        ret->window_ms = 1000 * manifest_window_s(&c->sets.candidate.d.download, clock_wall_s());
    ret->turn_ms = c->intake.turn_ms;
    ret->verdict = c->state.ledger.candidate_verdict;
    ret->has_garbage = c->images.garbage;
    ret->scrub_due = scrub_job_is_due(c);
    ret->job_running = jobs_running(c);
    ret->fault = jobs_fault_of(c, OWNER_APPS)->last;
    ret->upkeep_ms = jobs_again_ms(c, OWNER_STORE);
    os_observe(c, &ret->os);
    self_observe(c, &ret->self);
    ret->trial_boots = (unsigned)c->state.ledger.trial_boots;
}
