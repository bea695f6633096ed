/* store_int.h - shared by the files of the store. Private to ota/. */
#ifndef OTA_STORE_INT_H
#define OTA_STORE_INT_H
#include "ota/doc/entry.h"
#include "ota/store/store.h"
#include "platform/fs.h"

struct store {
    int dir_fd; /* borrowed */
    int lock_fd;
    int objects_fd, images_fd, layers_fd, blobs_fd, partial_fd, staged_fd, tmp_fd;
    uint64_t sure_bytes, sure_inodes; /* store_take_space: what was free when it last checked */
};

/* ---- store.c ---- */
/* Only one job at a time may change the store: hold *ret_fd meanwhile. Errors: CONFLICT. */
NODISCARD int store_work_lock(struct store *s, int *ret_fd, struct err *err);
/* store_check_space for one of many small items: checks again only when the last result is used up. Errors:
 * NOSPACE, IO. */
NODISCARD int store_take_space(struct store *s, uint64_t bytes, uint64_t inodes, struct err *err);
/* An image's meta. Errors: NOTFOUND, INVALID. */
struct store_meta {
    uint64_t bytes, inodes;
    unsigned n_layers;
    struct digest layers[LIM_OCI_LAYERS];
};
/* Read images/<image_name>/meta, and build its text. Errors: NOTFOUND, INVALID. */
NODISCARD int store_meta_read(struct store *s, const char *image_name, struct store_meta *ret,
                              struct err *err);
char *store_meta_build(const struct store_meta *m); /* malloc'd text, owner: caller */
/* Names in a directory that do not begin with a dot: fn returns 0 or -kind to stop. fn may remove or rename
 * the file it is called for. */
NODISCARD int store_each_file(int dir_fd, int (*fn)(void *arg, const char *name, struct err *err), void *arg,
                              struct err *err);
/* The same including names that begin with a dot, except "." and "..". Errors: IO, those of fn. */
NODISCARD int store_each_entry(int dir_fd, int (*fn)(void *arg, const char *name, struct err *err), void *arg,
                               struct err *err);
/* Files in a directory whose name is a digest in hex: fn returns 0 or -kind to stop. The directory may change
 * meanwhile. */
NODISCARD int store_each(int dir_fd,
                         int (*fn)(void *arg, const char *name, const struct digest *d, struct err *err),
                         void *arg, struct err *err);

/* ---- scrub.c, mend.c ---- */
/* In images/<digest>/: part of this image is damaged. It does not count as present until it is installed
 * again; boxes that run from it keep running. */
#define DAMAGED_FILE "damaged"
/* Errors: NOSPACE, IO. */
NODISCARD int store_mark_damaged(struct store *s, const char *image_name, struct err *err); /* durably */
/* tmp/<image_name> is the image built again and durable: replace what differs in the damaged one, remove the
 * mark, durably, and remove tmp/<image_name>. Errors: IO, NOSPACE, INVALID. */
NODISCARD int mend_image(struct store *s, const char *image_name, struct err *err);

/* ---- object.c ---- */
#define OBJECT_NAME_BYTES 96
/* An object's name contains all that its inode does: bytes, mode, owner. */
char *object_name(const struct digest *d, uint32_t mode, uint32_t uid, uint32_t gid,
                  char dst[OBJECT_NAME_BYTES]);
/* "ab/<name>" below objects/. */
char *object_path(const char *name, char dst[OBJECT_NAME_BYTES + 3]);
/* The part of an entry's mode that is kept: never set-uid or set-gid; the sticky bit only on directories. */
uint32_t object_mode(const struct entry *e);
/* Give an open file or directory the entry's owner and mode, where they differ. Errors: DENIED, IO. */
NODISCARD int object_dress(int fd, const struct entry *e, struct err *err);
/* The same for a new object, and set its time, which marks it as complete: the last step. Errors: DENIED,
 * IO. */
NODISCARD int object_finish(int fd, const struct entry *e, struct err *err);
/* Does it have the owner, mode and time of that name? Its bytes are not checked. */
bool object_is_finished(int fd, const struct digest *d, const char *name);
/* Where a file's bytes can be linked from. */
struct object_at {
    int dir_fd; /* borrowed */
    char path[OBJECT_NAME_BYTES + 3];
};
/* A regular file of this size? */
bool object_exists(int dir_fd, const char *path, uint64_t size);

/* ---- stream.c ---- */
struct stream { /* buffered reader of entries from a pipe or a record */
    int fd;     /* borrowed */
    bool ended; /* it ended before ENTRY_END */
    size_t at, len;
    uint8_t buf[64 * 1024];
};
/* Exactly len bytes. Errors: INVALID (ended early), IO. */
NODISCARD int stream_get(struct stream *st, void *dst, size_t len, struct err *err);
/* Up to max available bytes, at least one; borrowed until the next call. Errors: as above. */
NODISCARD int stream_some(struct stream *st, uint64_t max, struct buf *ret, struct err *err);
/* The next entry, checked (entry_check). Errors: INVALID, IO. */
NODISCARD int stream_entry(struct stream *st, struct entry *ret, struct err *err);

/* ---- lay.c ---- */
struct lay {       /* a rootfs under construction */
    int root_fd;   /* borrowed */
    int parent_fd; /* the parent directory of the last entry; -1: none */
    char parent[LIM_PATH_BYTES];
};
void lay_done(struct lay *l);
/* Add one checked entry to the tree; it replaces an earlier one. obj: where a file's bytes are (NULL: an
 * empty file). WHITEOUT and OPAQUE delete. Errors: INVALID (parent is a link ...), NOSPACE, IO. */
NODISCARD int lay_entry(struct lay *l, const struct entry *e, const struct object_at *obj, struct err *err);
/* After the deletions: an opaque directory must exist as a directory, made by its own layer if the layers
 * below have something else. Errors: INVALID, IO. */
NODISCARD int lay_check_opaque(struct lay *l, const char *path, struct err *err);
/* Directories and files that a box mounts over: created if missing. Errors: INVALID, NOSPACE, IO. */
NODISCARD int lay_mount_points(struct lay *l, struct err *err);

/* ---- record.c ---- */
/* record_is_whole: does layers/<d> exist with every object it needs? Then *ret (may be NULL) is their
 * total. */
struct record_totals {
    uint64_t bytes, files;
};
bool record_is_whole(struct store *s, const struct digest *d, struct record_totals *ret);
/* Call fn for each object that layers/<d> needs until it returns false. True if the record was read to its
 * end. */
bool record_each(struct store *s, const struct digest *d,
                 bool (*fn)(void *arg, const struct digest *d, const char *path, uint64_t size), void *arg);
/* The same with the reason: 0 read to its end. Errors: NOTFOUND, INVALID (the record is incomplete), CONFLICT
 * (fn returned false), IO. */
NODISCARD int record_walk(struct store *s, const struct digest *d,
                          bool (*fn)(void *arg, const struct digest *d, const char *path, uint64_t size),
                          void *arg, struct err *err);
/* Open a record after its head, owner of *ret_fd: caller. Errors: NOTFOUND, INVALID. */
NODISCARD int record_open(struct store *s, const struct digest *d, int *ret_fd, struct err *err);
/* Create a record and write its head, owner of *ret_fd: caller. Errors: NOSPACE, IO. */
NODISCARD int record_begin(int dir_fd, const char *name, int *ret_fd, struct err *err);
/* Append one entry; for a file with content also its digest. Errors: NOSPACE, IO. */
NODISCARD int record_add(int fd, const struct entry *e, const struct digest *d, struct err *err);

/* ---- untar_run.c ---- */
struct untar_run {
    pid_t pid;
    int entry_fd, line_fd; /* our ends */
};
/* Start argv + codec, diff id, limit and "all" or "whiteouts" with the blob as its fd 4. Errors: IO. */
NODISCARD int untar_run_start(char *const *argv, int blob_fd, enum oci_codec codec,
                              const struct digest *diff_id, uint64_t max_tar_bytes, bool whiteouts_only,
                              struct untar_run *ret, struct err *err);
/* Read its verdict and reap it. Errors: as reported by the program (INVALID, UNSUPPORTED, INTEGRITY), IO. */
NODISCARD int untar_run_end(struct untar_run *r, struct err *err);
/* Kill and reap it if it still runs. Leaves errno and err unchanged. */
void untar_run_done(struct untar_run *r);
#endif
