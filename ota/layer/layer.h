/* layer.h - reads one layer blob from an fd: decompress, untar, hash. Used by the sandboxed untar program.
 * Reads fd, writes nothing, uses about 200 KiB, for zstd up to LIM_ZSTD_BYTES more. */
#ifndef OTA_LAYER_H
#define OTA_LAYER_H
#include "ota/doc/entry.h"
#include "ota/doc/oci.h"

struct layer_calls {
    /* Each returns 0, or -kind with err filled to stop. bytes: content of the current entry, in pieces. */
    int (*on_entry)(void *arg, const struct entry *e, struct err *err);
    int (*on_bytes)(void *arg, struct buf bytes, struct err *err);
    void *arg;
};
/* Read fd from its current offset to its end. max_tar_bytes: maximum size of the uncompressed stream.
 * *ret_diff_id: its SHA-256. Errors: INVALID (larger, corrupt), UNSUPPORTED (zstd with a larger window, or
 * built without it), IO, and what the callbacks return. */
NODISCARD int layer_read(int fd, enum oci_codec codec, uint64_t max_tar_bytes,
                         const struct layer_calls *calls, struct digest *ret_diff_id, uint64_t *ret_tar_bytes,
                         struct err *err);

/* The largest tar stream that fits a budget: contents, and per entry its header, padding and extension
 * headers. */
uint64_t layer_max_tar(uint64_t max_bytes, uint64_t max_inodes);
/* "tar", "gzip", "zstd", and the inverse (-1: unknown). */
const char *layer_codec_name(enum oci_codec codec);
int layer_codec_parse(const char *name);
#endif
