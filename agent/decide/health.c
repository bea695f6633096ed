#include "agent/decide/health.h"

static const char *const names[HEALTH_STATE_COUNT_] = {"none", "starting", "ok", "bad"};

const char *health_state_name(enum health_state s)
{
    return (unsigned)s < HEALTH_STATE_COUNT_ ? names[s] : "?";
}

static void become(struct health *h, enum health_state s, uint64_t now_ms)
{
    if (h->state != s) {
        h->state = s;
        h->since_ms = now_ms;
    }
}

void health_start(struct health *h, const struct want_health *w, uint64_t now_ms)
{
    *h = (struct health){.started_ms = now_ms, .since_ms = now_ms};
    h->state = w->kind == HEALTH_NONE ? HEALTH_UNKNOWN : HEALTH_STARTING;
}

void health_judge(struct health *h, const struct want_health *w, bool ok, const char *why, uint64_t now_ms)
{
    (void)str_fmt(h->last, sizeof(h->last), "%s", ok ? "" : why);
    if (ok) {
        h->fails_in_row = 0;
        become(h, HEALTH_OK, now_ms);
        return;
    }
    if (h->state == HEALTH_STARTING && now_ms - h->started_ms < w->start_grace_ms)
        return;
    h->fails_in_row++;
    if (h->fails_in_row >= w->retries)
        become(h, HEALTH_BAD, now_ms);
}

uint64_t health_next_ms(const struct health *h, const struct want_health *w, uint64_t now_ms)
{
    uint64_t step = w->interval_ms;

    if (h->state == HEALTH_STARTING) {
        step /= 10;
        step = step > 1000 ? 1000 : step < 100 ? 100 : step;
        step = step > w->interval_ms ? w->interval_ms : step;
    }
    return now_ms + step;
}
