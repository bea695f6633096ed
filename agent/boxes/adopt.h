/* adopt.h - boxes left by a previous core: taken over, or removed if they have no app file. */
#ifndef AGENT_ADOPT_H
#define AGENT_ADOPT_H
#include "platform/loop.h"

struct core;

struct adopt {
    struct loop_timer net_check; /* for the next box that was taken over */
};

/* Call once, when the keeper has returned what it kept. */
void adopt_boxes(struct core *c);
#endif
