/* log_text.h - the last lines of a log as text. */
#ifndef AGENT_LOG_TEXT_H
#define AGENT_LOG_TEXT_H
#include <stdint.h>

struct core;

/* The last n lines of an app's log, or (app NULL) of the events, without bytes that are unsafe in a terminal
 * or in JSON. malloc'd; NULL: there is no such log. */
char *log_text(struct core *c, const char *app, uint64_t n);
#endif
