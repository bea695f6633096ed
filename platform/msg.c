#include "platform/msg.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

int msg_pair(int *ret_a, int *ret_b, struct err *err)
{
    int p[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
        return err_errno(err, errno, "socketpair");
    int size = 2 * LIM_MSG_BYTES;
    for (int i = 0; i < 2; i++) {
        (void)setsockopt(p[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        (void)setsockopt(p[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    *ret_a = p[0];
    *ret_b = p[1];
    return 0;
}

union fd_room {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * LIM_MSG_FDS)];
};

int msg_send(int fd, struct buf bytes, const int *fds, unsigned n_fds, struct err *err)
{
    if (bytes.len > LIM_MSG_BYTES || n_fds > LIM_MSG_FDS)
        return err_set(err, ERR_INVALID, "message of %zu bytes and %u fds is too large", bytes.len, n_fds);
    struct iovec iov = {(void *)(uintptr_t)bytes.p, bytes.len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    union fd_room room;
    if (n_fds) {
        memset(&room, 0, sizeof(room));
        m.msg_control = room.bytes;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    for (;;) {
        if (sendmsg(fd, &m, MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno == EINTR)
            continue;
        return err_errno(err, errno, "send to the other process");
    }
}

/* Take the fds out of a received message; excess ones are closed. */
static void take_fds(struct msghdr *m, int *fds, unsigned *ret_n)
{
    unsigned n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        unsigned got = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (unsigned i = 0; i < got; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (fds && n < LIM_MSG_FDS)
                fds[n++] = fd;
            else
                (void)close(fd);
        }
    }
    if (ret_n)
        *ret_n = n;
}

int msg_recv(int fd, void *dst, size_t size, size_t *ret_len, int *fds, unsigned *ret_n_fds, struct err *err)
{
    struct iovec iov = {dst, size};
    union fd_room room;
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof(room)};
    ssize_t n;

    do
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, errno, "receive from the other process");
    bool cut = m.msg_flags & MSG_TRUNC;
    take_fds(&m, cut ? NULL : fds, ret_n_fds);
    if (cut)
        return err_set(err, ERR_INVALID, "message larger than %zu bytes", size);
    if (n == 0)
        return 0;
    *ret_len = (size_t)n;
    return 1;
}
