/* seccomp_trim.c - see seccomp_trim.h. */
#include "runtime/seccomp/seccomp_trim.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/limits.h"
#include "platform/mem.h"

static int newer_first(const void *a, const void *b)
{
    const struct seccomp_kept *x = a, *y = b;

    return x->since_ns != y->since_ns ? (x->since_ns < y->since_ns) - (x->since_ns > y->since_ns)
                                      : strcmp(x->name, y->name);
}

unsigned seccomp_trim_decide(struct seccomp_kept *list, unsigned n, unsigned most)
{
    qsort(list, n, sizeof(*list), newer_first);
    return n < most ? n : most;
}

void seccomp_trim(int dir)
{
    struct seccomp_kept
        list[2 * LIM_PROFILES]; /* more than one over the limit is rare: the rest is left for the next time */
    unsigned n = 0;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct stat st;

    if (!d && fd >= 0)
        (void)close(fd);
    for (struct dirent *e; d && n < COUNT_OF(list) && (e = readdir(d));)
        if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            str_copy(list[n].name, sizeof(list[n].name), e->d_name))
            list[n++].since_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    if (d)
        (void)closedir(d);
    for (unsigned i = seccomp_trim_decide(list, n, LIM_PROFILES); i < n; i++)
        (void)unlinkat(dir, list[i].name, 0);
}
