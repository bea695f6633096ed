/* install_int.h - an image being installed (install.c). Private to ota/. install_entry.c: entries become
 * files of the rootfs; install_ways.c: where the entries come from, layers or a pack. */
#ifndef OTA_INSTALL_INT_H
#define OTA_INSTALL_INT_H
#include "ota/layer/layer.h"
#include "ota/pull/pull.h"

#define INSTALL_SMALL_BYTES (256 * 1024) /* files up to this size are hashed before anything is written */
#define INSTALL_NEW_OBJECT  "new~"       /* in obj_fd: content that has no name yet */
#define INSTALL_RECORD      "record%u"   /* in work_fd: of layer n */

struct install {
    struct store *s;
    struct store_install *in;
    int line_fd, work_fd, obj_fd, root_fd, record_fd;
    struct lay lay;
    struct stream *stream;
    uint8_t *small; /* INSTALL_SMALL_BYTES */
    struct oci_manifest manifest;
    struct digest diff_ids[LIM_OCI_LAYERS];
    uint64_t bytes, inodes, max_bytes, max_inodes, told_ms;
    bool recorded[LIM_OCI_LAYERS]; /* added from its record: nothing new to record */
    struct stage stage;            /* with a pack: obj_fd is its directory */
    bool no_verity;                /* this file system does not support it */
};

/* Read entries from fd to the end: whiteouts: only deletions are applied; else each is added to the rootfs,
 * with its object linked (from_record) or made from the content that follows it, and appended to record_fd.
 * Errors: INVALID (more than was signed, not allowed), NOTFOUND (an object), NOSPACE, IO; i->stream->ended:
 * the other side stopped. */
NODISCARD int install_entries(struct install *i, int fd, bool whiteouts, bool from_record, struct err *err);
/* All layers, lowest first, each from its record or its blob. Errors: those of install_entries, INTEGRITY
 * (blob). */
NODISCARD int install_layers(struct install *i, struct err *err);
/* First the objects by in->pack, then the rootfs from its tree. Errors: those of install_entries and of
 * pull_patch, pull_chunks. */
NODISCARD int install_pack(struct install *i, struct err *err);
/* Create a file in the work directory. Errors: NOSPACE, IO. */
NODISCARD int install_write(int dir_fd, const char *name, struct buf bytes, struct err *err);
#endif
