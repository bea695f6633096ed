/* confine.h - limits of core itself, and of all apps together. */
#ifndef AGENT_CONFINE_H
#define AGENT_CONFINE_H
#include "platform/cgroup/cgroup.h"

struct core;

struct confine {
    struct cgroup_limits all, one; /* of all apps together; of one that sets none */
    struct cgroup_report report;   /* result for `all` */
};

/* L5: keeper, core, link and jobs below one memory ceiling; detects the control group hierarchies. Errors:
 * IO, UNSUPPORTED, DENIED. */
NODISCARD int confine_group(struct core *c, struct err *err);
/* Set the limits of all apps together, and the defaults of one that sets none; written again before each
 * start, since the group is removed with the last app. */
void confine_apps(struct core *c);
/* The apps' memory: the device's less an eighth for the system and less the agent's ceiling, those being at
 * most half of it. Pure. */
uint64_t confine_apps_memory(uint64_t total_bytes, uint64_t agent_bytes);
/* Core and keeper return to where the keeper was started; no group is left. */
void confine_leave(struct core *c);
/* Drop the capabilities that are never needed, for children too. Errors: IO, DENIED. */
NODISCARD int confine_capabilities(struct err *err);
#endif
