/* budget.h - bytes over the network for the candidate, its images, the agent's and the system's bundle
 * together. */
#ifndef AGENT_BUDGET_H
#define AGENT_BUDGET_H
#include "platform/crypto.h"

struct core;

/* Bytes that came over the network for one manifest. */
struct spent {
    struct digest manifest; /* its payload's: revs of two topics, or of two epochs, may be alike */
    uint64_t bytes, saved;  /* in all; of them durable */
};

void budget_open(struct core *c);     /* at start: what was spent before */
uint64_t budget_left(struct core *c); /* UINT64_MAX: no bound */
uint64_t budget_ask(struct core *c); /* the same as fetch_request wants it: 0: no bound, 1: nothing is left */
NODISCARD int budget_check(struct core *c, uint64_t need, struct err *err); /* DENIED: more than is left */
/* A job has taken so many bytes since it began; *told: what was counted of them (0 at its start). */
void budget_told(struct core *c, uint64_t *told, uint64_t network);
/* The same from a line "progress DONE TOTAL NETWORK"; false: it is not one. */
bool budget_line(struct core *c, uint64_t *told, const char *line);
void budget_close(struct core *c); /* a job is over: what it took is durable */
#endif
