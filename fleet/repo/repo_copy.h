/* repo_copy.h - an image from one repository to another, whole: index, manifests, configs, layers, each
 * checked. */
#ifndef FLEET_REPO_COPY_H
#define FLEET_REPO_COPY_H
#include "fleet/repo/repo.h"

/* What `tag` names in from, under the tag of to. What is there already is not sent again. Errors: as of
 * repo.h. */
NODISCARD int repo_copy_image(struct repo *from, const char *tag, struct repo *to, struct err *err);
#endif
