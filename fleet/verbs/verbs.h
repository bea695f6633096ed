/* verbs.h - every verb of fleetctl, one function each; the table is in main.c. */
#ifndef FLEET_VERBS_H
#define FLEET_VERBS_H
#include "fleet/base/ctx.h"

/* verb_...: what struct verb's run asks of it: the exit code, or -kind with err filled. c: an open fleet
 * directory, borrowed; none: NULL. */
NODISCARD int verb_init(struct ctx *none, const struct args *a, struct err *err);
NODISCARD int verb_keys(struct ctx *c, const struct args *a, struct err *err);
NODISCARD int verb_publish(struct ctx *c, const struct args *a, struct err *err);
NODISCARD int verb_plan(struct ctx *c, const struct args *a, struct err *err);
NODISCARD int verb_apply(struct ctx *c, const struct args *a, struct err *err);
NODISCARD int verb_sign(struct ctx *c, const struct args *a, struct err *err);
NODISCARD int verb_forget(struct ctx *c, const struct args *a, struct err *err);
NODISCARD int verb_wait(struct ctx *c, const struct args *a, struct err *err);
NODISCARD int verb_get(struct ctx *c, const struct args *a, struct err *err);
NODISCARD int verb_describe(struct ctx *c, const struct args *a, struct err *err);
NODISCARD int verb_events(struct ctx *c, const struct args *a, struct err *err);
NODISCARD int verb_logs(struct ctx *c, const struct args *a, struct err *err);
NODISCARD int verb_explain(struct ctx *none, const struct args *a, struct err *err);
#endif
