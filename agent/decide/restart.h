/* restart.h - when is an app that has ended started again? Pure. */
#ifndef AGENT_RESTART_H
#define AGENT_RESTART_H
#include "agent/manifest/manifest.h"

/* The end of one run. code: exit status; signal: the one that killed it, else 0. */
struct ending {
    int code, signal;
    bool oom;       /* killed at its memory limit */
    bool by_us;     /* we stopped it: no backoff for the next start */
    bool known;     /* false: the status was lost (should not happen) */
    uint64_t at_ms; /* clock_boot_ms */
};

/* The death history of one app with one want: all that the restart policy remembers. */
struct deaths {
    unsigned in_row; /* ends since it last ran for stable_ms */
    unsigned total;  /* ends since this want is wanted: checked by the trial */
    unsigned oom;
    struct ending last;
};

enum restart_verdict { RESTART_NOW, RESTART_WAIT, RESTART_DONE, RESTART_GIVE_UP, RESTART_VERDICT_COUNT_ };

/* Record one end. ran_ms: how long it had run; stable_ms or longer resets in_row. */
void restart_deaths_add(struct deaths *d, const struct ending *e, uint64_t ran_ms, uint64_t stable_ms);

/* never started (d->total == 0 and not by_us): NOW. Exponential backoff delay_ms * 2^(in_row-1), at most
 * max_delay_ms, minus up to a quarter of jitter that depends on name and in_row only (so the same input gives
 * the same plan: L6). *ret_at_ms: for WAIT. */
enum restart_verdict restart_decide(const struct want_restart *policy, const struct deaths *d,
                                    const char *name, uint64_t now_ms, uint64_t *ret_at_ms);
#endif
