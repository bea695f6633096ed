/* unpack_prog.c - agentd-unpack: see unpack.h. Every byte that it reads was compared with a signed digest before;
 * it is sandboxed all the same, since decoders are where such programs break. */
#include <errno.h>
#include <sys/socket.h>

#include "ota/codec.h"
#include "ota/patch.h"
#include "ota/unpack.h"
#include "ota/worker.h"
#include "platform/crypto.h"
#include "platform/fs.h"
#include "platform/limits.h"

#define ASK_FD     4
#define OUT_FD     5
#define FILES      (OUT_FD + 3 + PACK_BASES_MAX)
#define DATA_BYTES (2ULL << 20) /* with the libraries' own; what packs need is capped in their heads */

struct unpack {
    struct codec *codecs[PACK_CODEC_COUNT_];
    struct patch *patch;
    int pack_fd, fds[PACK_BASES_MAX];
    unsigned n_fds;
    uint8_t *packed, *raw; /* PACK_RAW_MAX each, from the first chunk on */
};

static void drop_fds(struct unpack *u)
{
    for (unsigned i = 0; i < u->n_fds; i++)
        (void)close(u->fds[i]);
    u->n_fds = 0;
}

/* 1: *ret is the next ask, its descriptors are in u; 0: no more. */
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

    drop_fds(u); /* first: the limit on open files leaves room for one set */
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

static int chunk(struct unpack *u, const struct unpack_ask *ask, struct err *err)
{
    int r = 0;

    if (ask->codec >= PACK_CODEC_COUNT_ || ask->packed_bytes > PACK_RAW_MAX || ask->raw_bytes > PACK_RAW_MAX)
        return err_set(err, ERR_INVALID, "a chunk of codec %u with %u bytes", ask->codec, ask->packed_bytes);
    if (!u->raw) {
        u->packed = mem_need(PACK_RAW_MAX);
        u->raw = mem_need(PACK_RAW_MAX);
    }
    if (!u->codecs[ask->codec])
        r = codec_new((enum pack_codec)ask->codec, &u->codecs[ask->codec], err);
    if (r == 0 && fs_read_full(ASK_FD, u->packed, ask->packed_bytes, err) != (ssize_t)ask->packed_bytes)
        r = err_set(err, ERR_IO, "half a chunk");
    if (r == 0)
        r = codec_chunk(u->codecs[ask->codec], buf_of(u->packed, ask->packed_bytes), u->raw,
                        (size_t)ask->raw_bytes, err);
    return r < 0 ? r : fs_write_full(OUT_FD, buf_of(u->raw, (size_t)ask->raw_bytes), err);
}

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

    if (!u->patch || ask->n_bases != u->n_fds)
        return err_set(err, ERR_INVALID, "an object without a patch or its bases");
    for (unsigned i = 0; i < ask->n_bases; i++)
        bases[i] = (struct patch_base){u->fds[i], ask->sizes[i]};
    return patch_object(u->patch, bases, ask->n_bases, ask->raw_bytes, to_pipe, NULL, err);
}

static int serve(struct unpack *u, struct err *err)
{
    struct unpack_ask ask;
    int r;

    while ((r = next_ask(u, &ask, err)) > 0) {
        switch (ask.op) {
        case UNPACK_CHUNK:
            r = chunk(u, &ask, err);
            break;
        case UNPACK_PATCH:
            r = begin_patch(u, err);
            break;
        case UNPACK_OBJECT:
            r = object(u, &ask, err);
            break;
        default:
            r = u->patch ? patch_end(u->patch, err) : 0;
        }
        if (r < 0)
            return r;
    }
    return r;
}

int main(int argc, char **argv)
{
    static struct unpack u;
    struct err err = ERR_INIT;

    if (argc != 4 || strcmp(argv[1], "unpack") != 0)
        return 2;
    int r = crypto_init(&err);
    if (r == 0)
        r = worker_enter(argv[2], argv[3], DATA_BYTES, FILES, &err);
    if (r == 0)
        r = serve(&u, &err);
    return worker_verdict(r, &err);
}
