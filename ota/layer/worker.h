/* worker.h - common to the sandboxed programs that decode for root (agentd-untar, agentd-unpack). Private to
 * ota/. */
#ifndef OTA_WORKER_H
#define OTA_WORKER_H
#include <stdint.h>

#include "platform/err.h"

/* Give up everything but memory and the descriptors below open_files: become this user and group (decimal
 * texts), open no files. data_bytes: limit of the program's memory. Errors: INVALID (texts), those of
 * sandbox_enter. */
NODISCARD int worker_enter(const char *uid, const char *gid, uint64_t data_bytes, unsigned open_files,
                           struct err *err);
/* Write the verdict line to fd 3; returns the exit status. */
int worker_verdict(int r, const struct err *err);
#endif
