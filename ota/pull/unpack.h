/* unpack.h - the sandboxed program that decodes packs (agentd-unpack), and how a job drives it. It gets
 * packed bytes and open files, and writes plain bytes into a pipe; the caller hashes them. Every size is
 * known in advance, so neither side trusts the other. Private to ota/.
 *
 * argv: PROGRAM unpack UID GID. fd 3: verdict line. fd 4: a unix stream socket with requests. fd 5: output.
 * A request is one struct unpack_ask, with descriptors on its first byte (SCM_RIGHTS):
 *   UNPACK_CHUNKS  two descriptors: a pipe of packed bytes, and the list of these n chunks (fetch.h; aside:
 *                  unpack_aside); output: the raw bytes of all
 *   UNPACK_PATCH   one descriptor: a patch pack
 *   UNPACK_OBJECT  n_bases descriptors of sizes[]: the next object of the patch; output: raw_bytes
 *   UNPACK_END     the patch must be used up
 * It exits at end of file on the socket. */
#ifndef OTA_UNPACK_H
#define OTA_UNPACK_H
#include "ota/layer/sandboxed.h"
#include "ota/pack/pack.h"
#include "platform/mem.h"

enum unpack_op { UNPACK_CHUNKS, UNPACK_PATCH, UNPACK_OBJECT, UNPACK_END };
struct unpack_ask { /* between two programs of the same build */
    uint32_t op, n; /* chunks, bases */
    uint64_t raw_bytes, sizes[PACK_BASES_MAX];
};
/* What the list of chunks says in addition to where the packed bytes are. */
static inline uint32_t unpack_aside(uint32_t codec, uint32_t raw_bytes)
{
    return codec << 24 | raw_bytes;
}

struct unpack_run {
    struct sandboxed child;
    int ask_fd;
};
/* argv: the program and its first arguments, {"agentd-unpack","unpack","65534","65534",NULL}. Errors: IO. */
NODISCARD int unpack_start(char *const *argv, struct unpack_run *ret, struct err *err);
/* Send a request; then exactly the raw bytes must be read from r->child.out_fd (unpack_take). Errors: IO (it
 * exited: unpack_end has the reason). */
NODISCARD int unpack_chunks(struct unpack_run *r, int packed_fd, int list_fd, uint32_t n, struct err *err);
/* pack_fd: the patch pack, borrowed. No output. Errors: IO. */
NODISCARD int unpack_patch(struct unpack_run *r, int pack_fd, struct err *err);
/* n bases: descriptors (borrowed) and sizes. Output: raw_bytes. Errors: IO. */
NODISCARD int unpack_object(struct unpack_run *r, const int *fds, const uint64_t *sizes, unsigned n,
                            uint64_t raw_bytes, struct err *err);
/* Require that the patch is used up: unpack_end reports whether it is. Errors: IO. */
NODISCARD int unpack_finish(struct unpack_run *r, struct err *err);
/* Read up to size bytes of its output, at least one. Errors: IO (it exited). */
NODISCARD ssize_t unpack_take(struct unpack_run *r, void *dst, size_t size, struct err *err);
/* Read its verdict, when all was taken or it exited; reaps it. Errors: as it reported (INVALID: corrupt),
 * IO. */
NODISCARD int unpack_end(struct unpack_run *r, struct err *err);
void unpack_done(struct unpack_run *r); /* kill and reap it if it still runs */
#endif
