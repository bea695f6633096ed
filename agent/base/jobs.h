/* jobs.h - the one slow step that is running, as a child with resource limits: its owner and its progress;
 * and how the last ones of each owner failed. There is one slot for a job: a module that needs it calls
 * jobs_running first. Only jobs.c writes struct jobs. */
#ifndef AGENT_JOBS_H
#define AGENT_JOBS_H
#include "agent/decide/plan.h"
#include "platform/job.h"

struct core;
struct fetch_request;

struct jobs_about {
    enum owner owner;
    enum step_kind step;
    const char *app; /* "": about none */
    bool fetches;    /* an install that also downloads */
};

/* How the last jobs of one owner ended; kind NONE: successfully. */
struct jobs_fault {
    struct fault last; /* in_row: of the same kind */
    unsigned tries;    /* failures in a row, of any kind */
    struct err err;    /* the last one's message, one clean line */
    char app[LIM_NAME_BYTES];
};

struct jobs {
    struct job *job;        /* NULL: none is running; the fields below are about it, or about the last one */
    struct job_calls calls; /* its owner's callbacks */
    enum owner owner;
    enum step_kind step;
    bool fetches;
    char app[LIM_NAME_BYTES];
    uint64_t done, total, moves; /* bytes; moves: number of progress reports, over all jobs */
    struct err trouble;          /* a fault that it will retry by itself at that time; kind NONE: none */
    uint64_t trouble_again_ms;
    struct jobs_fault faults[OWNER_COUNT_];
};

/* Is a job running, whoever its owner? */
bool jobs_running(const struct core *c);
/* Is a job of this owner running? */
bool jobs_is_of(const struct core *c, enum owner owner);

/* Say what the next jobs_run or jobs_fetch, and those started from its end, is about. Not while a job is
 * running. */
void jobs_begin(struct core *c, const struct jobs_about *about);
/* Start fn(calls->arg, ...) in a control group of that name. calls->on_line gets each line, progress
 * included; when on_done is called the slot is free for the next one. arg lives until then. Errors: of
 * job_start, and then no callback is called. */
NODISCARD int jobs_run(struct core *c, const char *name, int (*fn)(void *arg, int line_fd, struct err *err),
                       uint64_t memory_bytes, const struct job_calls *calls, struct err *err);
/* The same for a download. r and what it points to live until on_done. Errors: of fetch_start. */
NODISCARD int jobs_fetch(struct core *c, const struct fetch_request *r, const struct job_calls *calls,
                         struct err *err);
/* A newer manifest: stop jobs for the previous one. The system's updater is never interrupted. */
void jobs_cancel_stale(struct core *c, const char *why);
void jobs_cancel(struct core *c, const char *why); /* any job: the agent is exiting */

/* The running job found that every source fails, and will retry in wait_ms. True: this is new. */
bool jobs_trouble(struct core *c, uint64_t wait_ms, enum err_kind kind, const char *why);

/* A step of this owner failed: remember it for the plan and the report. */
void jobs_fault(struct core *c, enum owner owner, const char *app, const struct err *err);
/* The last one succeeded, or what failed is no longer wanted. */
void jobs_fault_clear(struct core *c, enum owner owner);
/* Borrowed; never NULL. */
const struct jobs_fault *jobs_fault_of(const struct core *c, enum owner owner);
/* When this owner may retry, given its failures; 0: at once. */
uint64_t jobs_again_ms(const struct core *c, enum owner owner);
#endif
