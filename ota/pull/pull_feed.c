/* pull_feed.c - chunks of a full pack's data: listed, requested together, fetched by agentd-fetch and
 * unpacked by agentd-unpack, which reads its pipe; the raw bytes are taken here. All three run
 * concurrently. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "ota/pull/pull.h"

void pull_feed_init(struct feed *f, const struct store_pack *pack)
{
    *f = (struct feed){.pack = pack,
                       .stream = FETCH_STREAM_NONE,
                       .unpack = {.child = CHILD_NONE, .ask_fd = -1},
                       .list_fd = -1};
    f->raw = mem_need(PACK_RAW_MAX);
}

static int flush_list(struct feed *f, struct err *err)
{
    size_t n = f->lines_len;

    f->lines_len = 0;
    return n ? fs_write_full(f->list_fd, buf_of(f->lines, n), err) : 0;
}

int pull_feed_want(struct feed *f, uint64_t at, const struct pack_chunk *c, struct err *err)
{
    struct fetch_chunk line = {
        .at = at, .len = c->packed_bytes, .aside = unpack_aside(c->codec, c->raw_bytes)};

    if (f->list_fd < 0)
        f->list_fd = memfd_create("chunks", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (f->list_fd < 0)
        return err_errno(err, errno, "memfd");
    memcpy(line.check, c->check, sizeof(line.check));
    fetch_chunk_put(&line, f->lines + f->lines_len);
    f->lines_len += FETCH_CHUNK_RECORD;
    f->n++;
    return f->lines_len == sizeof(f->lines) ? flush_list(f, err) : 0;
}

static void drop_list(struct feed *f)
{
    stage_unmap(&f->list);
    mem_auto_close_(&f->list_fd);
    f->list_fd = -1;
    f->n = f->next = 0;
    f->lines_len = 0;
}

/* Seal the complete list. */
static int close_list(struct feed *f, struct err *err)
{
    int rc = flush_list(f, err);

    if (rc == 0 &&
        fcntl(f->list_fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        rc = err_errno(err, errno, "seal the list of chunks");
    return rc == 0 ? stage_map_fd(f->list_fd, f->n * FETCH_CHUNK_RECORD, &f->list, err) : rc;
}

int pull_feed_ask(struct feed *f, struct err *err)
{
    struct fetch_blob blob = {.digest = f->pack->data, .size_bytes = f->pack->data_bytes};
    struct fetch_request request = *f->pack->fetch;

    if (f->n == 0)
        return 0;
    if (request.budget_bytes) /* for the whole job, not per request */
        request.budget_bytes = request.budget_bytes > f->fetched ? request.budget_bytes - f->fetched : 1;
    request.blobs = &blob;
    request.n_blobs = 1;
    int rc = close_list(f, err);
    if (rc == 0)
        rc = fetch_stream_start(&request, f->list_fd, f->n, &f->stream, err);
    if (rc == 0 && !f->unpacking) {
        rc = unpack_start(f->pack->unpack_argv, &f->unpack, err);
        f->unpacking = rc == 0;
    }
    if (rc < 0)
        return rc;
    err_ignore(
        unpack_chunks(&f->unpack, f->stream.fd, f->list_fd, f->n, NULL)); /* exited? Then take_raw gets the
                                                                           * reason */
    mem_auto_close_(&f->stream.fd);
    f->stream.fd = -1;
    return 0;
}

/* The unpack program exited too early. It reports why, unless that is because its input ended: then the fetch
 * program has the better reason. */
static int judge_end(struct feed *f, struct err *err)
{
    struct err why = ERR_INIT;
    int rc = unpack_end(&f->unpack, err);

    f->unpacking = false;
    if (rc < 0 && rc != -ERR_IO)
        return rc;
    int fetched = fetch_stream_end(&f->stream, NULL, &why);
    if (fetched < 0 && (fetched != -ERR_IO || rc == 0))
        return err_set(err, why.kind, "%s", why.msg);
    return rc < 0 ? rc : err_set(err, ERR_IO, "the unpack program gave less than was asked");
}

static int take_raw(struct feed *f, size_t len, struct err *err)
{
    memmove(f->raw, f->raw + f->raw_at, f->raw_len - f->raw_at);
    f->raw_len -= f->raw_at;
    f->raw_at = 0;
    while (f->raw_len < len) {
        ssize_t n = unpack_take(&f->unpack, f->raw + f->raw_len, PACK_RAW_MAX - f->raw_len, err);
        if (n < 0)
            return judge_end(f, err);
        f->raw_len += (size_t)n;
    }
    return 0;
}

static int not_asked(struct err *err)
{
    return err_set(err, ERR_INVALID, "full pack: its tree names one content twice");
}

int pull_feed_next(struct feed *f, uint64_t at, const struct pack_chunk *c, struct buf *ret, struct err *err)
{
    struct fetch_chunk line = {0};
    int rc = 0;

    if (f->next < f->n)
        fetch_chunk_get(f->list.p + f->next * FETCH_CHUNK_RECORD, &line);
    if (line.len == 0 || line.at != at)
        return not_asked(err);
    if (f->raw_len - f->raw_at < c->raw_bytes)
        rc = take_raw(f, c->raw_bytes, err);
    if (rc < 0)
        return rc;
    *ret = buf_of(f->raw + f->raw_at, c->raw_bytes);
    f->raw_at += c->raw_bytes;
    f->taken += c->packed_bytes;
    f->next++;
    return 0;
}

int pull_feed_end(struct feed *f, struct err *err)
{
    uint64_t fetched = 0;
    int rc = f->next == f->n ? 0 : not_asked(err);

    if (rc == 0 && f->n > 0)
        rc = fetch_stream_end(&f->stream, &fetched, err);
    f->fetched += rc == 0 ? fetched : f->taken;
    f->taken = 0;
    drop_list(f);
    return rc;
}

void pull_feed_done(struct feed *f)
{
    fetch_stream_done(&f->stream);
    if (f->unpacking)
        unpack_done(&f->unpack);
    drop_list(f);
    free(f->raw);
}
