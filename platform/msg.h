/* msg.h - messages with fds between our own processes, over SOCK_SEQPACKET: one send is one receive. */
#ifndef PLATFORM_MSG_H
#define PLATFORM_MSG_H
#include "platform/err.h"
#include "platform/limits.h"
#include "platform/mem.h"

/* A connected pair, both ends O_CLOEXEC, buffers large enough for LIM_MSG_BYTES. Errors: NOSPACE, IO. */
NODISCARD int msg_pair(int *ret_a, int *ret_b, struct err *err);

/* fds are duplicated into the message; the caller keeps its own. n_fds <= LIM_MSG_FDS.
 * Errors: NET (peer gone), AGAIN (non-blocking and full), INVALID (too large). */
NODISCARD int msg_send(int fd, struct buf bytes, const int *fds, unsigned n_fds, struct err *err);

/* One message into dst (at most size bytes). *ret_len: its length. fds: room for LIM_MSG_FDS, O_CLOEXEC,
 * owner: caller; *ret_n_fds: how many arrived. With fds == NULL any received are closed. Returns 1 got one, 0
 * peer closed, -AGAIN nothing available (non-blocking), -INVALID larger than size (dropped). */
NODISCARD int msg_recv(int fd, void *dst, size_t size, size_t *ret_len, int *fds, unsigned *ret_n_fds,
                       struct err *err);
#endif
