#include "agent/base/sets.h"

#include "agent/core.h"
#include "platform/clock.h"

void sets_done(struct set *s)
{
    s->arena = arena_free(s->arena);
    memset(&s->d, 0, sizeof(s->d));
}

void sets_replace(struct core *c, struct set *to, struct set *take_from)
{
    c->sets.plan.n = 0;
    sets_done(to);
    *to = *take_from;
    *take_from = (struct set){.arena = NULL};
}

void sets_candidates(const struct core *c, const struct desired **ret_candidate,
                     const struct desired **ret_good)
{
    const struct sets *s = &c->sets;
    bool back = c->state.ledger.follow_previous && s->previous.arena;

    *ret_candidate = !back && s->candidate.arena ? &s->candidate.d : NULL;
    *ret_good = back ? &s->previous.d : s->good.arena ? &s->good.d : NULL;
}

const struct plan *sets_plan(struct core *c, const struct observed *o)
{
    plan_make(o, clock_boot_ms(), &c->sets.plan);
    return &c->sets.plan;
}

const struct want *sets_want(const struct core *c, const char *app)
{
    return manifest_find(c->sets.plan.run, app);
}
