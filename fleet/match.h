/* match.h - where a new file is like old bytes: a suffix array over the old ones, covers grown from its matches. Pure
 * but for memory: 5 bytes per old byte. Deterministic. */
#ifndef FLEET_MATCH_H
#define FLEET_MATCH_H
#include "ota/predict.h"

#define MATCH_OLD_MAX ((size_t)1 << 30)

struct match_covers {
    struct cover *c; /* in order of new_at, not overlapping there; malloc'd */
    size_t n;
};

struct match; /* opaque: an index of old bytes */
/* old is borrowed and outlives *ret. Owner: caller. Errors: NOMEM, INVALID (above MATCH_OLD_MAX). */
int match_new(struct buf old, struct match **ret, struct err *err);
struct match *match_free(struct match *m);
DEFINE_AUTO(match)

/* The longest piece of old that bytes begin with: its length, 0 when there is none. */
size_t match_longest(const struct match *m, struct buf bytes, uint32_t *ret_at);

enum match_how {
    MATCH_LIKE,  /* covers go on over bytes that differ, as long as more than half are equal: programs */
    MATCH_EXACT, /* covers of equal bytes only: text */
};
/* Covers of new_bytes; owner: caller (free ret->c). new_bytes below 4 GiB. */
int match_make(const struct match *m, struct buf new_bytes, enum match_how how, struct match_covers *ret,
               struct err *err);
/* Keep the max longest covers. */
void match_thin(struct match_covers *m, size_t max);
#endif
