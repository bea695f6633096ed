/* varint.h - numbers in patches: 7 bits a byte, low first; signed ones zigzag. Also plain little-endian
 * integers. Pure. */
#ifndef OTA_VARINT_H
#define OTA_VARINT_H
#include <stdint.h>

static inline int64_t varint_signed(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}
static inline uint64_t varint_zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}
static inline uint32_t u32_get(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline void u32_put(uint8_t *dst, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        dst[i] = (uint8_t)(v >> (8 * i));
}
#endif
