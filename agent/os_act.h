/* os_act.h - the device's own system: what is remembered, observed and done for os_update.h. Only os_act.c writes struct os. */
#ifndef AGENT_OS_ACT_H
#define AGENT_OS_ACT_H
#include "agent/download.h"
#include "agent/keep.h"
#include "agent/os_update.h"
#include "platform/loop.h"

struct core;

struct os {
    struct os_memory memory;
    const struct updater *updater; /* of os_act.c; NULL: not looked for yet */
    enum os_step step;             /* the last one */
    struct loop_timer timer;
    char slot[OS_SLOT_BYTES];
    bool slot_known, reboot;
    uint64_t again_ms, healthy_ms; /* not before; since when it is healthy, 0: it is not */
    struct fetch_blob blobs[2];    /* the bundle, its release */
    struct want want; /* that release, for a job that outlives the manifest: its strings are ours */
    char release_name[LIM_NAME_BYTES];
    struct download download;
};
#define OS_LOOK_MS 2000 /* while something is under way */

void os_open(struct core *c);                       /* at start: what is remembered */
void os_turn(struct core *c);                       /* after a plan: the next step for the system, if any */
void os_keep(const struct core *c, struct keep *k); /* what must not be collected */
struct cJSON *os_report(const struct core *c);      /* NULL: nothing to tell. Owner: caller */
#endif
