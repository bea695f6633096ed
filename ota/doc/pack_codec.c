#include "ota/doc/pack_codec.h"

#include <string.h>

#include "platform/mem.h"

static const char *const names[] = {
    [PACK_RAW] = "raw",
    [PACK_LZ4] = "lz4",
    [PACK_LZMA] = "lzma",
    [PACK_LZMA_X86] = "lzma-x86",
    [PACK_LZMA_ARM] = "lzma-arm",
    [PACK_LZMA_THUMB] = "lzma-thumb",
    [PACK_LZMA_ARM64] = "lzma-arm64",
};
_Static_assert(COUNT_OF(names) == PACK_CODEC_COUNT_, "a name for each codec");

const char *pack_codec_name(enum pack_codec codec)
{
    return (unsigned)codec < PACK_CODEC_COUNT_ ? names[codec] : "unknown";
}

int pack_codec_parse(const char *name)
{
    for (int i = 0; i < PACK_CODEC_COUNT_; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

bool pack_codec_is_built(enum pack_codec codec)
{
#ifdef WITH_LZMA
    return (unsigned)codec < PACK_CODEC_COUNT_;
#else
    return codec == PACK_RAW || codec == PACK_LZ4;
#endif
}
