/* repo.h - where an image lies: a repository of an OCI registry ("http://host:5000/demo/web:1.4.2", also
 * https and @sha256:...), or an OCI layout in a directory ("dir:/media/usb/limpet:1.4.2"). One face for both;
 * every byte read is checked against its digest. */
#ifndef FLEET_REPO_H
#define FLEET_REPO_H
#include "fleet/base/http.h"
#include "platform/crypto.h"

#define REPO_TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define REPO_TYPE_INDEX    "application/vnd.oci.image.index.v1+json"

#define REPO_TYPE_RELEASE "application/vnd.limpet.release.v1+json" /* of an artifact */

struct repo; /* opaque */
struct repo_opts {
    const char *ca_file, *auth_file; /* NULL or empty: none */
    bool make;                       /* a layout that is not there yet is made */
};
/* Errors: INVALID (the reference), NOTFOUND (no layout), IO. Owner: caller. */
NODISCARD int repo_open(const char *ref, const struct repo_opts *o, struct repo **ret, struct err *err);
struct repo *repo_free(struct repo *r);
DEFINE_AUTO(repo)
/* The reference without its tag, as devices have it in "sources"; its tag or digest; the last part of its
 * name. */
const char *repo_source(const struct repo *r);
const char *repo_tag(const struct repo *r);
const char *repo_short_name(const struct repo *r);

struct repo_doc {
    struct buf text; /* owner: caller, NUL behind it */
    struct digest digest;
};
/* An index or manifest by tag or "sha256:...". Errors: NOTFOUND, INTEGRITY, NET. */
NODISCARD int repo_manifest(struct repo *r, const char *tag, struct repo_doc *ret, struct err *err);
/* A blob's bytes into sink, then checked: INTEGRITY when size or digest is not as said. */
NODISCARD int repo_blob(struct repo *r, const struct digest *d, uint64_t size, http_sink sink, void *arg,
                        struct err *err);
/* The same of a small one into memory. owner: caller. Errors: as repo_blob. */
NODISCARD int repo_blob_read(struct repo *r, const struct digest *d, uint64_t size, struct buf *ret_own,
                             struct err *err);
/* Add a blob; a manifest under a tag. Putting what is there already is fine. Errors: DENIED, NET, NOSPACE,
 * IO. */
NODISCARD int repo_put_blob(struct repo *r, struct buf bytes, struct digest *ret, struct err *err);
/* Text of a manifest or index under a tag, after the blobs that it names. Errors: NET, DENIED, IO,
 * NOSPACE. */
NODISCARD int repo_put_manifest(struct repo *r, const char *tag, struct buf text, struct err *err);
/* All tags, to each(arg, tag). Errors: NOTFOUND, DENIED, UNSUPPORTED, INVALID (it cannot or will not list
 * them), NET. */
typedef void (*repo_tag_fn)(void *arg, const char *tag);
NODISCARD int repo_tags(struct repo *r, repo_tag_fn each, void *arg, struct err *err);
/* The tag under which a release lies beside its image. */
#define REPO_RELEASE_TAG_BYTES 40
/* Pure; returns dst. */
const char *repo_release_tag(const struct digest *envelope, char dst[REPO_RELEASE_TAG_BYTES]);
#endif
