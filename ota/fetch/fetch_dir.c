/* fetch_dir.c - an OCI image layout in a directory: a stick, a share. No link in it is followed to the
 * outside. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "ota/fetch/fetch_int.h"
#include "platform/fs.h"

char *fetch_dir_blob_path(const struct fetch_item *it, char dst[96])
{
    char hex[SHA256_HEX];

    (void)str_fmt(dst, 96, "blobs/sha256/%s", digest_hex(&it->digest, hex));
    return dst;
}

void fetch_dir_open(struct fetch_job *j)
{
    char path[96];

    for (unsigned s = 0; s < j->n_sources; s++) {
        AUTO_FD int dir = -1;
        bool is_dir = j->sources[s].kind == SOURCE_FOLDER &&
                      fs_open_dir(AT_FDCWD, j->sources[s].at, false, 0, &dir, NULL) == 0;
        for (unsigned i = 0; i < j->n_items; i++) {
            struct fetch_item *it = &j->items[i];
            it->dir_fds[s] = -1;
            if (is_dir)
                err_ignore(fs_open_below(dir, fetch_dir_blob_path(it, path),
                                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, &it->dir_fds[s],
                                         NULL));
        }
    }
}

static int copy(struct fetch_job *j, struct fetch_item *it, int fd, struct fetch_span span, struct err *err)
{
    uint8_t buf[32 * 1024];

    for (uint64_t at = span.from; at < span.to;) {
        size_t want = span.to - at < sizeof(buf) ? (size_t)(span.to - at) : sizeof(buf);
        ssize_t n = pread(fd, buf, want, (off_t)at);
        if (n <= 0)
            return n < 0 ? err_errno(err, errno, "read") : err_set(err, ERR_IO, "ended early");
        int rc = fetch_take(j, it, at, buf_of(buf, (size_t)n), err);
        if (rc < 0)
            return rc;
        at += (uint64_t)n;
    }
    return 0;
}

int fetch_dir_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err)
{
    int fd = it->dir_fds[source], rc = 0;
    struct fetch_span span;
    struct stat st;

    if (fd < 0)
        return err_set(err, ERR_NOTFOUND, "not in this directory");
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_INTEGRITY, "not a regular file");
    if (it->size && (uint64_t)st.st_size != it->size)
        return err_set(err, ERR_INTEGRITY, "has %" PRIu64 " bytes, signed are %" PRIu64, st.st_size,
                       it->size);
    while (rc == 0 && fetch_next(it, &span)) {
        if (span.to == 0)
            span.to = (uint64_t)st.st_size;
        rc = copy(j, it, fd, span, err);
        if (it->size == 0)
            break; /* no size was signed: the end of the file is the end */
    }
    return rc;
}
