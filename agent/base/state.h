/* state.h - what the agent must remember through a power cut, and nothing else: small files in
 * state_dir/state, each replaced durably. Whatever can be asked of kernel, store or disk is not here.
 *   trust    newest trust envelope (packed)               desired   the candidate's envelope (packed)
 *   good     envelope of the last set that converged      previous  the one before it
 *   doc.TOPIC  the newest envelope of each topic (packed): "doc.device", "doc.group:line-a"
 *   ledger   JSON: counters, verdicts, floors, time floor, settings that failed
 * What cannot be read, or is not what was accepted, is set aside as NAME.bad.
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
    /* there was a ledger and it could not be read: what the saved envelopes prove is all that is known */
    bool lost;
};
/* Open state_dir/state (made 0700); read the ledger. A ledger that does not parse is set aside as
 * "ledger.bad", note says so and ret->lost is set: the counters are to be taken from envelopes whose
 * signatures hold (ledger_prove). */
NODISCARD int state_open(int state_dir_fd, struct state *ret, char note[200], struct err *err);
/* What is in memory stays readable. */
void state_close(struct state *s);
/* The ledger, durably. Errors: NOSPACE, IO. */
NODISCARD int state_save(struct state *s, struct err *err);

/* NOTFOUND when there is none. Owner: caller. */
NODISCARD int state_load(const struct state *s, enum state_slot slot, struct envelope **ret, struct err *err);
/* Durably, in place of what was there. Errors: NOSPACE, IO. */
NODISCARD int state_store(struct state *s, enum state_slot slot, const struct envelope *e, struct err *err);
/* Make `to` what `from` is (durable copy). */
NODISCARD int state_copy(struct state *s, enum state_slot from, enum state_slot to, struct err *err);
/* It cannot be used: "good" becomes "good.bad". */
void state_set_aside(struct state *s, enum state_slot slot);
/* The same for the newest document of a topic. state_doc_drop: it is forgotten. */
NODISCARD int state_doc_load(const struct state *s, const char *source, struct envelope **ret,
                             struct err *err);
NODISCARD int state_doc_store(struct state *s, const char *source, const struct envelope *e, struct err *err);
void state_doc_drop(struct state *s, const char *source);
#endif
