/* confine.h - what core holds itself and the apps together to. */
#ifndef AGENT_CONFINE_H
#define AGENT_CONFINE_H
#include "platform/cgroup/cgroup.h"

struct core;

struct confine {
    struct cgroup_limits all, one; /* of all apps together; of one that names none */
    struct cgroup_report report;   /* what came of all */
};

/* L5: keeper, core, link and jobs below one memory ceiling; finds out how control groups are here. Errors:
 * IO, UNSUPPORTED, DENIED. */
NODISCARD int confine_group(struct core *c, struct err *err);
/* What all apps together may have, and what one that names nothing may have of it; written again before
 * each start, since the group goes with the last of them. */
void confine_apps(struct core *c);
/* Of the device's memory the system and the agent keep an eighth and the agent's ceiling, at most half of
 * all. Pure. */
uint64_t confine_apps_memory(uint64_t total_bytes, uint64_t agent_bytes);
/* Core and keeper go back to where the keeper was started; no group stays. */
void confine_leave(struct core *c);
/* What is never needed of root's capabilities goes, for children too. Errors: IO, DENIED. */
NODISCARD int confine_capabilities(struct err *err);
#endif
