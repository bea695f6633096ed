/* fslabel.h - which file system is on a block device, and its label: reads a few fixed places and relies only
 * on the magic numbers of those that sticks may have. Private to agentd-fetch. Threads: none. Blocks: yes. */
#ifndef OTA_FSLABEL_H
#define OTA_FSLABEL_H
#include "ota/doc/source.h"

struct fslabel {
    const char *type;               /* as in mount(2): vfat, exfat, ext4 (also 2 and 3), iso9660 */
    char label[SOURCE_LABEL_BYTES]; /* printable ASCII, "" if there is none */
};
/* fd: the device or an image of it. Errors: UNSUPPORTED (none of these), IO. */
NODISCARD int fslabel_probe(int fd, struct fslabel *ret, struct err *err);
#endif
