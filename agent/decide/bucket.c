#include "agent/decide/bucket.h"

uint64_t bucket_take(struct bucket *b, struct bucket_rate r, uint64_t now_ms)
{
    uint64_t room_ms = (uint64_t)(r.burst - 1) * r.every_ms;

    b->paid_ms = (b->paid_ms > now_ms ? b->paid_ms : now_ms) + r.every_ms;
    return b->paid_ms > now_ms + room_ms ? b->paid_ms - room_ms : now_ms;
}
