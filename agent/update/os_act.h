/* os_act.h - the device's own system: what is remembered, observed and done for os_update.h. Only os_act.c
 * writes struct os. */
#ifndef AGENT_OS_ACT_H
#define AGENT_OS_ACT_H
#include "agent/decide/keep.h"
#include "agent/decide/os_update.h"
#include "agent/decide/plan.h"
#include "agent/images/download.h"

struct core;

struct os {
    struct os_memory memory;
    const struct updater *updater; /* defined in os_act.c; NULL: not determined yet */
    enum os_step step;             /* the last step */
    char slot[OS_SLOT_BYTES];
    bool slot_known, reboot;
    uint64_t reboot_ms,
        healthy_ms;             /* retry a requested reboot then; since when it is healthy, 0: it is not */
    struct fetch_blob blobs[2]; /* the bundle and its release */
    struct want want;           /* copy of that release, for a job that outlives the manifest: we own its
                                 * strings */
    char release_name[LIM_NAME_BYTES];
    struct download download;
};

void os_open(struct core *c);                          /* at start: load what is remembered */
void os_observe(struct core *c, struct os_facts *ret); /* for the plan; borrows from core */
void os_judged(struct core *c, bool healthy);          /* the plan has judged its health */
void os_do(struct core *c, const struct step *s);      /* execute a step of the plan */
void os_keep(const struct core *c, struct keep *k);    /* add what must not be collected */
struct cJSON *os_report(const struct core *c);         /* NULL: nothing to report. Owner: caller */
#endif
