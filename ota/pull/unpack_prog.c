/* unpack_prog.c - agentd-unpack: see unpack.h. Every byte it reads was verified against a signed digest; it
 * is sandboxed anyway, since decoders are where such programs have bugs. */
#include <errno.h>
#include <sys/socket.h>

#include "ota/fetch/fetch.h"
#include "ota/layer/worker.h"
#include "ota/pack/codec.h"
#include "ota/pack/patch.h"
#include "ota/pull/unpack.h"
#include "platform/crypto.h"
#include "platform/fs.h"
#include "platform/limits.h"

#define ASK_FD     4
#define OUT_FD     5
#define FILES      (OUT_FD + 3 + PACK_BASES_MAX)
#define DATA_BYTES (2ULL << 20) /* including the libraries'; what packs need is limited in their heads */

struct unpack {
    struct codec *codecs[PACK_CODEC_COUNT_];
    struct patch *patch;
    int pack_fd, fds[PACK_BASES_MAX];
    unsigned n_fds;
    uint8_t *packed, *raw; /* PACK_RAW_MAX each, allocated at the first chunk */
    size_t packed_at, packed_len, raw_len;
};

static void drop_fds(struct unpack *u)
{
    for (unsigned i = 0; i < u->n_fds; i++)
        (void)close(u->fds[i]);
    u->n_fds = 0;
}

/* 1: *ret is the next request, its descriptors are in u; 0: no more. */
static int next_ask(struct unpack *u, struct unpack_ask *ret, struct err *err)
{
    union {
        char room[CMSG_SPACE(sizeof(int) * PACK_BASES_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec part = {ret, sizeof(*ret)};
    struct msghdr msg = {.msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof(control.room)};
    ssize_t n;

    drop_fds(u); /* first: the limit on open files has room for only one set */
    do
        n = recvmsg(ASK_FD, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n == 0 ? 0 : err_errno(err, errno, "read an ask");
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            u->n_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(u->fds, CMSG_DATA(c), sizeof(int) * u->n_fds);
        }
    if (msg.msg_flags & MSG_CTRUNC)
        return err_set(err, ERR_IO, "descriptors were lost");
    return n == (ssize_t)sizeof(*ret) ? 1 : err_set(err, ERR_IO, "half an ask");
}

/* ---- chunks: from a pipe to a pipe ---- */

static int put_raw(struct unpack *u, struct err *err)
{
    size_t n = u->raw_len;

    u->raw_len = 0;
    return n ? fs_write_full(OUT_FD, buf_of(u->raw, n), err) : 0;
}

/* Buffer at least so many packed bytes. Finished output is sent before waiting for more. */
static int take_packed(struct unpack *u, size_t len, struct err *err)
{
    int rc = 0;

    if (u->packed_len - u->packed_at >= len)
        return 0;
    memmove(u->packed, u->packed + u->packed_at, u->packed_len - u->packed_at);
    u->packed_len -= u->packed_at;
    u->packed_at = 0;
    rc = put_raw(u, err);
    while (rc == 0 && u->packed_len < len) {
        ssize_t n = read(u->fds[0], u->packed + u->packed_len, PACK_RAW_MAX - u->packed_len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(err, ERR_IO, "the chunks end early");
        u->packed_len += (size_t)n;
    }
    return rc;
}

static int chunk(struct unpack *u, const struct fetch_chunk *c, struct err *err)
{
    uint32_t codec = c->aside >> 24, raw = c->aside & 0xffffff;
    int rc = 0;

    if (codec >= PACK_CODEC_COUNT_ || c->len > PACK_RAW_MAX || raw > PACK_RAW_MAX)
        return err_set(err, ERR_INVALID, "a chunk of codec %u with %u bytes", codec, c->len);
    if (!u->codecs[codec])
        rc = codec_new((enum pack_codec)codec, &u->codecs[codec], err);
    if (rc == 0)
        rc = take_packed(u, c->len, err);
    if (rc == 0 && raw > PACK_RAW_MAX - u->raw_len)
        rc = put_raw(u, err);
    if (rc == 0)
        rc = codec_chunk(u->codecs[codec], buf_of(u->packed + u->packed_at, c->len), u->raw + u->raw_len, raw,
                         err);
    u->packed_at += c->len;
    u->raw_len += raw;
    return rc;
}

static int chunks(struct unpack *u, const struct unpack_ask *ask, struct err *err)
{
    uint8_t lines[64][FETCH_CHUNK_RECORD];
    struct fetch_chunk c;
    int rc = 0;

    if (u->n_fds != 2)
        return err_set(err, ERR_INVALID, "chunks without a pipe or a list");
    if (!u->raw) {
        u->packed = mem_need(PACK_RAW_MAX);
        u->raw = mem_need(PACK_RAW_MAX);
    }
    u->packed_at = u->packed_len = u->raw_len = 0;
    for (uint32_t i = 0; rc == 0 && i < ask->n; i++) {
        size_t n = ask->n - i < COUNT_OF(lines) ? ask->n - i : COUNT_OF(lines);
        if (i % COUNT_OF(lines) == 0 &&
            pread(u->fds[1], lines, n * sizeof(lines[0]), (off_t)(i * sizeof(lines[0]))) !=
                (ssize_t)(n * sizeof(lines[0])))
            return err_set(err, ERR_IO, "the list of chunks is too short");
        fetch_chunk_get(lines[i % COUNT_OF(lines)], &c);
        rc = chunk(u, &c, err);
    }
    return rc == 0 ? put_raw(u, err) : rc;
}

/* ---- patches ---- */

static int begin_patch(struct unpack *u, struct err *err)
{
    if (u->n_fds != 1 || u->patch)
        return err_set(err, ERR_INVALID, "a patch without a file, or a second one");
    u->pack_fd = u->fds[0];
    u->n_fds = 0;
    return patch_new(u->pack_fd, &u->patch, err);
}

static int to_pipe(void *arg, struct buf bytes, struct err *err)
{
    (void)arg;
    return fs_write_full(OUT_FD, bytes, err);
}

static int object(struct unpack *u, const struct unpack_ask *ask, struct err *err)
{
    struct patch_base bases[PACK_BASES_MAX];

    if (!u->patch || ask->n != u->n_fds)
        return err_set(err, ERR_INVALID, "an object without a patch or its bases");
    for (unsigned i = 0; i < ask->n; i++)
        bases[i] = (struct patch_base){u->fds[i], ask->sizes[i]};
    return patch_object(u->patch, bases, ask->n, ask->raw_bytes, to_pipe, NULL, err);
}

static int serve(struct unpack *u, struct err *err)
{
    struct unpack_ask ask;
    int rc;

    while ((rc = next_ask(u, &ask, err)) > 0) {
        switch (ask.op) {
        case UNPACK_CHUNKS:
            rc = chunks(u, &ask, err);
            break;
        case UNPACK_PATCH:
            rc = begin_patch(u, err);
            break;
        case UNPACK_OBJECT:
            rc = object(u, &ask, err);
            break;
        default:
            rc = u->patch ? patch_end(u->patch, err) : 0;
        }
        if (rc < 0)
            return rc;
    }
    return rc;
}

int main(int argc, char **argv)
{
    static struct unpack u;
    struct err err = ERR_INIT;

    if (argc != 4 || strcmp(argv[1], "unpack") != 0)
        return 2;
    int rc = crypto_init(&err);
    if (rc == 0)
        rc = worker_enter(argv[2], argv[3], DATA_BYTES, FILES, &err);
    if (rc == 0)
        rc = serve(&u, &err);
    return worker_verdict(rc, &err);
}
