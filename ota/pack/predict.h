/* predict.h - prediction of addresses: the covers of a patch show how every piece of an old executable moved,
 * so most addresses in the new one can be predicted from the old one's, and only the deviations are sent.
 * Shared by patch decoder and encoder; both get the same bytes. Reads ELF files for x86-64, AArch64, ARM
 * (Thumb-2) and RISC-V.
 *
 * Everything is in offsets: old offsets count through the concatenated bases, then through the .bss of each
 * base; new offsets through the new file, then its .bss. */
#ifndef OTA_PREDICT_H
#define OTA_PREDICT_H
#include "platform/err.h"
#include "platform/limits.h"
#include "platform/mem.h"

#define PATCH_BASES 4

struct cover { /* len bytes at new_at of the new file resemble those at old_at of the old bytes */
    uint32_t new_at, old_at, len;
};

#define PREDICT_COVER_MIN 64U /* shorter covers are no evidence for addresses: too many occur by chance */
#define PREDICT_HEAD_MAX  4096U

struct predict_source {
    unsigned n_bases;
    uint64_t sizes[PATCH_BASES];
    /* Read exactly len bytes of the concatenated bases. */
    int (*read)(void *arg, uint64_t at, void *dst, size_t len, struct err *err);
    void *arg;
};

struct predict; /* opaque */
size_t predict_memory(size_t max_pieces);
/* max_pieces: number of covers of at least PREDICT_COVER_MIN and anchors, together. Owner: caller. Never
 * NULL. */
struct predict *predict_new(size_t max_pieces);
struct predict *predict_free(struct predict *p);
DEFINE_AUTO(predict)

/* Length of the start of a new file with its ELF header and program headers: 0 if nothing can be predicted in
 * it (not ELF, another machine, headers beyond PREDICT_HEAD_MAX). */
uint32_t predict_head_len(struct buf start);

/* For each object: begin with its bases (what src->arg points to is used until the next begin), add covers
 * and anchors, then the head of the new file, then query. An anchor is a cover that only shows where
 * addresses go; it takes precedence over covers. Errors: INVALID (too many pieces, anchors not in order),
 * IO. */
NODISCARD int predict_begin(struct predict *p, const struct predict_source *src, struct err *err);
NODISCARD int predict_covers(struct predict *p, const struct cover *covers, size_t n, struct err *err);
NODISCARD int predict_anchor(struct predict *p, const struct cover *anchor, struct err *err);
/* Errors: INVALID (not an ELF file of a supported kind). */
NODISCARD int predict_head(struct predict *p, struct buf head, uint64_t new_size, struct err *err);
/* Old bytes at [old_at, old_at + len), as expected at new_at, into dst. len is at most 4 KiB. Errors: those
 * of src->read. */
NODISCARD int predict_bytes(struct predict *p, uint32_t old_at, uint32_t new_at, uint8_t *dst, size_t len,
                            struct err *err);
#endif
