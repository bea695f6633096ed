/* start.h - from a want and its installed image to a running box, or to an additional process in it. */
#ifndef AGENT_START_H
#define AGENT_START_H
#include "agent/boxes/app_table.h"

/* Start a box with all its required settings in force; otherwise nothing is left. Owner of the fds in *ret:
 * caller. Errors: of the runtime; UNSUPPORTED: a required setting cannot be enforced; CONFLICT: the app whose
 * network it uses is not running. */
NODISCARD int start_box(struct app *a, const struct want *w, const struct digest *manifest,
                        struct box_started *ret, struct err *err);
/* Run an additional process in it, as its user, with its environment. x: stdio is the caller's, the rest is
 * filled in. Errors: of box_exec_begin. */
NODISCARD int start_exec(struct app *a, const char *const *args, struct box_exec *x, struct box_entry *ret,
                         struct err *err);
#endif
