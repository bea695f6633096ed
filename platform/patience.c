#include "platform/patience.h"

#include "platform/clock.h"

static uint64_t end_ms; /* 0: no limit */

void patience_begin(uint64_t ms)
{
    end_ms = ms ? clock_boot_ms() + ms : 0;
}

uint64_t patience_ms(uint64_t wanted)
{
    uint64_t now = end_ms ? clock_boot_ms() : 0;
    uint64_t left = now < end_ms ? (end_ms - now) / 2 : 0;

    return end_ms && left < wanted ? left : wanted;
}
