/* tool.h - runs a helper program of the host: nft, CNI plugins, hooks, newuidmap, limpet-seccomp. It gets no
 * descriptor of ours except its input and output (files in memory, so neither side blocks on the other), only
 * the given environment, default signals. Private to runtime/. Blocks until it has exited; SIGCHLD may be
 * ignored or blocked. */
#ifndef RUNTIME_TOOL_H
#define RUNTIME_TOOL_H
#include <stdbool.h>

#include "platform/err.h"
#include "platform/mem.h"

#define TOOL_OUTPUT_BYTES \
    (4 << 20) /* a rule set of a busy host; a program that writes more is killed by the kernel */

struct tool {
    const char *path;                     /* absolute */
    const char *const *args, *const *env; /* NULL-terminated */
    struct buf input;                     /* its stdin, whole */
    bool inherit;                         /* it inherits our output and working directory: a hook */
    unsigned timeout_s;                   /* 0: no limit */
};
/* Its result. Both texts are NUL-terminated; "" with inherit. */
struct tool_result {
    int status; /* as of waitpid; 127 << 8: it could not be executed, or exited so itself */
    char *out;  /* stdout */
    size_t out_len;
    char *complaint; /* stderr */
};
/* Run it. The caller judges its status. Owner of *ret: caller (tool_result_done), with nothing to release
 * after an error: IO, TIMEOUT (it was killed). */
NODISCARD int tool_run(const struct tool *t, struct tool_result *ret, struct err *err);
bool tool_is_well(const struct tool_result *r); /* exited by itself with 0 */
/* "ended with status 3", "was killed by signal 9": for an error message. size: 40 is enough. */
void tool_describe(const struct tool_result *r, char *dst, size_t size);
void tool_result_done(struct tool_result *r);
#define AUTO_TOOL_RESULT __attribute__((cleanup(tool_result_done))) struct tool_result
#endif
