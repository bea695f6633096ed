#include "ota/pack/codec.h"
#include "fleet/pack/codec_make.h"
#include "tests/unit/check.h"

#define MOST ((size_t)LIM_SEGMENT_LZMA_RAW)

static uint8_t raw[MOST], packed[2 * MOST], out[MOST + 1];

/* Text-like bytes with matches near and far, and a part without any. */
static void fill(size_t len, unsigned seed)
{
    uint32_t x = seed * 2654435761U + 1;

    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        if (i > 70000 && x >> 28 < 12)
            raw[i] = raw[i - 1 - (x >> 8) % 65000];
        else
            raw[i] = i % 9000 < 500 ? (uint8_t)(x >> 24) : (uint8_t) "0123456789abcdef"[x >> 28];
    }
}

static int unpack(struct codec *c, struct buf in, size_t raw_len, size_t step, struct err *err)
{
    size_t at = 0, given = 0;
    struct buf now = {in.p, 0};
    int r = codec_begin(c, raw_len, err);

    while (r == 0 && at < raw_len) {
        size_t n = 0;
        r = codec_step(c, &now, out + at, step * 3 < MOST + 1 - at ? step * 3 : MOST + 1 - at, &n, err);
        at += r == 0 ? n : 0;
        if (r < 0 || n > 0)
            continue;
        if (given == in.len)
            return err_set(err, ERR_INVALID, "input used up");
        now = buf_of(now.p, now.len + (in.len - given < step ? in.len - given : step));
        given += in.len - given < step ? in.len - given : step;
    }
    return r < 0 ? r : codec_end(c, buf_of(now.p, now.len + in.len - given), err);
}

TEST(chunks_come_back_whole)
{
    const size_t lens[] = {1, 2, 15, 64, 4096, 65535, LIM_CHUNK_RAW};
    struct err err = ERR_INIT;

    for (int id = 0; id < PACK_CODEC_COUNT_; id++) {
        struct codec AUTO_FREE(codec) *c = NULL;
        if (!codec_known((enum pack_codec)id))
            continue;
        CHECK_OK(codec_new((enum pack_codec)id, &c, &err), err);
        for (unsigned i = 0; c && i < COUNT_OF(lens); i++) {
            size_t n = 0;
            fill(lens[i], i);
            CHECK_OK(codec_make_chunk((enum pack_codec)id, buf_of(raw, lens[i]), packed,
                                      codec_make_bound(lens[i]), &n, &err),
                     err);
            CHECK_OK(codec_chunk(c, buf_of(packed, n), out, lens[i], &err), err);
            CHECK(memcmp(raw, out, lens[i]) == 0);
            if (n > 1)
                CHECK_ERR(codec_chunk(c, buf_of(packed, n - 1), out, lens[i], &err), ERR_INVALID, err);
            if (lens[i] > 1)
                CHECK_ERR(codec_chunk(c, buf_of(packed, n), out, lens[i] - 1, &err), ERR_INVALID, err);
            if (lens[i] < LIM_CHUNK_RAW)
                CHECK_ERR(codec_chunk(c, buf_of(packed, n), out, lens[i] + 1, &err), ERR_INVALID, err);
            packed[n] = 0;
            CHECK_ERR(codec_chunk(c, buf_of(packed, n + 1), out, lens[i], &err), ERR_INVALID, err);
        }
    }
}

TEST(segments_come_back_in_any_steps)
{
    const enum pack_codec ids[] = {PACK_RAW, PACK_LZ4, PACK_LZMA};
    const size_t lens[] = {1, 100, 65536, 65537, 200000, LIM_SEGMENT_LZ4_RAW, MOST};
    const size_t steps[] = {1, 7, 4096, 100000};
    struct err err = ERR_INIT;

    for (unsigned k = 0; k < COUNT_OF(ids); k++) {
        struct codec AUTO_FREE(codec) *c = NULL;
        if (!codec_known(ids[k]))
            continue;
        CHECK_OK(codec_new(ids[k], &c, &err), err);
        for (unsigned i = 0; c && i < COUNT_OF(lens) && lens[i] <= codec_segment_max(ids[k]); i++) {
            size_t n = 0;
            fill(lens[i], i);
            CHECK_OK(codec_make_segment(ids[k], CODEC_PROPS, buf_of(raw, lens[i]), packed, sizeof(packed), &n,
                                        &err),
                     err);
            for (unsigned j = 0; j < COUNT_OF(steps); j++) {
                memset(out, 0, lens[i]);
                CHECK_OK(unpack(c, buf_of(packed, n), lens[i], steps[j], &err), err);
                CHECK(memcmp(raw, out, lens[i]) == 0);
            }
            CHECK_ERR(unpack(c, buf_of(packed, n - 1), lens[i], 4096, &err), ERR_INVALID, err);
            packed[n] = 0;
            CHECK_ERR(unpack(c, buf_of(packed, n + 1), lens[i], 4096, &err), ERR_INVALID, err);
            if (lens[i] > 1)
                CHECK_ERR(unpack(c, buf_of(packed, n), lens[i] - 1, 4096, &err), ERR_INVALID, err);
        }
    }
}

TEST(blocks_of_a_segment_share_a_window)
{
    struct err err = ERR_INIT;
    size_t one = 0, two = 0;

    fill(CODEC_BLOCK, 7);
    memmove(raw + CODEC_BLOCK, raw + 1000, CODEC_BLOCK); /* lz4 reaches back 65535 bytes */
    CHECK_OK(codec_make_segment(PACK_LZ4, 0, buf_of(raw, CODEC_BLOCK), packed, sizeof(packed), &one, &err),
             err);
    CHECK_OK(
        codec_make_segment(PACK_LZ4, 0, buf_of(raw, 2 * CODEC_BLOCK), packed, sizeof(packed), &two, &err),
        err);
    CHECK(two < one + one / 4);
}

/* Blocks are unpacked in place, which is nearest to going wrong where hardly anything is saved: noise with
 * one match early, late or anywhere. */
TEST(blocks_that_hardly_shrink)
{
    struct codec AUTO_FREE(codec) *c = NULL;
    struct err err = ERR_INIT;
    uint32_t x = 1;

    CHECK_OK(codec_new(PACK_LZ4, &c, &err), err);
    for (unsigned i = 0; i < 600; i++) {
        size_t len = CODEC_BLOCK * 2 - i * 97, match = 300 + i * 7, at, n = 0;
        for (size_t k = 0; k < len; k++) {
            x = x * 1664525 + 1013904223;
            raw[k] = (uint8_t)(x >> 24);
        }
        for (size_t from = 0; from < len; from += CODEC_BLOCK) {
            size_t end = from + CODEC_BLOCK < len ? from + CODEC_BLOCK : len;
            at = i % 3 == 0 ? from + 64 : i % 3 == 1 ? end - match - 16 : from + x % (end - from - match);
            memset(raw + at, (int)i, match);
        }
        CHECK_OK(codec_make_segment(PACK_LZ4, 0, buf_of(raw, len), packed, sizeof(packed), &n, &err), err);
        CHECK(n < len);
        CHECK_OK(unpack(c, buf_of(packed, n), len, 4096, &err), err);
        CHECK(memcmp(raw, out, len) == 0);
    }
}

TEST(lengths_out_of_range_are_refused)
{
    struct codec AUTO_FREE(codec) *c = NULL;
    struct err err = ERR_INIT;

    CHECK_OK(codec_new(PACK_LZ4, &c, &err), err);
    CHECK_ERR(codec_begin(c, 0, &err), ERR_INVALID, err);
    CHECK_ERR(codec_begin(c, LIM_SEGMENT_LZ4_RAW + 1, &err), ERR_INVALID, err);
    CHECK_ERR(codec_chunk(c, buf_of(packed, 9), out, LIM_CHUNK_RAW + 1, &err), ERR_INVALID, err);
    CHECK_ERR(codec_chunk(c, buf_of(packed, 0), out, 1, &err), ERR_INVALID, err);
    CHECK_OK(codec_begin(c, 10, &err), err);
    memcpy(packed, "\1\0\1\0", 4); /* a block of 65537 packed bytes */
    CHECK_ERR(unpack(c, buf_of(packed, 100), 10, 4096, &err), ERR_INVALID, err);
    memset(packed, 0, 4);
    CHECK_ERR(unpack(c, buf_of(packed, 100), 10, 4096, &err), ERR_INVALID, err);
    CHECK_ERR(codec_set_props(c, 225, &err), ERR_INVALID, err);
    CHECK_ERR(codec_set_props(c, 9 + 4, &err), ERR_INVALID, err);
    CHECK_ERR(codec_new(PACK_CODEC_COUNT_, &c, &err), ERR_UNSUPPORTED, err);
}

TEST(damage_never_goes_beyond_the_buffer)
{
    struct err err = ERR_INIT;

    for (int id = PACK_LZ4; id <= PACK_LZMA; id++) {
        struct codec AUTO_FREE(codec) *c = NULL;
        size_t n = 0;
        if (!codec_known((enum pack_codec)id))
            continue;
        CHECK_OK(codec_new((enum pack_codec)id, &c, &err), err);
        fill(30000, 3);
        CHECK_OK(codec_make_segment((enum pack_codec)id, CODEC_PROPS, buf_of(raw, 30000), packed,
                                    sizeof(packed), &n, &err),
                 err);
        for (unsigned i = 0; i < 3000; i++) {
            size_t at = (size_t)i * 7919 % n;
            uint8_t was = packed[at];
            packed[at] ^= (uint8_t)(1 + i % 255);
            (void)unpack(c, buf_of(packed, n), 30000, 4096, &err);
            packed[at] = was;
        }
        CHECK_OK(unpack(c, buf_of(packed, n), 30000, 4096, &err), err);
    }
}

TEST_MAIN
