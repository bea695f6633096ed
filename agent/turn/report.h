/* report.h - what the device reports (docs/protocol.md, "state" and "health"), as JSON built from the
 * modules' state. */
#ifndef AGENT_REPORT_H
#define AGENT_REPORT_H
#include "platform/crypto.h"
#include "platform/json.h"

struct core;

struct report {
    uint64_t seq; /* of the last report */
};

/* What the device reports of its state and of its health (docs/protocol.md, "Reports"). Owner: caller. */
struct cJSON *report_state(struct core *c);
struct cJSON *report_health(struct core *c); /* memory, disk, what apps use. Owner: caller */
/* Digest of what is worth reporting again; removes from the report what always changes (time, memory,
 * counters of the scrub). Errors: of sha256. */
NODISCARD int report_digest(struct cJSON *report, struct digest *ret, struct err *err);
/* Why an image is not coming in, for `agentctl plan`: a line, or "". malloc'd. */
char *report_trouble(const struct core *c);
void report_save(struct core *c); /* write run_dir/state.json for agentctl */
#endif
