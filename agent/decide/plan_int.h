/* plan_int.h - what the files of the plan share: plan.c (the apps), plan_updates.c (the system's and the
 * agent's own updates). */
#ifndef AGENT_PLAN_INT_H
#define AGENT_PLAN_INT_H
#include "agent/decide/plan.h"

/* One more step. What waits until at_ms is looked at again then. Borrowed until the next; a plan that is
 * full gives one that counts for nothing. */
struct step *plan_add(struct plan *p, enum step_kind kind, enum why why, const char *app,
                      const struct want *want, uint64_t at_ms);
/* Look again at that time at the latest. */
void plan_wake(struct plan *p, uint64_t at_ms);
/* After the steps of the apps. */
void plan_updates(struct plan *p, const struct observed *o, uint64_t now_ms);
#endif
