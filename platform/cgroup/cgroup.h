/* cgroup.h - one interface to cgroup v1, hybrid and v2: create, limit, attach, measure, kill, remove.
 * What a controller cannot do is reported, never assumed (L9). A group is named by a path below the agent's
 * own root group, for example "limpet/app/web"; with a leading "/" it is below the top of each hierarchy
 * instead.
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
    CGROUP_DEVICES, /* v1 only: on v2 our BPF program decides (cgroup_devices_set) */
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
/* "blkio"; NULL: not on that version. */
const char *cgroup_ctl_name(enum cgroup_ctl ctl, enum cgroup_mode mode);

/* Where each controller is on this machine; determined from mounts and cgroup.controllers, never from
 * /proc/cgroups. */
struct cgroup_host {
    struct {
        enum cgroup_mode mode;
        char mount[128]; /* "/sys/fs/cgroup/memory" */
        char self[256];  /* the group we run in, below mount ("" or "/a/b"): new groups are created below
                          * it */
    } ctl[CGROUP_CTL_COUNT_];
    char v2_mount[128]; /* "" if no cgroup2 is mounted; may have no controllers (hybrid) */
    char v2_self[256];
    char name[16]; /* "v1", "v2", "hybrid", "none" */
    bool stay;     /* never move other processes out of our own group to make room for controllers (v2) */
};
/* Inspect this machine. What is missing is CGROUP_NONE, not an error. Errors: IO (no /proc). */
NODISCARD int cgroup_detect(struct cgroup_host *ret, struct err *err);
/* If we run in a group of our own ("limpet/agent", the agent's own ceiling), new groups must not be created
 * below it: cut this suffix from every self path that ends with it. */
void cgroup_host_leave(struct cgroup_host *h, const char *suffix);

/* Longest path of a group, including NUL: those of Kubernetes are about 190 bytes. */
#define CGROUP_PATH_BYTES 320
/* linux.cgroupsPath in systemd's form, "slice:prefix:name", as the path that systemd would use:
 * "a-b.slice:cri:x" is "/a.slice/a-b.slice/cri-x.scope", an empty slice is system.slice. Other paths are
 * copied unchanged. False if it is invalid or does not fit. Pure. */
bool cgroup_path_read(const char *oci, char *dst, size_t size);

#define CGROUP_UNSET UINT64_MAX
struct cgroup_limits {
    uint64_t memory_max_bytes;            /* CGROUP_UNSET: no limit */
    uint64_t memory_high_bytes;           /* v2 only */
    uint64_t swap_max_bytes;              /* in addition to memory; 0: none allowed */
    uint64_t cpu_quota_us, cpu_period_us; /* quota CGROUP_UNSET: none */
    uint64_t cpu_weight;                  /* 1..10000, v2 scale; converted to shares on v1 */
    uint64_t pids_max;
};
#define CGROUP_LIMITS_NONE                                                                                \
    ((struct cgroup_limits){CGROUP_UNSET, CGROUP_UNSET, CGROUP_UNSET, CGROUP_UNSET, 100000, CGROUP_UNSET, \
                            CGROUP_UNSET})

/* L9: for each field what the kernel really does, as read back. */
enum cgroup_state { CGROUP_NOT_ASKED, CGROUP_ENFORCED, CGROUP_DEGRADED, CGROUP_UNSUPPORTED };
struct cgroup_field {
    enum cgroup_state state;
    uint64_t value; /* read back from the kernel */
    char why[96];   /* if not enforced */
};
struct cgroup_report {
    struct cgroup_field memory, swap, cpu, pids;
};
const char *cgroup_state_name(enum cgroup_state s); /* "not-asked", "enforced", "degraded", "unsupported" */

/* One file of a group and the text to write. */
struct cgroup_place {
    const char *file; /* NULL: not on this version */
    const char *text;
    uint64_t want; /* the number expected on reading back; CGROUP_UNSET: a successful write is enough */
};
/* One setting, for both versions of the kernel interface; of two places the second is for kernels without the
 * first. The caller fills all but the last four. */
struct cgroup_setting {
    enum cgroup_ctl ctl;
    const char *field;  /* below linux.resources: "memory.limit" */
    const char *option; /* what the kernel needs for it: "CONFIG_MEMCG" */
    bool may_lack;      /* a kernel without this file is only worth a warning */
    bool quiet;         /* not requested explicitly: not even a warning */
    bool lift;          /* removes an old limit: only where there may be one */
    bool v2_only;       /* from "unified": an error on v1 */
    struct cgroup_place v1[2], v2[2];
    enum cgroup_state state;
    uint64_t got;    /* value read back; CGROUP_UNSET: nothing, no limit, not a number */
    const char *why; /* if our own group or its hierarchy is the reason; in the list's text */
    int result;      /* 0 or -errno; -ENODEV: no controller, or none for us, -ENOENT: no such file */
};

enum { CGROUP_DEV_MKNOD = 1, CGROUP_DEV_READ = 2, CGROUP_DEV_WRITE = 4, CGROUP_DEV_ALL = 7 };
struct cgroup_device {
    bool allow;
    char type;            /* 'a' both types, 'b', 'c' */
    int64_t major, minor; /* -1: any */
    unsigned access;      /* CGROUP_DEV_ */
};

#define CGROUP_SETTINGS_MAX 96
#define CGROUP_DEVICES_MAX  128
#define CGROUP_LIST_TEXT    8192
/* All settings of a group: made by a pure function from limits (cgroup_list_of_limits) or from
 * linux.resources (spec_read_resources), written and read back by one loop. */
struct cgroup_list {
    unsigned n;
    struct cgroup_setting list[CGROUP_SETTINGS_MAX];
    bool has_devices; /* even without rules: then nothing is allowed */
    unsigned n_devices;
    struct cgroup_device devices[CGROUP_DEVICES_MAX];
    struct cgroup_field device_state; /* result of the device rules */
    bool check_before_update;         /* refuse a memory limit below current usage, instead of killing */
    uint64_t memory_bytes;            /* the new memory.limit, CGROUP_UNSET: none */
    size_t used;
    char text[CGROUP_LIST_TEXT];
};
/* Initialise as empty: no limits. */
void cgroup_list_init(struct cgroup_list *l);
/* Formatted text that lives as long as the list; NULL if it is full. */
const char *cgroup_list_text(struct cgroup_list *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Append a zeroed setting; NULL if the list is full. */
struct cgroup_setting *cgroup_list_add(struct cgroup_list *l, enum cgroup_ctl ctl, const char *field,
                                       const char *option);
/* By its field; NULL: not in the list. */
const struct cgroup_setting *cgroup_list_find(const struct cgroup_list *l, const char *field);
/* The agent's limits as a list. Pure. */
void cgroup_list_of_limits(const struct cgroup_limits *lim, struct cgroup_list *ret);
/* Append a rule. False: the list is full, nothing was added. */
bool cgroup_list_add_device(struct cgroup_list *l, struct cgroup_device d);
/* Append rules for the nodes that every box has (null zero full random urandom tty, terminals): these are
 * allowed, all others are not. */
void cgroup_list_standard_devices(struct cgroup_list *l);
/* After applying: the agent's report. */
void cgroup_list_report(const struct cgroup_list *l, struct cgroup_report *ret);
/* After applying, for a config.json: the first setting not in force is an error with the field, the file and
 * what to do. What the machine merely lacks is not an error but a warning, below. Pure. Errors: INVALID,
 * UNSUPPORTED, CONFLICT (busy). */
NODISCARD int cgroup_list_judge(const struct cgroup_list *l, struct err *err);
/* A warning for setting i if it is not in force; false if it is. i == l->n means the devices. */
bool cgroup_list_warning(const struct cgroup_list *l, unsigned i, char *dst, size_t size);

struct cgroup; /* one group in every hierarchy it needs */
/* Create it (or take over an existing one) and set limits; only hierarchies needed by a limit or the freezer
 * are used. Fields that cannot be enforced are in *ret_report, not an error. Errors: INVALID (name), IO,
 * DENIED. Owner: caller. */
NODISCARD int cgroup_make(const struct cgroup_host *h, const char *path, const struct cgroup_limits *lim,
                          struct cgroup **ret, struct cgroup_report *ret_report, struct err *err);
/* Attach to an existing one (after a restart of ours). NOTFOUND if it is in no hierarchy. */
NODISCARD int cgroup_open(const struct cgroup_host *h, const char *path, struct cgroup **ret,
                          struct err *err);
struct cgroup *cgroup_free(struct cgroup *c); /* free the handle; the group stays */
/* Set other limits for an existing group; what cannot be enforced is in *ret_report. Errors: IO. */
NODISCARD int cgroup_set(struct cgroup *c, const struct cgroup_limits *lim, struct cgroup_report *ret_report,
                         struct err *err);
/* The same from a list, whose results are filled. What cannot be enforced is not an error here: see
 * cgroup_list_judge. INVALID: a memory limit refused by check_before_update. */
NODISCARD int cgroup_make_list(const struct cgroup_host *h, const char *path, struct cgroup_list *list,
                               struct cgroup **ret, struct err *err);
/* The same for an existing group. Errors: IO. */
NODISCARD int cgroup_set_list(struct cgroup *c, struct cgroup_list *list, struct err *err);

/* Device rules: the last match decides, separately for each access bit; without a match access is denied
 * (runtime-spec, config-linux.md, "Allowed Device list"). v1: the controller's list; v2: our BPF program,
 * attached to the group and removed with it. At no time is more allowed than before or after. ret: what is in
 * force. */
void cgroup_devices_set(struct cgroup *c, const struct cgroup_device *rules, unsigned n,
                        struct cgroup_field *ret);
/* Add a rule to a running group: hotplug. Errors: UNSUPPORTED (no list in force here), DENIED, IO. */
NODISCARD int cgroup_device_allow(struct cgroup *c, char type, int64_t major, int64_t minor, unsigned access,
                                  struct err *err);
/* The same, but the rule denies. Errors: as above. */
NODISCARD int cgroup_device_deny(struct cgroup *c, char type, int64_t major, int64_t minor, unsigned access,
                                 struct err *err);
/* What the rules decide: the model that both mechanisms follow. Pure. */
bool cgroup_devices_decide(const struct cgroup_device *rules, unsigned n, const struct cgroup_device *asked);

/* The i-th v1 hierarchy that the group is in: its directory there (borrowed), and its name as mounted
 * ("cpu,cpuacct"). -1: no more. */
int cgroup_v1_dir(const struct cgroup *c, unsigned i, const char **ret_name);
/* fd of the v2 directory for CLONE_INTO_CGROUP, or -1 (v1, no cgroup2). Borrowed. */
int cgroup_clone_fd(const struct cgroup *c);
/* In the new process: move itself into every v1 hierarchy (and v2, unless it was cloned into it).
 * Async-signal safe, no allocation: usable between clone and exec. Returns 0 or -errno. */
NODISCARD int cgroup_attach_self(const struct cgroup *c, bool in_v2_already);
/* Move a process into every hierarchy of the group. Errors: NOTFOUND (it has ended), DENIED, IO. */
NODISCARD int cgroup_attach(struct cgroup *c, pid_t pid, struct err *err);

struct cgroup_usage {
    uint64_t memory_bytes, memory_peak_bytes, memory_limit_bytes; /* CGROUP_UNSET: unknown or none */
    uint64_t cpu_us, pids, oom_kills;
};
void cgroup_usage(const struct cgroup *c, struct cgroup_usage *ret); /* unknown fields: CGROUP_UNSET */
/* Read a controller's file, by its name on v1 and on v2 (NULL: none). Length, 0 or less if there is none. */
ssize_t cgroup_read(const struct cgroup *c, enum cgroup_ctl ctl, const char *v1, const char *v2, char *dst,
                    size_t size);
/* A number in such a file, or the one after "key " if key is given. CGROUP_UNSET: unknown, or no limit. */
uint64_t cgroup_read_u64(const struct cgroup *c, enum cgroup_ctl ctl, const char *v1, const char *v2,
                         const char *key);
bool cgroup_is_v2(const struct cgroup *c, enum cgroup_ctl ctl); /* is this controller on v2? */
/* An fd that becomes readable (EPOLLIN on v1 eventfd, EPOLLPRI on v2 memory.events) when the group hits its
 * memory limit; or -1. */
int cgroup_oom_fd(struct cgroup *c, uint32_t *ret_epoll_events);

/* Kill everything in it (cgroup.kill, or freeze + kill + thaw in rounds). 0 if it was empty or every process
 * was signalled. Errors: CONFLICT (some survive), IO. */
NODISCARD int cgroup_kill(struct cgroup *c, struct err *err);
/* No process in it or in groups below. */
bool cgroup_is_empty(const struct cgroup *c);
/* pids in it, at most max; returns how many. */
int cgroup_pids(const struct cgroup *c, pid_t *ret, unsigned max);
/* Freeze or thaw all processes. TIMEOUT, after thawing them, if some do not freeze within 2 s: they are named
 * with what they wait for. UNSUPPORTED: no freezer. */
NODISCARD int cgroup_freeze(struct cgroup *c, bool frozen, struct err *err);
/* A quick check with one system call: may such a group of ours exist (where v2 is mounted each has a
 * directory in it)? Without v2: true. */
bool cgroup_may_exist(const struct cgroup_host *h, const char *path);
/* A quick check of one file; false also if there is no such group. */
bool cgroup_is_frozen(const struct cgroup_host *h, const char *path);
/* The path of that file, for a caller that will check again without inspecting the machine first. */
bool cgroup_freezer_file(const struct cgroup_host *h, const char *path, char *dst, size_t size);
/* Check that file. */
bool cgroup_file_is_frozen(const char *file);
/* The processes still in it, for messages: "1234 sh (D in nfs_wait) ...". Returns dst. */
char *cgroup_who(const struct cgroup *c, char *dst, size_t size);
/* Move a process out of it, to where our groups begin. */
void cgroup_detach(struct cgroup *c, pid_t pid);
/* rmdir everywhere, children first, then our parents that are now empty; waits up to timeout_ms for zombies
 * to go. CONFLICT if still busy. */
NODISCARD int cgroup_remove(struct cgroup *c, unsigned timeout_ms, struct err *err);
/* Clean up after a start that was killed before it created its group: remove our empty parents. */
void cgroup_sweep(const struct cgroup_host *h, const char *path);
/* rmdir it everywhere, but only if it has neither processes nor groups below it. */
void cgroup_remove_if_unused(struct cgroup *c);
#endif
