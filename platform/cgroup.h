/* cgroup.h - cgroup v1, hybrid and v2 behind one face: make, limit, attach, measure, kill, remove.
 * What a controller cannot do is said, never assumed (L9). A group is named by a path below the agent's own
 * root group, for example "limpet/app/web"; a leading "/" means below the top of each hierarchy instead.
 * Threads: one. */
#ifndef PLATFORM_CGROUP_H
#define PLATFORM_CGROUP_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/err.h"

enum cgroup_ctl { CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS, CGROUP_FREEZER, CGROUP_DEVICES, CGROUP_CTL_COUNT_ };
enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };

/* Where each controller lives on this machine; found by looking at mounts and cgroup.controllers, never at
 * /proc/cgroups. */
struct cgroup_host {
    struct {
        enum cgroup_mode mode;
        char mount[128]; /* "/sys/fs/cgroup/memory" */
        char self[256];  /* the group we run in, below mount ("" or "/a/b"): new groups are made below it */
    } ctl[CGROUP_CTL_COUNT_];
    char v2_mount[128]; /* "" when no cgroup2 is mounted; may have no controllers (hybrid) */
    char v2_self[256];
    char name[16]; /* "v1", "v2", "hybrid", "none" */
};
int cgroup_detect(struct cgroup_host *ret, struct err *err);
/* When we run in a group of our own making ("limpet/agent", the agent's own ceiling), new groups must not end
 * up below it: cut this suffix from every self path that ends with it. */
void cgroup_host_leave(struct cgroup_host *h, const char *suffix);

#define CGROUP_UNSET UINT64_MAX
struct cgroup_limits {
    uint64_t memory_max_bytes;            /* CGROUP_UNSET: no limit */
    uint64_t memory_high_bytes;           /* v2 only */
    uint64_t swap_max_bytes;              /* beyond memory; 0: none allowed */
    uint64_t cpu_quota_us, cpu_period_us; /* quota CGROUP_UNSET: none */
    uint64_t cpu_weight;                  /* 1..10000, v2 scale; converted to shares on v1 */
    uint64_t pids_max;
};
#define CGROUP_LIMITS_NONE                                                                                \
    ((struct cgroup_limits){CGROUP_UNSET, CGROUP_UNSET, CGROUP_UNSET, CGROUP_UNSET, 100000, CGROUP_UNSET, \
                            CGROUP_UNSET})

/* L9: per field what the kernel really does, read back. */
enum cgroup_state { CGROUP_NOT_ASKED, CGROUP_ENFORCED, CGROUP_DEGRADED, CGROUP_UNSUPPORTED };
struct cgroup_field {
    enum cgroup_state state;
    uint64_t value; /* read back from the kernel */
    char why[64];   /* when not enforced */
};
struct cgroup_report {
    struct cgroup_field memory, swap, cpu, pids;
};
const char *cgroup_state_name(enum cgroup_state s); /* "not-asked", "enforced", "degraded", "unsupported" */

struct cgroup; /* one group in every hierarchy it needs */
/* Make it (or take it over when it exists) and set limits; only hierarchies that a limit or the freezer needs
 * are used. Fields that cannot be enforced are in *ret_report, not an error. Errors: INVALID (name), IO,
 * DENIED. Owner: caller. */
int cgroup_make(const struct cgroup_host *h, const char *path, const struct cgroup_limits *lim,
                struct cgroup **ret, struct cgroup_report *ret_report, struct err *err);
/* Attach to an existing one (after a restart of ours). NOTFOUND when it exists nowhere. */
int cgroup_open(const struct cgroup_host *h, const char *path, struct cgroup **ret, struct err *err);
struct cgroup *cgroup_free(struct cgroup *c); /* forget it; the group stays */
int cgroup_set(struct cgroup *c, const struct cgroup_limits *lim, struct cgroup_report *ret_report,
               struct err *err);

/* fd of the v2 folder for CLONE_INTO_CGROUP, or -1 (v1, no cgroup2). Borrowed. */
int cgroup_clone_fd(const struct cgroup *c);
/* From inside the new process: move itself into every v1 hierarchy (and v2, when it was not cloned into it).
 * Async-signal safe, no allocation: usable between clone and exec. Returns 0 or -errno. */
int cgroup_attach_self(const struct cgroup *c, bool in_v2_already);
int cgroup_attach(struct cgroup *c, pid_t pid, struct err *err);

struct cgroup_usage {
    uint64_t memory_bytes, memory_peak_bytes, memory_limit_bytes; /* CGROUP_UNSET: unknown or none */
    uint64_t cpu_us, pids, oom_kills;
};
void cgroup_usage(const struct cgroup *c, struct cgroup_usage *ret); /* unknown fields: CGROUP_UNSET */
/* An fd that becomes readable (EPOLLIN on v1 eventfd, EPOLLPRI on v2 memory.events) when the group meets its
 * ceiling; or -1. */
int cgroup_oom_fd(struct cgroup *c, uint32_t *ret_epoll_events);

/* Kill everything in it (cgroup.kill, or freeze + kill + thaw in rounds). 0 when it was empty or every
 * process was signalled. */
int cgroup_kill(struct cgroup *c, struct err *err);
bool cgroup_is_empty(const struct cgroup *c);
/* pids in it, at most max; returns how many. */
int cgroup_pids(const struct cgroup *c, pid_t *ret, unsigned max);
int cgroup_freeze(struct cgroup *c, bool frozen, struct err *err);
/* Move a process out of it, to where groups of ours begin. */
void cgroup_detach(struct cgroup *c, pid_t pid);
/* rmdir everywhere, children first, then parents of ours that are empty now; waits up to timeout_ms for
 * zombies to go. CONFLICT when still busy. */
int cgroup_remove(struct cgroup *c, unsigned timeout_ms, struct err *err);
/* rmdir it everywhere, but only where it has neither processes nor groups below it. */
void cgroup_remove_if_unused(struct cgroup *c);
#endif
