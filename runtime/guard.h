/* guard.h - our own program out of the reach of containers. */
#ifndef RUNTIME_GUARD_H
#define RUNTIME_GUARD_H

/* Go on as a copy of this program that nobody can write to: by exec of a read-only detached mount of our own file, or of a
 * sealed copy in memory where that cannot be made; the same process, arguments, environment and descriptors. For programs
 * that start or enter containers, first thing in main (CVE-2019-5736). Returns when nothing has to be done (the file
 * system is read-only, we are not root, or this is that copy already) or nothing can be done (before Linux 3.17).
 * LIMPET_EXE in the environment names our file from then on. */
void guard_self(char **argv);
#endif
