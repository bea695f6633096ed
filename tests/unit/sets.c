/* What replacing a set does to the plan over it; the list of what must stay in the store. */
#include "agent/core.h"
#include "tests/unit/check.h"

static struct core core;

TEST(a_set_that_is_replaced_takes_the_steps_that_name_its_apps)
{
    struct set next = {.arena = arena_new(1024)};

    memset(&core, 0, sizeof(core));
    core.sets.plan.n = 3;
    core.sets.plan.run = &core.sets.candidate.d;
    next.d.rev = 7;
    sets_replace(&core, &core.sets.candidate, &next);
    CHECK(core.sets.plan.n == 0 && core.sets.candidate.d.rev == 7 && next.arena == NULL);
    sets_done(&core.sets.candidate);
    CHECK(core.sets.candidate.arena == NULL && core.sets.candidate.d.rev == 0);
}

TEST(a_list_of_what_must_stay_says_when_it_is_full)
{
    struct keep k = {.n = 0};
    struct digest d = {{1}};

    for (unsigned i = 0; i < KEEP_MAX; i++)
        keep_add(&k, &d);
    CHECK(k.n == KEEP_MAX && !k.full);
    keep_add(&k, &d);
    CHECK(k.n == KEEP_MAX && k.full);
}

TEST_MAIN
