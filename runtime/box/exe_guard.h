/* exe_guard.h - our own programs that are executed where a container could reach them: finds them, and opens
 * them such that no process inside can overwrite the file (CVE-2019-5736). Private to runtime/. */
#ifndef RUNTIME_EXE_GUARD_H
#define RUNTIME_EXE_GUARD_H
#include <stdbool.h>
#include <stddef.h>

#include "platform/err.h"

/* The installed program of that name (LIMPET_LIBEXECDIR) or, if missing, the one next to ours (a build
 * directory). False: no such file, or the path does not fit. */
bool exe_guard_path(const char *name, char *dst, size_t size);
/* An open file that is the same program and cannot be written through: exe itself if that is so already, a
 * read-only detached mount of it, or a sealed copy in memory. -1: none of these (before Linux 3.17), or not
 * needed (*ret_safe). Owner: caller; never exe itself. */
int exe_guard_file(int exe, bool *ret_safe);
/* limpet-init, guarded. Owner of *ret_fd: caller. Errors: NOTFOUND (not installed). */
NODISCARD int exe_guard_open_init(int *ret_fd, struct err *err);
/* Continue as a copy of this program that cannot be written to: exec of a read-only detached mount of our own
 * file, or of a sealed copy in memory if that is not possible; same process, arguments, environment and
 * descriptors. For programs that start or enter containers, first thing in main (CVE-2019-5736). Returns if
 * nothing needs to be done (the file system is read-only, we are not root, or this is that copy already) or
 * nothing can be done (before Linux 3.17). From then on LIMPET_EXE in the environment names our file. */
void exe_guard_self(char **argv);
#endif
