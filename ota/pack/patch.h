/* patch.h - unpacking a patch pack: new files out of old ones and a stream of differences, in bounded memory.
 *
 * The pack (numbers little endian): "LMPTCH1\n", u8 codec, u8 LZMA's properties, u8 flags (1: some object is
 * predicted), u8 0, u32 segments, u32 most covers of an object, u32 most pieces of its address map, u32
 * memory, u64 bytes of the raw stream; per segment u32 packed bytes, u32 raw bytes, sha256 of the packed
 * bytes; then the segments. Each is unpacked independently (codec.h); joined they are the raw stream: one
 * object directly after the other.
 *
 * One object: its bases joined are the old bytes. A cover says that a piece of the new file resembles a piece
 * of the old bytes; what is in no cover is new. Numbers are varints (7 bits a byte, low first), signed ones
 * zigzag.
 *   u8 flags (1: predicted, 2: runs), number of covers; the gap before each (new bytes), the length of each,
 *   the distance from the end of the previous one in the old bytes to the start of each (signed)
 *   predicted: bytes of the new file's head, number of anchors; each anchor: its gap from the end of the
 *   previous one in the old bytes, its length, the distance from the end of the previous one in the new file
 *   (signed)
 *   then blocks of the new file: [0, head) if predicted, else from one multiple of PATCH_BLOCK to the next.
 *   In each:
 *     predicted, but not in the head: u8, bit i: the i-th PATCH_UNIT of the block is not predicted
 *     runs: pairs of equal bytes and bytes that differ, over all covered bytes of the block, a last zero is
 *           omitted; then the differences (new - old, one byte each) of those that differ
 *     no runs: the differences of all covered bytes
 *     the new bytes of the block
 * Its only effect is pread on the pack and the bases. Nothing in a pack is trusted: all lengths, sums and
 * seeks are checked, each segment's hash before its bytes are used. */
#ifndef OTA_PATCH_H
#define OTA_PATCH_H
#include "ota/pack/codec.h"
#include "ota/pack/predict.h"

#define PATCH_MAGIC         "LMPTCH1\n"
#define PATCH_HEAD_BYTES    36
#define PATCH_SEGMENT_BYTES 40
#define PATCH_BLOCK         ((size_t)32 * 1024)
#define PATCH_UNIT          (PATCH_BLOCK / 8)
#define PATCH_SIZE_MAX      0xfff00000ULL /* limit for a new file and for its bases together */

enum { PATCH_HAS_PREDICTED = 1 };             /* flags of the pack */
enum { PATCH_PREDICTED = 1, PATCH_RUNS = 2 }; /* flags of an object */

struct patch_head {
    enum pack_codec codec;
    uint8_t props;
    bool predicted;
    uint32_t segments, max_covers, max_pieces, memory;
    uint64_t raw_bytes;
};
/* The most memory that decoding takes here, libraries included. A pack states the requirement of the machine
 * that made it, rounded up; a decoder refuses a pack that states, or here needs, more than
 * LIM_PATCH_BYTES. */
size_t patch_memory(enum pack_codec codec, uint32_t max_covers, uint32_t max_pieces, bool predicted);
/* Encode the first PATCH_HEAD_BYTES of a pack. */
void patch_head_encode(const struct patch_head *h, uint8_t dst[PATCH_HEAD_BYTES]);
/* Errors: INVALID, UNSUPPORTED (codec), NOSPACE (needs more memory than LIM_PATCH_BYTES). */
NODISCARD int patch_head_decode(const uint8_t src[PATCH_HEAD_BYTES], struct patch_head *ret, struct err *err);

struct patch; /* opaque */
/* Read and check the head and the segment table; allocates all memory. pack_fd is borrowed and outlives *ret.
 * crypto_init must have been called. Owner: caller. Errors: as patch_head_decode, INVALID (sums), IO. */
NODISCARD int patch_new(int pack_fd, struct patch **ret, struct err *err);
struct patch *patch_free(struct patch *p);
DEFINE_AUTO(patch)
const struct patch_head *patch_head(const struct patch *p);

struct patch_base {
    int fd; /* borrowed for the call */
    uint64_t size;
};
/* Write the next object of the stream, made from these bases (at most PATCH_BASES), exactly new_size bytes,
 * to sink, in pieces of at most PATCH_BLOCK. sink returns 0, or -kind to stop. After an error only patch_free
 * may be called. Errors: INVALID (the stream), INTEGRITY (a segment's hash), IO (reading; a base is shorter
 * than stated). */
NODISCARD int patch_object(struct patch *p, const struct patch_base *bases, unsigned n_bases,
                           uint64_t new_size, int (*sink)(void *arg, struct buf bytes, struct err *err),
                           void *arg, struct err *err);
/* Is the stream used up exactly? Errors: INVALID. */
NODISCARD int patch_end(struct patch *p, struct err *err);
#endif
