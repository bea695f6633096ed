/* change.h - one change of a target's desired state: what plan prints and apply does. */
#ifndef FLEET_CHANGE_H
#define FLEET_CHANGE_H
#include "fleet/view/view.h"

struct change { /* zeroed to begin with; end with change_done */
    struct target target;
    struct mqtt *mqtt;
    struct view view;
    struct view_doc old, next; /* old.node NULL: nothing that our keys signed is retained */
    uint64_t old_rev, rev;
    char *text; /* of next, as it is signed */
};
/* Read the file, ask the broker, fill the document. Errors: of desired_fill, mqtt_new. */
NODISCARD int change_make(struct ctx *c, const struct args *a, struct change *ch, struct err *err);
/* The same without a broker: the last revision is the one that this directory signed last, or --rev says it.
 * Errors: of desired_fill; INVALID (no revision known). */
NODISCARD int change_make_alone(struct ctx *c, const struct args *a, struct change *ch, struct err *err);
/* No file: a document that takes the target's opinion back. Errors: as change_make. */
NODISCARD int change_make_withdrawn(struct ctx *c, const struct args *a, struct change *ch, struct err *err);
/* Sign next for its target. *ret: the envelope, owner caller. Errors: of keyring_sign; NOSPACE. */
NODISCARD int change_sign(const struct ctx *c, const struct change *ch, char **ret, struct err *err);
/* Keep the signed document in desired/, before it is published: revisions only rise. Errors: NOSPACE, IO. */
NODISCARD int change_remember(const struct ctx *c, const struct change *ch, struct buf envelope,
                              struct err *err);
void change_done(struct change *ch);
/* Print it (table or JSON, as ctx says) on `to`; returns how many things would change. */
unsigned change_print(const struct ctx *c, const struct change *ch, FILE *to);
#endif
