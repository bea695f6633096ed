/* ledger.h - what is counted and concluded, in memory and as JSON (state.h saves it): counters, verdicts,
 * floors, the time floor, settings that failed. Intake alone writes its fields; others count and raise by
 * these functions. Pure. */
#ifndef AGENT_LEDGER_H
#define AGENT_LEDGER_H
#include "agent/decide/plan.h"
#include "ota/doc/trust.h"

#define STATE_FLOORS 256 /* names of releases; a manifest that needs more is refused */
/* topics, also those that the device listens to no more: their counters still count */
#define STATE_REVS   32
#define STATE_SOURCE (LIM_NAME_BYTES + 8)
#define STATE_WHY    280

enum state_slot { STATE_TRUST, STATE_DESIRED, STATE_GOOD, STATE_PREVIOUS, STATE_SLOT_COUNT_ };

/* The file of a slot, and the digest's name in the ledger. */
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
struct state_rev {             /* the highest rev of a topic that was seen, held or not: only more counts */
    char source[STATE_SOURCE]; /* "device" or "group:line-a" */
    uint64_t rev;
    struct digest digest; /* of its payload: same rev, other digest is an alarm */
};
/* The newest manifest that was refused, until another one is accepted. rev 0: none. */
struct state_refused {
    char source[STATE_SOURCE], why[STATE_WHY];
    uint64_t rev;
    struct digest digest;
};
/* What a trust document resets (ota/doc/trust.h, trust_changes): noted before the document is saved and done
 * after it, so that power between the two neither loses a reset nor does one too early. */
struct state_epoch {
    uint64_t trust; /* by which version; 0: none was ever noted */
    bool done;
    bool roles[TRUST_ROLE_COUNT_];
    uint64_t issued_s;
};
struct ledger {
    unsigned n_revs;
    struct state_rev revs[STATE_REVS]; /* a counter per topic */
    char source[STATE_SOURCE];         /* where the candidate came from; "": nothing is followed */
    uint64_t candidate_rev;            /* 0: none */
    enum verdict candidate_verdict;
    char candidate_why[STATE_WHY];
    struct state_refused refused;
    /* of the payloads of these files as they were accepted; false: an older agent wrote this */
    bool has_saved;
    struct digest saved[STATE_SLOT_COUNT_];
    char agent[32]; /* the version that wrote this: another one judges again what was refused */
    uint64_t trial_boots;
    bool follow_previous; /* the operator rolled a converged set back; until the next manifest */
    uint64_t time_floor_s, time_issued_s; /* see now.h */
    char time_from[48];                   /* what set the floor: "trust version 3" */
    struct state_epoch epoch;
    uint64_t fleet_since_s; /* manifests issued before this are of an epoch that ended; 0: there was none */
    uint64_t boots, links;  /* counters: boots of the agent, starts of link */
    char boot_id[40];
    unsigned n_history;
    struct state_verdict history[LIM_HISTORY]; /* newest first */
    unsigned n_floors;
    struct state_floor floors[STATE_FLOORS];
    unsigned n_bad;
    struct digest bad[LIM_BAD_RELEASES]; /* hashes of wants (release and settings) that failed their trial */
};

/* Put a verdict at the front of the history. */
void ledger_add(struct ledger *l, const struct state_verdict *v);
/* 0: that name has none. */
uint64_t ledger_floor(const struct ledger *l, const char *name);
/* Raise the floor of a name; false when the table is full. */
bool ledger_raise(struct ledger *l, const char *name, uint64_t counter);
/* Has that name a floor, or is there room for one? */
bool ledger_has_room(const struct ledger *l, const char *name);
/* The counter of a topic; made when it is new. NULL: there are too many. */
struct state_rev *ledger_rev(struct ledger *l, const char *source);
/* What a document of this topic proves: no lower rev counts any more. */
void ledger_prove(struct ledger *l, const char *source, uint64_t rev, const struct digest *digest);
/* Was a payload of this digest accepted here: is it one of saved, or the newest of its topic? */
bool ledger_knows(const struct ledger *l, const struct digest *digest);
/* Did a want of this hash fail its trial here? mark_bad: it did; the oldest goes. */
bool ledger_is_bad(const struct ledger *l, const struct digest *hash);
void ledger_mark_bad(struct ledger *l, const struct digest *hash);
/* A boot of the machine or of the agent alone; one of the candidate's trial, when there is a candidate
 * without a verdict. */
void ledger_count_boot(struct ledger *l, const char *boot_id, bool has_candidate);
/* A start of link. */
void ledger_count_link(struct ledger *l);
/* The JSON form: the caller's. Errors of parse: INVALID. */
struct cJSON *ledger_build(const struct ledger *l);
NODISCARD int ledger_parse(struct buf json, struct ledger *ret, struct err *err);
#endif
