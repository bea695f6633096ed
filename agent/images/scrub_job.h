/* scrub_job.h - a little of the store is read and compared with its names, now and then. */
#ifndef AGENT_SCRUB_JOB_H
#define AGENT_SCRUB_JOB_H
#include "platform/err.h"
#include "platform/loop.h"

struct core;

/* How far the reading of the store has come. The counters are since core was started. */
struct scrub {
    struct loop_timer timer;
    uint64_t next_ms, rounds, bytes, bad, images;
    char cursor[128], last_bad[200];
};

void scrub_job_open(struct core *c);                            /* at start: where the last core stopped */
bool scrub_job_is_due(const struct core *c);                    /* is it time for some more? */
NODISCARD int scrub_job_start(struct core *c, struct err *err); /* the job. Errors: of jobs_run */
#endif
