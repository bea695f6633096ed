/* hooks.h - programs of the host that a bundle wants to run at points of a container's life (runtime-spec
 * config.md, "POSIX-platform Hooks"). Private to runtime/. */
#ifndef RUNTIME_HOOKS_H
#define RUNTIME_HOOKS_H
#include "platform/json.h"
#include "runtime/spec/spec.h"

/* What hooks, and a seccomp agent, are told about the container. */
struct hooks_state {
    const char *id, *status, *bundle;
    const char *annotations; /* JSON; NULL: none */
    pid_t pid;               /* as the host sees it; 0: none */
};
/* The state as JSON (runtime-spec runtime.md, "State"). Owner: caller (json_free). */
struct cJSON *hooks_state_json(const struct hooks_state *s);
/* Run them one after the other, each with the state on its stdin, for at most its timeout. Stops at the first
 * failure: IO with its path and how it ended, TIMEOUT. Blocks. go_on: run all of them and return the first
 * failure (poststart and poststop, which cannot fail the container). */
NODISCARD int hooks_run(const struct spec_hooks *h, const char *kind, const struct hooks_state *s, bool go_on,
                        struct err *err);
#endif
