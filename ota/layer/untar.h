/* untar.h - reads a tar stream: a step codec without I/O. ustar, pax and GNU long names; bounded memory.
 * Refused with the entry's name: sparse files, unknown types, device nodes, FIFOs and sockets outside dev/,
 * negative base-256 numbers, sizes on entries without content, bad checksums, archives truncated within an
 * entry and anything but zeros after the end. */
#ifndef OTA_UNTAR_H
#define OTA_UNTAR_H
#include "ota/doc/entry.h"

#define UNTAR_META_BYTES (256 * 1024) /* one pax or GNU header: a 64 KiB xattr and long names fit */

enum untar_event {
    UNTAR_NEED = 0, /* *in is used up: give more, or call untar_end if there is no more */
    UNTAR_ENTRY,    /* untar_entry() is the next one; classified, not yet checked */
    UNTAR_BYTES,    /* *ret_bytes: content of the current entry, in the caller's buffer */
};

struct untar;                  /* opaque */
struct untar *untar_new(void); /* never NULL */
struct untar *untar_free(struct untar *u);
DEFINE_AUTO(untar)

/* Advance one step, taking bytes from the front of *in. Returns an untar_event, or -INVALID or -UNSUPPORTED
 * with the entry's name. After an error only untar_free may be called. */
NODISCARD int untar_step(struct untar *u, struct buf *in, struct buf *ret_bytes, struct err *err);
const struct entry *untar_entry(const struct untar *u);
/* End of input: 0 if the archive ends there too. Errors: INVALID (truncated). */
NODISCARD int untar_end(const struct untar *u, struct err *err);
#endif
