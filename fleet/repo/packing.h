/* packing.h - the packs of a release: made from the image's trees, put beside the image, and listed in the
 * release document. */
#ifndef FLEET_PACKING_H
#define FLEET_PACKING_H
#include "fleet/base/args.h"
#include "fleet/pack/pack_patch.h"
#include "fleet/repo/image.h"

struct packing; /* opaque: a working directory with the contents of all images at hand */
/* In TMPDIR; removed by packing_free. Errors: IO. Owner: caller. */
NODISCARD int packing_new(struct packing **ret, struct err *err);
struct packing *packing_free(struct packing *p);
DEFINE_AUTO(packing)
/* For image_check. */
int packing_objects_fd(const struct packing *p);

struct packing_opts {
    const struct image *olds; /* patch packs are made from each of them */
    unsigned n_olds;
    bool codecs[2];                                              /* lz4, lzma */
    void (*explain)(void *arg, const struct pack_patch_line *l); /* NULL: nobody asks */
    void *explain_arg;
};
/* One blob that was put into the repository, for the artifact that names them all. */
struct packing_blob {
    const char *type;
    struct digest digest;
    uint64_t bytes;
};
#define PACKING_BLOBS      (RELEASE_PLATFORMS * RELEASE_PACKS * 2)
#define PACKING_TYPE_PATCH "application/vnd.limpet.patch.v1"
#define PACKING_TYPE_HEAD  "application/vnd.limpet.pack.head.v1"
#define PACKING_TYPE_DATA  "application/vnd.limpet.pack.data.v1"

/* Make all packs of img, put them into r and fill rel's platforms. blobs[PACKING_BLOBS]; *ret_n: how many. A
 * patch above 0.8 of what the full pack would bring is left out. The summary goes to stderr. Errors: IO,
 * NOSPACE, NET ... */
NODISCARD int packing_make(struct packing *p, struct repo *r, const struct image *img,
                           const struct packing_opts *o, struct release *rel, struct packing_blob *blobs,
                           unsigned *ret_n, struct err *err);
#endif
