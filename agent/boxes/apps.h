/* apps.h - boxes: start, stop, and handling of their end. */
#ifndef AGENT_APPS_H
#define AGENT_APPS_H
#include "agent/boxes/app_table.h"

/* Errors: NOSPACE (no free slot), those of start_box; then nothing is left behind, and the app's record has
 * the reason. */
NODISCARD int apps_start(struct core *c, const struct want *w, struct err *err);
/* Ask it to stop; after its grace period the plan kills it. by_us: its end is not a failure. */
void apps_stop(struct app *a, const char *why, bool by_us);
/* Kill its box, and retry in a second if it is still there. */
void apps_kill(struct app *a);
/* The keeper reports how a process of a previous core ended. */
void apps_exit_known(struct core *c, pid_t pid, int status);
/* After a plan: start watching the health of boxes that need it. */
void apps_sync(struct core *c);
/* A box started by a previous core: watch it again, or handle its end. */
void apps_adopt(struct app *a);
#endif
