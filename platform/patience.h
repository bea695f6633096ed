/* patience.h - budget for all waits of one turn, in a process with a loop. Each wait with its own limit asks
 * here first; without a budget (command line programs, jobs) it gets what it wants. Threads: one. */
#ifndef PLATFORM_PATIENCE_H
#define PLATFORM_PATIENCE_H
#include <stdint.h>

/* From now on so many ms; 0: no limit. */
void patience_begin(uint64_t ms);
/* wanted, or half of what is left, so that the next wait still has some. */
uint64_t patience_ms(uint64_t wanted);
#endif
