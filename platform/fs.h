/* fs.h - durable files and small file helpers. All paths are relative to a directory's fd (L17).
 * Threads: one. Blocks: yes. */
#ifndef PLATFORM_FS_H
#define PLATFORM_FS_H
#include <sys/stat.h>
#include <sys/types.h>

#include "platform/err.h"
#include "platform/mem.h"

/* Replace dir_fd/name with exactly these bytes: write a temporary file, fsync, rename, fsync the directory.
 * Once it has returned 0 the new bytes survive a power cut; if it fails, or power is lost before it returns,
 * the old ones do. Errors: NOSPACE, IO, DENIED. */
NODISCARD int fs_write_durable(int dir_fd, const char *name, struct buf bytes, mode_t mode, struct err *err);
/* The same without the fsyncs: for directories in /run. Readers see the old or the new file, never a mix.
 * Errors: NOSPACE, IO, DENIED. */
NODISCARD int fs_write_atomic(int dir_fd, const char *name, struct buf bytes, mode_t mode, struct err *err);

/* Read a whole regular file of at most max_bytes. *ret is malloc'd, one NUL follows the last byte, owner:
 * caller. Errors: NOTFOUND, INVALID (larger, not a regular file), IO. */
NODISCARD int fs_read(int dir_fd, const char *name, size_t max_bytes, uint8_t **ret, size_t *ret_len,
                      struct err *err);
/* Read a small text file (procfs, cgroup) into dst, truncated to size-1, trailing newline removed. Returns
 * length. Errors: NOTFOUND, DENIED, IO. */
NODISCARD ssize_t fs_read_text(int dir_fd, const char *name, char *dst, size_t size, struct err *err);
/* Write text to an existing file in one write(2) (procfs, cgroup). Errors: errno by err_errno. */
NODISCARD int fs_write_text(int dir_fd, const char *name, const char *text, struct err *err);

/* Write or read all bytes, retrying after EINTR and short counts. fs_read_full: number read, less only at
 * EOF. Errors: NOSPACE, NET (a pipe without reader), IO. */
NODISCARD int fs_write_full(int fd, struct buf bytes, struct err *err);
NODISCARD ssize_t fs_read_full(int fd, void *dst, size_t len, struct err *err);

/* Open a directory for reading (not O_PATH), creating it and its parents with mode if make is true. Owner of
 * fd: caller. Errors: NOTFOUND, DENIED, NOSPACE, IO. */
NODISCARD int fs_open_dir(int dir_fd, const char *path, bool make, mode_t mode, int *ret_fd, struct err *err);
/* Open path below dir_fd, never leaving it: openat2(RESOLVE_BENEATH|NO_SYMLINKS|NO_MAGICLINKS), or step by
 * step with O_NOFOLLOW on old kernels. flags/mode as open(2), O_CLOEXEC is added. Errors: DENIED (would
 * leave), NOTFOUND, IO. */
NODISCARD int fs_open_below(int dir_fd, const char *path, int flags, mode_t mode, int *ret_fd,
                            struct err *err);
/* As seen inside a container: absolute links and ".." stay inside root_fd (RESOLVE_IN_ROOT). Errors: as
 * above. */
NODISCARD int fs_open_in_root(int root_fd, const char *path, int flags, mode_t mode, int *ret_fd,
                              struct err *err);
/* Remove name and everything below it without following links or leaving the file system. A missing name is
 * fine. Errors: DENIED, IO. */
NODISCARD int fs_remove_tree(int dir_fd, const char *name, struct err *err);
/* Names in a directory that end with suffix, into dst[max][size]; names that are too long are skipped.
 * Returns their number. */
unsigned fs_list(int dir_fd, const char *suffix, char *dst, size_t size, unsigned max);
/* Let the kernel verify a file's bytes whenever they are read from now on (fs-verity, SHA-256, 4 KiB blocks):
 * a file damaged on disk then gives EIO instead of wrong bytes, and cannot be written any more. True if in
 * force; most file systems and kernels do not support it. fd: open for reading only; nothing may have the
 * file open for writing. */
bool fs_verity_enable(int fd);
/* Is it, for this open file? */
bool fs_verity_is_on(int fd);
/* fsync a directory's entries / the whole file system of fd. Errors: IO. */
NODISCARD int fs_sync_dir(int dir_fd, struct err *err);
/* The whole file system of fd. Errors: IO. */
NODISCARD int fs_sync_all(int fd, struct err *err);
/* Space available to us on the file system of fd (f_bavail). inodes: UINT64_MAX if the file system does not
 * count them. Errors: IO. */
NODISCARD int fs_space(int fd, uint64_t *ret_bytes, uint64_t *ret_inodes, struct err *err);
/* Take an exclusive lock on dir_fd/name (created if missing); held while *ret_fd is open. Errors: CONFLICT,
 * IO. */
NODISCARD int fs_lock(int dir_fd, const char *name, int *ret_fd, struct err *err);
#endif
