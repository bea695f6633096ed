#include "agent/decide/restart.h"
#include "platform/fnv.h"

void restart_deaths_add(struct deaths *d, const struct ending *e, uint64_t ran_ms, uint64_t stable_ms)
{
    d->last = *e;
    if (e->by_us) {
        d->in_row = 0;
        return;
    }
    d->in_row = ran_ms >= stable_ms ? 1 : d->in_row + 1;
    d->total++;
    d->oom += e->oom;
}

/* FNV-1a: spreads the restarts of apps that die together. */
static uint32_t spread(const char *name, unsigned n)
{
    uint32_t h = FNV32_INIT ^ n;

    for (; *name; name++)
        h = fnv32_add(h, (uint8_t)*name);
    return h;
}

enum restart_verdict restart_decide(const struct want_restart *policy, const struct deaths *d,
                                    const char *name, uint64_t now_ms, uint64_t *ret_at_ms)
{
    if (d->in_row == 0)
        return RESTART_NOW;
    bool failed = d->last.code != 0 || d->last.signal != 0 || !d->last.known;
    if (policy->policy == RESTART_NO || (policy->policy == RESTART_ON_FAILURE && !failed))
        return failed ? RESTART_GIVE_UP : RESTART_DONE;
    if (policy->max_tries && d->in_row > policy->max_tries)
        return RESTART_GIVE_UP;
    unsigned doublings = d->in_row - 1 < 20 ? d->in_row - 1 : 20;
    uint64_t delay = policy->delay_ms << doublings;
    if (delay > policy->max_delay_ms)
        delay = policy->max_delay_ms;
    delay -= delay * (spread(name, d->in_row) % 256) / 1024;
    *ret_at_ms = d->last.at_ms + delay;
    return *ret_at_ms <= now_ms ? RESTART_NOW : RESTART_WAIT;
}
