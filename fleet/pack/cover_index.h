/* cover_index.h - where a new file is like old bytes: a suffix array over the old ones, covers grown from its
 * matches. Pure but for memory: 5 bytes per old byte. Deterministic. */
#ifndef FLEET_COVER_INDEX_H
#define FLEET_COVER_INDEX_H
#include "ota/pack/predict.h"

#define COVER_OLD_MAX ((size_t)1 << 30)

struct cover_list {
    struct cover *c; /* in order of new_at, not overlapping there; malloc'd */
    size_t n;
};

struct cover_index; /* opaque: an index of old bytes */
/* old is borrowed and outlives *ret. Owner: caller. Errors: NOMEM, INVALID (above COVER_OLD_MAX). */
NODISCARD int cover_index_new(struct buf old, struct cover_index **ret, struct err *err);
struct cover_index *cover_index_free(struct cover_index *m);
DEFINE_AUTO(cover_index)

/* The longest piece of old that bytes begin with: its length, 0 when there is none. */
size_t cover_index_longest(const struct cover_index *m, struct buf bytes, uint32_t *ret_at);

enum cover_how {
    COVER_LIKE,  /* covers extend over bytes that differ, as long as more than half are equal: programs */
    COVER_EXACT, /* covers of equal bytes only: text */
};
/* Covers of new_bytes; owner: caller (free ret->c). new_bytes below 4 GiB. Errors: NOMEM. */
NODISCARD int cover_index_make(const struct cover_index *m, struct buf new_bytes, enum cover_how how,
                               struct cover_list *ret, struct err *err);
/* Keep the max longest covers. */
void cover_index_thin(struct cover_list *m, size_t max);
#endif
