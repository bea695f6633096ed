/* app_exec.h - one more program in the box of an app, with a deadline for its way in. */
#ifndef AGENT_APP_EXEC_H
#define AGENT_APP_EXEC_H
#include "agent/boxes/app_table.h"

struct app_exec;
struct execs {
    unsigned n; /* that are not over yet, in all apps */
};
struct app_exec_calls {
    uint64_t enter_ms;
    /* Once, from a later turn: with err NULL and what waitpid says, or with what failed. */
    void (*on_end)(void *arg, int status, const struct err *err);
    void *arg;
};
/* x: without its process. Errors: CONFLICT (too many are not over yet), those of start_exec; then on_end
 * is not called. */
NODISCARD int app_exec_start(struct app *a, const char *const *args, struct box_exec *x,
                             const struct app_exec_calls *calls, struct app_exec **ret, struct err *err);
void app_exec_stop(struct app_exec *e); /* it is killed and on_end is not called */
#endif
