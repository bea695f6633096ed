/* cgroup.h - cgroup v1, hybrid and v2 behind one face: make, limit, attach, measure, kill, remove.
 * What a controller cannot do is said, never assumed (L9). A group is named by a path below the agent's own
 * root group, for example "limpet/app/web"; a leading "/" means below the top of each hierarchy instead.
 * Threads: one. */
#ifndef PLATFORM_CGROUP_H
#define PLATFORM_CGROUP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/err.h"

enum cgroup_ctl {
    CGROUP_MEMORY,
    CGROUP_CPU,
    CGROUP_PIDS,
    CGROUP_FREEZER,
    CGROUP_DEVICES, /* v1 only: v2 asks a program of ours (cgroup_devices_set) */
    CGROUP_CPUACCT, /* v1 only */
    CGROUP_CPUSET,
    CGROUP_IO, /* "blkio" on v1 */
    CGROUP_HUGETLB,
    CGROUP_NET_CLS,  /* v1 only */
    CGROUP_NET_PRIO, /* v1 only */
    CGROUP_RDMA,
    CGROUP_MISC,
    CGROUP_CORE, /* v2's own files: cgroup.max.depth ... */
    CGROUP_CTL_COUNT_
};
enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };
/* "blkio"; NULL: none on that version. */
const char *cgroup_ctl_name(enum cgroup_ctl ctl, enum cgroup_mode mode);

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
    bool stay;     /* never move strangers out of our own group to make room for controllers (v2) */
};
/* Look at this machine. What is not there is CGROUP_NONE, no error. Errors: IO (no /proc). */
NODISCARD int cgroup_detect(struct cgroup_host *ret, struct err *err);
/* When we run in a group of our own making ("limpet/agent", the agent's own ceiling), new groups must not end
 * up below it: cut this suffix from every self path that ends with it. */
void cgroup_host_leave(struct cgroup_host *h, const char *suffix);

/* Longest path of a group, with its NUL: Kubernetes' own are about 190 bytes. */
#define CGROUP_PATH_BYTES 320
/* linux.cgroupsPath in systemd's manner, "slice:prefix:name", as the path that systemd would give it:
 * "a-b.slice:cri:x" is "/a.slice/a-b.slice/cri-x.scope", an empty slice is system.slice. Other paths are
 * copied as they are. False when it is wrong or does not fit. Pure. */
bool cgroup_path_read(const char *oci, char *dst, size_t size);

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
    char why[96];   /* when not enforced */
};
struct cgroup_report {
    struct cgroup_field memory, swap, cpu, pids;
};
const char *cgroup_state_name(enum cgroup_state s); /* "not-asked", "enforced", "degraded", "unsupported" */

/* One file of a group and what goes into it. */
struct cgroup_place {
    const char *file; /* NULL: there is none on this version */
    const char *text;
    uint64_t
        want; /* the number to be read back; CGROUP_UNSET: the kernel's word that it took the text is all */
};
/* One setting, for both versions of the kernel's interface; of two places the second is for kernels without
 * the first. The caller fills all but the last four. */
struct cgroup_setting {
    enum cgroup_ctl ctl;
    const char *field;  /* below linux.resources: "memory.limit" */
    const char *option; /* what the kernel needs for it: "CONFIG_MEMCG" */
    bool may_lack;      /* a kernel without this file is worth a warning only */
    bool quiet;         /* nobody asked by name: not even that */
    bool lift;          /* takes an old limit away: only where there may be one */
    bool v2_only;       /* unified: on v1 it is an error */
    struct cgroup_place v1[2], v2[2];
    enum cgroup_state state;
    uint64_t got;    /* read back; CGROUP_UNSET: nothing, no limit, no number */
    const char *why; /* when our own group or its hierarchy is the reason; in the list's text */
    int result;      /* 0 or -errno; -ENODEV: no controller or none for us, -ENOENT: no such file */
};

enum { CGROUP_DEV_MKNOD = 1, CGROUP_DEV_READ = 2, CGROUP_DEV_WRITE = 4, CGROUP_DEV_ALL = 7 };
struct cgroup_device {
    bool allow;
    char type;            /* 'a' both kinds, 'b', 'c' */
    int64_t major, minor; /* -1: any */
    unsigned access;      /* CGROUP_DEV_ */
};

#define CGROUP_SETTINGS_MAX 96
#define CGROUP_DEVICES_MAX  128
#define CGROUP_LIST_TEXT    8192
/* All that a group is to hold: made by a pure function from limits (cgroup_list_of_limits) or from
 * linux.resources (spec_read_resources), written and read back by one loop. */
struct cgroup_list {
    unsigned n;
    struct cgroup_setting list[CGROUP_SETTINGS_MAX];
    bool has_devices; /* even with no rule: then nothing is allowed */
    unsigned n_devices;
    struct cgroup_device devices[CGROUP_DEVICES_MAX];
    struct cgroup_field device_state; /* what became of them */
    bool check_before_update; /* a memory limit below what is used now is refused, not enforced by kills */
    uint64_t memory_bytes;    /* the new memory.limit, CGROUP_UNSET: none */
    size_t used;
    char text[CGROUP_LIST_TEXT];
};
/* Empty: nothing is limited. */
void cgroup_list_init(struct cgroup_list *l);
/* A copy of a formatted text that lives as long as the list; NULL when it is full. */
const char *cgroup_list_text(struct cgroup_list *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The next setting, zeroed; NULL when the list is full. */
struct cgroup_setting *cgroup_list_add(struct cgroup_list *l, enum cgroup_ctl ctl, const char *field,
                                       const char *option);
/* By its field; NULL: not in the list. */
const struct cgroup_setting *cgroup_list_find(const struct cgroup_list *l, const char *field);
/* The agent's limits as such a list. Pure. */
void cgroup_list_of_limits(const struct cgroup_limits *lim, struct cgroup_list *ret);
/* One more rule. False: the list is full, nothing was added. */
bool cgroup_list_add_device(struct cgroup_list *l, struct cgroup_device d);
/* The nodes that every box has (null zero full random urandom tty, terminals): allowed, all else not.
 * Appended. */
void cgroup_list_standard_devices(struct cgroup_list *l);
/* After it was applied: what the agent reports. */
void cgroup_list_report(const struct cgroup_list *l, struct cgroup_report *ret);
/* After it was applied, for a caller with a config.json: the first field that does not hold is an error
 * which names the field, the file and what to do. What the machine merely lacks is no error but a warning,
 * below. Pure. Errors: INVALID, UNSUPPORTED, CONFLICT (busy). */
NODISCARD int cgroup_list_judge(const struct cgroup_list *l, struct err *err);
/* Setting i in words when it does not hold: false when it does. i == l->n speaks of the devices. */
bool cgroup_list_warning(const struct cgroup_list *l, unsigned i, char *dst, size_t size);

struct cgroup; /* one group in every hierarchy it needs */
/* Make it (or take it over when it exists) and set limits; only hierarchies that a limit or the freezer needs
 * are used. Fields that cannot be enforced are in *ret_report, not an error. Errors: INVALID (name), IO,
 * DENIED. Owner: caller. */
NODISCARD int cgroup_make(const struct cgroup_host *h, const char *path, const struct cgroup_limits *lim,
                          struct cgroup **ret, struct cgroup_report *ret_report, struct err *err);
/* Attach to an existing one (after a restart of ours). NOTFOUND when it exists nowhere. */
NODISCARD int cgroup_open(const struct cgroup_host *h, const char *path, struct cgroup **ret,
                          struct err *err);
struct cgroup *cgroup_free(struct cgroup *c); /* forget it; the group stays */
/* Other limits for a group that exists; what cannot be enforced is in *ret_report. Errors: IO. */
NODISCARD int cgroup_set(struct cgroup *c, const struct cgroup_limits *lim, struct cgroup_report *ret_report,
                         struct err *err);
/* The same by a list, whose results are filled. What cannot be enforced is no error here: cgroup_list_judge.
 * INVALID: a memory limit that check_before_update refuses. */
NODISCARD int cgroup_make_list(const struct cgroup_host *h, const char *path, struct cgroup_list *list,
                               struct cgroup **ret, struct err *err);
/* The same for a group that exists. Errors: IO. */
NODISCARD int cgroup_set_list(struct cgroup *c, struct cgroup_list *list, struct err *err);

/* Device rules, the last that matches decides, bit by bit of the access; what none matches is denied
 * (runtime-spec, config-linux.md, "Allowed Device list"). v1: the controller's list; v2: a program of ours,
 * attached to the group and gone with it. Never is more allowed in between than before or after. ret says
 * what is in force. */
void cgroup_devices_set(struct cgroup *c, const struct cgroup_device *rules, unsigned n,
                        struct cgroup_field *ret);
/* One more rule for a running group: hot-plug. Errors: UNSUPPORTED (no list in force here), DENIED, IO. */
NODISCARD int cgroup_device_allow(struct cgroup *c, char type, int64_t major, int64_t minor, unsigned access,
                                  struct err *err);
/* The same, but the rule forbids. Errors: as above. */
NODISCARD int cgroup_device_deny(struct cgroup *c, char type, int64_t major, int64_t minor, unsigned access,
                                 struct err *err);
/* What the rules say: the model that both mechanisms follow. Pure. */
bool cgroup_devices_decide(const struct cgroup_device *rules, unsigned n, const struct cgroup_device *asked);

/* The i-th v1 hierarchy that the group lives in: its directory there (borrowed), its name as it is mounted
 * ("cpu,cpuacct"). -1: no further one. */
int cgroup_v1_dir(const struct cgroup *c, unsigned i, const char **ret_name);
/* fd of the v2 directory for CLONE_INTO_CGROUP, or -1 (v1, no cgroup2). Borrowed. */
int cgroup_clone_fd(const struct cgroup *c);
/* From inside the new process: move itself into every v1 hierarchy (and v2, when it was not cloned into it).
 * Async-signal safe, no allocation: usable between clone and exec. Returns 0 or -errno. */
NODISCARD int cgroup_attach_self(const struct cgroup *c, bool in_v2_already);
/* Move a process into every hierarchy of the group. Errors: NOTFOUND (it has ended), DENIED, IO. */
NODISCARD int cgroup_attach(struct cgroup *c, pid_t pid, struct err *err);

struct cgroup_usage {
    uint64_t memory_bytes, memory_peak_bytes, memory_limit_bytes; /* CGROUP_UNSET: unknown or none */
    uint64_t cpu_us, pids, oom_kills;
};
void cgroup_usage(const struct cgroup *c, struct cgroup_usage *ret); /* unknown fields: CGROUP_UNSET */
/* Read a file of a controller: its name on v1 and on v2 (NULL: none). Length, 0 or less when there is
 * none. */
ssize_t cgroup_read(const struct cgroup *c, enum cgroup_ctl ctl, const char *v1, const char *v2, char *dst,
                    size_t size);
/* A number of such a file, or the one behind "key " when key is given. CGROUP_UNSET: unknown, or no limit. */
uint64_t cgroup_read_u64(const struct cgroup *c, enum cgroup_ctl ctl, const char *v1, const char *v2,
                         const char *key);
bool cgroup_is_v2(const struct cgroup *c, enum cgroup_ctl ctl); /* where this controller is */
/* An fd that becomes readable (EPOLLIN on v1 eventfd, EPOLLPRI on v2 memory.events) when the group meets its
 * ceiling; or -1. */
int cgroup_oom_fd(struct cgroup *c, uint32_t *ret_epoll_events);

/* Kill everything in it (cgroup.kill, or freeze + kill + thaw in rounds). 0 when it was empty or every
 * process was signalled. Errors: CONFLICT (some live on), IO. */
NODISCARD int cgroup_kill(struct cgroup *c, struct err *err);
/* No process, nor in groups below. */
bool cgroup_is_empty(const struct cgroup *c);
/* pids in it, at most max; returns how many. */
int cgroup_pids(const struct cgroup *c, pid_t *ret, unsigned max);
/* All processes stop, or continue. TIMEOUT, and they continue, when some do not stop within 2 s: they are
 * named with what they wait for. UNSUPPORTED: no freezer. */
NODISCARD int cgroup_freeze(struct cgroup *c, bool frozen, struct err *err);
/* Asked of the kernel with one call: is a group of ours there (where v2 is mounted each has a directory in
 * it)? Without v2: true, since it may. */
bool cgroup_may_exist(const struct cgroup_host *h, const char *path);
/* Asked of the kernel with one file; false also when there is no such group. */
bool cgroup_is_frozen(const struct cgroup_host *h, const char *path);
/* The file that says so, as an absolute path: for a caller that will ask again without looking at the machine
 * first. */
bool cgroup_freezer_file(const struct cgroup_host *h, const char *path, char *dst, size_t size);
/* Asked of that file. */
bool cgroup_file_is_frozen(const char *file);
/* The processes still in it, for messages: "1234 sh (D in nfs_wait) ...". Returns dst. */
char *cgroup_who(const struct cgroup *c, char *dst, size_t size);
/* Move a process out of it, to where groups of ours begin. */
void cgroup_detach(struct cgroup *c, pid_t pid);
/* rmdir everywhere, children first, then parents of ours that are empty now; waits up to timeout_ms for
 * zombies to go. CONFLICT when still busy. */
NODISCARD int cgroup_remove(struct cgroup *c, unsigned timeout_ms, struct err *err);
/* What a killed start made on the way to a group that it did not come to make: empty parents of ours go. */
void cgroup_sweep(const struct cgroup_host *h, const char *path);
/* rmdir it everywhere, but only where it has neither processes nor groups below it. */
void cgroup_remove_if_unused(struct cgroup *c);
#endif
