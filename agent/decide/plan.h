/* plan.h - the decision: what is wanted and what is observed -> what to do next. Pure, previewable (agentctl
 * plan), never saved. Laws: the same input gives the same plan; converged means an empty plan; nothing good
 * stops before its successor's whole set is installed; each step carries its reason (L6). Rollback is the
 * same function with last_good in the candidate's place. */
#ifndef AGENT_PLAN_H
#define AGENT_PLAN_H
#include "agent/decide/health.h"
#include "agent/decide/image_state.h"
#include "agent/decide/os_update.h"
#include "agent/decide/restart.h"
#include "agent/decide/self_update.h"
#include "agent/manifest/manifest.h"

enum box_state { BOX_NONE, BOX_RUNNING, BOX_STOPPING, BOX_STATE_COUNT_ };

/* How a manifest ended (L7). NONE: not yet. */
enum verdict {
    VERDICT_NONE,
    VERDICT_CONVERGED,
    VERDICT_REJECTED,
    VERDICT_ROLLED_BACK,
    VERDICT_FAILED,
    VERDICT_SUPERSEDED,
    VERDICT_COUNT_
};
/* As reported and logged; static, "?" for none of them. */
const char *plan_verdict_name(enum verdict v);

/* One app as observed: its box, or the record of one that ended. */
struct seen {
    char name[LIM_NAME_BYTES];
    enum box_state box;
    struct digest hash; /* of the want that the box (or death history) belongs to */
    struct deaths deaths;
    struct health health;
    uint64_t started_ms;
    bool device_lost;        /* RUNNING: a device is gone, and it must be restarted without it */
    uint64_t kill_at_ms;     /* STOPPING: when the grace period ends */
    unsigned start_failures; /* in a row: failed to start at all */
    uint64_t start_failed_ms;
};

/* A fetch or install that failed. */
struct fault {
    enum err_kind kind; /* ERR_NONE: no fault */
    unsigned in_row;
    uint64_t at_ms;
};

/* What bringing in one image still costs; route NULL: not known yet. */
struct cost {
    const char *route;
    uint64_t down_bytes, write_bytes, memory_bytes;
};

/* A device that an app requires and that is missing. */
struct lack {
    const char *path; /* NULL: none is missing */
    bool stop;        /* the app must not run without it */
};

/* What is known of one wanted app, besides its box. */
struct app_facts {
    enum image_state image;
    struct cost cost;
    struct lack lack;
};

/* A set with what is known of its apps: apps[i] describes d->apps[i]. */
struct set_facts {
    const struct desired *d; /* NULL: none */
    struct app_facts apps[LIM_APPS];
};

/* The owner of a slow step. */
enum owner {
    OWNER_NONE,
    OWNER_APPS,   /* images of the sets */
    OWNER_STORE,  /* upkeep: collect, scrub */
    OWNER_SYSTEM, /* the device's own system */
    OWNER_AGENT,  /* the agent's own image */
    OWNER_COUNT_
};

struct observed {
    unsigned n;
    struct seen seen[LIM_APPS];
    struct set_facts candidate, good; /* good: the last set that converged */
    uint64_t window_ms;               /* until downloads may begin; 0: now */
    uint64_t turn_ms;                 /* earliest time for this device to download, in its group */
    enum verdict verdict;             /* of the candidate */
    bool has_garbage;                 /* something can be collected */
    bool scrub_due;                   /* time to read some of the store again */
    bool job_running;                 /* a slow step is running: no second one */
    struct fault fault;               /* of the last slow step for the candidate */
    uint64_t upkeep_ms;               /* a store upkeep step could not be started: retry not before */
    unsigned trial_boots;             /* boots since the candidate first started, without being confirmed */
    struct os_facts os;
    struct self_facts self;
};

enum step_kind {
    STEP_NOTHING,
    STEP_FETCH,
    STEP_INSTALL,
    STEP_START,
    STEP_STOP,
    STEP_KILL,
    STEP_CONFIRM,
    STEP_REJECT,
    STEP_ROLLBACK,
    STEP_FAIL,
    STEP_COLLECT,
    STEP_SCRUB,
    STEP_LOOK,   /* at the system: which slot is booted */
    STEP_REBOOT, /* into the system's other slot */
    STEP_SWITCH, /* to the core in the agent's image */
    STEP_WAIT,
    STEP_KIND_COUNT_
};
enum why {
    WHY_NO_RELEASE,
    WHY_NO_MANIFEST,
    WHY_NO_LAYERS,
    WHY_NO_PATCH,
    WHY_NO_TREE,
    WHY_NO_CHUNKS,
    WHY_NOT_INSTALLED,
    WHY_UNWANTED,
    WHY_REPLACED,
    WHY_UNHEALTHY,
    WHY_DOWN,
    WHY_BACKOFF,
    WHY_GRACE,
    WHY_GRACE_OVER,
    WHY_PORT,
    WHY_DEVICE,
    WHY_DEVICE_GONE,
    WHY_DEVICE_LOST,
    WHY_NETWORK,
    WHY_NETWORK_GONE,
    WHY_RETRY,
    WHY_WINDOW,
    WHY_TURN,
    WHY_PROBATION,
    WHY_ALL_GOOD,
    WHY_HEALTH_BAD,
    WHY_CRASHES,
    WHY_CANNOT_START,
    WHY_GAVE_UP,
    WHY_REBOOTS,
    WHY_FAULT,
    WHY_GARBAGE,
    WHY_SCRUB,
    WHY_OS_ASKED,
    WHY_OS_HELD,
    WHY_OS_INSTALLED,
    WHY_OS_REBOOT_BY_HAND,
    WHY_OS_REBOOT_ASKED,
    WHY_OS_BAD,
    WHY_OS_SLOT,
    WHY_OS_GOOD,
    WHY_OS_FELL_BACK,
    WHY_OS_UNHEALTHY,
    WHY_OS_NO_UPDATER,
    WHY_AGENT_INSTALLED,
    WHY_AGENT_GOOD,
    WHY_AGENT_BAD,
    WHY_AGENT_REFUSED,
    WHY_COUNT_
};

struct step {
    enum owner of;
    enum step_kind kind;
    enum why why;
    enum os_step os;         /* of OWNER_SYSTEM: as in os_update */
    enum self_step self;     /* of OWNER_AGENT: as in self_update */
    const char *app;         /* borrowed from the sets or from observed; NULL: the whole set */
    const struct want *want; /* FETCH, INSTALL, START */
    uint64_t at_ms;          /* WAIT: until then */
    struct cost cost;        /* FETCH, INSTALL; and WAIT for a window */
};
#define PLAN_STEPS (LIM_APPS * 3 + 8)
struct plan {
    unsigned n;
    struct step steps[PLAN_STEPS];
    const struct desired *run;  /* the set whose boxes should run now; NULL: unknown, touch nothing */
    const struct desired *aim;  /* the set being brought in */
    bool quiet;                 /* for the apps: only waiting for time or events */
    uint64_t wake_ms;           /* plan again then; 0: at the next event */
    bool os_judged, os_healthy; /* was the system's health judged; is it healthy */
};
/* As reported and logged; static, "?" for none of them. */
const char *plan_step_kind_name(enum step_kind k);
/* A sentence for the operator; static. */
const char *plan_why_text(enum why w);

/* The apps first; then, when none of them is about to change, the system's own update, then the agent's.
 * Fail-safe: an unknown situation gives no step. Strings and wants in the plan are borrowed from o and its
 * sets. */
void plan_make(const struct observed *o, uint64_t now_ms, struct plan *ret);

/* Delay before retrying a slow step after fault number in_row: 1 s, 2 s ... 5 min. Pure. */
uint64_t plan_retry_delay_ms(unsigned in_row);
/* Lines of text: "fetch web: its release is missing". malloc'd. */
char *plan_text(const struct plan *p);
#endif
