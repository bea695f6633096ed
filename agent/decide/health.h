/* health.h - from samples of one app's health to its state. Pure; the probes themselves are in
 * health_probe.c. */
#ifndef AGENT_HEALTH_H
#define AGENT_HEALTH_H
#include "agent/manifest/manifest.h"

enum health_state { HEALTH_UNKNOWN, HEALTH_STARTING, HEALTH_OK, HEALTH_BAD, HEALTH_STATE_COUNT_ };
const char *health_state_name(enum health_state s); /* "none", "starting", "ok", "bad" */

struct health {
    enum health_state state;
    uint64_t started_ms; /* when the app started */
    uint64_t since_ms;   /* when it entered this state */
    unsigned fails_in_row;
    char last[96]; /* why the last probe failed, "" if it succeeded */
};
/* A box was started. kind NONE: UNKNOWN forever. */
void health_start(struct health *h, const struct want_health *w, uint64_t now_ms);
/* One sample. Failures within start_grace_ms do not count until the first success; retries failures in a row
 * make it BAD. */
void health_judge(struct health *h, const struct want_health *w, bool ok, const char *why, uint64_t now_ms);
/* When the next probe is due: at short intervals (a tenth of interval_ms, 100 ms to 1 s) until the first
 * success, then every interval_ms. */
uint64_t health_next_ms(const struct health *h, const struct want_health *w, uint64_t now_ms);
#endif
