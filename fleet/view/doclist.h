/* doclist.h - the desired documents that the broker holds, and what keeps devices from taking them: signed by
 * a key that is retired, expired, with a release that a retired key signed. */
#ifndef FLEET_DOCLIST_H
#define FLEET_DOCLIST_H
#include "fleet/view/view.h"

struct doclist_entry {
    bool group;
    char name[LIM_NAME_BYTES];
    struct buf envelope; /* owned */
    struct view_doc doc; /* node NULL: not this fleet's */
    char fault[160];     /* empty: devices take it */
};
struct doclist {
    unsigned n;
    struct doclist_entry *list; /* owned; sorted: devices, then groups, by name */
};
/* Ask the broker. t NULL: all of them. End with doclist_done. Errors: of mqtt_retained. */
NODISCARD int doclist_read(const struct ctx *c, const struct target *t, struct doclist *ret, struct err *err);
void doclist_done(struct doclist *l);
/* A table, or JSON. only_faulty: those that must be signed again; returns how many were printed. */
unsigned doclist_print(const struct ctx *c, const struct doclist *l, bool only_faulty);
/* Did a key sign this release that counts now? True too where this directory does not know it. */
bool doclist_release_counts(const struct ctx *c, const char *name, uint64_t counter);
#endif
