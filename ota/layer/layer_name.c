/* layer_name.c - what programs other than untar need of layers: separate from layer.c, so that they link no
 * decompression library. */
#include "ota/layer/layer.h"

#define TAR_ENTRY_BYTES \
    4096 /* header, padding, long names; a few entries with large xattrs share the rest \
          */
#define TAR_SPARE_BYTES (1024 * 1024)

static const char *const codec_names[] = {
    [OCI_TAR] = "tar",
    [OCI_TAR_GZIP] = "gzip",
    [OCI_TAR_ZSTD] = "zstd",
};
_Static_assert(COUNT_OF(codec_names) == OCI_CODEC_COUNT_, "a name for each codec");

const char *layer_codec_name(enum oci_codec codec)
{
    return codec_names[codec];
}

int layer_codec_parse(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(codec_names); i++)
        if (strcmp(codec_names[i], name) == 0)
            return (int)i;
    return -1;
}

uint64_t layer_max_tar(uint64_t max_bytes, uint64_t max_inodes)
{
    return max_bytes + max_inodes * TAR_ENTRY_BYTES + TAR_SPARE_BYTES;
}
