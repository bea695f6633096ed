#include "ota/pack/cdc.h"

const struct cdc cdc_document = {512, 11, 8192};
const struct cdc cdc_object = {8 * 1024, 15, 64 * 1024};

/* The 256 random numbers of the gear hash: splitmix64 of the byte. Computed, not stored: no table to copy,
 * and the two multiplications cost less than the SHA-256 of the same bytes. */
static uint64_t gear(uint8_t byte)
{
    uint64_t z = (byte + 1ULL) * 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

size_t cdc_cut(const struct cdc *c, struct buf bytes)
{
    size_t end = bytes.len < c->max ? bytes.len : c->max;
    uint64_t hash = 0;

    if (end <= c->min)
        return end;
    /* below the target size a cut is four times rarer, above it four times more likely */
    uint64_t rare = ~(~0ULL >> (c->bits + 2)), often = ~(~0ULL >> (c->bits - 2));
    for (size_t i = c->min - 64; i < end; i++) {
        hash = (hash << 1) + gear(bytes.p[i]);
        if (i >= c->min && (hash & (i < 1U << c->bits ? rare : often)) == 0)
            return i;
    }
    return end;
}
