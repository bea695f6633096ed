/* diff.h - what differs between two desired documents, app by app. Pure. */
#ifndef FLEET_DIFF_H
#define FLEET_DIFF_H
#include "platform/json.h"

enum diff_op { DIFF_SAME, DIFF_ADD, DIFF_CHANGE, DIFF_REMOVE, DIFF_OP_COUNT_ };
extern const char diff_signs[DIFF_OP_COUNT_ + 1]; /* "=+~-" */

struct diff_calls {
    /* One app. was / will: its entry before and after, NULL: it is not there. */
    void (*app)(void *arg, enum diff_op op, const char *name, const struct json_cur *was,
                const struct json_cur *will);
    /* Behind a changed app, one call a field: "memory.max_bytes", JSON text before and after, NULL: not
     * there. */
    void (*field)(void *arg, const char *path, const char *was, const char *will);
    void *arg;
};
/* old NULL: nothing was there. Order: as in next, then what goes. field may be NULL. */
void diff_docs(const struct json_cur *old, const struct json_cur *next, const struct diff_calls *calls);
/* The rest of two documents: update, rollout, as fields. */
void diff_rest(const struct json_cur *old, const struct json_cur *next, const struct diff_calls *calls);
#endif
