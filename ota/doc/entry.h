/* entry.h - one file, directory, link or deletion of a layer as a typed record: what the sandboxed untar
 * program writes into its pipe and what the installer reads. Both sides use this file, but the reader trusts
 * nothing: entry_check validates each entry. Pure.
 *
 * On the wire, little endian: u8 kind, u8 flags, u16 path bytes, u16 link bytes, u16 0, u32 mode, u32 uid,
 * u32 gid, u32 0, u64 size; then the path, the link, and for ENTRY_FILE exactly `size` bytes of content.
 * ENTRY_END is the last one. */
#ifndef OTA_ENTRY_H
#define OTA_ENTRY_H
#include "platform/err.h"
#include "platform/limits.h"
#include "platform/mem.h"

enum entry_kind {
    ENTRY_FILE,
    ENTRY_DIR,
    ENTRY_SYMLINK,  /* link: its text, never followed by us */
    ENTRY_HARDLINK, /* link: the path of an entry of this image */
    ENTRY_WHITEOUT, /* path: what is deleted from the layers below */
    ENTRY_OPAQUE,   /* path: the directory whose content from the layers below is deleted */
    ENTRY_SKIPPED,  /* path: something in dev/ that is skipped (a device node, FIFO): only reported */
    ENTRY_END,
    ENTRY_KIND_COUNT_
};
enum {                      /* flags */
       ENTRY_HAD_XATTR = 1, /* extended attributes were dropped */
       ENTRY_AGAIN = 2,     /* in a tree (pack.h): a file with this content came earlier */
};

#define ENTRY_HEAD_BYTES 32
#define ENTRY_WIRE_BYTES (ENTRY_HEAD_BYTES + 2 * LIM_PATH_BYTES) /* the largest record without content */
#define ENTRY_MODE_MASK  07777

struct entry {
    enum entry_kind kind;
    unsigned flags;
    uint32_t mode, uid, gid;
    uint64_t size;
    char path[LIM_PATH_BYTES], link[LIM_PATH_BYTES]; /* NUL-terminated; "" where there is none */
};

/* Encode into dst[ENTRY_WIRE_BYTES]; returns the bytes used. */
size_t entry_encode(const struct entry *e, uint8_t *dst);
/* Two steps: first the head, which gives the lengths of the names, then the names. Errors: INVALID. */
NODISCARD int entry_decode_head(const uint8_t head[ENTRY_HEAD_BYTES], struct entry *ret, size_t *ret_path_len,
                                size_t *ret_link_len, struct err *err);
/* names: path and link, concatenated, with the lengths from the head. Errors: INVALID. */
NODISCARD int entry_decode_names(const uint8_t *names, size_t path_len, size_t link_len, struct entry *ret,
                                 struct err *err);

/* A layer spells deletions as files named ".wh.NAME" and ".wh..wh..opq" (OCI image-spec, layer.md): turn such
 * a file into its kind. Returns 1 if it is to be skipped (aufs' own ".wh..wh.plnk" etc.), 0 otherwise.
 * Errors: INVALID (".wh.", ".wh..wh.x", ...). */
NODISCARD int entry_classify(struct entry *e, struct err *err);

/* The gate: normalise path (and the target of a hard link) to the canonical form "a/b/c" ("" is the root
 * directory itself) and refuse what does not belong below a rootfs: absolute, "..", ".", empty parts, parts
 * above 255 bytes, deeper than LIM_PATH_DEPTH, leftover ".wh." names, a root that is no directory, an owner
 * of -1. A leading "./" and a trailing "/" are accepted. Errors: INVALID. */
NODISCARD int entry_check(struct entry *e, struct err *err);

/* Untrusted text for a message: everything but printable ASCII becomes '?'. Truncated to size. Returns
 * dst. */
char *entry_printable(const char *text, char *dst, size_t size);
#endif
