/* seccomp_trim.h - limits the cache of compiled profiles: engines that rewrite their profiles for each
 * container would fill /run, which is memory. Private to runtime/. */
#ifndef RUNTIME_SECCOMP_TRIM_H
#define RUNTIME_SECCOMP_TRIM_H
#include <stdint.h>

struct seccomp_kept {
    char name[40];
    int64_t since_ns; /* when it was created */
};
/* Sorts newest first, equal times by name. Returns how many are kept; the others go. Pure. */
unsigned seccomp_trim_decide(struct seccomp_kept *list, unsigned n, unsigned most);
/* Remove the excess files in this directory (LIM_PROFILES). What cannot be removed stays. */
void seccomp_trim(int dir);
#endif
