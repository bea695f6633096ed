/* pack_codec.h - names of the codecs of packs: apart from codec.h, so that code that only names them needs no
 * library. Pure. */
#ifndef OTA_PACK_CODEC_H
#define OTA_PACK_CODEC_H
#include <stdbool.h>

/* As they stand in heads. The last four undo a filter for machine code (relative calls) after LZMA: for
 * chunks of executables; they need the liblzma of the device to know the filter (codec_known). */
enum pack_codec {
    PACK_RAW,
    PACK_LZ4,
    PACK_LZMA,
    PACK_LZMA_X86,
    PACK_LZMA_ARM,
    PACK_LZMA_THUMB,
    PACK_LZMA_ARM64, /* liblzma 5.4 */
    PACK_CODEC_COUNT_
};

/* "raw", "lz4", "lzma", "lzma-x86" ..., static. */
const char *pack_codec_name(enum pack_codec codec);
/* The inverse; -1: none of them. */
int pack_codec_parse(const char *name);
/* Was this built with it? */
bool pack_codec_is_built(enum pack_codec codec);
#endif
