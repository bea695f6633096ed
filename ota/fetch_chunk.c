/* fetch_chunk.c - one line of the list of chunks (fetch.h). */
#include "ota/fetch.h"

static void put_u32(uint8_t *dst, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        dst[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void fetch_chunk_put(const struct fetch_chunk *c, uint8_t dst[FETCH_CHUNK_RECORD])
{
    put_u32(dst, (uint32_t)c->at);
    put_u32(dst + 4, (uint32_t)(c->at >> 32));
    put_u32(dst + 8, c->len);
    put_u32(dst + 12, c->aside);
    memcpy(dst + 16, c->check, FETCH_CHUNK_CHECK);
}

void fetch_chunk_get(const uint8_t src[FETCH_CHUNK_RECORD], struct fetch_chunk *ret)
{
    *ret = (struct fetch_chunk){.at = get_u32(src) | (uint64_t)get_u32(src + 4) << 32,
                                .len = get_u32(src + 8),
                                .aside = get_u32(src + 12)};
    memcpy(ret->check, src + 16, FETCH_CHUNK_CHECK);
}
