/* A packed piece: codec, properties, steps, raw length, then the bytes; as a chunk and as a segment. */
#include "fleet/pack/codec_make.h"
#include "tests/fuzz/fuzz.h"

static void as_segment(struct codec *c, struct buf in, size_t raw_len, size_t step)
{
    static uint8_t out[LIM_SEGMENT_LZMA_RAW];
    struct err err = ERR_INIT;
    struct buf now = {in.p, 0};
    size_t at = 0, n = 0;
    int r = codec_begin(c, raw_len, &err);

    while (r == 0 && at < raw_len && (n > 0 || now.p + now.len < in.p + in.len || now.len == 0)) {
        size_t left = (size_t)(in.p + in.len - now.p),
               room = step * 5 < raw_len - at ? step * 5 : raw_len - at;
        if (n == 0 && left == now.len && at > 0)
            break;
        if (n == 0)
            now.len = now.len + step < left ? now.len + step : left;
        r = codec_step(c, &now, out + at, room, &n, &err);
        FUZZ_CHECK(r < 0 || n <= room);
        at += r == 0 ? n : 0;
        if (r == 0 && n == 0 && now.p + now.len == in.p + in.len)
            break;
    }
    if (r == 0)
        err_ignore(codec_end(c, buf_of(now.p, (size_t)(in.p + in.len - now.p)), &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct codec *codecs[PACK_CODEC_COUNT_];
    static uint8_t out[LIM_CHUNK_RAW];
    struct err err = ERR_INIT;

    if (len < 6)
        return 0;
    unsigned id = data[0] % PACK_CODEC_COUNT_;
    size_t raw_len = (size_t)data[3] | (size_t)data[4] << 8 | (size_t)data[5] << 16;
    struct buf in = buf_of(data + 6, len - 6);
    if (!codec_known((enum pack_codec)id))
        return 0;
    if (!codecs[id])
        FUZZ_CHECK(codec_new((enum pack_codec)id, &codecs[id], &err) == 0);
    err_ignore(codec_set_props(codecs[id], data[1], &err));
    err_ignore(codec_chunk(codecs[id], in, out, raw_len, &err));
    as_segment(codecs[id], in, raw_len, (size_t)data[2] * data[2] + 1);
    return 0;
}

void fuzz_seeds(void (*fn)(const uint8_t *data, size_t len))
{
    static uint8_t raw[70000], packed[100000];
    struct err err = ERR_INIT;

    for (size_t i = 0; i < sizeof(raw); i++)
        raw[i] = i % 90 < 80 ? (uint8_t) "a line of text, "[i % 16] : (uint8_t)(i >> 6);
    for (unsigned id = 0; id < 2 * PACK_CODEC_COUNT_; id++) {
        enum pack_codec codec = (enum pack_codec)(id % PACK_CODEC_COUNT_);
        bool segment = id >= PACK_CODEC_COUNT_;
        size_t n = 0, len = segment && codec == PACK_LZ4 ? sizeof(raw) : 700;
        if (!codec_known(codec) || (segment && codec_segment_max(codec) == 0))
            continue;
        packed[0] = (uint8_t)codec;
        packed[1] = CODEC_PROPS;
        packed[2] = (uint8_t)(id * 9);
        packed[3] = (uint8_t)len;
        packed[4] = (uint8_t)(len >> 8);
        packed[5] = (uint8_t)(len >> 16);
        int r = segment ? codec_make_segment(codec, CODEC_PROPS, buf_of(raw, len), packed + 6,
                                             sizeof(packed) - 6, &n, &err)
                        : codec_make_chunk(codec, buf_of(raw, len), packed + 6, sizeof(packed) - 6, &n, &err);
        FUZZ_CHECK(r == 0);
        fn(packed, n + 6);
    }
}
