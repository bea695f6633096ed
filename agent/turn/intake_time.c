/* intake_time.c - the current time as core judges it: now.h, with what the ledger remembers. */
#include "agent/turn/intake_int.h"
#include "platform/clock.h"

void intake_time_facts(const struct core *c, struct now_facts *ret)
{
    const struct ledger *l = &c->state.ledger;

    *ret = (struct now_facts){.wall_s = clock_wall_s(),
                              .synced = clock_is_synced(),
                              .floor_s = l->time_floor_s,
                              .issued_s = l->time_issued_s,
                              .build_s = clock_build_s()};
}

uint64_t intake_time_s(const struct core *c)
{
    struct now_facts f;

    intake_time_facts(c, &f);
    return now_s(&f);
}

char *intake_time_text(const struct core *c, char *dst)
{
    struct now_facts f;

    intake_time_facts(c, &f);
    return now_text(&f, c->state.ledger.time_from, dst, NOW_TEXT);
}

static void raise_floor(struct ledger *l, uint64_t to_s, const char *from)
{
    if (to_s <= l->time_floor_s)
        return;
    l->time_floor_s = to_s;
    (void)str_fmt(l->time_from, sizeof(l->time_from), "%s", from);
}

void intake_time_seen(struct core *c, uint64_t issued_s, const char *from)
{
    struct ledger *l = &c->state.ledger;
    struct now_facts f;

    intake_time_facts(c, &f);
    if (!now_may_be_issued(&f, issued_s))
        return;
    if (issued_s > l->time_issued_s)
        l->time_issued_s = issued_s;
    raise_floor(l, issued_s, from);
}

void intake_time_tick(struct core *c)
{
    struct ledger *l = &c->state.ledger;
    uint64_t before = l->time_floor_s;
    struct now_facts f;

    intake_time_facts(c, &f);
    raise_floor(l, now_floor_s(&f), "the synchronised clock");
    if (l->time_floor_s != before)
        intake_save(c);
}
