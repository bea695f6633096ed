/* sandbox_int.h - the two halves of the sandbox: sandbox.c user, files and limits; sandbox_calls.c system
 * calls. */
#ifndef PLATFORM_SANDBOX_INT_H
#define PLATFORM_SANDBOX_INT_H
#include "platform/sandbox.h"

/* Install the filter: 0, or -1 where this kernel or architecture has none. */
NODISCARD int sandbox_filter(bool network);
#endif
