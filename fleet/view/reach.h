/* reach.h - whom a document for a target reaches, and what each device will do with it. Pure. */
#ifndef FLEET_REACH_H
#define FLEET_REACH_H
#include "fleet/view/view.h"

enum reach_act {
    REACH_ACTS,    /* it takes the document, and something changes */
    REACH_SAME,    /* it runs this already */
    REACH_HELD,    /* its rollout slot is not open */
    REACH_OTHER,   /* it follows another document */
    REACH_REFUSES, /* the same has failed there before */
    REACH_ACT_COUNT_
};
extern const char *const reach_words[REACH_ACT_COUNT_];
struct reach {
    enum reach_act act;
    const char *follows; /* as view_follows says: borrowed from v, d and t */
    char why[160];       /* for people */
};
/* changes: in how much next differs from the document before it. old_rev: of that. */
struct reach reach_of(const struct view *v, const struct view_device *d, const struct target *t,
                      const struct json_cur *next, uint64_t old_rev, unsigned changes);
#endif
