/* sandbox_int.h - the two halves of the sandbox: sandbox.c for user, files and limits; sandbox_calls.c for
 * system calls. */
#ifndef PLATFORM_SANDBOX_INT_H
#define PLATFORM_SANDBOX_INT_H
#include "platform/sandbox.h"

/* Install the filter: 0, or -1 if this kernel or architecture does not support it. */
NODISCARD int sandbox_filter(bool network);
#endif
