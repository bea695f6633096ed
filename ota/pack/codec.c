#include "ota/pack/codec.h"

#include <lz4.h>
#ifdef WITH_LZMA
#include <lzma.h>
#endif

#define BLOCK_STORED 0x80000000U
#define HALF_BYTES   (CODEC_BLOCK + CODEC_BLOCK / 256 + 32) /* a block plus lz4's overhead */

/* liblzma's limit: the dictionary, 28 KiB of probabilities and its own structures. */
#define LZMA_BYTES ((size_t)LIM_CODEC_LZMA_BYTES)

struct codec {
    enum pack_codec id;
    uint8_t props;
    size_t raw_len, done; /* of the segment */
    bool ended;
    /* lz4: two halves, one block each; a block may copy from the other half. Its packed bytes are read to the
     * end of its own half and unpacked in place, which lz4 supports with this much room after them (lz4.h) */
    uint8_t *halves;
    uint8_t head[4];
    unsigned head_len, half;
    size_t in_len, in_want;     /* packed bytes of the block; in_want 0: its header is next */
    size_t block_at, block_len; /* the part of the block not yet returned */
    bool stored;
#ifdef WITH_LZMA
    lzma_stream z;
    lzma_allocator alloc;
    size_t taken;
#endif
};

static const struct {
    size_t memory, segment_max;
} codecs[] = {
    [PACK_RAW] = {sizeof(struct codec), LIM_SEGMENT_LZ4_RAW},
    [PACK_LZ4] = {sizeof(struct codec) + 2 * HALF_BYTES, LIM_SEGMENT_LZ4_RAW},
    [PACK_LZMA] = {sizeof(struct codec) + LZMA_BYTES, LIM_SEGMENT_LZMA_RAW},
    [PACK_LZMA_X86] = {sizeof(struct codec) + LZMA_BYTES, 0},
    [PACK_LZMA_ARM] = {sizeof(struct codec) + LZMA_BYTES, 0},
    [PACK_LZMA_THUMB] = {sizeof(struct codec) + LZMA_BYTES, 0},
    [PACK_LZMA_ARM64] = {sizeof(struct codec) + LZMA_BYTES, 0},
};
_Static_assert(COUNT_OF(codecs) == PACK_CODEC_COUNT_, "one line a codec");

size_t codec_memory(enum pack_codec codec)
{
    return (unsigned)codec < PACK_CODEC_COUNT_ ? codecs[codec].memory : 0;
}

size_t codec_segment_max(enum pack_codec codec)
{
    return (unsigned)codec < PACK_CODEC_COUNT_ ? codecs[codec].segment_max : 0;
}

static int damaged(struct err *err, const struct codec *c, const char *why)
{
    return err_set(err, ERR_INVALID, "%s: %s", pack_codec_name(c->id), why);
}

static struct buf take(struct buf *in, size_t max)
{
    struct buf out = buf_of(in->p, in->len < max ? in->len : max);

    in->p += out.len;
    in->len -= out.len;
    return out;
}

/* ---- LZMA ---- */

#ifdef WITH_LZMA
#ifndef LZMA_FILTER_ARM64 /* before 5.4: an id that this liblzma rejects */
#define LZMA_FILTER_ARM64 LZMA_VLI_C(0x0A)
#endif
static const lzma_vli filters[] = {
    [PACK_LZMA_X86] = LZMA_FILTER_X86,
    [PACK_LZMA_ARM] = LZMA_FILTER_ARM,
    [PACK_LZMA_THUMB] = LZMA_FILTER_ARMTHUMB,
    [PACK_LZMA_ARM64] = LZMA_FILTER_ARM64,
};

uint64_t codec_filter(enum pack_codec codec)
{
    return (unsigned)codec < COUNT_OF(filters) ? filters[codec] : 0;
}

bool codec_known(enum pack_codec codec)
{
    return (unsigned)codec < PACK_CODEC_COUNT_ &&
           (codec <= PACK_LZMA || lzma_filter_decoder_is_supported(filters[codec]));
}

/* The library's allocations are counted, so that no input can make it grow. Each piece is preceded by its
 * size. */
union piece {
    size_t bytes;
    max_align_t align_;
};

static void *lzma_get(void *arg, size_t n, size_t size)
{
    struct codec *c = arg;

    if (n != 0 && size > LZMA_BYTES / n)
        return NULL;
    if (n * size > LZMA_BYTES - c->taken)
        return NULL;
    union piece *p = malloc(sizeof(*p) + n * size);
    if (!p)
        return NULL;
    p->bytes = n * size;
    c->taken += p->bytes;
    return p + 1;
}

static void lzma_give(void *arg, void *at)
{
    if (!at)
        return;
    union piece *p = (union piece *)at - 1;
    ((struct codec *)arg)->taken -= p->bytes;
    free(p);
}

static int lzma_start(struct codec *c, struct err *err)
{
    lzma_options_lzma o = {
        .dict_size = CODEC_BLOCK, .lc = c->props % 9, .lp = c->props / 9 % 5, .pb = c->props / 45};
    lzma_filter chain[3] = {{LZMA_FILTER_LZMA1, &o}, {LZMA_VLI_UNKNOWN, NULL}, {LZMA_VLI_UNKNOWN, NULL}};

    if (c->id != PACK_LZMA) {
        chain[1] = chain[0];
        chain[0] = (lzma_filter){filters[c->id], NULL};
    }
    lzma_ret z = lzma_raw_decoder(&c->z, chain);
    return z == LZMA_OK ? 0
                        : err_set(err, z == LZMA_MEM_ERROR ? ERR_NOMEM : ERR_UNSUPPORTED,
                                  "%s: the library refuses (%d)", pack_codec_name(c->id), (int)z);
}

static int lzma_some(struct codec *c, struct buf *in, uint8_t *out, size_t room, size_t *ret_len,
                     struct err *err)
{
    c->z.next_in = in->p;
    c->z.avail_in = in->len;
    c->z.next_out = out;
    c->z.avail_out = room;
    lzma_ret z = lzma_code(&c->z, LZMA_RUN);
    in->p += in->len - c->z.avail_in;
    in->len = c->z.avail_in;
    if (z != LZMA_OK && z != LZMA_STREAM_END && z != LZMA_BUF_ERROR)
        return damaged(err, c, z == LZMA_MEM_ERROR ? "no memory" : "damaged");
    if (z == LZMA_STREAM_END)
        c->ended = true;
    *ret_len = room - c->z.avail_out;
    return 0;
}

static int lzma_setup(struct codec *c, struct err *err)
{
    c->alloc = (lzma_allocator){lzma_get, lzma_give, c};
    c->z = (lzma_stream)LZMA_STREAM_INIT;
    c->z.allocator = &c->alloc;
    return lzma_start(c, err);
}

static void lzma_drop(struct codec *c)
{
    lzma_end(&c->z);
}
#else
bool codec_known(enum pack_codec codec)
{
    return codec == PACK_RAW || codec == PACK_LZ4;
}

static int lzma_start(struct codec *c, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "%s: built without liblzma", pack_codec_name(c->id));
}

static int lzma_some(struct codec *c, struct buf *in, uint8_t *out, size_t room, size_t *ret_len,
                     struct err *err)
{
    (void)in, (void)out, (void)room, (void)ret_len;
    return lzma_start(c, err);
}

static int lzma_setup(struct codec *c, struct err *err)
{
    return lzma_start(c, err);
}

static void lzma_drop(struct codec *c)
{
    (void)c;
}
#endif

/* After the raw bytes only the end marker may follow. */
static int lzma_finish(struct codec *c, struct buf *in, struct err *err)
{
    size_t more = 0;
    uint8_t beyond;
    int rc = c->ended ? 0 : lzma_some(c, in, &beyond, 1, &more, err);

    if (rc < 0)
        return rc;
    return c->ended && more == 0 ? 0 : damaged(err, c, more > 0 ? "more bytes than stated" : "cut off");
}

/* ---- new and free ---- */

int codec_new(enum pack_codec codec, struct codec **ret, struct err *err)
{
    if (!codec_known(codec))
        return err_set(err, ERR_UNSUPPORTED, "codec %s is not in this build", pack_codec_name(codec));
    struct codec AUTO_FREE(codec) *c = mem_need_zero(sizeof(*c));
    c->id = codec;
    c->props = CODEC_PROPS;
    if (codec == PACK_LZ4)
        c->halves = mem_need(2 * HALF_BYTES);
    int rc = codec >= PACK_LZMA ? lzma_setup(c, err) : 0;
    if (rc == 0)
        *ret = steal_ptr(&c);
    return rc;
}

struct codec *codec_free(struct codec *c)
{
    if (c) {
        if (c->id >= PACK_LZMA)
            lzma_drop(c);
        free(c->halves);
    }
    free(c);
    return NULL;
}

int codec_set_props(struct codec *c, uint8_t props, struct err *err)
{
    if (props / 45 > 4 || props % 9 + props / 9 % 5 > 4)
        return damaged(err, c, "properties out of range");
    c->props = props;
    return 0;
}

/* ---- a chunk ---- */

int codec_chunk(struct codec *c, struct buf packed, uint8_t *out, size_t raw_len, struct err *err)
{
    if (raw_len == 0 || raw_len > LIM_CHUNK_RAW || packed.len == 0 || packed.len > 2 * LIM_CHUNK_RAW)
        return damaged(err, c, "a chunk's length is out of range");
    if (c->id == PACK_RAW) {
        if (packed.len != raw_len)
            return damaged(err, c, "another length");
        memcpy(out, packed.p, raw_len);
        return 0;
    }
    if (c->id == PACK_LZ4) {
        int n = LZ4_decompress_safe((const char *)packed.p, (char *)out, (int)packed.len, (int)raw_len);
        return n >= 0 && (size_t)n == raw_len ? 0 : damaged(err, c, "damaged chunk");
    }
    size_t n = 0;
    c->ended = false;
    int rc = lzma_start(c, err);
    if (rc == 0)
        rc = lzma_some(c, &packed, out, raw_len, &n, err);
    if (rc == 0 && n != raw_len)
        return damaged(err, c, "damaged chunk");
    if (rc == 0)
        rc = lzma_finish(c, &packed, err);
    return rc == 0 && packed.len > 0 ? damaged(err, c, "bytes behind the end") : rc;
}

/* ---- a segment ---- */

int codec_begin(struct codec *c, size_t raw_len, struct err *err)
{
    if (raw_len == 0 || raw_len > codecs[c->id].segment_max)
        return damaged(err, c, "a segment's length is out of range");
    c->raw_len = raw_len;
    c->done = 0;
    c->ended = false;
    c->head_len = c->half = 0;
    c->in_len = c->in_want = c->block_at = c->block_len = 0;
    return c->id >= PACK_LZMA ? lzma_start(c, err) : 0;
}

static int block_head(struct codec *c, struct buf *in, struct err *err)
{
    struct buf got = take(in, sizeof(c->head) - c->head_len);

    if (got.len > 0)
        memcpy(c->head + c->head_len, got.p, got.len);
    c->head_len += (unsigned)got.len;
    if (c->head_len < sizeof(c->head))
        return 0;
    uint32_t v = (uint32_t)c->head[0] | (uint32_t)c->head[1] << 8 | (uint32_t)c->head[2] << 16 |
                 (uint32_t)c->head[3] << 24;
    c->stored = v & BLOCK_STORED;
    c->in_want = v & ~BLOCK_STORED;
    c->in_len = c->head_len = 0;
    return c->in_want > 0 && c->in_want <= CODEC_BLOCK ? 0
                                                       : damaged(err, c, "a block's length is out of range");
}

/* Where the packed bytes of the current block are. */
static uint8_t *block_in(struct codec *c)
{
    return c->halves + (c->half + 1) * HALF_BYTES - c->in_want;
}

/* Unpack the block, whose bytes have all arrived. The previous block is whole: only the last block of a
 * segment may be short. */
static int block_open(struct codec *c, struct err *err)
{
    size_t raw = c->raw_len - c->done < CODEC_BLOCK ? c->raw_len - c->done : CODEC_BLOCK;
    uint8_t *to = c->halves + c->half * HALF_BYTES;
    const uint8_t *before = c->halves + (1 - c->half) * HALF_BYTES;

    if (c->stored) {
        if (c->in_want != raw)
            return damaged(err, c, "a stored block has another length");
        memmove(to, block_in(c), raw);
    } else if (c->in_want >= raw) { /* in place only if it is shorter; else the packer stores it */
        return damaged(err, c, "a block's length is out of range");
    } else {
        int n =
            LZ4_decompress_safe_usingDict((const char *)block_in(c), (char *)to, (int)c->in_want, (int)raw,
                                          (const char *)before, c->done > 0 ? (int)CODEC_BLOCK : 0);
        if (n < 0 || (size_t)n != raw)
            return damaged(err, c, "damaged block");
    }
    c->block_at = c->half * HALF_BYTES;
    c->block_len = raw;
    c->half = 1 - c->half;
    c->in_want = 0;
    return 0;
}

static int lz4_some(struct codec *c, struct buf *in, uint8_t *out, size_t room, size_t *ret_len,
                    struct err *err)
{
    while (c->block_len == 0 && in->len > 0 && c->done < c->raw_len) {
        if (c->in_want == 0) {
            int rc = block_head(c, in, err);
            if (rc < 0)
                return rc;
            continue;
        }
        struct buf got = take(in, c->in_want - c->in_len);
        memcpy(block_in(c) + c->in_len, got.p, got.len);
        c->in_len += got.len;
        int rc = c->in_len == c->in_want ? block_open(c, err) : 0;
        if (rc < 0)
            return rc;
    }
    size_t n = c->block_len < room ? c->block_len : room;
    if (n > 0)
        memcpy(out, c->halves + c->block_at, n);
    c->block_at += n;
    c->block_len -= n;
    *ret_len = n;
    return 0;
}

int codec_step(struct codec *c, struct buf *in, uint8_t *out, size_t room, size_t *ret_len, struct err *err)
{
    size_t n = 0;
    int rc = 0;

    if (room > c->raw_len - c->done)
        room = c->raw_len - c->done;
    if (room == 0) {
        *ret_len = 0;
        return 0;
    }
    if (c->id == PACK_RAW) {
        struct buf got = take(in, room);
        if (got.len > 0)
            memcpy(out, got.p, got.len);
        n = got.len;
    } else if (c->id == PACK_LZ4) {
        rc = lz4_some(c, in, out, room, &n, err);
    } else {
        rc = lzma_some(c, in, out, room, &n, err);
        if (rc == 0 && c->ended && c->done + n < c->raw_len)
            return damaged(err, c, "fewer bytes than stated");
    }
    if (rc < 0)
        return rc;
    c->done += n;
    *ret_len = n;
    return 0;
}

int codec_end(struct codec *c, struct buf in, struct err *err)
{
    int rc = c->done == c->raw_len ? 0 : damaged(err, c, "cut off");

    if (rc == 0 && c->id >= PACK_LZMA)
        rc = lzma_finish(c, &in, err);
    if (rc == 0 && (in.len > 0 || c->head_len > 0 || c->in_want > 0))
        rc = damaged(err, c, "bytes behind the end");
    return rc;
}
