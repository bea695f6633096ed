/* pack_codec.h - names of pack codecs: separate from codec.h, so that code which only names them needs no
 * library. Pure. */
#ifndef OTA_PACK_CODEC_H
#define OTA_PACK_CODEC_H
#include <stdbool.h>

/* As in pack heads. The last four undo a filter for machine code (relative calls) after LZMA: for chunks of
 * executables; the device's liblzma must support the filter (codec_known). */
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
/* The inverse; -1: unknown. */
int pack_codec_parse(const char *name);
/* Was support for it compiled in? */
bool pack_codec_is_built(enum pack_codec codec);
#endif
