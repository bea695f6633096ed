/* cgroup_int.h - shared by the files of cgroup; not included elsewhere. */
#ifndef PLATFORM_CGROUP_INT_H
#define PLATFORM_CGROUP_INT_H
#include "platform/cgroup/cgroup.h"

#define CGROUP_DIR_BYTES 768
#define CGROUP_SLOTS     (CGROUP_CTL_COUNT_ + 1)

/* One hierarchy that the group is in: v2 has all its controllers in one slot, v1 co-mounted ones share one
 * too. */
struct cgroup_slot {
    enum cgroup_mode mode;
    unsigned ctls; /* mask of 1 << enum cgroup_ctl */
    bool fresh;    /* we created its directory: nothing is set in it */
    int fd;        /* the group's directory */
    char dir[CGROUP_DIR_BYTES];
};
struct cgroup {
    struct cgroup_host host;
    char path[CGROUP_PATH_BYTES];
    unsigned n_slots;
    struct cgroup_slot slots[CGROUP_SLOTS];
    char refused[CGROUP_CTL_COUNT_][64]; /* why a requested controller has no slot */
};

/* 0 or -errno; no allocation: usable between clone and exec. */
NODISCARD int cgroup_put(int dir_fd, const char *name, const char *text);
/* A file's text, truncated to size - 1 and NUL-terminated: its length, 0 or less if there is none. */
ssize_t cgroup_get_text(int dir_fd, const char *name, char *dst, size_t size);
/* "max", v1's huge numbers, missing or unreadable files: CGROUP_UNSET. */
uint64_t cgroup_get_u64(int dir_fd, const char *name);
/* The number after "key " in a flat keyed file, CGROUP_UNSET if missing. */
uint64_t cgroup_get_key(int dir_fd, const char *name, const char *key);
/* The slot of a controller, or NULL. */
const struct cgroup_slot *cgroup_slot_of(const struct cgroup *c, enum cgroup_ctl ctl);
/* The slot of v2, or NULL. */
const struct cgroup_slot *cgroup_v2_slot(const struct cgroup *c);
/* Mask of the controllers that a list needs here. */
unsigned cgroup_list_needs(const struct cgroup_host *h, const struct cgroup_list *l);
/* Write the list into the slots that exist, read it back. */
void cgroup_list_apply(const struct cgroup *c, struct cgroup_list *l);
/* The processes in a directory and those below it; depth bounds the walk. */
unsigned cgroup_pids_below(int dir_fd, pid_t *ret, unsigned max, unsigned depth);
/* These use only dir of a slot, which need not exist. Length of the part that is not the group's own path. */
size_t cgroup_slot_base(const struct cgroup *c, const struct cgroup_slot *s);
/* Remove our parents that contained only what is gone, nearest first. */
void cgroup_remove_parents(const struct cgroup *c, const struct cgroup_slot *s);
/* Create the group's directory with its parents, delegating controllers (v2) or enabling hierarchical
 * accounting (v1); fills fresh. 0 or -errno. */
NODISCARD int cgroup_make_dirs(struct cgroup *c, enum cgroup_mode mode, unsigned ctls, struct cgroup_slot *s);
/* Sleep for so many ms, or until a signal. */
void cgroup_sleep_ms(unsigned ms);

/* cgroup_bpf.c: replace the group's programs by one for these rules. 0 or -errno. */
NODISCARD int cgroup_bpf_set(int dir_fd, const struct cgroup_device *rules, unsigned n);

#define CTL_BIT(ctl)    (1u << (ctl))
#define CGROUP_DEPTH    8 /* maximum depth of groups below a group */
#define CGROUP_MAX_PIDS 1024
#endif
