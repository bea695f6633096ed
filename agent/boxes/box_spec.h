/* box_spec.h - builds the specification of a box from what is wanted and the image's config. Pure except for
 * looking up user names in rootfs_fd. */
#ifndef AGENT_BOX_SPEC_H
#define AGENT_BOX_SPEC_H
#include "agent/manifest/manifest.h"
#include "runtime/box/box.h"

struct box_spec_in {
    const struct want *want;
    struct buf config; /* the image's config document */
    int rootfs_fd;
    const char *volumes_dir, *resolv_conf, *hosts, *cgroup_path, *hostname;
    const struct box_caps *caps;
    uint32_t first_id;                    /* first of its host ids; 0: those of a box that is never started */
    const struct cgroup_limits *defaults; /* for what the manifest does not set; NULL: none */
};
/* Strings are allocated in arena. Errors: INVALID, NOTFOUND (a user), UNSUPPORTED, NOMEM. */
NODISCARD int box_spec_build(const struct box_spec_in *in, struct arena *arena, struct spec *ret,
                             struct err *err);
/* Give apps a normal OOM score, whatever the agent's own is. */
void box_spec_oom(struct spec_process *p);
#endif
