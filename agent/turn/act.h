/* act.h - observe, plan, act: the only place that starts what the plan says. */
#ifndef AGENT_ACT_H
#define AGENT_ACT_H
#include "agent/decide/plan.h"
#include "platform/loop.h"

struct core;

struct act {
    struct loop_timer wake;
};

void act_open(struct core *c); /* at start */
void act_turn(struct core *c); /* after a turn of the loop */
/* Stop the apps, then exit core. */
void act_stop(struct core *c);
#endif
