/* bucket.h - how often something may be done: some at once, then one every so often. Pure. */
#ifndef AGENT_BUCKET_H
#define AGENT_BUCKET_H
#include <stdint.h>

struct bucket {
    uint64_t paid_ms; /* what was taken so far is paid for then */
};
struct bucket_rate {
    unsigned burst, every_ms; /* burst: at least 1 */
};
/* Take one; returns when the next may be taken, not after now_ms: at once. A caller that does not wait for
 * that owes the longer. */
uint64_t bucket_take(struct bucket *b, struct bucket_rate r, uint64_t now_ms);
#endif
