/* patience.h - what a process with a loop may wait in one turn, all in all. Each wait with a bound of its own
 * asks here first; without a budget (programs of the command line, jobs) it gets what it wants. Threads:
 * one. */
#ifndef PLATFORM_PATIENCE_H
#define PLATFORM_PATIENCE_H
#include <stdint.h>

/* From now on so many ms; 0: no bound. */
void patience_begin(uint64_t ms);
/* wanted, or half of what is left, so that the next one still has some. */
uint64_t patience_ms(uint64_t wanted);
#endif
