/* now.h - what this device takes for the present time, where that comes from, and which times of signed
 * documents it can believe (L12, L20). Pure.
 *
 * A wall clock is only as good as its source: it counts in full while the kernel says that it is
 * synchronised, else it is believed up to NOW_TRUST_S beyond the newest signed document. The floor only
 * rises, but for a trust document, which sets it to its own `issued`: the root keys' way out of a time
 * that was wrong. */
#ifndef AGENT_NOW_H
#define AGENT_NOW_H
#include <stdbool.h>
#include <stdint.h>

#define NOW_DAY_S   86400ULL
#define NOW_TRUST_S (30 * NOW_DAY_S) /* how far a clock may lead the newest signed document */
#define NOW_AHEAD_S NOW_DAY_S        /* how far a document may lead a synchronised clock */
#define NOW_TEXT    200

struct now_facts {
    uint64_t wall_s;   /* the machine's clock */
    bool synced;       /* the kernel says that it is synchronised */
    uint64_t floor_s;  /* saved: no true time lies before it */
    uint64_t issued_s; /* of the newest document whose signatures held */
    uint64_t build_s;  /* when the program was built */
};

/* The time to compare expiry with, seconds since 1970. */
uint64_t now_s(const struct now_facts *f);
/* The floor that should be saved by what the clock says: forward only, at most NOW_TRUST_S beyond the
 * newest document and never by a clock that is not synchronised. */
uint64_t now_floor_s(const struct now_facts *f);
/* May a document be from issued_s? Not when that is a day or more ahead of a synchronised clock. */
bool now_may_be_issued(const struct now_facts *f, uint64_t issued_s);
/* "it is 2026-11-30T22:00:00Z here by its floor (trust version 2); its clock says 1970-01-01T00:00:09Z,
 * not synchronised" into dst (at least NOW_TEXT bytes); from: where the floor comes from. Returns dst. */
char *now_text(const struct now_facts *f, const char *from, char *dst, unsigned size);
#endif
