/* repo_releases.h - the releases that lie in a repository beside their images: what other directories of this
 * fleet have published there, so that two operators do not give one counter to two releases. */
#ifndef FLEET_REPO_RELEASES_H
#define FLEET_REPO_RELEASES_H
#include "fleet/doc/relstore.h"
#include "fleet/repo/repo.h"

#define BESIDE_RELEASES 200 /* that this directory does not know; each costs two questions */

struct beside {
    uint64_t counters[BESIDE_RELEASES];
    unsigned n;
    unsigned unread; /* releases that are there and could not be read, or were too many */
};
/* Counters of name's releases in r that keys of this fleet have signed, but for known[n_known]. any_tag:
 * releases of bundles lie under tags of their own. Errors: NOTFOUND, DENIED, UNSUPPORTED, INVALID (r cannot
 * list), NET. */
NODISCARD int repo_releases_look(const struct ctx *c, struct repo *r, const char *name, bool any_tag,
                                 const struct rel *known, unsigned n_known, struct beside *ret,
                                 struct err *err);
#endif
