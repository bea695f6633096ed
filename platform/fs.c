#include "platform/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

#include "platform/limits.h"

int fs_write_full(int fd, struct buf bytes, struct err *err)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.p, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "write %zu bytes", bytes.len);
        bytes.p += n;
        bytes.len -= (size_t)n;
    }
    return 0;
}

ssize_t fs_read_full(int fd, void *dst, size_t len, struct err *err)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(fd, (uint8_t *)dst + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "read");
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int fs_sync_dir(int dir_fd, struct err *err)
{
    return fsync(dir_fd) < 0 ? err_errno(err, errno, "fsync directory") : 0;
}

int fs_sync_all(int fd, struct err *err)
{
    return syncfs(fd) < 0 ? err_errno(err, errno, "syncfs") : 0;
}

/* The temporary name is fixed per file: a file has one writer, and what a power cut leaves is overwritten
 * next time. */
static int write_renamed(int dir_fd, const char *name, struct buf bytes, mode_t mode, bool durable,
                         struct err *err)
{
    char tmp[300];

    if (!str_fmt(tmp, sizeof(tmp), "%s.new~", name))
        return err_set(err, ERR_INVALID, "file name too long: %s", name);
    AUTO_FD int fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return err_errno(err, errno, "create %s", tmp);
    int rc = fs_write_full(fd, bytes, err);
    if (rc == 0 && fchmod(fd, mode) < 0)
        rc = err_errno(err, errno, "chmod %s", tmp);
    if (rc == 0 && durable && fsync(fd) < 0)
        rc = err_errno(err, errno, "fsync %s", tmp);
    if (rc == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
        rc = err_errno(err, errno, "rename %s", tmp);
    if (rc < 0) {
        (void)unlinkat(dir_fd, tmp, 0);
        return err_wrap(err, "save %s", name);
    }
    return durable ? fs_sync_dir(dir_fd, err) : 0;
}

int fs_write_durable(int dir_fd, const char *name, struct buf bytes, mode_t mode, struct err *err)
{
    return write_renamed(dir_fd, name, bytes, mode, true, err);
}

int fs_write_atomic(int dir_fd, const char *name, struct buf bytes, mode_t mode, struct err *err)
{
    return write_renamed(dir_fd, name, bytes, mode, false, err);
}

int fs_read(int dir_fd, const char *name, size_t max_bytes, uint8_t **ret, size_t *ret_len, struct err *err)
{
    AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "read %s", name);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "read %s: not a regular file", name);
    if ((uint64_t)st.st_size > max_bytes)
        return err_set(err, ERR_INVALID, "read %s: %lld bytes, at most %zu are allowed", name,
                       (long long)st.st_size, max_bytes);
    uint8_t AUTO_MEM *p =
        mem_need(max_bytes < (size_t)st.st_size + 1 ? max_bytes + 1 : (size_t)st.st_size + 1);
    ssize_t n = fs_read_full(fd, p, (size_t)st.st_size, err);
    if (n < 0)
        return err_wrap(err, "read %s", name);
    p[n] = 0;
    *ret = steal_ptr(&p);
    *ret_len = (size_t)n;
    return 0;
}

ssize_t fs_read_text(int dir_fd, const char *name, char *dst, size_t size, struct err *err)
{
    AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "read %s", name);
    char text[4096];
    ssize_t n = fs_read_full(fd, text, size - 1 < sizeof(text) ? size - 1 : sizeof(text), err);
    if (n < 0)
        return err_wrap(err, "read %s", name);
    while (n > 0 && text[n - 1] == '\n')
        n--;
    memcpy(dst, text, (size_t)n);
    dst[n] = '\0';
    return n;
}

int fs_write_text(int dir_fd, const char *name, const char *text, struct err *err)
{
    AUTO_FD int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "write %s", name);
    ssize_t n;
    do
        n = write(fd, text, strlen(text));
    while (n < 0 && errno == EINTR);
    return n < 0 ? err_errno(err, errno, "write \"%.40s\" to %s", text, name) : 0;
}

int fs_open_dir(int dir_fd, const char *path, bool make, mode_t mode, int *ret_fd, struct err *err)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT && make) {
        char part[LIM_PATH_BYTES];
        if (!str_copy(part, sizeof(part), path))
            return err_set(err, ERR_INVALID, "path too long: %.80s...", path);
        for (char *p = part + 1; *p; p++) {
            if (*p != '/')
                continue;
            *p = '\0';
            if (mkdirat(dir_fd, part, mode) < 0 && errno != EEXIST)
                return err_errno(err, errno, "create directory %s", part);
            *p = '/';
        }
        if (mkdirat(dir_fd, part, mode) < 0 && errno != EEXIST)
            return err_errno(err, errno, "create directory %s", part);
        fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return err_errno(err, errno, "open directory %s", path);
    *ret_fd = fd;
    return 0;
}

int fs_space(int fd, uint64_t *ret_bytes, uint64_t *ret_inodes, struct err *err)
{
    struct statvfs v;

    if (fstatvfs(fd, &v) < 0)
        return err_errno(err, errno, "statvfs");
    *ret_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    *ret_inodes = v.f_files ? v.f_favail : UINT64_MAX; /* btrfs and others do not count them */
    return 0;
}

int fs_lock(int dir_fd, const char *name, int *ret_fd, struct err *err)
{
    AUTO_FD int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_errno(err, errno, "open lock %s", name);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? err_set(err, ERR_CONFLICT, "%s is locked by another process", name)
                                    : err_errno(err, errno, "lock %s", name);
    *ret_fd = steal_fd(&fd);
    return 0;
}

/* Recurses with one open fd per level, so the depth is bounded by LIM_PATH_DEPTH + what we create
 * ourselves. */
static int remove_below(int dir_fd, const char *name, dev_t dev, unsigned depth, struct err *err)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return err_errno(err, errno, "remove %s", name);
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int e = errno;
        if (fd >= 0)
            (void)close(fd);
        return err_errno(err, e, "remove %s", name);
    }
    if (st.st_dev != dev || depth > 4 * LIM_PATH_DEPTH) {
        (void)close(fd);
        return err_set(err, ERR_DENIED, "remove %s: %s", name,
                       depth ? "another file system or too deep" : "mounted");
    }
    DIR *d = fdopendir(fd);
    if (!d) {
        (void)close(fd);
        return err_set(err, ERR_NOMEM, "remove %s", name);
    }
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = remove_below(dirfd(d), e->d_name, dev, depth + 1, err);
    (void)closedir(d);
    if (rc == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        rc = err_errno(err, errno, "remove directory %s", name);
    return rc;
}

int fs_remove_tree(int dir_fd, const char *name, struct err *err)
{
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "remove %s", name);
    struct stat here;
    if (fstatat(dir_fd, "", &here, AT_EMPTY_PATH) < 0 && fstatat(dir_fd, ".", &here, 0) < 0)
        return err_errno(err, errno, "remove %s", name);
    return remove_below(dir_fd, name, dir_fd == AT_FDCWD ? st.st_dev : here.st_dev, 0, err);
}

unsigned fs_list(int dir_fd, const char *suffix, char *dst, size_t size, unsigned max)
{
    unsigned n = 0;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* for its own offset */
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

    if (!d) {
        if (fd >= 0)
            (void)close(fd);
        return 0;
    }
    for (struct dirent *e; n < max && (e = readdir(d));) {
        size_t len = strlen(e->d_name), end = strlen(suffix);
        if (e->d_name[0] != '.' && len > end && strcmp(e->d_name + len - end, suffix) == 0 &&
            str_copy(dst + n * size, size, e->d_name))
            n++;
    }
    (void)closedir(d);
    return n;
}

bool fs_verity_enable(int fd)
{
    struct fsverity_enable_arg arg = {
        .version = 1, .hash_algorithm = FS_VERITY_HASH_ALG_SHA256, .block_size = 4096};

    return ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) == 0 || errno == EEXIST;
}

bool fs_verity_is_on(int fd)
{
    union {
        struct fsverity_digest digest;
        uint8_t room[sizeof(struct fsverity_digest) + 64];
    } measured = {.digest.digest_size = 64};

    return ioctl(fd, FS_IOC_MEASURE_VERITY, &measured) == 0;
}
