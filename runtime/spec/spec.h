/* spec.h - the specification of one container: validated, plain data. Built by spec_from_oci (config.json of
 * the OCI runtime-spec 1.x) or filled by one of our callers, then checked once by spec_check. Pure. All
 * strings belong to whoever filled the spec (an arena) and outlive every use of it. */
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

#define SPEC_MOUNTS      96      /* podman writes about 15, plus one per volume */
#define SPEC_OCI_VERSION "1.3.0" /* the version of the runtime-spec that we follow */
#define SPEC_GROUPS      64
#define SPEC_ID_SHIFT \
    1000000u /* default first host id of a box: away from users (1000..) and subordinate ids (100000..) */

enum spec_net {
    SPEC_NET_NONE, /* its own namespace, loopback only */
    SPEC_NET_HOST, /* the host's, or a joined one */
    SPEC_NET_BRIDGE,
    SPEC_NET_CNI, /* its own namespace, set up by CNI plugins of the host */
    SPEC_NET_COUNT_
};

/* Namespaces, in the order of joining them (the user namespace owns the others). */
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
    const char *join; /* or the one of this file; NULL and !own: the host's */
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
    const char *source;  /* BIND: absolute host path, or NULL if source_fd is set; FS: passed to mount(2) */
    int source_fd;       /* BIND: borrowed fd of a directory or file; -1: use source */
    const char *target;  /* absolute, inside the container; resolved below the rootfs fd only */
    unsigned long flags; /* MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME ... */
    unsigned long clear; /* BIND: flags of the source that the container must not inherit ("rw", "exec") */
    unsigned long
        propagation; /* MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, each with MS_REC; 0: private */
    uint64_t all_set, all_clear; /* MOUNT_ATTR_ for the whole tree ("rro", "rnoexec") */
    bool recursive;              /* BIND: including mounts below the source */
    bool make_target;            /* create the mount point if the image lacks it (never in a shared store) */
    bool copy_up;                /* TMPFS: starts with what the image has at that place */
    bool idmap, idmap_all; /* BIND: idmapped, with the box's own maps or these; _all: mounts below too */
    const struct spec_id_maps *uid_maps, *gid_maps;
    uint64_t size_bytes; /* TMPFS; 0: kernel default */
    unsigned mode;       /* TMPFS: octal mode of its root; 0: kernel default */
    const char *data;    /* other options of the file system, "a=b,c"; NULL: none */
};
struct spec_port {
    uint16_t host, container;
    bool udp;
    const char *host_ip; /* IPv4 or IPv6; NULL: every address */
    uint16_t count;      /* number of consecutive ports; 0: one */
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
    const char *host, *name; /* name: inside; "eth%d": with the lowest number free there */
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
    unsigned timeout_s;                   /* 0: no limit */
};
struct spec_hooks {
    unsigned n;
    const struct spec_hook *list;
};
/* A seccomp filter: BPF, with the arguments of seccomp(2). */
struct spec_filter {
    const struct sock_filter *code; /* NULL: none */
    unsigned short n;
    unsigned flags;       /* SECCOMP_FILTER_FLAG_... */
    const char *listener; /* unix socket that gets the notification descriptor; NULL: none */
    const char *listener_metadata;
};

/* One process: the first of a container, or an additional one. */
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
    bool oom_score_adj_soft;        /* if it cannot be set: report it, no error */
    const char *apparmor, *selinux; /* profile, label; NULL: none */
    struct spec_scheduler scheduler;
    bool io_priority_set;
    unsigned io_priority;                  /* as for ioprio_set(2): class << 13 | level */
    const char *cpus_initial, *cpus_final; /* lists like "0-3,7", for exec; NULL: none */
    bool terminal;
    unsigned short rows, columns; /* of the terminal; 0: not given */
    bool seccomp_default;         /* our own filter (seccomp.list) */
    struct spec_filter seccomp;   /* or this one */
};

struct spec {
    const char *id;       /* [a-z0-9][a-z0-9._-]{0,62} for the agent; the CLI takes OCI's [A-Za-z0-9+_.-] */
    const char *hostname; /* NULL: the id, in its own namespace */
    const char *domainname;
    int rootfs_fd;           /* borrowed fd of the rootfs directory */
    const char *rootfs_path; /* the same as a path, for messages; may be NULL if rootfs_fd is set */
    bool rootfs_read_only;
    bool rootfs_no_dev;        /* device nodes in the image do not work */
    bool rootfs_idmap;         /* ids in the rootfs are the box's (with its own user namespace) */
    unsigned long propagation; /* of the rootfs: MS_SHARED, MS_SLAVE ... with MS_REC; 0: private */
    struct spec_process process;
    struct spec_ns ns[SPEC_NS_COUNT_];         /* NET: set by spec_set_net */
    struct spec_id_maps uid_maps, gid_maps;    /* for its own user namespace; empty: SPEC_ID_SHIFT, 65536 */
    int64_t boot_offset_s, monotonic_offset_s; /* for its own time namespace */
    uint32_t boot_offset_ns, monotonic_offset_ns;
    enum spec_net net;
    const char
        *net_name; /* BRIDGE: the named network shared with other boxes; NULL: isolated. CNI: the list */
    struct spec_port ports[LIM_PORTS];
    unsigned n_ports;
    struct spec_mount mounts[SPEC_MOUNTS];
    unsigned n_mounts;
    const struct spec_device *devices; /* in addition to those that every box has */
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
    int mempolicy_mode; /* including its flags, as for set_mempolicy(2) */
    const char *mempolicy_nodes;
    struct cgroup_limits limits;
    struct cgroup_list
        *resources; /* config.json: all of linux.resources, instead of limits; the results are filled at the
                     * start, and what cannot be enforced is then an error. NULL: limits, best effort */
    const char *cgroup_path; /* NULL: "limpet/<id>" */
    int stop_signal;
    /* the first process is ours (init.c): forwards signals, reaps orphans, exits as the program does */
    bool init;
};

/* Capabilities for a plain least-privilege program: bounding, effective, permitted. */
struct spec_caps spec_caps_of(uint64_t mask);
/* "CAP_KILL" or "kill" to its number; false: unknown. */
bool spec_cap_by_name(const char *name, unsigned *ret);
/* The inverse: NULL if unknown. */
const char *spec_cap_name(unsigned cap);
/* The i-th mount option supported in config.json; NULL after the last. */
const char *spec_mount_option(unsigned i);
/* The last host port of a range. Pure. */
unsigned spec_port_last(const struct spec_port *p);
/* Do both use the same port of the same address? Pure. */
bool spec_ports_meet(const struct spec_port *a, const struct spec_port *b);
/* The name of a network device inside: wanted, or derived from it ("eth%d"). False: taken. Pure. */
bool spec_net_device_name(const char *wanted, bool (*is_taken)(const void *who, const char *name),
                          const void *who, char *ret, size_t size);
/* Set network and its namespace together. */
void spec_set_net(struct spec *s, enum spec_net net);
/* One range starting at id 0. */
struct spec_id_maps spec_id_range(uint32_t outer, uint32_t count);
/* The host's id for an inner one; UINT32_MAX if unmapped. */
uint32_t spec_outer_id(const struct spec_id_maps *m, uint32_t inner);

/* Our least-privilege defaults: all namespaces, userns, /proc /dev /sys /dev/shm /tmp /dev/pts /dev/mqueue,
 * masked and read-only paths, no caps, no_new_privs, our seccomp filter, read-only rootfs, umask 022, cwd
 * "/". */
void spec_defaults(struct spec *s);

/* Parts of config.json not in the spec: for callers that keep a record of a container. */
struct spec_oci {
    const char *annotations; /* as JSON; NULL: none */
    const char *seccomp;     /* linux.seccomp as JSON: a profile to compile; NULL: none */
    const char *notes[8];    /* what was read but not applied, NULL-terminated; shown to the user */
    unsigned n_notes;
};
/* Parse the config.json (whole text) of a bundle. Strings go to arena. Unknown properties are ignored,
 * invalid ones refused with the field's path. Errors: INVALID, UNSUPPORTED (a field that requires something
 * we do not support: never silently ignored). Runtime-spec 1.x, config.md, config-linux.md. */
NODISCARD int spec_from_oci(struct buf config_json, struct arena *arena, struct spec *ret,
                            struct spec_oci *ret_oci, struct err *err);
/* Parse a process object alone (exec --process). Missing members keep their values in *ret. Errors: as
 * spec_from_oci. */
NODISCARD int spec_process_from_oci(struct buf process_json, struct arena *arena, struct spec_process *ret,
                                    struct err *err);

/* Parse a list of mounts alone, in the format of "mounts" in config.json, into ret->mounts (limpet mounts).
 * Errors: as spec_from_oci. */
NODISCARD int spec_mounts_from_oci(struct buf mounts_json, struct arena *arena, struct spec *ret,
                                   struct err *err);

/* The validation before a container is created: names, absolute targets, counts, contradictions. Errors:
 * INVALID. */
NODISCARD int spec_check(const struct spec *s, struct err *err);
/* The same for an additional process of a container. Errors: INVALID. */
NODISCARD int spec_process_check(const struct spec_process *p, struct err *err);
#endif
