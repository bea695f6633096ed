/* check.h - agentd-core --check STATE_DIR: for an operator at a console, and for the power tests. */
#ifndef AGENT_CHECK_H
#define AGENT_CHECK_H
struct core;

/* Open state_dir as at boot, while no agent is running; print counters, sets and the store's defects as one
 * JSON document on stdout. c: zeroed, unusable afterwards. Returns the exit status: 0 a set could run with
 * every image whole and nothing is damaged, 2 otherwise, 1 it cannot be opened (reason on stderr). */
int check_state(struct core *c, const char *state_dir);
#endif
