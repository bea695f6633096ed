/* logring.h - the last bytes that one app wrote to stdout and stderr, in a file of fixed size that outlives
 * the writer. The ring is shared memory (a file below /run): killing the process at any moment neither loses
 * nor repeats a byte that it had read from the pipe. Each record: 64-bit wall time in ms, stream ('o', 'e'),
 * flags, text. One writer; readers open the file themselves and may lag (they notice when overrun). */
#ifndef RUNTIME_LOGRING_H
#define RUNTIME_LOGRING_H
#include <stdbool.h>
#include <stdint.h>

#include "platform/err.h"
#include "platform/mem.h"

struct logring;
/* Open dir_fd/name or create it with room for bytes of records; an existing ring keeps its records (and its
 * size if the same; otherwise they are copied as far as they fit). What a killed writer had read but not
 * stored is stored now. Owner: caller. Errors: NOSPACE, IO. */
NODISCARD int logring_open(int dir_fd, const char *name, uint32_t bytes, struct logring **ret,
                           struct err *err);
struct logring *logring_free(struct logring *r);
DEFINE_AUTO(logring)

/* Read what pipe_fd (non-blocking) has, directly into the shared ring, split into lines (at most
 * LIM_LOG_LINE_BYTES, longer ones are cut into marked pieces), stamp and store them. stream: 'o' or 'e'.
 * Returns bytes read, 0 at end of file, -AGAIN if the pipe was empty. An unfinished line waits in the ring
 * for its rest. At end of file it is stored as it is. */
NODISCARD int logring_pump(struct logring *r, int pipe_fd, char stream, uint64_t wall_ms, struct err *err);

/* Readers: start at the oldest (seq 0) or with *seq from the last call. */
struct logring_line {
    uint64_t seq, wall_ms;
    char stream;
    bool partial;     /* the line continues in the next record */
    const char *text; /* not NUL-terminated, valid until the next call */
    uint32_t len;
    uint64_t lost; /* records overwritten before they could be read */
};
/* Open an existing ring, read-only. Owner: caller (logring_free). Errors: NOTFOUND, INVALID (not a ring),
 * IO. */
NODISCARD int logring_open_read(int dir_fd, const char *name, struct logring **ret, struct err *err);
/* The first record with seq >= *seq: 1 and *seq is advanced past it, 0 none. */
int logring_next(struct logring *r, uint64_t *seq, struct logring_line *ret);
/* The seq from which at most n lines are left. */
uint64_t logring_tail(struct logring *r, uint32_t n);
#endif
