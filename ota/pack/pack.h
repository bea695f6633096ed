/* pack.h - the transfer formats of packs, except the patch stream (patch.h). Little endian. Pure.
 *
 * A tree (image without its documents): the same bytes as a layer record (record.c): entries sorted by path,
 * each file with content followed by its SHA-256. A file whose content occurred earlier in the tree has the
 * flag ENTRY_AGAIN. The objects of a tree are the contents of its other files, in that order.
 *
 * A full pack is a head, whose digest a release signs, and data, which is read by ranges:
 *   head: "LPFULL01", u8 codec, u8 its properties, u16 0, u32 chunks of the tree, u32 chunks of the table,
 *         u32 0, u64 bytes and digest of tree, of table, of data; u64 bytes of all objects; u64 offset in the
 *         data of the tree's chunks; then one chunk record for each chunk of tree and table.
 *   data: the packed chunks of the objects, of the tree, of the table, one after the other.
 *   table: one chunk record for each chunk of each object.
 *   chunk record, 32 bytes: u32 packed bytes, u24 raw bytes, u8 codec, u8 check[8] (of the SHA-256 of the
 *         packed bytes), u8 raw[16] (of the SHA-256 of the raw ones; zeros if the object has only one chunk:
 *         its own digest covers it).
 * Tree and table are cut by content (cdc_document), so that a device which has those of another version
 * fetches only what differs; so are objects above PACK_WHOLE_BYTES (cdc_object).
 *
 * The table of a patch pack (the second part of its stream; the first is the tree):
 *   for each patched object: varint distance of its entry's offset in the new tree from the previous one, u8
 *   number of bases, for each base a zigzag varint: distance from the previous base, where a base is twice
 *   the offset of its entry in the old tree, or twice that in the new tree plus one: an object that this
 *   patch made earlier. A last distance of 0 ends it. */
#ifndef OTA_PACK_H
#define OTA_PACK_H
#include "platform/crypto.h"
#include "platform/limits.h"

#define PACK_HEAD_BYTES  160 /* 24 + 3 * 40 + 16 */
#define PACK_CHUNK_BYTES 32
#define PACK_WHOLE_BYTES (16 * 1024) /* an object up to this size is one chunk */
#define PACK_RAW_MAX     (64 * 1024) /* of a chunk */
#define PACK_CHECK_BYTES 8
#define PACK_RAW_BYTES   16
#define PACK_BASES_MAX   4 /* old files that one new file can be made from */

struct pack_chunk {
    uint32_t packed_bytes, raw_bytes;
    unsigned codec; /* enum pack_codec */
    uint8_t check[PACK_CHECK_BYTES], raw[PACK_RAW_BYTES];
};
/* Encode as in head and table. Pure. */
void pack_chunk_encode(const struct pack_chunk *c, uint8_t dst[PACK_CHUNK_BYTES]);
/* Errors: INVALID (no bytes, more than PACK_RAW_MAX raw or packed bytes, unknown codec). */
NODISCARD int pack_chunk_decode(const uint8_t src[PACK_CHUNK_BYTES], struct pack_chunk *ret, struct err *err);

struct pack_document { /* the tree or the table */
    uint64_t bytes;
    struct digest digest;
    uint32_t n_chunks;
};
struct pack_head {
    unsigned codec, properties;
    struct pack_document tree, table;
    uint64_t data_bytes, object_bytes, documents_at;
    struct digest data;
};
/* Size of a head with its chunk records. */
size_t pack_head_size(const struct pack_head *h);
void pack_head_encode(const struct pack_head *h, uint8_t dst[PACK_HEAD_BYTES]); /* without the records */
/* head: all of it. The records of tree and table follow each other at head + PACK_HEAD_BYTES and are
 * validated: pack_chunk_decode accepts each, and together they have the size that the head says and are
 * within the data. Errors: INVALID. */
NODISCARD int pack_head_decode(struct buf head, struct pack_head *ret, struct err *err);

/* The table of a patch pack. at: offset of an entry in the new tree. bases: PACK_OLD or PACK_NEW of an
 * offset. */
#define PACK_OLD(offset) ((uint64_t)(offset) << 1)
#define PACK_NEW(offset) ((uint64_t)(offset) << 1 | 1)
struct pack_patched {
    uint64_t at;
    unsigned n_bases;
    uint64_t bases[PACK_BASES_MAX];
};
struct pack_table { /* position in the table; zero at the start */
    size_t used;
    uint64_t at, base;
};
#define PACK_PATCHED_MAX (10 + 1 + 10 * PACK_BASES_MAX)
/* Encode into dst; returns the bytes used. p NULL: the end. */
size_t pack_patched_encode(struct pack_table *t, const struct pack_patched *p, uint8_t dst[PACK_PATCHED_MAX]);
/* 1: *ret is the next; 0: the end, exactly at the last byte. Errors: INVALID. */
NODISCARD int pack_patched_decode(struct pack_table *t, struct buf table, struct pack_patched *ret,
                                  struct err *err);
#endif
