/* test_point.h - named points of an update, for tests only. */
#ifndef AGENT_TEST_POINT_H
#define AGENT_TEST_POINT_H
struct core;

/* A test may end core here by SIGKILL, once (LIMPET_KILL_AT=NAME), or report it (LIMPET_TELL=SOCKET);
 * does nothing otherwise. */
void test_point(const struct core *c, const char *name);
#endif
