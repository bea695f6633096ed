/* stream.c - reads entries from a pipe or a record, each checked before it is used. */
#include <errno.h>

#include "ota/store/store_int.h"

static int fill(struct stream *st, struct err *err)
{
    ssize_t n;

    if (st->at < st->len)
        return 0;
    do
        n = read(st->fd, st->buf, sizeof(st->buf));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, errno, "read entries");
    if (n == 0) {
        st->ended = true;
        return err_set(err, ERR_INVALID, "the layer ends early");
    }
    st->at = 0;
    st->len = (size_t)n;
    return 0;
}

int stream_some(struct stream *st, uint64_t max, struct buf *ret, struct err *err)
{
    int rc = fill(st, err);

    if (rc < 0)
        return rc;
    size_t n = st->len - st->at;
    if (n > max)
        n = (size_t)max;
    *ret = buf_of(st->buf + st->at, n);
    st->at += n;
    return 0;
}

int stream_get(struct stream *st, void *dst, size_t len, struct err *err)
{
    uint8_t *to = dst;
    struct buf got;

    while (len > 0) {
        int rc = stream_some(st, len, &got, err);
        if (rc < 0)
            return rc;
        memcpy(to, got.p, got.len);
        to += got.len;
        len -= got.len;
    }
    return 0;
}

int stream_entry(struct stream *st, struct entry *ret, struct err *err)
{
    uint8_t head[ENTRY_HEAD_BYTES], names[2 * LIM_PATH_BYTES];
    size_t path_len = 0, link_len = 0;
    int rc = stream_get(st, head, sizeof(head), err);

    if (rc >= 0)
        rc = entry_decode_head(head, ret, &path_len, &link_len, err);
    if (rc >= 0)
        rc = stream_get(st, names, path_len + link_len, err);
    if (rc >= 0)
        rc = entry_decode_names(names, path_len, link_len, ret, err);
    if (rc < 0 || ret->kind == ENTRY_END || ret->kind == ENTRY_SKIPPED)
        return rc < 0 ? rc : 0;
    return entry_check(ret, err);
}
