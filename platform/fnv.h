/* fnv.h - FNV-1a, where no attacker chooses the input: name tables, spreading. Start with FNV32_INIT or
 * FNV64_INIT and feed byte by byte. Pure. */
#ifndef PLATFORM_FNV_H
#define PLATFORM_FNV_H
#include <stdint.h>

#include "platform/mem.h"

#define FNV32_INIT 2166136261U
#define FNV64_INIT 0xcbf29ce484222325ULL

/* Add one byte to the hash. */
static inline uint32_t fnv32_add(uint32_t h, uint8_t byte)
{
    return (h ^ byte) * 16777619U;
}
static inline uint64_t fnv64_add(uint64_t h, uint8_t byte)
{
    return (h ^ byte) * 0x100000001b3ULL;
}
/* Hash of all bytes. */
static inline uint64_t fnv64(struct buf bytes)
{
    uint64_t h = FNV64_INIT;

    for (size_t i = 0; i < bytes.len; i++)
        h = fnv64_add(h, bytes.p[i]);
    return h;
}
#endif
