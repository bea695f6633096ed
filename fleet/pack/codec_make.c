#include "fleet/pack/codec_make.h"

#include <lz4.h>
#include <lz4hc.h>
#ifdef WITH_LZMA
#include <lzma.h>
#endif

size_t codec_make_bound(size_t raw_len)
{
    return raw_len + raw_len / 64 + (raw_len / CODEC_BLOCK + 1) * 64 + 256;
}

static int too_long(struct err *err, enum pack_codec codec, size_t len)
{
    return err_set(err, ERR_INVALID, "%s: %zu bytes in one piece", pack_codec_name(codec), len);
}

static int no_room(struct err *err, enum pack_codec codec, size_t size)
{
    return err_set(err, ERR_NOSPACE, "%s: the packed bytes need more than %zu bytes", pack_codec_name(codec),
                   size);
}

/* ---- LZMA ---- */

#ifdef WITH_LZMA
static int lzma_make(enum pack_codec codec, uint8_t props, struct buf raw, uint8_t *dst, size_t size,
                     size_t *ret_len, struct err *err)
{
    lzma_options_lzma o;
    lzma_filter chain[3] = {{LZMA_FILTER_LZMA1, &o}, {LZMA_VLI_UNKNOWN, NULL}, {LZMA_VLI_UNKNOWN, NULL}};

    if (lzma_lzma_preset(&o, 9 | LZMA_PRESET_EXTREME))
        return err_set(err, ERR_UNSUPPORTED, "liblzma has no preset 9e");
    o.dict_size = CODEC_BLOCK;
    o.lc = props % 9;
    o.lp = props / 9 % 5;
    o.pb = props / 45;
    if (codec != PACK_LZMA) {
        chain[1] = chain[0];
        chain[0] = (lzma_filter){codec_filter(codec), NULL};
    }
    size_t at = 0;
    lzma_ret z = lzma_raw_buffer_encode(chain, NULL, raw.p, raw.len, dst, &at, size);
    if (z == LZMA_BUF_ERROR)
        return no_room(err, codec, size);
    if (z != LZMA_OK)
        return err_set(err, z == LZMA_MEM_ERROR ? ERR_NOMEM : ERR_UNSUPPORTED, "%s: the library refuses (%d)",
                       pack_codec_name(codec), (int)z);
    *ret_len = at;
    return 0;
}
#else
static int lzma_make(enum pack_codec codec, uint8_t props, struct buf raw, uint8_t *dst, size_t size,
                     size_t *ret_len, struct err *err)
{
    (void)props, (void)raw, (void)dst, (void)size, (void)ret_len;
    return err_set(err, ERR_UNSUPPORTED, "%s: built without liblzma", pack_codec_name(codec));
}
#endif

/* ---- one piece ---- */

static int raw_make(struct buf raw, uint8_t *dst, size_t size, size_t *ret_len, struct err *err)
{
    if (raw.len > size)
        return no_room(err, PACK_RAW, size);
    memcpy(dst, raw.p, raw.len);
    *ret_len = raw.len;
    return 0;
}

int codec_make_chunk(enum pack_codec codec, struct buf raw, uint8_t *dst, size_t size, size_t *ret_len,
                     struct err *err)
{
    if (raw.len == 0 || raw.len > LIM_CHUNK_RAW)
        return too_long(err, codec, raw.len);
    if (codec == PACK_RAW)
        return raw_make(raw, dst, size, ret_len, err);
    if (codec != PACK_LZ4)
        return lzma_make(codec, CODEC_PROPS, raw, dst, size, ret_len, err);
    int n = LZ4_compress_HC((const char *)raw.p, (char *)dst, (int)raw.len,
                            size < INT32_MAX ? (int)size : INT32_MAX, LZ4HC_CLEVEL_MAX);
    if (n <= 0)
        return no_room(err, codec, size);
    *ret_len = (size_t)n;
    return 0;
}

#define STORED 0x80000000U

static void put_u32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* One block of a segment behind its length; stored when lz4 does not shrink it. Returns its bytes, 0: no
 * room. */
static size_t lz4_block(LZ4_streamHC_t *s, const uint8_t *from, size_t len, uint8_t *dst, size_t size)
{
    uint8_t packed[CODEC_BLOCK + CODEC_BLOCK / 255 + 16];
    int n = LZ4_compress_HC_continue(s, (const char *)from, (char *)packed, (int)len, sizeof(packed));
    bool stored = n <= 0 || (size_t)n >= len;
    size_t bytes = stored ? len : (size_t)n;

    if (size < 4 || size - 4 < bytes)
        return 0;
    put_u32(dst, (uint32_t)bytes | (stored ? STORED : 0));
    memcpy(dst + 4, stored ? from : packed, bytes);
    return 4 + bytes;
}

static int lz4_make(struct buf raw, uint8_t *dst, size_t size, size_t *ret_len, struct err *err)
{
    LZ4_streamHC_t *s = LZ4_createStreamHC();
    size_t at = 0;

    if (!s)
        return err_set(err, ERR_NOMEM, "no memory for lz4");
    LZ4_resetStreamHC_fast(s, LZ4HC_CLEVEL_MAX);
    for (size_t i = 0; i < raw.len; i += CODEC_BLOCK) {
        size_t len = raw.len - i < CODEC_BLOCK ? raw.len - i : CODEC_BLOCK;
        size_t n = lz4_block(s, raw.p + i, len, dst + at, size - at);
        if (n == 0) {
            (void)LZ4_freeStreamHC(s);
            return no_room(err, PACK_LZ4, size);
        }
        at += n;
    }
    (void)LZ4_freeStreamHC(s);
    *ret_len = at;
    return 0;
}

int codec_make_segment(enum pack_codec codec, uint8_t props, struct buf raw, uint8_t *dst, size_t size,
                       size_t *ret_len, struct err *err)
{
    if (raw.len == 0 || raw.len > codec_segment_max(codec))
        return too_long(err, codec, raw.len);
    if (codec == PACK_RAW)
        return raw_make(raw, dst, size, ret_len, err);
    return codec == PACK_LZ4 ? lz4_make(raw, dst, size, ret_len, err)
                             : lzma_make(codec, props, raw, dst, size, ret_len, err);
}
