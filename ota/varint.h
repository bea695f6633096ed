/* varint.h - numbers of patches: 7 bits a byte, low first; signed ones zigzag. Pure. */
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
#endif
