/* tool.h - a program of the host that works for us: nft, CNI plugins. It gets no descriptor of ours but its input and
 * output (files in memory: nobody waits for anybody), no environment but what is given, no signal set. Private to
 * runtime/. Blocks until it has ended. */
#ifndef RUNTIME_TOOL_H
#define RUNTIME_TOOL_H
#include <stdbool.h>

#include "platform/err.h"
#include "platform/mem.h"

#define TOOL_OUTPUT_BYTES \
    (4 << 20) /* a rule set of a busy host; what would write more is ended by the kernel */

struct tool {
    const char *path;                     /* absolute */
    const char *const *args, *const *env; /* NULL-terminated */
    struct buf input;
    bool with_stderr; /* its complaints come with the output; else they are dropped */
    unsigned timeout_ms;
};
/* Runs it. *ret_out: what it wrote, NUL-terminated, malloc'd, owner: caller; *ret_status: as of waitpid. Errors: IO,
 * TIMEOUT (it was killed), NOMEM; how it ended is for the caller to judge. */
int tool_run(const struct tool *t, char **ret_out, int *ret_status, struct err *err);
#endif
