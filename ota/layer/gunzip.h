/* gunzip.h - decodes a gzip stream: a step codec without I/O; the only place that uses zlib. 32 KiB window,
 * so about 45 KiB. Several members may follow each other; anything else after a member is refused. */
#ifndef OTA_GUNZIP_H
#define OTA_GUNZIP_H
#include "platform/err.h"
#include "platform/mem.h"

struct gunzip; /* opaque */
/* Errors: NOMEM. Owner: caller. */
NODISCARD int gunzip_new(struct gunzip **ret, struct err *err);
struct gunzip *gunzip_free(struct gunzip *g);
DEFINE_AUTO(gunzip)

/* Take bytes from the front of *in, put at most size into dst; *ret_len: how many. If *ret_len < size, *in is
 * used up. Errors: INVALID (not gzip, corrupt, trailing garbage). */
NODISCARD int gunzip_step(struct gunzip *g, struct buf *in, void *dst, size_t size, size_t *ret_len,
                          struct err *err);
/* End of input: 0 if a member ends there too. Errors: INVALID (truncated). */
NODISCARD int gunzip_end(const struct gunzip *g, struct err *err);
#endif
