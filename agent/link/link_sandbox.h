/* link_sandbox.h - what link gives up before it connects: user, files except the resolver's and its own
 * directory, system calls. */
#ifndef AGENT_LINK_SANDBOX_H
#define AGENT_LINK_SANDBOX_H
#include <sys/types.h>

#include "platform/err.h"

/* dir: remains writable. What the kernel lacks is logged. Errors: as sandbox_enter. */
NODISCARD int link_sandbox_enter(const char *dir, uid_t uid, gid_t gid, struct err *err);
#endif
