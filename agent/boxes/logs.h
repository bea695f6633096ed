/* logs.h - copies a box's output pipes into its log ring. */
#ifndef AGENT_LOGS_H
#define AGENT_LOGS_H
#include "agent/boxes/app_table.h"

/* Open an app's ring of that size; one already open is closed. Errors: of logring_open. */
NODISCARD int logs_open(struct app *a, uint64_t bytes, struct err *err);
void logs_watch(struct app *a); /* its pipes, from now on */
void logs_drain(struct app *a); /* read the rest, then close */
#endif
