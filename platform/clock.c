#include "platform/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>

#include "platform/fs.h"

static uint64_t read_clock(clockid_t id, uint64_t per_s)
{
    struct timespec t = {0};

    (void)clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * per_s + (uint64_t)t.tv_nsec / (1000000000U / per_s);
}

uint64_t clock_boot_ms(void)
{
    return read_clock(CLOCK_BOOTTIME, 1000);
}

/* What a test sets for the clock. False: nothing. */
static bool read_test(int64_t *ret_offset_s, bool *ret_synced)
{
    const char *path = getenv("LIMPET_CLOCK");
    char text[64], *end;

    if (!path || fs_read_text(AT_FDCWD, path, text, sizeof(text), NULL) <= 0)
        return false;
    *ret_offset_s = strtoll(text, &end, 10);
    *ret_synced = strncmp(end, " synced", 7) == 0;
    return true;
}

uint64_t clock_wall_ms(void)
{
    uint64_t ms = read_clock(CLOCK_REALTIME, 1000);
    int64_t offset_s = 0;
    bool synced;

    (void)read_test(&offset_s, &synced);
    return ms + (uint64_t)offset_s * 1000;
}

uint64_t clock_wall_s(void)
{
    return clock_wall_ms() / 1000;
}

bool clock_is_synced(void)
{
    struct timex t = {.modes = 0};
    int64_t offset_s;
    bool synced;

    if (read_test(&offset_s, &synced))
        return synced;
    return adjtimex(&t) != TIME_ERROR && !(t.status & STA_UNSYNC);
}

uint64_t clock_build_s(void)
{
    return LIMPET_BUILD_S;
}

uint64_t clock_judge_s(uint64_t wall_s, uint64_t floor_s)
{
    uint64_t t = wall_s > floor_s ? wall_s : floor_s;

    return t > clock_build_s() ? t : clock_build_s();
}

char *clock_rfc3339(uint64_t s, char *dst, unsigned size)
{
    time_t t = (time_t)s;
    struct tm tm;

    /* not strftime: it pulls in time zones, 6 KB in a static program */
    if (!gmtime_r(&t, &tm) || !str_fmt(dst, size, "%d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                                       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec))
        (void)snprintf(dst, size, "?");
    return dst;
}

char *clock_age(uint64_t ms, char *dst, unsigned size)
{
    uint64_t s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;

    if (d)
        (void)snprintf(dst, size, "%" PRIu64 "d%" PRIu64 "h", d, h % 24);
    else if (h)
        (void)snprintf(dst, size, "%" PRIu64 "h%" PRIu64 "m", h, m % 60);
    else if (m)
        (void)snprintf(dst, size, "%" PRIu64 "m%" PRIu64 "s", m, s % 60);
    else
        (void)snprintf(dst, size, "%" PRIu64 "s", s);
    return dst;
}

void clock_boot_id(char *dst, size_t size)
{
    const char *path = getenv("LIMPET_BOOT_ID");

    dst[0] = '\0';
    err_ignore(fs_read_text(AT_FDCWD, path ? path : "/proc/sys/kernel/random/boot_id", dst, size, NULL));
}
