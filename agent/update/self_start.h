/* self_start.h - which core runs: what is remembered of the agent's own update, and exec of the core that it
 * names. */
#ifndef AGENT_SELF_START_H
#define AGENT_SELF_START_H
#include "agent/decide/self_update.h"

struct core;

/* Call before anything else. image: from --image, borrowed: this core comes from the store, and base is the
 * version of the base system's. NULL: this is the base system's core: exec the core that should run, or
 * return to run this one. */
void self_start(struct core *c, const char *image, const char *base);
/* Load from and save durably to state_dir. Errors: NOTFOUND (nothing is remembered), INVALID, IO, NOSPACE. */
NODISCARD int self_load(int state_fd, struct self_memory *ret, struct err *err);
NODISCARD int self_save(int state_fd, const struct self_memory *m, struct err *err);
/* This core exits on purpose or has lasted: its start does not count as a crash. */
void self_settled(struct core *c);
#endif
