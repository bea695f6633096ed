/* unzstd.h - decodes a zstd stream: a step codec without I/O; the only place that uses libzstd. Several
 * frames may follow each other, including skippable ones; anything else after a frame is refused, and so are
 * formats older than zstd 0.8, dictionaries and windows above LIM_ZSTD_WINDOW. Takes at most LIM_ZSTD_BYTES,
 * mostly the frame's window. */
#ifndef OTA_UNZSTD_H
#define OTA_UNZSTD_H
#include "platform/err.h"
#include "platform/mem.h"

struct unzstd; /* opaque */
/* Errors: NOMEM, UNSUPPORTED (built without it). Owner: caller. */
NODISCARD int unzstd_new(struct unzstd **ret, struct err *err);
struct unzstd *unzstd_free(struct unzstd *z);
DEFINE_AUTO(unzstd)

/* Take bytes from the front of *in, put at most size into dst; *ret_len: how many. If *ret_len < size, *in is
 * used up. Errors: INVALID (not zstd, corrupt, trailing garbage), UNSUPPORTED (window), NOMEM. */
NODISCARD int unzstd_step(struct unzstd *z, struct buf *in, void *dst, size_t size, size_t *ret_len,
                          struct err *err);
/* End of input: 0 if a frame ends there too. Errors: INVALID (truncated). */
NODISCARD int unzstd_end(const struct unzstd *z, struct err *err);
#endif
