/* codec_make.h - packing what ota/pack/codec.h unpacks, as small as the libraries can. Pure: the same input
 * gives the same bytes (with the same version of the library). */
#ifndef FLEET_CODEC_MAKE_H
#define FLEET_CODEC_MAKE_H
#include "ota/pack/codec.h"

/* Room that the packed form of raw_len bytes may take, with any codec. */
size_t codec_make_bound(size_t raw_len);

/* One chunk of at most LIM_CHUNK_RAW bytes into dst[size]; *ret_len: how many. A chunk that does not shrink
 * is the caller's to keep as PACK_RAW. Errors: INVALID (length), NOSPACE (size), UNSUPPORTED, NOMEM. */
NODISCARD int codec_make_chunk(enum pack_codec codec, struct buf raw, uint8_t *dst, size_t size,
                               size_t *ret_len, struct err *err);
/* One segment of at most codec_segment_max(codec) bytes. props: LZMA's, as codec_set_props. Errors: as
 * above. */
NODISCARD int codec_make_segment(enum pack_codec codec, uint8_t props, struct buf raw, uint8_t *dst,
                                 size_t size, size_t *ret_len, struct err *err);
#endif
