/* The head of a full pack with its chunk records, and the table of a patch pack. The first byte chooses. */
#include "ota/pack/pack.h"
#include "tests/fuzz/fuzz.h"

static void head(struct buf bytes)
{
    struct pack_head h;
    struct pack_chunk c;
    struct err err = ERR_INIT;
    uint8_t again[PACK_CHUNK_BYTES];

    if (pack_head_decode(bytes, &h, &err) < 0)
        return;
    FUZZ_CHECK(pack_head_size(&h) == bytes.len);
    for (size_t at = PACK_HEAD_BYTES; at < bytes.len; at += PACK_CHUNK_BYTES) {
        if (pack_chunk_decode(bytes.p + at, &c, &err) < 0)
            continue;
        FUZZ_CHECK(c.raw_bytes > 0 && c.raw_bytes <= PACK_RAW_MAX && c.packed_bytes <= c.raw_bytes);
        pack_chunk_encode(&c, again);
        FUZZ_CHECK(memcmp(again, bytes.p + at, sizeof(again)) == 0);
    }
}

static void table(struct buf bytes)
{
    struct pack_table t = {0}, back = {0};
    struct pack_patched p;
    struct err err = ERR_INIT;
    uint8_t wire[PACK_PATCHED_MAX];
    uint64_t before = 0;

    while (pack_patched_decode(&t, bytes, &p, &err) > 0) {
        FUZZ_CHECK(p.at > before && p.n_bases <= PACK_BASES_MAX && t.used <= bytes.len);
        before = p.at;
        FUZZ_CHECK(pack_patched_encode(&back, &p, wire) <= sizeof(wire));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    (data[0] & 1 ? table : head)(buf_of(data + 1, len - 1));
    return 0;
}
