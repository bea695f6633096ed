/* self_update.h - the agent's own update: what a manifest's "agent" asks, how far it has got, what to do
 * next, and which core is started. The programs are an ordinary image of the store; the keeper and core of
 * the base system are never replaced: that core runs first at each start, decides by what is remembered, and
 * becomes the other one (exec) or continues itself. Pure. */
#ifndef AGENT_SELF_UPDATE_H
#define AGENT_SELF_UPDATE_H
#include "agent/decide/image_state.h"
#include "agent/manifest/manifest.h"

#define SELF_BAD          4 /* releases remembered as bad; the oldest is dropped */
#define SELF_TRIAL_STARTS 3 /* of a new core that is not yet confirmed */
#define SELF_CRASHES      5 /* of a confirmed core, each within SELF_STABLE_MS of its start */
#define SELF_STABLE_MS    60000
#define SELF_KEEPER_MORE_MS \
    5000 /* the keeper ends a trial this much later than the core on trial does itself */
#define SELF_FOLDER "usr/libexec/limpet" /* where the programs are in the image */

enum self_phase {
    SELF_NONE,
    SELF_TRIAL,       /* next is to be started, or runs, and is not confirmed */
    SELF_GOOD,        /* now is the last one requested */
    SELF_ROLLED_BACK, /* next was abandoned: it is in bad */
    SELF_PHASE_COUNT_
};
/* As reported and logged; static, "?" for none of them. */
const char *self_phase_name(enum self_phase p);

/* One set of programs. Zeros in image: the base system's. */
struct self_image {
    struct digest release, image;
    char version[LIM_NAME_BYTES];
};

/* What is remembered, in state_dir/state/agent. */
struct self_memory {
    enum self_phase phase;
    struct self_image now, next;
    char base[LIM_NAME_BYTES]; /* version of the base system's core: a different one starts over */
    char boot_id[40];          /* boot in which the trial began ... */
    uint64_t began_ms;         /* ... at this time (boot clock) ... */
    uint64_t confirm_s;        /* ... its time limit ... */
    uint64_t starts;           /* ... number of starts since ... */
    uint64_t boxes;            /* ... and of apps handed over */
    bool was_online;           /* the broker was connected before: the new one must connect too */
    bool told;                 /* the event for the last trial's end was sent */
    unsigned n_bad;
    struct digest bad[SELF_BAD]; /* releases, newest first */
    char why[200];
};
/* Is it the base system's? */
bool self_is_built_in(const struct self_image *i);
/* Did this release fail its trial here? */
bool self_is_bad(const struct self_memory *m, const struct digest *release);
/* Abandon next: remember it as bad, with the reason. */
void self_roll_back(struct self_memory *m, const char *why);
/* Abandon now for the base system's. */
void self_drop_now(struct self_memory *m, const char *why);

/* At start, in the base system's core. */
struct self_start_facts {
    const struct self_memory *memory;
    const char *base, *boot_id;
    uint64_t now_ms;
    uint64_t crashes; /* starts of now in this boot that did not last */
};
enum self_start {
    SELF_START_BUILT_IN,
    SELF_START_NOW,
    SELF_START_NEXT,
    SELF_FORGET,    /* another base system: its own core starts, the manifest's is brought in again */
    SELF_GIVE_UP,   /* on next: too many starts, or too late */
    SELF_LEAVE_NOW, /* a confirmed one that keeps ending */
};
enum self_start self_start_decide(const struct self_start_facts *f);
/* Milliseconds left of a trial; 0: over. The time starts anew at the first start and at each boot (the number
 * of starts does not). */
uint64_t self_trial_left_ms(const struct self_memory *m, const char *boot_id, uint64_t now_ms);

/* In the running core. */
struct self_facts {
    const struct want *want; /* NULL: the manifest asks for none */
    const struct self_memory *memory;
    const struct self_image *running;
    enum image_state image; /* of the wanted one */
    bool converged;         /* the apps are as the manifest asks and nothing else is to do */
    bool has_keeper;        /* without one nothing would start the new core */
    bool below_floor;       /* its counter is below that of a confirmed release */
    bool healthy;           /* boxes are supervised as intended, the broker is connected if it was before */
    bool lost;              /* a box that was handed over is missing */
    bool trial_over;
    /* For the plan, which determines converged and healthy itself (plan_updates.c). */
    bool online;        /* the broker is connected if it was before */
    bool refused;       /* the wanted one was refused, and that was reported */
    uint64_t again_ms;  /* the last step failed: retry not before */
    uint64_t window_ms; /* until downloads may begin; 0: now */
    uint64_t turn_ms;   /* earliest time for this device to download */
};
enum self_step {
    SELF_NOTHING,
    SELF_FETCH,
    SELF_INSTALL,
    SELF_SWITCH,  /* to next */
    SELF_CONFIRM, /* the running one */
    SELF_BACK,    /* to the previous one */
    SELF_REFUSE,
    SELF_STEP_COUNT_
};
/* As reported and logged; static, "?" for none of them. */
const char *self_step_name(enum self_step s);
enum self_step self_decide(const struct self_facts *f);

/* The JSON form of the memory. Errors of parse: INVALID. */
char *self_memory_build(const struct self_memory *m); /* malloc'd */
NODISCARD int self_memory_parse(struct buf json, struct self_memory *ret, struct err *err);
#endif
