#include "agent/link/link_retry.h"

#define DOUBLINGS_MAX 9 /* beyond it every bound is at its maximum */

static uint64_t doubled(uint64_t first, unsigned times, uint64_t max)
{
    uint64_t v = first << (times < DOUBLINGS_MAX ? times : DOUBLINGS_MAX);

    return v < max ? v : max;
}

uint64_t link_retry_delay_ms(struct link_retry *r, uint64_t random, bool far)
{
    uint64_t bound = far ? LINK_RETRY_MAX_MS : doubled(r->first_ms, r->waits, LINK_RETRY_MAX_MS);

    r->waits++;
    return random % (bound + 1);
}

uint64_t link_retry_deadline_ms(struct link_retry *r)
{
    return doubled(LINK_DEADLINE_MS, r->dials++, LINK_DEADLINE_MAX_MS);
}

bool link_retry_was_up(struct link_retry *r, uint64_t up_ms)
{
    if (up_ms < LINK_STABLE_MS)
        return false;
    r->waits = r->dials = 0;
    return true;
}
