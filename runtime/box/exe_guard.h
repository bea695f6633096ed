/* exe_guard.h - programs of ours that are executed where a container could get at them: found, and so held
 * that nobody inside can overwrite the file (CVE-2019-5736). Private to runtime/. */
#ifndef RUNTIME_EXE_GUARD_H
#define RUNTIME_EXE_GUARD_H
#include <stdbool.h>
#include <stddef.h>

#include "platform/err.h"

/* The installed program of that name (LIMPET_LIBEXECDIR) or, where that is missing, the one beside ours (a
 * build directory). False: no such file, or the path does not fit. */
bool exe_guard_path(const char *name, char *dst, size_t size);
/* An open file that is the same program and cannot be written through: exe itself where that is so already, a
 * read-only detached mount of it, or a sealed copy in memory. -1: none of these (before Linux 3.17), or
 * nothing is needed (*ret_safe). Owner: caller; never exe itself. */
int exe_guard_file(int exe, bool *ret_safe);
/* limpet-init, guarded. Owner of *ret_fd: caller. Errors: NOTFOUND (not installed). */
NODISCARD int exe_guard_open_init(int *ret_fd, struct err *err);
/* Go on as a copy of this program that nobody can write to: by exec of a read-only detached mount of our own
 * file, or of a sealed copy in memory where that cannot be made; the same process, arguments, environment and
 * descriptors. For programs that start or enter containers, first thing in main (CVE-2019-5736). Returns when
 * nothing has to be done (the file system is read-only, we are not root, or this is that copy already) or
 * nothing can be done (before Linux 3.17). LIMPET_EXE in the environment names our file from then on. */
void exe_guard_self(char **argv);
#endif
