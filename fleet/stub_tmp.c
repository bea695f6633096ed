#include "fleet/verbs.h"
#define S(n) int n(struct ctx *c, const struct args *a, struct err *e){(void)c;(void)a;return err_set(e,ERR_UNSUPPORTED,"later");}
S(verb_plan) S(verb_apply) S(verb_wait) S(verb_get) S(verb_describe) S(verb_events) S(verb_logs) S(verb_explain)
