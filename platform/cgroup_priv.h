/* cgroup_priv.h - what the three files of cgroup share; nobody else includes it. */
#ifndef PLATFORM_CGROUP_PRIV_H
#define PLATFORM_CGROUP_PRIV_H
#include "platform/cgroup.h"

#define CGROUP_DIR_BYTES  640
#define CGROUP_PATH_BYTES 320
#define CGROUP_SLOTS      (CGROUP_CTL_COUNT_ + 1)

/* One hierarchy that the group lives in: v2 carries all its controllers in one slot, v1 co-mounted ones share
 * one too. */
struct cgroup_slot {
    enum cgroup_mode mode;
    unsigned ctls; /* mask of 1 << enum cgroup_ctl */
    int fd;        /* the group's folder */
    char dir[CGROUP_DIR_BYTES];
};
struct cgroup {
    struct cgroup_host host;
    char path[CGROUP_PATH_BYTES];
    unsigned n_slots;
    struct cgroup_slot slots[CGROUP_SLOTS];
    char refused[CGROUP_CTL_COUNT_][40]; /* why a controller that was wanted has no slot */
};

/* 0 or -errno; no allocation: usable between clone and exec. */
int cgroup_put(int dir_fd, const char *name, const char *text);
/* What a file says, cut at size - 1 and NUL-terminated: its length, 0 or less when there is nothing. */
ssize_t cgroup_get_text(int dir_fd, const char *name, char *dst, size_t size);
/* "max", v1's huge numbers, absent or unreadable files: CGROUP_UNSET. */
uint64_t cgroup_get_u64(int dir_fd, const char *name);
/* The number behind "key " in a flat keyed file, CGROUP_UNSET when absent. */
uint64_t cgroup_get_key(int dir_fd, const char *name, const char *key);
/* The slot that holds a controller, or NULL. */
const struct cgroup_slot *cgroup_slot_of(const struct cgroup *c, enum cgroup_ctl ctl);
const struct cgroup_slot *cgroup_v2_slot(const struct cgroup *c);
/* Mask of controllers that these limits need. */
unsigned cgroup_needs(const struct cgroup_limits *lim);
/* Write the limits into the slots that exist, read them back. */
void cgroup_apply(const struct cgroup *c, const struct cgroup_limits *lim, struct cgroup_report *ret);
#endif
