/* cdc.h - content-defined chunking: the same bytes are cut at the same places wherever they occur. A gear
 * hash with two masks around the target size (the idea of FastCDC). Used on both sides, so it must never
 * change within a pack format. Pure. */
#ifndef OTA_CDC_H
#define OTA_CDC_H
#include "platform/mem.h"

struct cdc { /* chunk sizes in bytes; bits: log2 of the target size, 3 to 30 */
    uint32_t min, bits, max;
};
/* For the tree and table of a full pack, and for its large objects. */
extern const struct cdc cdc_document, cdc_object;

/* Length of the first chunk of bytes, which must be all that is left or at least c->max of it. 0 only for no
 * bytes. */
size_t cdc_cut(const struct cdc *c, struct buf bytes);
#endif
