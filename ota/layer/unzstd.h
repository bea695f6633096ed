/* unzstd.h - reading a zstd stream: a step codec without I/O; the only place that knows libzstd. Frames may
 * follow each other, skippable ones too; anything else behind a frame is refused, and so are old formats of
 * before zstd 0.8, dictionaries and windows above LIM_ZSTD_WINDOW. Takes at most LIM_ZSTD_BYTES, mostly what
 * the frame's window asks. */
#ifndef OTA_UNZSTD_H
#define OTA_UNZSTD_H
#include "platform/err.h"
#include "platform/mem.h"

struct unzstd; /* opaque */
/* Errors: NOMEM, UNSUPPORTED (built without it). Owner: caller. */
NODISCARD int unzstd_new(struct unzstd **ret, struct err *err);
struct unzstd *unzstd_free(struct unzstd *z);
DEFINE_AUTO(unzstd)

/* Take bytes from the front of *in, put at most size into dst; *ret_len: how many. When *ret_len < size, *in
 * is used up. Errors: INVALID (no zstd, damaged, garbage behind it), UNSUPPORTED (window), NOMEM. */
NODISCARD int unzstd_step(struct unzstd *z, struct buf *in, void *dst, size_t size, size_t *ret_len,
                          struct err *err);
/* The input has ended: 0 when a frame had too. Errors: INVALID (cut off). */
NODISCARD int unzstd_end(const struct unzstd *z, struct err *err);
#endif
