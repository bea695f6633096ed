/* state.h - what the agent must remember through a power cut, and nothing else: small files in state_dir/state, each
 * replaced durably. Whatever can be asked of kernel, store or disk is not here.
 *   trust    newest trust envelope (packed)               desired   the candidate's envelope (packed)
 *   good     envelope of the last set that converged      previous  the one before it
 *   ledger   JSON: counters, verdicts, floors, time floor, settings that failed
 * Law L10: a counter is durable before anything that it allows happens: the ledger is saved first. */
#ifndef AGENT_STATE_H
#define AGENT_STATE_H
#include "agent/manifest.h"
#include "agent/plan.h"
#include "ota/docs.h"

#define STATE_FLOORS 64
#define STATE_REVS   (LIM_GROUPS + 2)

struct state_verdict {
    uint64_t rev, at_s;
    enum verdict verdict;
    char id[32], why[200];
};
struct state_floor { /* L10: releases of this name below counter are refused */
    char name[LIM_NAME_BYTES];
    uint64_t counter;
};
struct state_rev {                   /* the highest rev of a topic that was judged: only more counts */
    char source[LIM_NAME_BYTES + 8]; /* "device" or "group:line-a" */
    uint64_t rev;
    struct digest digest; /* of its payload: same rev, other digest is an alarm */
};
struct ledger {
    unsigned n_revs;
    struct state_rev revs[STATE_REVS]; /* a counter per topic */
    char source[LIM_NAME_BYTES + 8];   /* where the candidate came from; "": it was cleared */
    uint64_t candidate_rev;            /* 0: none */
    enum verdict candidate_verdict;
    char candidate_why[200];
    uint64_t trial_boots;
    bool follow_previous; /* the operator rolled a converged set back; until the next manifest */
    uint64_t time_floor_s;
    uint64_t boots, links; /* counters: boots of the agent, starts of link */
    char boot_id[40];
    unsigned n_history;
    struct state_verdict history[LIM_HISTORY]; /* newest first */
    unsigned n_floors;
    struct state_floor floors[STATE_FLOORS];
    unsigned n_bad;
    struct digest bad[LIM_BAD_RELEASES]; /* hashes of wants (release and settings) that failed their trial */
};

struct state {
    int dir_fd;
    struct ledger ledger;
    struct trust trust;
    bool has_trust;
};
/* Open state_dir/state (made 0700); read the ledger. A ledger that does not parse is set aside as
 * "ledger.bad" and the counters are taken from the envelopes that are there: fail closed, keep what runs.
 * *ret_note says so. */
int state_open(int state_dir_fd, struct state *ret, char note[200], struct err *err);
void state_close(struct state *s);
int state_save(struct state *s, struct err *err);

enum state_slot { STATE_TRUST, STATE_DESIRED, STATE_GOOD, STATE_PREVIOUS, STATE_SLOT_COUNT_ };
/* NOTFOUND when there is none. Owner: caller. */
int state_load(const struct state *s, enum state_slot slot, struct envelope **ret, struct err *err);
int state_store(struct state *s, enum state_slot slot, const struct envelope *e, struct err *err);
/* Make `to` what `from` is (durable copy). */
int state_copy(struct state *s, enum state_slot from, enum state_slot to, struct err *err);

/* Put a verdict at the front of the history. */
void ledger_add(struct ledger *l, const struct state_verdict *v);
uint64_t ledger_floor(const struct ledger *l, const char *name);
/* Raise the floor of a name; false when the table is full. */
bool ledger_raise(struct ledger *l, const char *name, uint64_t counter);
bool ledger_is_bad(const struct ledger *l, const struct digest *hash);
void ledger_mark_bad(struct ledger *l, const struct digest *hash);
/* The JSON form. Pure. */
struct cJSON *ledger_build(const struct ledger *l);
int ledger_parse(struct buf json, struct ledger *ret, struct err *err);
#endif
