/* store.h - images on disk. Content-addressed objects, rootfs folders of hard links, blobs under way.
 *   objects/ab/<sha256>.<meta>   one file per content and metadata (mode, uid, gid), immutable once named
 *   images/<manifest digest>/    rootfs/ of hard links, manifest, config, meta; appears by one rename when complete
 *   blobs/<digest>               verified manifest, config, release envelopes; layers only until installed
 *   partial/<digest>             a download under way: as long as what has arrived
 *   tmp/                         emptied at start
 * Invariant (L13): a name that exists holds exactly what it names, also after a power cut. No index: the folders are the truth.
 * Effects: files below dir_fd. Blocks: yes; put, install and collect belong in a job. */
#ifndef OTA_STORE_H
#define OTA_STORE_H
#include "ota/oci.h"
#include "platform/crypto.h"
#include "platform/err.h"

struct store;
/* Open or make. dir_fd is borrowed and outlives *ret. Empties tmp/. Errors: CONFLICT (another process), UNSUPPORTED (newer layout),
 * IO, DENIED. Owner: caller. */
int store_new(int dir_fd, struct store **ret, struct err *err);
struct store *store_free(struct store *s);
DEFINE_AUTO(store)

/* Blobs: 1 held, 0 not. read: malloc'd bytes, checked against the digest again. */
int store_has_blob(struct store *s, const struct digest *d);
int store_read_blob(struct store *s, const struct digest *d, size_t max_bytes, uint8_t **ret, size_t *ret_len, struct err *err);
/* Bytes of a partial download that are there (0: none): where a fetch resumes (L14). */
uint64_t store_partial_bytes(struct store *s, const struct digest *d);
/* Open (make) the partial file for appending; owner of fd: caller. size_bytes: refuse when it holds more. */
int store_partial_open(struct store *s, const struct digest *d, uint64_t size_bytes, int *ret_fd, struct err *err);
/* Hash the partial; right: make it durable and name it a blob; wrong: remove it. Errors: INTEGRITY, IO, NOSPACE. */
int store_partial_commit(struct store *s, const struct digest *d, uint64_t size_bytes, struct err *err);

/* Images. */
int store_has_image(struct store *s, const struct digest *manifest);
/* fd of images/<digest>/rootfs and the parsed config bytes. Owner: caller. */
int store_open_rootfs(struct store *s, const struct digest *manifest, int *ret_fd, struct err *err);
int store_rootfs_path(struct store *s, const struct digest *manifest, char *dst, size_t size); /* relative to dir_fd */
int store_read_config(struct store *s, const struct digest *manifest, uint8_t **ret, size_t *ret_len, struct err *err);

/* Lay the image's tree from its layers (blobs held), in a job: starts argv (the sandboxed untar program) per layer and takes typed
 * entries from its pipe, checks each name, hashes each file, links. limits: what the release signed (0: ours).
 * On success the image exists durably. What was refused or stripped goes to note (one line each, cut). Errors: INTEGRITY,
 * INVALID (path, entry), NOSPACE, IO. */
struct store_install {
    struct digest manifest;
    uint64_t max_bytes, max_inodes;
    char *const *untar_argv; /* program that turns a layer into entries: see ota/entry.h */
    char note[1024];
};
int store_install(struct store *s, struct store_install *in, int line_fd, struct err *err);

/* Space check (L16): may need_bytes/inodes be written and the reserve still be free? NOSPACE with need and have. */
int store_check_space(struct store *s, uint64_t need_bytes, uint64_t need_inodes, struct err *err);
/* Remove images, blobs, partials not in keep and objects that nothing links to. keep: manifest digests and blob digests. */
struct store_keep {
    const struct digest *digests;
    unsigned n;
};
int store_collect(struct store *s, const struct store_keep *keep, uint64_t *ret_freed_bytes, struct err *err);
/* Called for each image held. */
int store_list(struct store *s, void (*fn)(void *arg, const struct digest *manifest, uint64_t bytes), void *arg, struct err *err);
#endif
