/* apps.h - boxes: start, stop, and what happens when they end. */
#ifndef AGENT_APPS_H
#define AGENT_APPS_H
#include "agent/boxes/app_table.h"

/* Errors: NOSPACE (no place), those of start_box; then nothing is left of it, and its record has the
 * reason. */
NODISCARD int apps_start(struct core *c, const struct want *w, struct err *err);
/* Ask it to end; it is killed when its grace is over, by the plan. by_us: its end is no failure. */
void apps_stop(struct app *a, const char *why, bool by_us);
/* Its box is killed, and again in a second if it is still there. */
void apps_kill(struct app *a);
/* The keeper says how a process of a core before ended. */
void apps_exit_known(struct core *c, pid_t pid, int status);
/* After a plan: boxes whose health is to be watched are watched. */
void apps_sync(struct core *c);
/* A box that a core before started: watched again, or ended when it has. */
void apps_adopt(struct app *a);
#endif
