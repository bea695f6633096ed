/* guard.c - a program of ours that enters containers must not be writable from there: a container whose program is
 * /proc/self/exe, or a script whose interpreter is that, gets hold of our file, and as root of the host it could
 * overwrite it (CVE-2019-5736). So we go on from a read-only detached mount of our own file; where that cannot be made,
 * from a sealed copy in memory. On a read-only file system nothing is needed. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/limits.h"
#include "platform/mem.h"
#include "runtime/guard.h"
#include "runtime/ours.h"

void guard_self(char **argv)
{
    AUTO_FD int exe = openat(AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC);
    AUTO_FD int held = -1;
    bool safe = false;
    char path[LIM_PATH_BYTES];
    ssize_t n;

    if (exe < 0 || geteuid() != 0) /* a plain user's containers cannot write what the user cannot */
        return;
    if ((held = ours_guard(exe, &safe)) < 0)
        return;
    n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n > 0) {
        path[n] = '\0';
        (void)setenv("LIMPET_EXE", path, 1); /* our folder is not to be seen from there any more */
    }
    (void)syscall(SYS_execveat, held, "", argv, environ, AT_EMPTY_PATH);
}
