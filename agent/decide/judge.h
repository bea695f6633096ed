/* judge.h - can this device do what an authentic manifest asks? Checked before anything is downloaded (L9).
 * Pure. */
#ifndef AGENT_JUDGE_H
#define AGENT_JUDGE_H
#include "agent/decide/ledger.h"
#include "agent/decide/now.h"
#include "runtime/box/box.h"

struct judge_facts {
    const struct box_caps *caps;
    const struct ledger *ledger;
    uint64_t memory_total_bytes;
    const struct now_facts *now;
    const char *now_text; /* the same as text, for refusals */
};
/* Errors: DENIED (expired, from the future, below the counter floor, known bad), UNSUPPORTED (required but
 * not enforceable), NOSPACE (ceiling above the device's memory), each with the field's path. */
NODISCARD int judge_desired(const struct desired *d, const struct judge_facts *f, struct err *err);
#endif
