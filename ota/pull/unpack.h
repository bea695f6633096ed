/* unpack.h - the sandboxed program that decodes packs (agentd-unpack), and how a job of ours drives it. It
 * gets packed bytes and open files, and writes plain bytes into a pipe; the caller hashes them. Every size
 * is known before, so that neither side trusts the other. Private to ota/.
 *
 * argv: PROGRAM unpack UID GID. fd 3: verdict line. fd 4: a unix stream socket with asks. fd 5: plain bytes.
 * An ask is one struct unpack_ask, descriptors with its first byte (SCM_RIGHTS):
 *   UNPACK_CHUNKS  two descriptors: a pipe of packed bytes, and the list of these n chunks (fetch.h; aside:
 *                  unpack_aside);
 *                  the raw bytes of all come out
 *   UNPACK_PATCH   one descriptor: a patch pack
 *   UNPACK_OBJECT  n_bases descriptors of sizes[]: the next thing of the patch; raw_bytes come out
 *   UNPACK_END     the patch must be used up
 * The socket's end is the end of its work. */
#ifndef OTA_UNPACK_H
#define OTA_UNPACK_H
#include "ota/layer/sandboxed.h"
#include "ota/pack/pack.h"
#include "platform/mem.h"

enum unpack_op { UNPACK_CHUNKS, UNPACK_PATCH, UNPACK_OBJECT, UNPACK_END };
struct unpack_ask { /* between two programs of one build */
    uint32_t op, n; /* chunks, bases */
    uint64_t raw_bytes, sizes[PACK_BASES_MAX];
};
/* What the list of chunks says beside where the packed bytes are. */
static inline uint32_t unpack_aside(uint32_t codec, uint32_t raw_bytes)
{
    return codec << 24 | raw_bytes;
}

struct unpack_run {
    struct sandboxed child;
    int ask_fd;
};
/* argv: program and its first words, {"agentd-unpack","unpack","65534","65534",NULL}. Errors: IO. */
NODISCARD int unpack_start(char *const *argv, struct unpack_run *ret, struct err *err);
/* Ask; then exactly the raw bytes are to be read from r->child.out_fd (unpack_take). Errors: IO (it is gone:
 * unpack_end knows why). */
NODISCARD int unpack_chunks(struct unpack_run *r, int packed_fd, int list_fd, uint32_t n, struct err *err);
/* pack_fd: the patch pack, borrowed. Nothing comes out. Errors: IO. */
NODISCARD int unpack_patch(struct unpack_run *r, int pack_fd, struct err *err);
/* n bases: descriptors (borrowed) and sizes. raw_bytes come out. Errors: IO. */
NODISCARD int unpack_object(struct unpack_run *r, const int *fds, const uint64_t *sizes, unsigned n,
                            uint64_t raw_bytes, struct err *err);
/* The patch is used up: unpack_end says whether that is so. Errors: IO. */
NODISCARD int unpack_finish(struct unpack_run *r, struct err *err);
/* At most size bytes of what it makes, at least one. Errors: IO (it is gone). */
NODISCARD ssize_t unpack_take(struct unpack_run *r, void *dst, size_t size, struct err *err);
/* Its verdict, when all was taken or it is gone; reaps it. Errors: as it said (INVALID: damaged), IO. */
NODISCARD int unpack_end(struct unpack_run *r, struct err *err);
void unpack_done(struct unpack_run *r); /* kill and reap, when it still runs */
#endif
