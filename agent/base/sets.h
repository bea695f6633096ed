/* sets.h - the parsed manifests, and the last plan over them: its steps borrow names and wants from the sets,
 * so replacing a set empties it. Only sets.c writes struct sets. */
#ifndef AGENT_SETS_H
#define AGENT_SETS_H
#include "agent/decide/plan.h"

struct core;

/* A parsed manifest: the document and the arena with its strings. */
struct set {
    struct arena *arena; /* NULL: empty */
    struct desired d;
};
struct sets {
    struct set candidate, good, previous;
    struct plan plan; /* the last plan, for reports */
};

/* Free it; an empty one stays empty. */
void sets_done(struct set *s);
/* Move the contents of take_from, which is empty afterwards, to `to`, whose old contents are freed. The plan
 * has no steps until the next one. */
void sets_replace(struct core *c, struct set *to, struct set *take_from);
/* The two sets for the plan; after the operator's rollback the previous set alone. NULL: none. */
void sets_candidates(const struct core *c, const struct desired **ret_candidate,
                     const struct desired **ret_good);
/* Make the plan for what is observed and keep it as the last one. Borrowed until the next. */
const struct plan *sets_plan(struct core *c, const struct observed *o);
/* What is wanted of an app in the set whose boxes run now; NULL: nothing. Borrowed until a set is
 * replaced. */
const struct want *sets_want(const struct core *c, const char *app);
#endif
