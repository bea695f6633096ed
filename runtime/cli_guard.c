/* cli_guard.c - a program of ours that enters containers must not be writable from there: a container whose program is
 * /proc/self/exe, or a script whose interpreter is that, gets hold of our file, and as root of the host it could
 * overwrite it (CVE-2019-5736). So we go on from a read-only detached mount of our own file; where that cannot be made,
 * from a sealed copy in memory. On a read-only file system nothing is needed. */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/mount.h>

#include "platform/sys.h"
#include "runtime/cli.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static bool is_safe(int exe)
{
    struct statvfs fs;
    int seals = fcntl(exe, F_GET_SEALS);

    return (fstatvfs(exe, &fs) == 0 && fs.f_flag & ST_RDONLY) || (seals >= 0 && (seals & SEALS) == SEALS);
}

static int clone_file(int exe)
{
    struct sys_mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY};
    int fd = sys_open_tree(exe, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

    if (fd >= 0 && sys_mount_setattr(fd, "", AT_EMPTY_PATH, &ro) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int copy_file(int exe)
{
    int fd = (int)syscall(SYS_memfd_create, "limpet", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct stat st;
    off_t at = 0;

    if (fd < 0)
        return -1;
    if (fstat(exe, &st) == 0) {
        while (at < st.st_size && sendfile(fd, exe, &at, (size_t)(st.st_size - at)) > 0)
            ;
        if (at == st.st_size && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
            return fd;
    }
    (void)close(fd);
    return -1;
}

void cli_guard(char **argv)
{
    AUTO_FD int exe = openat(AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC);
    AUTO_FD int safe = -1;
    char path[LIM_PATH_BYTES];
    ssize_t n;

    if (exe < 0 || geteuid() != 0 ||
        is_safe(exe)) /* a plain user's containers cannot write what the user cannot */
        return;
    if ((safe = clone_file(exe)) < 0 && (safe = copy_file(exe)) < 0)
        return; /* neither: a kernel before 3.17 */
    n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n > 0) {
        path[n] = '\0';
        (void)setenv("LIMPET_EXE", path, 1); /* our folder is not to be seen from there any more */
    }
    (void)syscall(SYS_execveat, safe, "", argv, environ, AT_EMPTY_PATH);
}
