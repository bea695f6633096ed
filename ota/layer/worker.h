/* worker.h - what the sandboxed programs that decode for root have in common (agentd-untar, agentd-unpack).
 * Private to ota/. */
#ifndef OTA_WORKER_H
#define OTA_WORKER_H
#include <stdint.h>

#include "platform/err.h"

/* Give up all but memory and the descriptors below open_files: user and group by their texts, no file to
 * open. data_bytes: what the program may ever hold. Errors: INVALID (texts), as sandbox_enter. */
NODISCARD int worker_enter(const char *uid, const char *gid, uint64_t data_bytes, unsigned open_files,
                           struct err *err);
/* The verdict line on descriptor 3; returns the exit status. */
int worker_verdict(int r, const struct err *err);
#endif
