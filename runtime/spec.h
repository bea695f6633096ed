/* spec.h - what one container is: validated, plain data. Built by spec_from_oci (config.json of the OCI
 * runtime-spec 1.x) or filled by a caller of ours, then checked once by spec_check. Pure. All strings belong
 * to whoever filled the spec (an arena) and outlive every use of it. */
#ifndef RUNTIME_SPEC_H
#define RUNTIME_SPEC_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/arena.h"
#include "platform/cgroup.h"
#include "platform/err.h"
#include "platform/limits.h"
#include "platform/mem.h"

#define SPEC_ID_SHIFT \
    1000000u /* default first host id of a box: clear of users (1000..) and subordinate ids (100000..) */

enum spec_net {
    SPEC_NET_NONE,
    SPEC_NET_HOST,
    SPEC_NET_BRIDGE,
    SPEC_NET_COUNT_
}; /* NONE: own namespace, loopback only */
enum spec_mount_kind {
    SPEC_MOUNT_BIND,
    SPEC_MOUNT_TMPFS,
    SPEC_MOUNT_PROC,
    SPEC_MOUNT_SYSFS,
    SPEC_MOUNT_DEVPTS,
    SPEC_MOUNT_MQUEUE,
    SPEC_MOUNT_CGROUP,
    SPEC_MOUNT_KIND_COUNT_
};

struct spec_mount {
    enum spec_mount_kind kind;
    const char *source; /* BIND: absolute host path, or NULL when source_fd is set */
    int source_fd;      /* BIND: borrowed fd of a folder or file; -1: use source */
    const char *target; /* absolute, inside the container; resolved below the rootfs fd only */
    bool read_only, no_exec;
    bool suid, devices;  /* what the default takes away: set-uid programs, device nodes */
    bool recursive;      /* BIND: with the mounts below the source */
    bool make_target;    /* make the mount point when the image lacks it (never in a shared store) */
    uint64_t size_bytes; /* TMPFS */
    unsigned mode;       /* TMPFS: octal mode of its root */
};
struct spec_port {
    uint16_t host, container;
    bool udp;
    const char *host_ip; /* NULL: every address */
};
struct spec_rlimit {
    int resource;
    uint64_t soft, hard;
};

struct spec {
    const char *id;       /* [a-z0-9][a-z0-9._-]{0,62} for the agent; the CLI takes OCI's [A-Za-z0-9+_.-] */
    const char *hostname; /* NULL: the id */
    int rootfs_fd;        /* borrowed fd of the rootfs folder */
    const char *rootfs_path; /* the same as a path, for messages; may be NULL when rootfs_fd is set */
    bool rootfs_read_only;
    const char *const *args; /* NULL-terminated, args[0] is looked up in PATH of env inside the rootfs */
    const char *const *env;  /* NULL-terminated */
    const char *cwd;
    uint32_t uid, gid;
    uint32_t groups[16];
    unsigned n_groups;
    uint32_t umask;
    uint64_t caps; /* bounding = effective = permitted set; 0: none */
    bool no_new_privs;
    bool seccomp_default;                    /* our own filter (seccomp_default.h) */
    const struct sock_filter *seccomp_extra; /* CLI: a compiled profile instead of ours, or NULL */
    unsigned short n_seccomp_extra;
    bool userns;       /* ids shifted by id_shift, rootfs idmapped; degraded where the kernel cannot */
    uint32_t id_shift; /* first host id */
    uint32_t id_count; /* how many; default 65536 */
    bool ns_pid, ns_mount, ns_ipc, ns_uts, ns_cgroup; /* net: see net */
    enum spec_net net;
    struct spec_port ports[LIM_PORTS];
    unsigned n_ports;
    struct spec_mount mounts[LIM_MOUNTS + 16];
    unsigned n_mounts;
    const char *masked[32], *read_only_paths[32]; /* NULL-terminated */
    struct spec_rlimit rlimits[16];
    unsigned n_rlimits;
    int oom_score_adj;
    bool oom_score_adj_set;
    struct cgroup_limits limits;
    struct cgroup_list
        *resources; /* config.json: all of linux.resources, in place of limits; results are filled at the
                                      start, and what cannot be enforced is an error then. NULL: limits, best effort */
    const char *cgroup_path; /* NULL: "limpet/<id>" */
    int stop_signal;
    bool terminal;
    bool seccomp_replaced; /* spec_from_oci: config.json brought a profile; ours stands in for it. Tell the
                              user */
};

/* Our least-privilege defaults: all namespaces, userns, /proc /dev /sys /dev/shm /tmp /dev/pts /dev/mqueue,
 * masked and read-only paths, no caps, no_new_privs, our seccomp filter, read-only rootfs, umask 022, cwd
 * "/". */
void spec_defaults(struct spec *s);

/* From config.json (whole text) of a bundle. Strings go to arena. Unknown properties pass, wrong ones are
 * refused with the field's path. Errors: INVALID, UNSUPPORTED (a field that needs what we do not do: never
 * ignored in silence). */
int spec_from_oci(struct buf config_json, struct arena *arena, struct spec *ret, struct err *err);

/* The one gate before a container is made: names, absolute targets, counts, contradictions. Errors: INVALID.
 */
int spec_check(const struct spec *s, struct err *err);
#endif
