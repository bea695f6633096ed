/* predict.h - where an address goes: the covers of a patch say how every piece of an old executable moved, so
 * most addresses of the new one can be predicted from the old one's, and only what differs from that is sent.
 * Patch decoder and encoder share this; both get the same bytes. Reads ELF files of x86-64, AArch64, ARM
 * (Thumb-2) and RISC-V.
 *
 * All works on offsets: old offsets count through the bases joined, then through the .bss of each base; new
 * offsets through the new file, then its .bss. */
#ifndef OTA_PREDICT_H
#define OTA_PREDICT_H
#include "platform/err.h"
#include "platform/limits.h"
#include "platform/mem.h"

#define PATCH_BASES 4

struct cover { /* len bytes at new_at of the new file are like those at old_at of the old bytes */
    uint32_t new_at, old_at, len;
};

#define PREDICT_COVER_MIN 64U /* shorter covers say nothing about addresses: too many are by chance */
#define PREDICT_HEAD_MAX  4096U

struct predict_source {
    unsigned n_bases;
    uint64_t sizes[PATCH_BASES];
    /* Exactly len bytes of the bases joined. */
    int (*read)(void *arg, uint64_t at, void *dst, size_t len, struct err *err);
    void *arg;
};

struct predict; /* opaque */
size_t predict_memory(size_t max_pieces);
/* max_pieces: covers of at least PREDICT_COVER_MIN and anchors, together. Owner: caller. Never NULL. */
struct predict *predict_new(size_t max_pieces);
struct predict *predict_free(struct predict *p);
DEFINE_AUTO(predict)

/* Bytes of a new file's beginning that hold its ELF header and program headers: 0 when there is nothing to
 * predict in it (no ELF, another machine, headers beyond PREDICT_HEAD_MAX). */
uint32_t predict_head_len(struct buf start);

/* One object: begin with its bases (what src->arg points to is used until the next begin), report covers and
 * anchors, then the head of the new file, then ask. An anchor is a cover that says only where addresses go;
 * it counts for more than covers. Errors: INVALID (too many pieces, anchors not in order), IO. */
NODISCARD int predict_begin(struct predict *p, const struct predict_source *src, struct err *err);
NODISCARD int predict_covers(struct predict *p, const struct cover *covers, size_t n, struct err *err);
NODISCARD int predict_anchor(struct predict *p, const struct cover *anchor, struct err *err);
/* Errors: INVALID (no ELF file of a kind known here). */
NODISCARD int predict_head(struct predict *p, struct buf head, uint64_t new_size, struct err *err);
/* Old bytes at [old_at, old_at + len), as they are expected at new_at, into dst. len is at most 4 KiB.
 * Errors: those of src->read. */
NODISCARD int predict_bytes(struct predict *p, uint32_t old_at, uint32_t new_at, uint8_t *dst, size_t len,
                            struct err *err);
#endif
