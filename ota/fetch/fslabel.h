/* fslabel.h - which file system a block device holds, and its label: a few fixed places are read, nothing is
 * believed but the magic numbers of those that a stick may have. Private to agentd-fetch. Threads: none.
 * Blocks: yes. */
#ifndef OTA_FSLABEL_H
#define OTA_FSLABEL_H
#include "ota/doc/source.h"

struct fslabel {
    const char *type;               /* as mount(2) calls it: vfat, exfat, ext4 (also 2 and 3), iso9660 */
    char label[SOURCE_LABEL_BYTES]; /* printable ASCII, "" when there is none */
};
/* fd: the device or an image of it. Errors: UNSUPPORTED (none of these), IO. */
NODISCARD int fslabel_probe(int fd, struct fslabel *ret, struct err *err);
#endif
