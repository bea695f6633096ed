/* test_point.h - named points of an update, for tests only. */
#ifndef AGENT_TEST_POINT_H
#define AGENT_TEST_POINT_H
struct core;

/* Kills core here by SIGKILL, once (LIMPET_KILL_AT=NAME), or reports the point (LIMPET_TELL=SOCKET);
 * otherwise does nothing. */
void test_point(const struct core *c, const char *name);
#endif
