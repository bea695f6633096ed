/* clock.h - time without trusting the wall clock (L12).
 * boot_ms counts through suspend and never jumps: used for all timers. wall_s is only for display and,
 * limited by a floor, for expiry. */
#ifndef PLATFORM_CLOCK_H
#define PLATFORM_CLOCK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t clock_boot_ms(void); /* CLOCK_BOOTTIME */
uint64_t clock_wall_s(void);  /* CLOCK_REALTIME, seconds since 1970, unchecked */
uint64_t clock_wall_ms(void);
/* Does the kernel report the wall clock as synchronised (adjtimex: STA_UNSYNC is off)? A clock that was
 * merely set is not. For tests LIMPET_CLOCK names a file "OFFSET_S synced|unsynced", which shifts wall_s and
 * wall_ms of this process. */
bool clock_is_synced(void);
uint64_t clock_build_s(void); /* when this program was built: the true time is not before it */

/* The id of the current boot, into dst (at least 40 bytes); empty if unknown. For tests, which cannot reboot,
 * LIMPET_BOOT_ID names another file. */
void clock_boot_id(char *dst, size_t size);

/* Pure: the time for expiry checks: max(wall, floor, build). */
uint64_t clock_judge_s(uint64_t wall_s, uint64_t floor_s);
/* "2026-11-21T18:07:03Z" into dst (at least 21 bytes); returns dst. */
char *clock_rfc3339(uint64_t s, char *dst, unsigned size);
/* "3d4h", "2m10s", "17s": a readable age; returns dst. */
char *clock_age(uint64_t ms, char *dst, unsigned size);
#endif
