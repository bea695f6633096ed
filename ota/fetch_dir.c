/* fetch_dir.c - an OCI image layout in a folder: a stick, a share. Nothing in it is followed out of it. */
#include <errno.h>
#include <fcntl.h>

#include "ota/fetch_int.h"
#include "platform/fs.h"

void dir_open(struct fetch_job *j)
{
    char hex[65], path[96];

    for (unsigned s = 0; s < j->n_sources; s++) {
        int AUTO_FD dir = -1;
        bool is_dir = strncmp(j->sources[s], "dir:", 4) == 0 &&
                      fs_open_dir(AT_FDCWD, j->sources[s] + 4, false, 0, &dir, NULL) == 0;
        for (unsigned i = 0; i < j->n_items; i++) {
            struct fetch_item *it = &j->items[i];
            it->dir_fds[s] = -1;
            (void)str_fmt(path, sizeof(path), "blobs/sha256/%s", digest_hex(&it->digest, hex));
            if (is_dir)
                (void)fs_open_below(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0,
                                    &it->dir_fds[s], NULL);
        }
    }
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

int dir_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err)
{
    int fd = it->dir_fds[source];
    struct stat st;

    if (fd < 0)
        return err_set(err, ERR_NOTFOUND, "not in this folder");
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_INTEGRITY, "not a regular file");
    if (it->size && (uint64_t)st.st_size != it->size)
        return err_set(err, ERR_INTEGRITY, "has %llu bytes, signed are %llu", (unsigned long long)st.st_size,
                       (unsigned long long)it->size);
    if (lseek(fd, (off_t)it->have, SEEK_SET) < 0)
        return err_errno(err, errno, "seek");
    int r = copy(j, it, fd, err);
    if (r == 0 && it->have != (uint64_t)st.st_size)
        r = err_set(err, ERR_IO, "ended early");
    return r;
}
