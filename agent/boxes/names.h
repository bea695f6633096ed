/* names.h - /etc/hosts and /etc/resolv.conf of boxes. */
#ifndef AGENT_NAMES_H
#define AGENT_NAMES_H
#include "agent/boxes/app_table.h"

/* Paths of this app's files, in arena; NULL: none (the image's stays, or with the host's network none is
 * needed). */
const char *names_hosts(struct core *c, const struct want *w, struct arena *arena);
const char *names_resolv(struct core *c, const struct want *w, struct arena *arena);
/* A CNI network may provide its own DNS servers: rewrites, in place, the resolv.conf of a box whose program
 * does not run yet. Errors: IO. */
NODISCARD int names_of_network(struct app *a, const struct box_id *box, struct err *err);
/* The shared network that this app's box would join; "": none. */
const char *names_network(struct core *c, const struct want *w);
/* An app started or stopped: update, in place, the hosts files of the apps on its network (NULL: of all). */
void names_changed(struct core *c, const char *network);
#endif
