#include "ota/pack/patch.h"

static void put_u32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void patch_head_encode(const struct patch_head *h, uint8_t dst[PATCH_HEAD_BYTES])
{
    memcpy(dst, PATCH_MAGIC, 8);
    dst[8] = (uint8_t)h->codec;
    dst[9] = h->props;
    dst[10] = h->predicted ? PATCH_HAS_PREDICTED : 0;
    dst[11] = 0;
    put_u32(dst + 12, h->segments);
    put_u32(dst + 16, h->max_covers);
    put_u32(dst + 20, h->max_pieces);
    put_u32(dst + 24, h->memory);
    put_u32(dst + 28, (uint32_t)h->raw_bytes);
    put_u32(dst + 32, (uint32_t)(h->raw_bytes >> 32));
}

int patch_head_decode(const uint8_t src[PATCH_HEAD_BYTES], struct patch_head *ret, struct err *err)
{
    struct patch_head h = {
        .codec = (enum pack_codec)src[8],
        .props = src[9],
        .predicted = src[10] & PATCH_HAS_PREDICTED,
        .segments = get_u32(src + 12),
        .max_covers = get_u32(src + 16),
        .max_pieces = get_u32(src + 20),
        .memory = get_u32(src + 24),
        .raw_bytes = get_u32(src + 28) | (uint64_t)get_u32(src + 32) << 32,
    };

    if (memcmp(src, PATCH_MAGIC, 8) != 0)
        return err_set(err, ERR_INVALID, "no patch pack, or of another version");
    if (codec_segment_max(h.codec) == 0)
        return err_set(err, ERR_UNSUPPORTED, "patch pack: unknown codec %u", src[8]);
    if (src[10] & ~PATCH_HAS_PREDICTED || src[11] != 0)
        return err_set(err, ERR_UNSUPPORTED, "patch pack: unknown flags");
    if (h.max_covers > LIM_PATCH_COVERS || h.max_pieces > LIM_PATCH_COVERS ||
        (h.max_pieces > 0 && !h.predicted))
        return err_set(err, ERR_INVALID, "patch pack: more than %d covers", LIM_PATCH_COVERS);
    size_t need = patch_memory(h.codec, h.max_covers, h.max_pieces, h.predicted);
    if (need > LIM_PATCH_BYTES || h.memory > LIM_PATCH_BYTES)
        return err_set(err, ERR_NOSPACE, "patch pack: declares %u bytes of memory, needs %zu, %d at most",
                       h.memory, need, LIM_PATCH_BYTES);
    if (h.raw_bytes > LIM_PATCH_RAW_BYTES || h.segments > h.raw_bytes)
        return err_set(err, ERR_INVALID, "patch pack: the sizes are out of range");
    *ret = h;
    return 0;
}
