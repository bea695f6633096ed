/* adopt.h - boxes that a core before left: taken over, or removed when no file speaks of them. */
#ifndef AGENT_ADOPT_H
#define AGENT_ADOPT_H
#include "platform/loop.h"

struct core;

struct adopt {
    struct loop_timer net_check; /* of the next box that was taken over */
};

/* Once, when the keeper has given back what it kept. */
void adopt_boxes(struct core *c);
#endif
