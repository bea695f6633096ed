/* observe.h - what is true now, of kernel, store and disk, for the plan. */
#ifndef AGENT_OBSERVE_H
#define AGENT_OBSERVE_H
#include "agent/decide/plan.h"

struct core;

/* *ret borrows from the sets. Looks at images and devices again where something changed. */
void observe(struct core *c, struct observed *ret);
#endif
