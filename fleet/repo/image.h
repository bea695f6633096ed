/* image.h - an image in a repository, checked from the index down to every layer's bytes, as a release
 * describes it. */
#ifndef FLEET_IMAGE_H
#define FLEET_IMAGE_H
#include "fleet/repo/repo.h"
#include "ota/doc/release.h"

struct image {
    struct digest digest; /* of what the tag names: an index or one manifest */
    size_t bytes;
    bool index;
    unsigned n_platforms;
    struct release_platform platforms[RELEASE_PLATFORMS];
    struct buf trees[RELEASE_PLATFORMS]; /* ota/pack/pack.h; only with objects_fd */
};
/* Reads everything once. objects_fd: a directory for the files' contents (flat.h), or -1: no trees. End with
 * image_done. Layers that platforms share are read per platform. Errors: NOTFOUND, INTEGRITY,
 * INVALID, UNSUPPORTED, NOSPACE, NET: with the platform and the layer in the message. */
NODISCARD int image_check(struct repo *r, const char *tag, int objects_fd, struct image *ret,
                          struct err *err);
void image_done(struct image *img);
#endif
