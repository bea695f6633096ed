/* pull_feed.c - chunks of a full pack's data: asked for in one go, fetched by agentd-fetch, unpacked by
 * agentd-unpack, one at a time in memory here. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "ota/codec.h"
#include "ota/pull.h"

void feed_init(struct feed *f, const struct store_pack *pack)
{
    *f = (struct feed){
        .pack = pack, .stream = FETCH_STREAM_NONE, .unpack = {.child = CHILD_NONE, .ask_fd = -1}};
    f->packed = mem_need(PACK_RAW_MAX);
    f->raw = mem_need(PACK_RAW_MAX);
}

static int write_list(int fd, const struct feed_want *wants, size_t n, struct err *err)
{
    uint8_t records[64 * FETCH_CHUNK_RECORD];
    size_t used = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++) {
        struct fetch_chunk c = {.at = wants[i].at, .len = wants[i].chunk.packed_bytes};
        memcpy(c.check, wants[i].chunk.check, sizeof(c.check));
        fetch_chunk_put(&c, records + used);
        used += FETCH_CHUNK_RECORD;
        if (used == sizeof(records) || i + 1 == n) {
            r = fs_write_full(fd, buf_of(records, used), err);
            used = 0;
        }
    }
    return r;
}

int feed_ask(struct feed *f, const struct feed_want *wants, size_t n, struct err *err)
{
    struct fetch_blob blob = {.digest = f->pack->data, .size_bytes = f->pack->data_bytes};
    struct fetch_request request = *f->pack->fetch;
    int AUTO_FD list = memfd_create("chunks", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (list < 0)
        return err_errno(err, errno, "memfd");
    int r = write_list(list, wants, n, err);
    if (r == 0 && fcntl(list, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        r = err_errno(err, errno, "seal the list of chunks");
    if (request.budget_bytes) /* it is the whole job's, not each question's */
        request.budget_bytes = request.budget_bytes > f->fetched ? request.budget_bytes - f->fetched : 1;
    request.blobs = &blob;
    request.n_blobs = 1;
    if (r == 0)
        r = fetch_stream_start(&request, list, n, &f->stream, err);
    if (r == 0 && !f->unpacking) {
        r = unpack_start(f->pack->unpack_argv, &f->unpack, err);
        f->unpacking = r == 0;
    }
    return r;
}

static int read_packed(struct feed *f, size_t len, struct err *err)
{
    ssize_t n = fs_read_full(f->stream.fd, f->packed, len, err);

    f->taken += n > 0 ? (uint64_t)n : 0;
    if (n < 0 || (size_t)n == len)
        return n < 0 ? (int)n : 0;
    int r = fetch_stream_end(&f->stream, NULL, err); /* it knows best why it stopped */
    return r < 0 ? r : err_set(err, ERR_IO, "the fetch program gave less than was asked");
}

static int read_raw(struct feed *f, size_t len, struct err *err)
{
    for (size_t have = 0; have < len;) {
        ssize_t n = unpack_take(&f->unpack, f->raw + have, len - have, err);
        if (n < 0) {
            f->unpacking = false;
            int r = unpack_end(&f->unpack, err);
            return r < 0 ? r : err_set(err, ERR_IO, "the unpack program gave less than was asked");
        }
        have += (size_t)n;
    }
    return 0;
}

int feed_next(struct feed *f, const struct pack_chunk *c, struct buf *ret, struct err *err)
{
    int r = read_packed(f, c->packed_bytes, err);

    if (r == 0 && c->codec == PACK_RAW && c->packed_bytes != c->raw_bytes)
        r = err_set(err, ERR_INVALID, "a chunk of two lengths");
    if (r == 0 && c->codec != PACK_RAW) {
        /* gone before it had read all: it says why below */
        (void)unpack_chunk(&f->unpack, c->codec, buf_of(f->packed, c->packed_bytes), c->raw_bytes, NULL);
        r = read_raw(f, c->raw_bytes, err);
    }
    if (r == 0)
        *ret = buf_of(c->codec == PACK_RAW ? f->packed : f->raw, c->raw_bytes);
    return r;
}

int feed_end(struct feed *f, struct err *err)
{
    uint64_t fetched = 0;
    int r = fetch_stream_end(&f->stream, &fetched, err);

    f->fetched += r == 0 ? fetched : f->taken;
    f->taken = 0;
    return r;
}

void feed_done(struct feed *f)
{
    fetch_stream_done(&f->stream);
    if (f->unpacking)
        unpack_done(&f->unpack);
    free(f->packed);
    free(f->raw);
}
