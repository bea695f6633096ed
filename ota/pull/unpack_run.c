/* unpack_run.c - drives the sandboxed unpack program. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "ota/pull/unpack.h"
#include "platform/fs.h"

int unpack_start(char *const *argv, struct unpack_run *ret, struct err *err)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return err_errno(err, errno, "socket pair");
    int rc = sandboxed_start(argv, &ends[1], 1, &ret->child, err);
    (void)close(ends[1]);
    if (rc < 0)
        (void)close(ends[0]);
    else
        ret->ask_fd = ends[0];
    return rc;
}

/* Send a request with its descriptors; at this size a stream socket never splits it. */
static int send_ask(struct unpack_run *r, const struct unpack_ask *ask, const int *fds, unsigned n,
                    struct err *err)
{
    union {
        char room[CMSG_SPACE(sizeof(int) * PACK_BASES_MAX)];
        struct cmsghdr align;
    } control = {.room = {0}};
    struct iovec part = {(void *)(uintptr_t)ask, sizeof(*ask)};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent;

    if (n > 0) {
        msg.msg_control = control.room;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
    }
    do
        sent = sendmsg(r->ask_fd, &msg, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    /* elsewhere EPIPE is a network fault; here it means that the program exited */
    return sent == (ssize_t)sizeof(*ask)
               ? 0
               : err_set(err, ERR_IO, "ask the unpack program: %s", strerror(sent < 0 ? errno : EIO));
}

int unpack_chunks(struct unpack_run *r, int packed_fd, int list_fd, uint32_t n, struct err *err)
{
    return send_ask(r, &(struct unpack_ask){.op = UNPACK_CHUNKS, .n = n}, (const int[]){packed_fd, list_fd},
                    2, err);
}

int unpack_patch(struct unpack_run *r, int pack_fd, struct err *err)
{
    return send_ask(r, &(struct unpack_ask){.op = UNPACK_PATCH}, &pack_fd, 1, err);
}

int unpack_object(struct unpack_run *r, const int *fds, const uint64_t *sizes, unsigned n, uint64_t raw_bytes,
                  struct err *err)
{
    struct unpack_ask ask = {.op = UNPACK_OBJECT, .n = n, .raw_bytes = raw_bytes};

    for (unsigned i = 0; i < n; i++)
        ask.sizes[i] = sizes[i];
    return send_ask(r, &ask, fds, n, err);
}

int unpack_finish(struct unpack_run *r, struct err *err)
{
    return send_ask(r, &(struct unpack_ask){.op = UNPACK_END}, NULL, 0, err);
}

ssize_t unpack_take(struct unpack_run *r, void *dst, size_t size, struct err *err)
{
    ssize_t n;

    do
        n = read(r->child.out_fd, dst, size);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, errno, "read what was unpacked");
    return n > 0 ? n : err_set(err, ERR_IO, "the unpack program is gone");
}

static void stop_asking(struct unpack_run *r)
{
    mem_auto_close_(&r->ask_fd);
    r->ask_fd = -1;
}

int unpack_end(struct unpack_run *r, struct err *err)
{
    stop_asking(r);
    return sandboxed_end(&r->child, "unpack", NULL, 0, err);
}

void unpack_done(struct unpack_run *r)
{
    stop_asking(r);
    sandboxed_done(&r->child);
}
