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
    const char *image_arg;          /* of --image: this core is not the base system's */
    struct want want;               /* the wanted one; its strings live in the candidate */
    struct image image;             /* of it ... */
    bool known;                     /* ... was looked at ... */
    uint64_t seen_store, seen_sets; /* ... as of which changes */
    bool refused;                   /* said once, by refusal */
    uint64_t taken;                 /* boxes that the core before had handed over and that are here */
    struct loop_timer timer;
    const char *refusal;
};

void self_open(struct core *c); /* at start: what is remembered, which core this is */
/* The boxes of the core before are here, and nothing else was started or stopped: how many of them there
 * are. */
void self_took_over(struct core *c);
void self_observe(struct core *c, struct self_facts *ret); /* for the plan; borrows from core */
/* A step of the plan. f: what it was decided by. */
void self_do(struct core *c, enum self_step step, const struct self_facts *f);
void self_keep(struct core *c, struct keep *k);  /* what must not be collected */
struct cJSON *self_report(const struct core *c); /* NULL: nothing to report. Owner: caller */
#endif
