/* fetch_dir.c - an OCI image layout in a folder: a stick, a share. Nothing in it is followed out of it. */
#include <errno.h>
#include <fcntl.h>

#include "ota/fetch_int.h"
#include "platform/fs.h"

static int open_blob(const char *base, const struct digest *d, int *ret_fd, struct err *err)
{
    char hex[65], path[96];
    int AUTO_FD dir = -1;
    int r = fs_open_dir(AT_FDCWD, base, false, 0, &dir, err);

    (void)str_fmt(path, sizeof(path), "blobs/sha256/%s", digest_hex(d, hex));
    return r < 0 ? r : fs_open_below(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, ret_fd, err);
}

static int copy(struct fetch_job *j, struct fetch_item *it, int fd, struct err *err)
{
    uint8_t buf[32 * 1024];

    for (;;) {
        ssize_t n = fs_read_full(fd, buf, sizeof(buf), err);
        if (n <= 0)
            return (int)n;
        int r = fetch_take(j, it, buf_of(buf, (size_t)n), err);
        if (r < 0)
            return r;
    }
}

int dir_get(struct fetch_job *j, struct fetch_item *it, const char *base, struct err *err)
{
    struct stat st;
    int AUTO_FD fd = -1;
    int r = open_blob(base, &it->digest, &fd, err);

    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_INTEGRITY, "not a regular file");
    if (it->size && (uint64_t)st.st_size != it->size)
        return err_set(err, ERR_INTEGRITY, "has %llu bytes, signed are %llu", (unsigned long long)st.st_size,
                       (unsigned long long)it->size);
    if (lseek(fd, (off_t)it->have, SEEK_SET) < 0)
        return err_errno(err, errno, "seek");
    r = copy(j, it, fd, err);
    if (r == 0 && it->have != (uint64_t)st.st_size)
        r = err_set(err, ERR_IO, "ended early");
    return r;
}
