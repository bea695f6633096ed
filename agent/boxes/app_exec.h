/* app_exec.h - an additional process in an app's box, with a deadline for entering it. */
#ifndef AGENT_APP_EXEC_H
#define AGENT_APP_EXEC_H
#include "agent/boxes/app_table.h"

struct app_exec;
struct execs {
    unsigned n; /* not yet ended, in all apps */
};
struct app_exec_calls {
    uint64_t enter_ms;
    /* Called once, in a later turn: with err NULL and the status from waitpid, or with the error. */
    void (*on_end)(void *arg, int status, const struct err *err);
    void *arg;
};
/* x: without its process. Errors: CONFLICT (too many still running), those of start_exec; then on_end is not
 * called. */
NODISCARD int app_exec_start(struct app *a, const char *const *args, struct box_exec *x,
                             const struct app_exec_calls *calls, struct app_exec **ret, struct err *err);
void app_exec_stop(struct app_exec *e); /* kill it; on_end is not called */
#endif
