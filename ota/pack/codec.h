/* codec.h - unpacking the parts of a pack: the only place on the device that uses lz4 and liblzma. Two forms:
 *   chunk:   at most LIM_CHUNK_RAW bytes, independent, in one call: one lz4 block, or LZMA1 without a file
 *            header
 *   segment: streamed; lz4: blocks of CODEC_BLOCK raw bytes (the last may be shorter), each after its packed
 *            length as a u32 (little endian), top bit: stored (packing would not make it shorter); a block
 *            may copy from the previous one. LZMA: as a chunk, but longer
 * LZMA always has its end marker, so truncated parts and trailing bytes are refused. The caller knows the
 * unpacked lengths, signed or hashed. No I/O. Threads: one. */
#ifndef OTA_CODEC_H
#define OTA_CODEC_H
#include "ota/doc/pack_codec.h"
#include "platform/err.h"
#include "platform/limits.h"
#include "platform/mem.h"

#define CODEC_BLOCK ((size_t)64 * 1024) /* raw bytes in one lz4 block of a segment; also LZMA's dictionary */
#define CODEC_PROPS 0x5d /* LZMA's default lc 3, lp 0, pb 2 as one byte: (pb * 5 + lp) * 9 + lc */

/* Do this build and its liblzma support it? */
bool codec_known(enum pack_codec codec);
/* The most memory that codec_new takes, libraries included. */
size_t codec_memory(enum pack_codec codec);
/* The most raw bytes in one segment; 0: no segments with this codec. */
size_t codec_segment_max(enum pack_codec codec);

/* liblzma's id of a codec's filter; 0: none. For codec.c and its counterpart, fleet/pack/codec_make.c. */
uint64_t codec_filter(enum pack_codec codec);

struct codec; /* opaque */
/* Allocates all memory that it will ever need. Owner: caller. Errors: UNSUPPORTED, NOMEM. */
NODISCARD int codec_new(enum pack_codec codec, struct codec **ret, struct err *err);
struct codec *codec_free(struct codec *c);
DEFINE_AUTO(codec)
/* Set LZMA's lc, lp and pb (lc + lp at most 4) for all that follows; the default is CODEC_PROPS. Errors:
 * INVALID. */
NODISCARD int codec_set_props(struct codec *c, uint8_t props, struct err *err);

/* Unpack one chunk into out[raw_len]. All of packed must be consumed. Errors: INVALID (corrupt, other length,
 * above LIM_CHUNK_RAW); then the contents of out are undefined. */
NODISCARD int codec_chunk(struct codec *c, struct buf packed, uint8_t *out, size_t raw_len, struct err *err);

/* A segment: begin, then step until raw_len bytes are out, then end. begin may be called again at any
 * time.
 * begin: INVALID if raw_len is 0 or above codec_segment_max.
 * step takes bytes from the front of *in and puts at most room bytes into out; *ret_len: how many. If it
 * returns none, *in is used up: give more. Errors: INVALID (corrupt).
 * end: the rest of the input; INVALID unless the segment ends with it. */
NODISCARD int codec_begin(struct codec *c, size_t raw_len, struct err *err);
NODISCARD int codec_step(struct codec *c, struct buf *in, uint8_t *out, size_t room, size_t *ret_len,
                         struct err *err);
NODISCARD int codec_end(struct codec *c, struct buf in, struct err *err);
#endif
