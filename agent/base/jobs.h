/* jobs.h - the one slow step that is under way, as a child with a ceiling: whose it is, how far it has
 * come; and how the last ones of each owner failed. There is one slot for a job: a module that wants it asks
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
    const char *app; /* "": of none */
    bool fetches;    /* an install that downloads as it goes */
};

/* How the last jobs of one owner ended; kind NONE: well. */
struct jobs_fault {
    struct fault last; /* in_row: of this kind */
    unsigned tries;    /* in a row, of any kind */
    struct err err;    /* the last one's words, one clean line */
    char app[LIM_NAME_BYTES];
};

struct jobs {
    struct job *job;        /* NULL: none is under way; what follows is of it, or of the last one */
    struct job_calls calls; /* of its owner */
    enum owner owner;
    enum step_kind step;
    bool fetches;
    char app[LIM_NAME_BYTES];
    uint64_t done, total, moves; /* bytes; moves: how often these were reported, of all jobs */
    struct err trouble;          /* it has some and tries again by itself at that time; kind NONE: no */
    uint64_t trouble_again_ms;
    struct jobs_fault faults[OWNER_COUNT_];
};

/* Is one under way, whosever it is? */
bool jobs_running(const struct core *c);
/* Is one of this owner under way? */
bool jobs_is_of(const struct core *c, enum owner owner);

/* The next jobs_run or jobs_fetch, and those that follow from its end, are about this. Not while one is
 * under way. */
void jobs_begin(struct core *c, const struct jobs_about *about);
/* Start fn(calls->arg, ...) in a group of its own name. calls->on_line gets each line, those of progress
 * too; when on_done is called there is a place for the next one. arg lives until then. Errors: of
 * job_start, and then no call is made. */
NODISCARD int jobs_run(struct core *c, const char *name, int (*fn)(void *arg, int line_fd, struct err *err),
                       uint64_t memory_bytes, const struct job_calls *calls, struct err *err);
/* The same with the program that downloads. r and what it names live until on_done. Errors: of
 * fetch_start. */
NODISCARD int jobs_fetch(struct core *c, const struct fetch_request *r, const struct job_calls *calls,
                         struct err *err);
/* A newer manifest: what works for the one before ends. The system's updater is never cut off. */
void jobs_cancel_stale(struct core *c, const char *why);
void jobs_cancel(struct core *c, const char *why); /* whatever it is: the agent ends */

/* The job under way found every source failing, and asks again in wait_ms. True: that is new. */
bool jobs_trouble(struct core *c, uint64_t wait_ms, enum err_kind kind, const char *why);

/* A step of this owner failed: remembered for the plan and the report. */
void jobs_fault(struct core *c, enum owner owner, const char *app, const struct err *err);
/* The last one went well, or what failed is asked for no more. */
void jobs_fault_clear(struct core *c, enum owner owner);
/* Borrowed; never NULL. */
const struct jobs_fault *jobs_fault_of(const struct core *c, enum owner owner);
/* When this owner may try again, by its tries; 0: at once. */
uint64_t jobs_again_ms(const struct core *c, enum owner owner);
#endif
