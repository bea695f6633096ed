/* fetch_chunk.c - one record of the list of chunks (fetch.h). */
#include "ota/fetch/fetch.h"
#include "ota/pack/varint.h"

void fetch_chunk_put(const struct fetch_chunk *c, uint8_t dst[FETCH_CHUNK_RECORD])
{
    u32_put(dst, (uint32_t)c->at);
    u32_put(dst + 4, (uint32_t)(c->at >> 32));
    u32_put(dst + 8, c->len);
    u32_put(dst + 12, c->aside);
    memcpy(dst + 16, c->check, FETCH_CHUNK_CHECK);
}

void fetch_chunk_get(const uint8_t src[FETCH_CHUNK_RECORD], struct fetch_chunk *ret)
{
    *ret = (struct fetch_chunk){.at = u32_get(src) | (uint64_t)u32_get(src + 4) << 32,
                                .len = u32_get(src + 8),
                                .aside = u32_get(src + 12)};
    memcpy(ret->check, src + 16, FETCH_CHUNK_CHECK);
}
