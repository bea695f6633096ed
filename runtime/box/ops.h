/* ops.h - the steps, in order, between clone and exec that turn a process into a container. A list made by a
 * pure function from a spec: printed for display and tests, executed by the child. */
#ifndef RUNTIME_OPS_H
#define RUNTIME_OPS_H
#include <stdbool.h>
#include <stddef.h>

#include "runtime/spec/spec.h"

enum op_kind {
    OP_HIDE,               /* not dumpable: no process may attach before exec */
    OP_CGROUP,             /* into its control groups */
    OP_PRIVATE,            /* no mount event in or out (rslave: only in) */
    OP_FIND_ROOT,          /* open the place for the rootfs while host directories are still accessible */
    OP_WAIT,               /* until the parent has written id maps, made devices */
    OP_BE_ROOT,            /* user namespace: become its root */
    OP_LOOPBACK,           /* lo up */
    OP_ADDRESS,            /* eth0: address, route */
    OP_HOSTNAME,           /* */
    OP_DOMAINNAME,         /* */
    OP_SYSCTL,             /* spec->sysctls[index] */
    OP_ROOT,               /* mount the rootfs at its place */
    OP_MOUNT,              /* spec->mounts[index] */
    OP_DEVICES,            /* nodes and links in /dev */
    OP_DEVICE,             /* spec->devices[index] */
    OP_READ_ONLY,          /* path: the same, but read-only */
    OP_MASK,               /* path: hide its contents */
    OP_CONSOLE,            /* a terminal for the box, its master sent to the caller */
    OP_CREATE_HOOKS,       /* the parent runs prestart and createRuntime, we createContainer */
    OP_SEAL_DEV,           /* /dev read-only, once it is filled */
    OP_SEAL_ROOT,          /* rootfs read-only */
    OP_PIVOT,              /* the rootfs becomes /, the host's tree is unmounted */
    OP_PROPAGATION,        /* rootfsPropagation */
    OP_CGROUP_NS,          /* its own group becomes the top */
    OP_KEYRING,            /* its own session keyring */
    OP_RLIMIT,             /* process.rlimits[index] */
    OP_SCHEDULER,          /* scheduling policy, CPU and I/O priority; memory policy */
    OP_PERSONALITY,        /* */
    OP_STDIO,              /* 0, 1, 2 */
    OP_LABEL,              /* AppArmor or SELinux label of the program */
    OP_CLOSE,              /* every other descriptor */
    OP_SIGNALS,            /* none blocked, none ignored */
    OP_SECCOMP_PRIVILEGED, /* the filter while still privileged: without no_new_privs there is no other way */
    OP_BOUND,              /* capability bounding set */
    OP_USER,               /* groups, ids, capabilities */
    OP_CWD,                /* umask and working directory */
    OP_PROGRAM,            /* find it */
    OP_JOIN,               /* exec: into the control group, by the parent */
    OP_HOLD,               /* OCI create: wait for start */
    OP_START_HOOKS,        /* startContainer */
    OP_NO_NEW_PRIVS,
    OP_SECCOMP,
    OP_EXEC,
    OP_KIND_COUNT_
};

struct op {
    enum op_kind kind;
    unsigned index;   /* into the list for its kind */
    const char *path; /* OP_MASK, OP_READ_ONLY; borrowed from the spec */
};
struct ops {
    unsigned n, size;
    struct op *list; /* malloc'd */
};

/* hold: with OP_HOLD before exec. End with ops_done(*ret). Pure. */
void ops_make(const struct spec *s, bool hold, struct ops *ret);
/* The same for a process that joins a running box: only the steps of s->process. Pure. */
void ops_make_exec(const struct spec *s, struct ops *ret);
void ops_done(struct ops *o);
/* One step as text: "mount proc /proc nosuid,nodev,noexec"; returns dst. Pure. */
char *ops_text(const struct spec *s, const struct op *op, char *dst, size_t size);
/* "mount" for OP_MOUNT. */
const char *ops_name(enum op_kind kind);
/* mount(2) flags for a mount of the spec. Pure. */
unsigned long ops_mount_flags(const struct spec_mount *m);
/* Is it a /dev that will be read-only: then nodes are added before. Pure. */
bool ops_seals_dev(const struct spec_mount *m);
const char *ops_mount_type(enum spec_mount_kind kind); /* "tmpfs" ...; "bind" */
#endif
