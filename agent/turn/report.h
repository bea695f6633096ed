/* report.h - what the device reports (docs/protocol.md, "state" and "health"), as JSON of what its modules
 * know. */
#ifndef AGENT_REPORT_H
#define AGENT_REPORT_H
#include "platform/crypto.h"
#include "platform/json.h"

struct core;

struct report {
    uint64_t seq; /* of the last one */
};

/* Owner: caller. */
struct cJSON *report_state(struct core *c);
struct cJSON *report_health(struct core *c);
/* Of what is worth reporting again: without what always moves (time, memory, counters of the scrub), which is
 * taken out of the report. Errors: of sha256. */
NODISCARD int report_digest(struct cJSON *report, struct digest *ret, struct err *err);
/* What keeps an image from coming, for `agentctl plan`: a line, or "". malloc'd. */
char *report_trouble(const struct core *c);
void report_save(struct core *c); /* run_dir/state.json for agentctl */
#endif
