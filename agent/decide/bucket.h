/* bucket.h - rate limit: a burst at once, then one per interval. Pure. */
#ifndef AGENT_BUCKET_H
#define AGENT_BUCKET_H
#include <stdint.h>

struct bucket {
    uint64_t paid_ms; /* when everything taken so far is paid off */
};
struct bucket_rate {
    unsigned burst, every_ms; /* burst: at least 1 */
};
/* Take one; returns when the next may be taken (up to now_ms: at once). A caller that does not wait that long
 * owes the longer. */
uint64_t bucket_take(struct bucket *b, struct bucket_rate r, uint64_t now_ms);
#endif
