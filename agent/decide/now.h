/* now.h - what this device takes for the current time, where that comes from, and which times in signed
 * documents it can believe (L12, L20). Pure.
 *
 * A wall clock is only as good as its source: it is fully believed while the kernel reports it synchronised,
 * else only up to NOW_TRUST_S after the newest signed document. The floor only rises, except that a trust
 * document sets it to its own `issued`: the root keys' way out of a wrong time. */
#ifndef AGENT_NOW_H
#define AGENT_NOW_H
#include <stdbool.h>
#include <stdint.h>

#define NOW_DAY_S   86400ULL
#define NOW_TRUST_S (30 * NOW_DAY_S) /* how far a clock may be ahead of the newest signed document */
#define NOW_AHEAD_S NOW_DAY_S        /* how far a document may be ahead of a synchronised clock */
#define NOW_TEXT    200

struct now_facts {
    uint64_t wall_s;   /* the wall clock */
    bool synced;       /* the kernel reports it synchronised */
    uint64_t floor_s;  /* saved: the true time is not before it */
    uint64_t issued_s; /* of the newest document with valid signatures */
    uint64_t build_s;  /* when the program was built */
};

/* The time for expiry checks, in seconds since 1970. */
uint64_t now_s(const struct now_facts *f);
/* The new floor to save, given the clock: never lower, at most NOW_TRUST_S after the newest document and
 * never from a clock that is not synchronised. */
uint64_t now_floor_s(const struct now_facts *f);
/* Is this `issued` plausible? Not when a day or more ahead of a synchronised clock. */
bool now_may_be_issued(const struct now_facts *f, uint64_t issued_s);
/* "it is 2026-11-30T22:00:00Z here by its floor (trust version 2); its clock says 1970-01-01T00:00:09Z, not
 * synchronised" into dst (at least NOW_TEXT bytes); from: source of the floor. Returns dst. */
char *now_text(const struct now_facts *f, const char *from, char *dst, unsigned size);
#endif
