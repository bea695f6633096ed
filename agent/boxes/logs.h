/* logs.h - the pipes of a box into its ring. */
#ifndef AGENT_LOGS_H
#define AGENT_LOGS_H
#include "agent/boxes/app_table.h"

/* The ring of an app, of so many bytes; one that was open goes. Errors: of logring_open. */
NODISCARD int logs_open(struct app *a, uint64_t bytes, struct err *err);
void logs_watch(struct app *a); /* its pipes, from now on */
void logs_drain(struct app *a); /* read what is left, then close */
#endif
