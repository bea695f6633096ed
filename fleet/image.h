/* image.h - an image in a repository, checked from the index down to every layer's bytes, as a release
 * describes it. */
#ifndef FLEET_IMAGE_H
#define FLEET_IMAGE_H
#include "fleet/repo.h"
#include "ota/docs.h"

struct image {
    struct digest digest; /* of what the tag names: an index or one manifest */
    size_t bytes;
    bool index;
    unsigned n_platforms;
    struct release_platform platforms[RELEASE_PLATFORMS];
};
/* Reads everything once. Layers that platforms share are read per platform. Errors: NOTFOUND, INTEGRITY,
 * INVALID, UNSUPPORTED, NOSPACE, NET: with the platform and the layer in the message. */
int image_check(struct repo *r, const char *tag, struct image *ret, struct err *err);
#endif
