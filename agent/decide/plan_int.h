/* plan_int.h - shared by the files of the plan: plan.c (the apps), plan_updates.c (the system's and the
 * agent's own updates). */
#ifndef AGENT_PLAN_INT_H
#define AGENT_PLAN_INT_H
#include "agent/decide/plan.h"

/* Add a step. A wait is looked at again at at_ms. Borrowed until the next call; if the plan is full, a dummy
 * is returned. */
struct step *plan_add(struct plan *p, enum step_kind kind, enum why why, const char *app,
                      const struct want *want, uint64_t at_ms);
/* Plan again at that time at the latest. */
void plan_wake(struct plan *p, uint64_t at_ms);
/* Call after the steps of the apps were added. */
void plan_updates(struct plan *p, const struct observed *o, uint64_t now_ms);
#endif
