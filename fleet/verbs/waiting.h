/* waiting.h - until devices say how a revision went: one line that moves on a terminal, lines for changes
 * elsewhere. */
#ifndef FLEET_WAITING_H
#define FLEET_WAITING_H
#include "fleet/view/view.h"

enum verdict { VERDICT_OPEN, VERDICT_DONE, VERDICT_BAD, VERDICT_SUPERSEDED };
/* What a device's report says of revision rev. want: the phase that counts as done, NULL is converged. Pure.
 */
enum verdict wait_judge(const struct json_cur *state, uint64_t rev, const char *want);

struct waiting {
    struct ctx *ctx;
    struct mqtt *mqtt;
    struct view *view;
    struct target target;
    uint64_t rev; /* 0: whatever the device was last asked */
    const char *want_phase;
    const struct json_cur
        *doc; /* what was published: devices whose slot is closed are not waited for; NULL: all */
    uint64_t start_ms, timeout_ms; /* start: of clock_boot_ms */
};
/* An exit_code; or -kind when the broker is lost. Devices of a group that are offline are not waited for,
 * they are told. Reasons of those that failed, are late or offline go to stderr, also when time is over; with
 * -o json all goes to stdout as one object. */
NODISCARD int waiting_all(const struct waiting *w, struct err *err);
#endif
