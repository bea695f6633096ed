/* scrub_job.h - from time to time, verify a little of the store against its names. */
#ifndef AGENT_SCRUB_JOB_H
#define AGENT_SCRUB_JOB_H
#include "platform/err.h"
#include "platform/loop.h"

struct core;

/* Progress of the scrub. The counters start at zero with core. */
struct scrub {
    struct loop_timer timer;
    uint64_t next_ms, rounds, bytes, bad, images;
    char cursor[128], last_bad[200];
};

void scrub_job_open(struct core *c);                            /* at start: where the last core stopped */
bool scrub_job_is_due(const struct core *c);                    /* is it time for some more? */
NODISCARD int scrub_job_start(struct core *c, struct err *err); /* start the job. Errors: of jobs_run */
#endif
