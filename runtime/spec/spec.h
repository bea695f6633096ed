/* spec.h - what one container is: validated, plain data. Built by spec_from_oci (config.json of the OCI
 * runtime-spec 1.x) or filled by a caller of ours, then checked once by spec_check. Pure. All strings belong
 * to the one that filled the spec (an arena) and outlive every use of it. */
#ifndef RUNTIME_SPEC_H
#define RUNTIME_SPEC_H
#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/arena.h"
#include "platform/cgroup/cgroup.h"
#include "platform/err.h"
#include "platform/limits.h"
#include "platform/mem.h"

#define SPEC_MOUNTS      96      /* podman writes some 15, and one a volume */
#define SPEC_OCI_VERSION "1.3.0" /* of the runtime-spec that we follow */
#define SPEC_GROUPS      64
#define SPEC_ID_SHIFT \
    1000000u /* default first host id of a box: clear of users (1000..) and subordinate ids (100000..) */

enum spec_net {
    SPEC_NET_NONE, /* a namespace of its own, loopback only */
    SPEC_NET_HOST, /* the host's, or one that is joined */
    SPEC_NET_BRIDGE,
    SPEC_NET_CNI, /* a namespace of its own, set up by CNI plugins of the host */
    SPEC_NET_COUNT_
};

/* Namespaces; order: that in which they are joined (the user namespace owns the others). */
enum spec_ns_kind {
    SPEC_NS_USER,
    SPEC_NS_PID,
    SPEC_NS_NET,
    SPEC_NS_IPC,
    SPEC_NS_UTS,
    SPEC_NS_CGROUP,
    SPEC_NS_TIME,
    SPEC_NS_MOUNT,
    SPEC_NS_COUNT_
};
struct spec_ns {
    bool own;         /* a new one */
    const char *join; /* or this file's; NULL and !own: the host's */
};
struct spec_id_map {
    uint32_t inner, outer, count;
};
#define SPEC_ID_MAPS 16
struct spec_id_maps {
    unsigned n;
    struct spec_id_map list[SPEC_ID_MAPS];
};

enum spec_mount_kind {
    SPEC_MOUNT_BIND,
    SPEC_MOUNT_TMPFS,
    SPEC_MOUNT_PROC,
    SPEC_MOUNT_SYSFS,
    SPEC_MOUNT_DEVPTS,
    SPEC_MOUNT_MQUEUE,
    SPEC_MOUNT_CGROUP,
    SPEC_MOUNT_FS, /* any other: see type */
    SPEC_MOUNT_KIND_COUNT_
};

struct spec_mount {
    enum spec_mount_kind kind;
    const char *type;    /* FS: the file system's name */
    const char *source;  /* BIND: absolute host path, or NULL when source_fd is set; FS: what mount(2) gets */
    int source_fd;       /* BIND: borrowed fd of a directory or file; -1: use source */
    const char *target;  /* absolute, inside the container; resolved below the rootfs fd only */
    unsigned long flags; /* MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME ... */
    unsigned long clear; /* BIND: of these, what the source has and the container shall not ("rw", "exec") */
    unsigned long
        propagation; /* MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, each with MS_REC; 0: private */
    uint64_t all_set, all_clear; /* MOUNT_ATTR_ for the whole tree ("rro", "rnoexec") */
    bool recursive;              /* BIND: with the mounts below the source */
    bool make_target;            /* make the mount point when the image lacks it (never in a shared store) */
    bool copy_up;                /* TMPFS: begins with what the image has at its place */
    bool idmap, idmap_all; /* BIND: ids shifted, by the box's own maps or these; _all: mounts below too */
    const struct spec_id_maps *uid_maps, *gid_maps;
    uint64_t size_bytes; /* TMPFS; 0: the kernel's choice */
    unsigned mode;       /* TMPFS: octal mode of its root; 0: the kernel's choice */
    const char *data;    /* further options of the file system, "a=b,c"; NULL: none */
};
struct spec_port {
    uint16_t host, container;
    bool udp;
    const char *host_ip; /* IPv4 or IPv6; NULL: every address */
    uint16_t count;      /* so many ports from these on; 0: one */
};
struct spec_rlimit {
    int resource;
    uint64_t soft, hard;
};
struct spec_caps { /* masks of 1 << CAP_... */
    uint64_t bounding, effective, permitted, inheritable, ambient;
};
struct spec_scheduler { /* sched_setattr(2) */
    bool set;
    uint32_t policy, priority;
    int32_t nice;
    uint64_t flags, runtime_ns, deadline_ns, period_ns;
};
struct spec_device {
    const char *path; /* absolute, inside the container */
    char type;        /* 'c', 'b', 'p' */
    uint32_t major, minor, mode, uid, gid;
};
struct spec_net_device {     /* of the host, moved into the container's network namespace */
    const char *host, *name; /* name: inside; "eth%d": with the lowest number that is free there */
};
struct spec_sysctl {
    const char *path, *value; /* below /proc/sys: "net/ipv4/ip_forward" */
};
enum spec_hook_kind {
    SPEC_HOOK_PRESTART,
    SPEC_HOOK_CREATE_RUNTIME,
    SPEC_HOOK_CREATE_CONTAINER,
    SPEC_HOOK_START_CONTAINER,
    SPEC_HOOK_POSTSTART,
    SPEC_HOOK_POSTSTOP,
    SPEC_HOOK_COUNT_
};
struct spec_hook {
    const char *path;
    const char *const *args, *const *env; /* NULL-terminated; args NULL: the path alone; env NULL: empty */
    unsigned timeout_s;                   /* 0: none */
};
struct spec_hooks {
    unsigned n;
    const struct spec_hook *list;
};
/* A program's filter: BPF, with the arguments of seccomp(2). */
struct spec_filter {
    const struct sock_filter *code; /* NULL: none */
    unsigned short n;
    unsigned flags;       /* SECCOMP_FILTER_FLAG_... */
    const char *listener; /* unix socket that gets the notification descriptor; NULL: none */
    const char *listener_metadata;
};

/* One process: the first of a container, or one that is added to it. */
struct spec_process {
    const char *const *args; /* NULL-terminated, args[0] is looked up in PATH of env inside the rootfs */
    const char *const *env;  /* NULL-terminated */
    const char *cwd;
    uint32_t uid, gid;
    uint32_t groups[SPEC_GROUPS];
    unsigned n_groups;
    uint32_t umask;
    struct spec_caps caps;
    bool no_new_privs;
    struct spec_rlimit rlimits[16];
    unsigned n_rlimits;
    int oom_score_adj;
    bool oom_score_adj_set;
    bool oom_score_adj_soft;        /* what cannot be set is reported, no error */
    const char *apparmor, *selinux; /* profile, label; NULL: none */
    struct spec_scheduler scheduler;
    bool io_priority_set;
    unsigned io_priority;                  /* as ioprio_set(2) takes it: class << 13 | level */
    const char *cpus_initial, *cpus_final; /* lists like "0-3,7", for exec; NULL: none */
    bool terminal;
    unsigned short rows, columns; /* of the terminal; 0: not said */
    bool seccomp_default;         /* our own filter (seccomp.list) */
    struct spec_filter seccomp;   /* or this one */
};

struct spec {
    const char *id;       /* [a-z0-9][a-z0-9._-]{0,62} for the agent; the CLI takes OCI's [A-Za-z0-9+_.-] */
    const char *hostname; /* NULL: the id, in a namespace of its own */
    const char *domainname;
    int rootfs_fd;           /* borrowed fd of the rootfs directory */
    const char *rootfs_path; /* the same as a path, for messages; may be NULL when rootfs_fd is set */
    bool rootfs_read_only;
    bool rootfs_no_dev;        /* device nodes of the image are none */
    bool rootfs_idmap;         /* ids of the rootfs are those of the box (with a user namespace of its own) */
    unsigned long propagation; /* of the rootfs: MS_SHARED, MS_SLAVE ... with MS_REC; 0: private */
    struct spec_process process;
    struct spec_ns ns[SPEC_NS_COUNT_];         /* NET: set by spec_set_net */
    struct spec_id_maps uid_maps, gid_maps;    /* a user namespace of its own; empty: SPEC_ID_SHIFT, 65536 */
    int64_t boot_offset_s, monotonic_offset_s; /* a time namespace of its own */
    uint32_t boot_offset_ns, monotonic_offset_ns;
    enum spec_net net;
    const char
        *net_name; /* BRIDGE: the named network that it shares with others; NULL: kept apart. CNI: the list */
    struct spec_port ports[LIM_PORTS];
    unsigned n_ports;
    struct spec_mount mounts[SPEC_MOUNTS];
    unsigned n_mounts;
    const struct spec_device *devices; /* beside those that every box has */
    unsigned n_devices;
    const struct spec_net_device *net_devices;
    unsigned n_net_devices;
    const struct spec_sysctl *sysctls;
    unsigned n_sysctls;
    const char *const *masked, *const *read_only_paths; /* NULL-terminated */
    const char *mount_label;                            /* SELinux; NULL: none */
    struct spec_hooks hooks[SPEC_HOOK_COUNT_];
    bool personality_set;
    unsigned long personality;
    bool mempolicy_set;
    int mempolicy_mode; /* with its flags, as set_mempolicy(2) takes it */
    const char *mempolicy_nodes;
    struct cgroup_limits limits;
    struct cgroup_list
        *resources; /* config.json: all of linux.resources, in place of limits; results are filled at the
                                      start, and what cannot be enforced is an error then. NULL: limits, best
                                      *                                       effort */
    const char *cgroup_path; /* NULL: "limpet/<id>" */
    int stop_signal;
    /* the first process is ours (init.c): passes signals on, reaps orphans, ends as the program ends */
    bool init;
};

/* Capabilities as a plain least-privilege program has them: bounding, effective, permitted. */
struct spec_caps spec_caps_of(uint64_t mask);
/* "CAP_KILL" or "kill" to its number; false: unknown. The other way round: NULL when unknown. */
bool spec_cap_by_name(const char *name, unsigned *ret);
/* The other way round: NULL when unknown. */
const char *spec_cap_name(unsigned cap);
/* The i-th mount option that config.json may have; NULL behind the last. */
const char *spec_mount_option(unsigned i);
/* The last host port of a range; do two ask for the same port of the same address? Pure. */
unsigned spec_port_last(const struct spec_port *p);
/* Do two ask for the same port of the same address? Pure. */
bool spec_ports_meet(const struct spec_port *a, const struct spec_port *b);
/* The name that a network device gets inside: wanted, or made of it ("eth%d"). False: taken. Pure. */
bool spec_net_device_name(const char *wanted, bool (*is_taken)(const void *who, const char *name),
                          const void *who, char *ret, size_t size);
/* Network and its namespace together. */
void spec_set_net(struct spec *s, enum spec_net net);
/* One range from id 0 on. */
struct spec_id_maps spec_id_range(uint32_t outer, uint32_t count);
/* The host's id of an inner one; UINT32_MAX when it has none. */
uint32_t spec_outer_id(const struct spec_id_maps *m, uint32_t inner);

/* Our least-privilege defaults: all namespaces, userns, /proc /dev /sys /dev/shm /tmp /dev/pts /dev/mqueue,
 * masked and read-only paths, no caps, no_new_privs, our seccomp filter, read-only rootfs, umask 022, cwd
 * "/". */
void spec_defaults(struct spec *s);

/* What config.json says beyond the spec: for callers that keep a record of a container. */
struct spec_oci {
    const char *annotations; /* as JSON; NULL: none */
    const char *seccomp;     /* linux.seccomp as JSON: a profile to be compiled; NULL: none */
    const char *notes[8];    /* what was read but not applied, NULL-terminated; shown to the user */
    unsigned n_notes;
};
/* From config.json (whole text) of a bundle. Strings go to arena. Unknown properties pass, wrong ones are
 * refused with the field's path. Errors: INVALID, UNSUPPORTED (a field that needs what we do not do: never
 * ignored in silence). Runtime-spec 1.x, config.md, config-linux.md. */
NODISCARD int spec_from_oci(struct buf config_json, struct arena *arena, struct spec *ret,
                            struct spec_oci *ret_oci, struct err *err);
/* A process object alone (exec --process). Members that it lacks stay as *ret has them. Errors: as
 * spec_from_oci. */
NODISCARD int spec_process_from_oci(struct buf process_json, struct arena *arena, struct spec_process *ret,
                                    struct err *err);

/* A list of mounts alone, as config.json has it in "mounts", into ret->mounts (limpet mounts). Errors: as
 * spec_from_oci. */
NODISCARD int spec_mounts_from_oci(struct buf mounts_json, struct arena *arena, struct spec *ret,
                                   struct err *err);

/* The one gate before a container is made: names, absolute targets, counts, contradictions. Errors: INVALID.
 */
NODISCARD int spec_check(const struct spec *s, struct err *err);
/* The same for a process that is added to a container. Errors: INVALID. */
NODISCARD int spec_process_check(const struct spec_process *p, struct err *err);
#endif
