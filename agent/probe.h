/* probe.h - health probes of running boxes. */
#ifndef AGENT_PROBE_H
#define AGENT_PROBE_H
#include "agent/app_table.h"

void probe_start(struct app *a); /* arm the first probe of a new or adopted box */
void probe_stop(struct app *a);
#endif
