/* exe_guard.c - see exe_guard.h. A container whose program is /proc/self/exe, or a script with that as its
 * interpreter, can open the file that started it, and as root of the host it could overwrite it. */
#include "runtime/box/exe_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/memfd.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/mem.h"
#include "platform/sys.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

bool exe_guard_path(const char *name, char *dst, size_t size)
{
    const char *guarded = getenv("LIMPET_EXE"); /* see exe_guard_self */
    char own[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
    char *slash;

    if (str_fmt(dst, size, "%s/%s", LIMPET_LIBEXECDIR, name) && access(dst, X_OK) == 0)
        return true;
    own[n > 0 ? n : 0] = '\0';
    if (guarded && guarded[0] == '/' && !str_copy(own, sizeof(own), guarded))
        return false;
    slash = strrchr(own, '/');
    return slash && str_fmt(dst, size, "%.*s/%s", (int)(slash - own), own, name) && access(dst, X_OK) == 0;
}

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

int exe_guard_file(int exe, bool *ret_safe)
{
    int fd;

    *ret_safe = is_safe(exe);
    if (*ret_safe)
        return -1;
    fd = clone_file(exe);
    return fd >= 0 ? fd : copy_file(exe);
}

int exe_guard_open_init(int *ret_fd, struct err *err)
{
    char path[PATH_MAX];
    AUTO_FD int exe = -1;
    AUTO_FD int guarded = -1;
    bool safe = false;
    int fd;

    if (exe_guard_path("limpet-init", path, sizeof(path)))
        exe = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (exe < 0)
        return err_set(err, ERR_NOTFOUND,
                       "init: no " LIMPET_LIBEXECDIR "/limpet-init; install it, or do not ask for init");
    guarded = exe_guard_file(exe, &safe);
    if (guarded < 0 && !safe &&
        geteuid() == 0) /* a plain user's containers can write no more than the user */
        return err_errno(err, errno, "init: protect %s", path);
    fd = fcntl(guarded >= 0 ? guarded : exe, F_DUPFD_CLOEXEC, 3); /* above those that the child moves to 0, 1,
                                                                   * 2 */
    if (fd < 0)
        return err_errno(err, errno, "init");
    *ret_fd = fd;
    return 0;
}

/* The path of our file; false: it has none, as a detached mount or a copy. */
static bool own_path(int exe, char path[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    struct stat named, open;

    path[n > 0 ? n : 0] = '\0';
    return fstat(exe, &open) == 0 && stat(path, &named) == 0 && named.st_ino == open.st_ino &&
           named.st_dev == open.st_dev;
}

void exe_guard_self(char **argv)
{
    AUTO_FD int exe = openat(AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC);
    AUTO_FD int held = -1;
    bool safe = false;
    char path[PATH_MAX];

    if (exe < 0 || geteuid() != 0) /* a plain user's containers can write no more than the user */
        return;
    held = exe_guard_file(exe, &safe);
    if (held < 0 && own_path(exe, path))
        (void)unsetenv("LIMPET_EXE"); /* set by the program that executed us, for another file */
    if (held < 0)
        return;
    if (own_path(exe, path))
        (void)setenv("LIMPET_EXE", path, 1); /* our directory is not visible from there any more */
    (void)syscall(SYS_execveat, held, "", argv, environ, AT_EMPTY_PATH);
}
