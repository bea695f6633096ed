/* check.h - agentd-core --check STATE_DIR: for a person at a console, and for the power tests. */
#ifndef AGENT_CHECK_H
#define AGENT_CHECK_H
struct core;

/* Open state_dir as at a boot, while no agent runs there; print counters, sets and what of the store is bad
 * as one JSON document on stdout. c: zeroed, and of no use after it. Returns the exit status: 0 a set could
 * run with every image whole and nothing is bad, 2 not so, 1 it cannot be opened (reason on stderr). */
int check_state(struct core *c, const char *state_dir);
#endif
