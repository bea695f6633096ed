/* keep.h - the list of what must stay in the store. Each module adds what it needs; if the list overflows,
 * the whole store is kept. Pure. */
#ifndef AGENT_KEEP_H
#define AGENT_KEEP_H
#include "platform/crypto.h"
#include "platform/limits.h"

#define KEEP_SET (3 * LIM_APPS) /* for one set: release, image manifest, pack of each app */
#define KEEP_MAX (3 * KEEP_SET + LIM_APPS + 16)

struct keep {
    unsigned n;
    bool full; /* the list overflowed */
    struct digest list[KEEP_MAX];
};

/* Add a digest, of whatever kind; duplicates are fine. */
void keep_add(struct keep *k, const struct digest *d);
#endif
