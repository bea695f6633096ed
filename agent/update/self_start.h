/* self_start.h - which core runs: what is remembered of the agent's own update, and becoming the core that
 * it names. */
#ifndef AGENT_SELF_START_H
#define AGENT_SELF_START_H
#include "agent/decide/self_update.h"

struct core;

/* Before all else. image: of --image, borrowed: this core is one of the store's, and base the version of
 * the base system's. NULL: it is the base system's: become the core that is to run (exec), or return and
 * be it. */
void self_start(struct core *c, const char *image, const char *base);
/* From and to state_dir; saved durably. Errors: NOTFOUND (nothing is remembered), INVALID, IO, NOSPACE. */
NODISCARD int self_load(int state_fd, struct self_memory *ret, struct err *err);
NODISCARD int self_save(int state_fd, const struct self_memory *m, struct err *err);
/* This core ends on purpose or has stayed: its start counts against nobody. */
void self_settled(struct core *c);
#endif
