/* self_act.h - the agent's own update: what is remembered, observed and done for self_update.h. Only
 * self_*.c write struct self. */
#ifndef AGENT_SELF_ACT_H
#define AGENT_SELF_ACT_H
#include "agent/decide/self_update.h"
#include "agent/images/images.h"
#include "platform/loop.h"

struct core;

struct self {
    struct self_memory memory;
    struct self_image running;      /* zeros: the base system's programs */
    char base[LIM_NAME_BYTES];      /* their version */
    const char *image_arg;          /* from --image: this core is not the base system's */
    struct want want;               /* the wanted release; its strings belong to the candidate */
    struct image image;             /* its image ... */
    bool known;                     /* ... has been examined ... */
    uint64_t seen_store, seen_sets; /* ... at these change numbers */
    bool refused;                   /* a refusal was reported */
    uint64_t taken;                 /* boxes handed over by the previous core and present here */
    struct loop_timer timer;
    const char *refusal;
};

void self_open(struct core *c); /* at start: load what is remembered, find out which core this is */
/* The previous core's boxes are taken over, and nothing else was started or stopped: count them. */
void self_took_over(struct core *c);
void self_observe(struct core *c, struct self_facts *ret); /* for the plan; borrows from core */
/* Execute a step of the plan. f: the facts it was decided on. */
void self_do(struct core *c, enum self_step step, const struct self_facts *f);
void self_keep(struct core *c, struct keep *k);  /* add what must not be collected */
struct cJSON *self_report(const struct core *c); /* NULL: nothing to report. Owner: caller */
#endif
