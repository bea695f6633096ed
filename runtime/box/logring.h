/* logring.h - the last bytes that one app wrote to stdout and stderr, in a file of fixed size that outlives
 * the writer. The ring is shared memory (a file below /run): killing the process at any instant loses no byte
 * that it had read from the pipe and repeats none. Each record: 64-bit wall time in ms, stream ('o', 'e'),
 * flags, text. One writer; readers open the file themselves and may lag (they notice when they were overrun).
 */
#ifndef RUNTIME_LOGRING_H
#define RUNTIME_LOGRING_H
#include <stdbool.h>
#include <stdint.h>

#include "platform/err.h"
#include "platform/mem.h"

struct logring;
/* Open dir_fd/name or make it with room for bytes of records; an existing ring keeps its records (and its
 * size when the same; else they are copied as far as they fit). What a killed writer had read but not filed
 * is filed now. Owner: caller. Errors: NOSPACE, IO. */
NODISCARD int logring_open(int dir_fd, const char *name, uint32_t bytes, struct logring **ret,
                           struct err *err);
struct logring *logring_free(struct logring *r);
DEFINE_AUTO(logring)

/* Read what pipe_fd (non-blocking) has, straight into the shared ring, split into lines (LIM_LOG_LINE_BYTES
 * at most, longer ones are cut into marked pieces), stamp and file them. stream: 'o' or 'e'. Returns bytes
 * read, 0 at end of file, -AGAIN when the pipe was empty. An unfinished line waits in the ring for its
 * rest. At end of file it is filed as it is. */
NODISCARD int logring_pump(struct logring *r, int pipe_fd, char stream, uint64_t wall_ms, struct err *err);

/* Readers: start at the oldest (seq 0) or with *seq of the last call. */
struct logring_line {
    uint64_t seq, wall_ms;
    char stream;
    bool partial;     /* the line continues in the next record */
    const char *text; /* not NUL-terminated, valid until the next call */
    uint32_t len;
    uint64_t lost; /* records overwritten before they could be read */
};
/* An existing ring, read-only. Owner: caller (logring_free). Errors: NOTFOUND, INVALID (no ring), IO. */
NODISCARD int logring_open_read(int dir_fd, const char *name, struct logring **ret, struct err *err);
/* The first record with seq >= *seq: 1 and *seq moved behind it, 0 none. */
int logring_next(struct logring *r, uint64_t *seq, struct logring_line *ret);
/* seq from which at most n lines are left. */
uint64_t logring_tail(struct logring *r, uint32_t n);
#endif
