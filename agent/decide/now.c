#include "agent/decide/now.h"

#include "platform/clock.h"
#include "platform/mem.h"

static uint64_t max2(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* How far the clock can be believed. */
static uint64_t believed_s(const struct now_facts *f)
{
    uint64_t most = max2(max2(f->issued_s, f->floor_s), f->build_s) + NOW_TRUST_S;

    return f->synced || f->wall_s < most ? f->wall_s : most;
}

uint64_t now_s(const struct now_facts *f)
{
    return max2(believed_s(f), max2(f->floor_s, f->build_s));
}

uint64_t now_floor_s(const struct now_facts *f)
{
    uint64_t most = max2(f->issued_s, f->build_s) + NOW_TRUST_S;
    uint64_t wall = f->wall_s < most ? f->wall_s : most;

    return f->synced ? max2(wall, f->floor_s) : f->floor_s;
}

bool now_may_be_issued(const struct now_facts *f, uint64_t issued_s)
{
    return !f->synced || issued_s <= f->wall_s + NOW_AHEAD_S;
}

char *now_text(const struct now_facts *f, const char *from, char *dst, unsigned size)
{
    char now[24], wall[24], by[80];
    uint64_t s = now_s(f);

    (void)clock_rfc3339(s, now, sizeof(now));
    (void)clock_rfc3339(f->wall_s, wall, sizeof(wall));
    if (s == f->wall_s) {
        (void)str_fmt(dst, size, "it is %s here by its clock%s", now, f->synced ? "" : ", not synchronised");
        return dst;
    }
    if (s == f->floor_s)
        (void)str_fmt(by, sizeof(by), "its floor (%.40s)", from[0] ? from : "saved");
    else
        (void)str_fmt(by, sizeof(by), "%s",
                      s == f->build_s ? "the agent's build" : "the newest signed document and 30 days");
    (void)str_fmt(dst, size, "it is %s here by %s; its clock says %s%s", now, by, wall,
                  f->synced ? "" : ", not synchronised");
    return dst;
}
