/* self_act.h - the agent's own update: what is remembered, observed and done for self_update.h. Only self_*.c write struct self. */
#ifndef AGENT_SELF_ACT_H
#define AGENT_SELF_ACT_H
#include "agent/images.h"
#include "agent/self_update.h"
#include "platform/loop.h"

struct core;

struct self {
    struct self_memory memory;
    struct self_image running;      /* zeros: the base system's programs */
    char base[LIM_NAME_BYTES];      /* their version */
    const char *image_arg;          /* of --image: this core is not the base system's */
    struct want want;               /* the wanted one; its strings live in the candidate */
    struct image image;             /* of it ... */
    bool known;                     /* ... was looked at ... */
    uint64_t seen_store, seen_sets; /* ... as of which changes */
    bool refused, settled;          /* said once; nothing more is counted against this core */
    bool counted;
    uint64_t taken; /* boxes that the core before had handed over and that are here */
    enum self_step step;
    struct loop_timer timer;
    const char *refusal; /* why refused */
};

void self_open(struct core *c);                  /* at start: what is remembered, who this core is */
void self_turn(struct core *c);                  /* after a plan: the next step for the agent, if any */
void self_keep(struct core *c, struct keep *k);  /* what must not be collected */
struct cJSON *self_report(const struct core *c); /* NULL: nothing to tell. Owner: caller */
#endif
