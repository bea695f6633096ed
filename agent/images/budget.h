/* budget.h - bytes downloaded for the candidate: its images, the agent's and the system's bundle together. */
#ifndef AGENT_BUDGET_H
#define AGENT_BUDGET_H
#include "platform/crypto.h"

struct core;

/* Bytes downloaded over the network for one manifest. */
struct spent {
    struct digest manifest; /* digest of its payload: revs of two topics, or of two epochs, may be equal */
    uint64_t bytes, saved;  /* in total; of those durable */
};

void budget_open(struct core *c);     /* at start: load the saved sum */
uint64_t budget_left(struct core *c); /* UINT64_MAX: no limit */
uint64_t budget_ask(struct core *c);  /* the same as a fetch_request field: 0: no limit, 1: nothing left */
NODISCARD int budget_check(struct core *c, uint64_t need, struct err *err); /* DENIED: more than is left */
/* A job has downloaded so many bytes so far; *told: those already counted (0 at its start). */
void budget_told(struct core *c, uint64_t *told, uint64_t network);
/* The same from a line "progress DONE TOTAL NETWORK"; false: it is another line. */
bool budget_line(struct core *c, uint64_t *told, const char *line);
void budget_close(struct core *c); /* a job has ended: save the sum */
#endif
