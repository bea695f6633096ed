/* store.h - images on disk. Content-addressed objects, rootfs directories of hard links, downloads.
 *   objects/ab/<sha256>.<mode>.<uid>.<gid>   one file per content and metadata, never written to again
 *   images/<manifest digest>/   rootfs/ of hard links, manifest, config, meta; appears by one rename when
 *                               complete
 *   layers/<layer digest>       a layer's entries and the objects that they need: a layer whose objects are
 *                               all present need not be fetched again for the next image (store_has_layer)
 *   blobs/<digest>              verified manifest, config, release envelopes; layers only until installed
 *   partial/<digest>            an unfinished download: as long as what has arrived
 *   staged/<manifest digest>/   objects of an image that comes in by a pack, until complete
 *   tmp/                        emptied at start
 * Invariant (L13): a name that exists holds exactly what it names, even after a power cut. No index: the
 * directories are the truth. Not kept of an image: xattrs, set-uid and set-gid bits, times (every file has
 * 1970-01-01T00:00:01Z), device nodes. Effects: files below dir_fd. Blocks: yes; commit, install and collect
 * belong in a job, one at a time (install and collect refuse to run concurrently: CONFLICT). */
#ifndef OTA_STORE_H
#define OTA_STORE_H
#include "ota/doc/oci.h"
#include "platform/crypto.h"
#include "platform/err.h"

struct store;
/* Open or create. dir_fd is borrowed and outlives *ret. Empties tmp/. Errors: CONFLICT (another process),
 * UNSUPPORTED (newer layout), IO, DENIED. Owner: caller. */
NODISCARD int store_new(int dir_fd, struct store **ret, struct err *err);
struct store *store_free(struct store *s);
DEFINE_AUTO(store)

/* Blobs: 1 present, 0 not. read: malloc'd bytes, verified against the digest again. */
int store_has_blob(struct store *s, const struct digest *d);
/* *ret: malloc'd, owner: caller. Errors: NOTFOUND, INTEGRITY, INVALID (more than max_bytes), IO. */
NODISCARD int store_read_blob(struct store *s, const struct digest *d, size_t max_bytes, uint8_t **ret,
                              size_t *ret_len, struct err *err);
/* Is this layer available without fetching? 1: its blob is present, or every object of it is. 0 otherwise. */
int store_has_layer(struct store *s, const struct digest *d);
/* Bytes of a partial download present (0: none): where a fetch resumes (L14). */
uint64_t store_partial_bytes(struct store *s, const struct digest *d);
/* Open or create the partial file for appending; owner of fd: caller. One with more than size_bytes is
 * garbage and restarts at 0. size_bytes 0: unknown, at most LIM_ENVELOPE_BYTES. */
NODISCARD int store_partial_open(struct store *s, const struct digest *d, uint64_t size_bytes, int *ret_fd,
                                 struct err *err);
/* Hash the partial; correct: make it durable and name it as a blob; wrong: remove it. Already present: 0. Its
 * writer must have exited. Errors: INTEGRITY, IO, NOSPACE, NOTFOUND. */
NODISCARD int store_partial_commit(struct store *s, const struct digest *d, uint64_t size_bytes,
                                   struct err *err);

/* Images. */
int store_has_image(struct store *s, const struct digest *manifest);
/* fd of images/<digest>/rootfs, and the bytes of the config document. Owner: caller. */
NODISCARD int store_open_rootfs(struct store *s, const struct digest *manifest, int *ret_fd, struct err *err);
int store_rootfs_path(struct store *s, const struct digest *manifest, char *dst,
                      size_t size); /* relative to dir_fd */
NODISCARD int store_read_config(struct store *s, const struct digest *manifest, uint8_t **ret,
                                size_t *ret_len, struct err *err);

/* A route to an image other than its layers (pack.h). From the signed release except where noted. */
struct fetch_request;
struct store_pack {
    bool patch; /* a patch pack, or a full one ... */
    bool held;  /* ... or neither: the tree is whole (store_tree_is_whole) and only to be built */
    struct digest tree;
    uint64_t tree_bytes;
    struct digest pack;     /* the patch, or the head of a full pack: a blob in the store */
    uint64_t write_bytes;   /* patch: size of the objects that it makes */
    struct digest old_tree; /* patch */
    struct digest data;     /* full */
    uint64_t data_bytes;
    struct digest old_image;           /* ours: an image whose files may contain parts; zeros: none */
    const struct fetch_request *fetch; /* full, ours: sources and program; its blobs are ignored */
    char *const *unpack_argv;          /* ours: {"agentd-unpack","unpack","UID","GID",NULL} */
};
/* Is this tree present, i.e. was an image made from it? */
int store_has_tree(struct store *s, const struct digest *tree);
int store_tree_is_whole(struct store *s, const struct digest *tree); /* ... with every object of it */
/* full: are tree and table present? store_pull_documents gets them, in a job: the parts that the old image
 * has are copied. *ret_fetched: bytes downloaded. Errors: as store_install. */
int store_has_documents(struct store *s, const struct store_pack *pack);
NODISCARD int store_pull_documents(struct store *s, const struct store_pack *pack, uint64_t *ret_fetched,
                                   struct err *err);
/* full, with its documents: the cost of installing. Reads large old files, so it belongs in a job too. */
struct store_cost {
    uint64_t fetch_bytes, write_bytes, objects;
};
/* *ret for an image that is not present. Errors: NOTFOUND (documents), INVALID, IO. */
NODISCARD int store_pack_cost(struct store *s, const struct digest *image, const struct store_pack *pack,
                              struct store_cost *ret, struct err *err);

/* store_install: build the image's tree from its layers (store_has_blob for manifest and config,
 * store_has_layer for each layer), in a job: starts argv (the sandboxed untar program:
 * {"agentd-untar","untar","UID","GID",NULL}) per layer and reads typed entries from its pipe, checks each
 * name, hashes each file, links. limits: as signed in the release (0: ours). On success the image exists
 * durably and its layers' blobs are removed. Already installed: 0. line_fd (-1: none) gets "progress DONE
 * TOTAL" in bytes. What was stripped is counted in stripped, and described in note (one line each,
 * truncated). Errors: INTEGRITY, INVALID (path, entry, more than signed), UNSUPPORTED (zstd with too large a
 * window), NOTFOUND (a layer is missing), NOSPACE (with need and have), CONFLICT, IO. After any of them
 * nothing of the image is left but its blobs and, with a pack, its staged objects, from which the next try
 * continues. With a pack also the errors of fetching. */
enum store_stripped { STORE_SPECIAL, STORE_SET_UID, STORE_SET_GID, STORE_XATTR, STORE_STRIPPED_COUNT_ };
struct store_install {
    struct digest manifest;
    uint64_t max_bytes,
        max_inodes;          /* of all files and of all entries of all layers, as signed in the release */
    char *const *untar_argv; /* program that turns a layer into entries: see untar_main.c */
    const struct store_pack *pack; /* use this instead of layers; NULL: use layers */
    bool refuse_privileges; /* set-uid and set-gid bits, extended attributes, device nodes: INVALID with the
                             * path, instead of stripping them. An image already installed has none */
    char note[1024];
    unsigned stripped[STORE_STRIPPED_COUNT_];
    uint64_t fetched_bytes, written_bytes; /* result: downloaded by this job; size of new objects */
};
/* See above; *in has limits and result. */
NODISCARD int store_install(struct store *s, struct store_install *in, int line_fd, struct err *err);

/* Space check (L16): can need_bytes/inodes be written with the reserve still free? NOSPACE with need and
 * have. */
NODISCARD int store_check_space(struct store *s, uint64_t need_bytes, uint64_t need_inodes, struct err *err);
/* store_collect: remove images, blobs, partials not in keep, and objects and layer records that no image is
 * made of. keep: manifest digests and blob digests; config and layers of a kept manifest that is not
 * installed yet are kept automatically. Files of a kept image's layers that upper layers hide are kept too,
 * so that a layer is not fetched again for the next version; with pressed, when space is needed, they are
 * removed. */
struct store_keep {
    const struct digest *digests;
    unsigned n;
    bool pressed;
};
/* *ret_freed_bytes (may be NULL): bytes freed. Errors: CONFLICT (a job is using the store), IO. */
NODISCARD int store_collect(struct store *s, const struct store_keep *keep, uint64_t *ret_freed_bytes,
                            struct err *err);
/* store_scrub: verify the contents of the store against its names, from sc->cursor on, about max_bytes at a
 * time, in a job. A bad object or blob loses its name; images made from it are marked: store_has_image
 * returns 0 until store_install has repaired them in place, and boxes that run from them keep running. The
 * caller keeps cursor between calls ("": a new round). on_bad (may be NULL) is called for each damaged item:
 * "objects/ab/NAME" and why. look_only: nothing is changed. Errors: CONFLICT (a job is using the store), IO,
 * NOMEM. */
struct store_scrub {
    char cursor[128];   /* in, out */
    uint64_t max_bytes; /* to read; the file that exceeds it is still read to its end */
    bool look_only;
    void (*on_bad)(void *arg, const char *name, const char *why);
    void *arg;
    uint64_t bytes, files, bad, images; /* out: read, checked, found bad, marked */
    uint64_t verity; /* out: how many of these files the kernel verifies itself (fs-verity) */
    bool ended;      /* out: the round is complete */
};
NODISCARD int store_scrub(struct store *s, struct store_scrub *sc, struct err *err);
/* Called for each image present; bytes: size of its files, including shared ones. */
NODISCARD int store_list(struct store *s,
                         void (*fn)(void *arg, const struct digest *manifest, uint64_t bytes), void *arg,
                         struct err *err);
#endif
