/* observe.h - the current state of kernel, store and disk, for the plan. */
#ifndef AGENT_OBSERVE_H
#define AGENT_OBSERVE_H
#include "agent/decide/plan.h"

struct core;

/* *ret borrows from the sets. Images and devices are examined again only after a change. */
void observe(struct core *c, struct observed *ret);
#endif
