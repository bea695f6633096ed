/* bytes.h - a buffer that grows. Pure. */
#ifndef FLEET_BYTES_H
#define FLEET_BYTES_H
#include "platform/mem.h"

struct bytes { /* zero at first; free(b.p) at the end */
    uint8_t *p;
    size_t len, room;
};
/* Room for len more at its end, counted already; to be filled by the caller. */
static inline uint8_t *bytes_more(struct bytes *b, size_t len)
{
    if (b->len + len > b->room) {
        b->room = 2 * (b->len + len) + 4096;
        uint8_t *p = mem_need(b->room);
        if (b->len)
            memcpy(p, b->p, b->len);
        free(b->p);
        b->p = p;
    }
    b->len += len;
    return b->p + b->len - len;
}
static inline void bytes_add(struct bytes *b, const void *from, size_t len)
{
    if (len)
        memcpy(bytes_more(b, len), from, len);
}
#endif
