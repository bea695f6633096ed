/* keep.h - a list of what must stay in the store. A module adds what it needs; a list that is full
 * keeps the whole store. Pure. */
#ifndef AGENT_KEEP_H
#define AGENT_KEEP_H
#include "platform/crypto.h"
#include "platform/limits.h"

#define KEEP_SET (3 * LIM_APPS) /* of a set: release, image manifest, pack of each app */
#define KEEP_MAX (3 * KEEP_SET + LIM_APPS + 16)

struct keep {
    unsigned n;
    bool full; /* something did not fit */
    struct digest list[KEEP_MAX];
};

/* One digest more, of whatever kind; twice is no fault. */
void keep_add(struct keep *k, const struct digest *d);
#endif
