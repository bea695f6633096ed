/* sets.h - the manifests that were read, and the last plan over them: its steps borrow names and wants
 * from the sets, so what replaces a set empties it. Only sets.c writes struct sets. */
#ifndef AGENT_SETS_H
#define AGENT_SETS_H
#include "agent/decide/plan.h"

struct core;

/* A manifest that was read: the document and where its strings live. */
struct set {
    struct arena *arena; /* NULL: there is none */
    struct desired d;
};
struct sets {
    struct set candidate, good, previous;
    struct plan plan; /* the last one, for report and why */
};

/* Frees it; an empty one stays empty. */
void sets_done(struct set *s);
/* Takes what take_from holds, which is empty afterwards; what `to` held goes. The plan has no steps until
 * the next one. */
void sets_replace(struct core *c, struct set *to, struct set *take_from);
/* The two sets of the plan; after the operator went back to the set before, that one stands alone. NULL:
 * there is none. */
void sets_candidates(const struct core *c, const struct desired **ret_candidate,
                     const struct desired **ret_good);
/* The plan for what is observed, kept as the last one. Borrowed until the next. */
const struct plan *sets_plan(struct core *c, const struct observed *o);
/* What is wanted of an app in the set whose boxes run now; NULL: nothing. Borrowed until a set is
 * replaced. */
const struct want *sets_want(const struct core *c, const char *app);
#endif
