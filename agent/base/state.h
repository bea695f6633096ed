/* state.h - what the agent must remember across a power cut, and nothing else: small files in
 * state_dir/state, each replaced durably. What kernel, store or disk can tell is not saved.
 *   trust    newest trust envelope (packed)               desired   the candidate's envelope (packed)
 *   good     envelope of the last set that converged      previous  the one before it
 *   doc.TOPIC  the newest envelope of each topic (packed): "doc.device", "doc.group:line-a"
 *   ledger   JSON: counters, verdicts, floors, time floor, settings that failed
 * What is unreadable, or not what was accepted, is renamed to NAME.bad.
 * Law L10: a counter is durable before anything that it allows happens: the ledger is saved first. */
#ifndef AGENT_STATE_H
#define AGENT_STATE_H
#include "agent/decide/ledger.h"
#include "ota/doc/trust.h"

struct state {
    int dir_fd;
    struct ledger ledger;
    struct trust trust;
    bool has_trust;
    /* the ledger was unreadable: only what the saved envelopes prove is known */
    bool lost;
};
/* Open state_dir/state (created 0700); read the ledger. A malformed ledger is renamed to "ledger.bad",
 * described in note, and sets ret->lost: restore the counters from envelopes with valid signatures
 * (ledger_prove). */
NODISCARD int state_open(int state_dir_fd, struct state *ret, char note[200], struct err *err);
/* What is in memory stays valid. */
void state_close(struct state *s);
/* Save the ledger durably. Errors: NOSPACE, IO. */
NODISCARD int state_save(struct state *s, struct err *err);

/* NOTFOUND: there is none. Owner: caller. */
NODISCARD int state_load(const struct state *s, enum state_slot slot, struct envelope **ret, struct err *err);
/* Replace durably. Errors: NOSPACE, IO. */
NODISCARD int state_store(struct state *s, enum state_slot slot, const struct envelope *e, struct err *err);
/* Durably copy slot `from` to slot `to`. */
NODISCARD int state_copy(struct state *s, enum state_slot from, enum state_slot to, struct err *err);
/* It is unusable: rename "good" to "good.bad". */
void state_set_aside(struct state *s, enum state_slot slot);
/* The same for the newest document of a topic. state_doc_drop: remove it. */
NODISCARD int state_doc_load(const struct state *s, const char *source, struct envelope **ret,
                             struct err *err);
NODISCARD int state_doc_store(struct state *s, const char *source, const struct envelope *e, struct err *err);
void state_doc_drop(struct state *s, const char *source);
#endif
