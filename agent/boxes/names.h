/* names.h - /etc/hosts and /etc/resolv.conf of boxes. */
#ifndef AGENT_NAMES_H
#define AGENT_NAMES_H
#include "agent/boxes/app_table.h"

/* Paths of this app's files, in arena; NULL: it has none (the image's stays, or the host's network asks
 * for none). */
const char *names_hosts(struct core *c, const struct want *w, struct arena *arena);
const char *names_resolv(struct core *c, const struct want *w, struct arena *arena);
/* A CNI network may know better: the resolv.conf of a box whose program does not run yet, in place.
 * Errors: IO. */
NODISCARD int names_of_network(struct app *a, const struct box_id *box, struct err *err);
/* The shared network that a box of this app would be in; "": none. */
const char *names_network(struct core *c, const struct want *w);
/* An app came or went: the hosts files of those that share its network (all, when NULL) are updated in
 * place. */
void names_changed(struct core *c, const char *network);
#endif
