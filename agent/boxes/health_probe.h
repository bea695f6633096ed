/* health_probe.h - health probes of running boxes. */
#ifndef AGENT_HEALTH_PROBE_H
#define AGENT_HEALTH_PROBE_H
#include "agent/boxes/app_table.h"

void health_probe_start(struct app *a); /* arm the first probe of a new or adopted box */
/* A running probe ends without a sample. */
void health_probe_stop(struct app *a);
#endif
