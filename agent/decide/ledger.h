/* ledger.h - what core must remember, in memory and as JSON (state.h saves it): counters, verdicts, floors,
 * the time floor, settings that failed. Only intake writes its fields; others use these functions. Pure. */
#ifndef AGENT_LEDGER_H
#define AGENT_LEDGER_H
#include "agent/decide/plan.h"
#include "ota/doc/trust.h"

#define STATE_FLOORS 256 /* release names; a manifest that needs more is refused */
/* topics, including those that the device no longer follows: their counters still count */
#define STATE_REVS   32
#define STATE_SOURCE (LIM_NAME_BYTES + 8)
#define STATE_WHY    280

enum state_slot { STATE_TRUST, STATE_DESIRED, STATE_GOOD, STATE_PREVIOUS, STATE_SLOT_COUNT_ };

/* A slot's file name, and the key of its digest in the ledger. */
const char *ledger_slot_name(enum state_slot slot);

struct state_verdict {
    uint64_t rev, at_s;
    enum verdict verdict;
    char id[32], why[STATE_WHY];
};
struct state_floor { /* L10: releases of this name below counter are refused */
    char name[LIM_NAME_BYTES];
    uint64_t counter;
};
struct state_rev {             /* the highest rev seen on a topic, held or not: only a higher one is
                                * accepted */
    char source[STATE_SOURCE]; /* "device" or "group:line-a" */
    uint64_t rev;
    struct digest digest; /* of its payload: same rev with another digest is an alarm */
};
/* The newest refused manifest, until another one is accepted. rev 0: none. */
struct state_refused {
    char source[STATE_SOURCE], why[STATE_WHY];
    uint64_t rev;
    struct digest digest;
};
/* What a trust document resets (ota/doc/trust.h, trust_changes): noted before the document is saved and done
 * after it, so that a power cut neither loses a reset nor does one early. */
struct state_epoch {
    uint64_t trust; /* noted by which version; 0: never noted */
    bool done;
    bool roles[TRUST_ROLE_COUNT_];
    uint64_t issued_s;
};
struct ledger {
    unsigned n_revs;
    struct state_rev revs[STATE_REVS]; /* a counter per topic */
    char source[STATE_SOURCE];         /* the candidate's topic; "": none is followed */
    uint64_t candidate_rev;            /* 0: none */
    enum verdict candidate_verdict;
    char candidate_why[STATE_WHY];
    struct state_refused refused;
    /* digests of these files' payloads as accepted; false: written by an older agent */
    bool has_saved;
    struct digest saved[STATE_SLOT_COUNT_];
    char agent[32]; /* version that wrote this: a different one judges again what was refused */
    uint64_t trial_boots;
    bool follow_previous; /* the operator rolled back a converged set; until the next manifest */
    uint64_t time_floor_s, time_issued_s; /* see now.h */
    char time_from[48];                   /* what set the floor: "trust version 3" */
    struct state_epoch epoch;
    uint64_t fleet_since_s; /* manifests issued before this belong to an ended epoch; 0: there was none */
    uint64_t boots, links;  /* counters: boots of the agent, starts of link */
    char boot_id[40];
    unsigned n_history;
    struct state_verdict history[LIM_HISTORY]; /* newest first */
    unsigned n_floors;
    struct state_floor floors[STATE_FLOORS];
    unsigned n_bad;
    struct digest bad[LIM_BAD_RELEASES]; /* hashes of wants (release and settings) that failed their trial */
};

/* Insert a verdict at the front of the history. */
void ledger_add(struct ledger *l, const struct state_verdict *v);
/* 0: that name has no floor. */
uint64_t ledger_floor(const struct ledger *l, const char *name);
/* Raise the floor of a name; false when the table is full. */
bool ledger_raise(struct ledger *l, const char *name, uint64_t counter);
/* Has that name a floor, or is there room for one? */
bool ledger_has_room(const struct ledger *l, const char *name);
/* The counter of a topic; created if new. NULL: too many. */
struct state_rev *ledger_rev(struct ledger *l, const char *source);
/* A verified document of this topic: lower revs count no more. */
void ledger_prove(struct ledger *l, const char *source, uint64_t rev, const struct digest *digest);
/* Was a payload with this digest accepted here: is it one of saved, or the newest of its topic? */
bool ledger_knows(const struct ledger *l, const struct digest *digest);
/* Did a want with this hash fail its trial here? mark_bad: record that; the oldest is dropped. */
bool ledger_is_bad(const struct ledger *l, const struct digest *hash);
void ledger_mark_bad(struct ledger *l, const struct digest *hash);
/* Count a boot, or a new start of the agent alone; also for the trial, if there is a candidate without a
 * verdict. */
void ledger_count_boot(struct ledger *l, const char *boot_id, bool has_candidate);
/* Count a start of link. */
void ledger_count_link(struct ledger *l);
/* JSON form. build: owner is the caller. Errors of parse: INVALID. */
struct cJSON *ledger_build(const struct ledger *l);
NODISCARD int ledger_parse(struct buf json, struct ledger *ret, struct err *err);
#endif
