/* child_copy.c - tmpcopyup: a fresh tmpfs starts with what the image has at that place. See child_mount.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "platform/fs.h"
#include "runtime/box/child_mount.h"

static int copy_bytes(int from, int to, struct err *err)
{
    uint8_t block[16384];

    for (;;) {
        ssize_t n = fs_read_full(from, block, sizeof(block), err);
        if (n <= 0)
            return (int)n;
        if (fs_write_full(to, buf_of(block, (size_t)n), err) < 0)
            return -(int)err->kind;
    }
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st, struct err *err)
{
    AUTO_FD int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    AUTO_FD int to =
        from < 0 ? -1 : openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (to < 0)
        return err_errno(err, errno, "copy %s", name);
    if (copy_bytes(from, to, err) < 0)
        return err_wrap(err, "copy %s", name);
    if (fchown(to, st->st_uid, st->st_gid) != 0 || fchmod(to, st->st_mode & 07777) != 0)
        return err_errno(err, errno, "copy %s", name);
    return 0;
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st, struct err *err)
{
    char text[LIM_PATH_BYTES];
    ssize_t n = readlinkat(from_dir, name, text, sizeof(text) - 1);

    if (n <= 0)
        return err_errno(err, n < 0 ? errno : EINVAL, "copy %s", name);
    text[n] = '\0';
    if (symlinkat(text, to_dir, name) != 0 ||
        fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) != 0)
        return err_errno(err, errno, "copy %s", name);
    return 0;
}

static int copy_tree(int from_fd, int to_fd, unsigned depth, struct err *err);

static int copy_folder(int from_dir, int to_dir, const char *name, const struct stat *st, unsigned depth,
                       struct err *err)
{
    AUTO_FD int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_FD int to = -1;

    if (from < 0 || mkdirat(to_dir, name, 0700) != 0 ||
        (to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        return err_errno(err, errno, "copy %s", name);
    if (copy_tree(from, to, depth + 1, err) < 0)
        return -(int)err->kind;
    if (fchown(to, st->st_uid, st->st_gid) != 0 || fchmod(to, st->st_mode & 07777) != 0)
        return err_errno(err, errno, "copy %s", name);
    return 0;
}

static int copy_one(int from_fd, int to_fd, const char *name, unsigned depth, struct err *err)
{
    struct stat st;

    if (fstatat(from_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return err_errno(err, errno, "copy %s", name);
    if (S_ISDIR(st.st_mode))
        return copy_folder(from_fd, to_fd, name, &st, depth, err);
    if (S_ISREG(st.st_mode))
        return copy_file(from_fd, to_fd, name, &st, err);
    return S_ISLNK(st.st_mode) ? copy_link(from_fd, to_fd, name, &st, err)
                               : 0; /* device nodes and sockets are skipped */
}

static int copy_tree(int from_fd, int to_fd, unsigned depth, struct err *err)
{
    int fd = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (!d) {
        int saved = errno;
        if (fd >= 0)
            (void)close(fd);
        return err_errno(err, saved, "copy");
    }
    if (depth > LIM_PATH_DEPTH)
        r = err_set(err, ERR_INVALID, "copy: directories deeper than %d", LIM_PATH_DEPTH);
    for (struct dirent *e; r >= 0 && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = copy_one(from_fd, to_fd, e->d_name, depth, err);
    (void)closedir(d);
    return r;
}

int child_copy_up(int from_fd, int to_fd, struct err *err)
{
    return copy_tree(from_fd, to_fd, 0, err) < 0 ? err_wrap(err, "tmpcopyup") : 0;
}
