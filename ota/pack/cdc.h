/* cdc.h - cutting bytes by their content, so that the same bytes are cut at the same places wherever they
 * stand: a gear hash with two masks around the wanted size (the idea of FastCDC). Used on both sides, so it
 * may never change within a pack format. Pure. */
#ifndef OTA_CDC_H
#define OTA_CDC_H
#include "platform/mem.h"

struct cdc { /* chunk sizes in bytes; bits: of the wanted size, 3 to 30 */
    uint32_t min, bits, max;
};
/* Of the tree and table of a full pack, and of its large objects. */
extern const struct cdc cdc_document, cdc_object;

/* Length of the first chunk of bytes, which are all that is left or at least c->max of it. 0 only for no
 * bytes. */
size_t cdc_cut(const struct cdc *c, struct buf bytes);
#endif
