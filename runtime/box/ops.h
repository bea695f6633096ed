/* ops.h - what must be done, in order, between clone and exec to turn a process into a container. A list made
 * by a pure function from a spec: printed for people and tests, walked by the child. */
#ifndef RUNTIME_OPS_H
#define RUNTIME_OPS_H
#include <stdbool.h>
#include <stddef.h>

#include "runtime/spec/spec.h"

enum op_kind {
    OP_HIDE,               /* not dumpable: nobody may attach before exec */
    OP_CGROUP,             /* into its control groups */
    OP_PRIVATE,            /* no mount event in or out (rslave: only in) */
    OP_FIND_ROOT,          /* open the place of the rootfs while host directories can still be crossed */
    OP_WAIT,               /* until the parent has written id maps, made devices */
    OP_BE_ROOT,            /* user namespace: become its root */
    OP_LOOPBACK,           /* lo up */
    OP_ADDRESS,            /* eth0: address, route */
    OP_HOSTNAME,           /* */
    OP_DOMAINNAME,         /* */
    OP_SYSCTL,             /* spec->sysctls[index] */
    OP_ROOT,               /* put the rootfs in its place */
    OP_MOUNT,              /* spec->mounts[index] */
    OP_DEVICES,            /* nodes and links in /dev */
    OP_DEVICE,             /* spec->devices[index] */
    OP_READ_ONLY,          /* path: the same, but read-only */
    OP_MASK,               /* path: nothing to see */
    OP_CONSOLE,            /* a terminal of the box's own, its other end to the caller */
    OP_CREATE_HOOKS,       /* the parent runs prestart and createRuntime, we createContainer */
    OP_SEAL_DEV,           /* /dev read-only, when all is in it */
    OP_SEAL_ROOT,          /* rootfs read-only */
    OP_PIVOT,              /* the rootfs becomes /, the host's tree goes */
    OP_PROPAGATION,        /* rootfsPropagation */
    OP_CGROUP_NS,          /* sees its own group as the top */
    OP_KEYRING,            /* a session keyring of its own */
    OP_RLIMIT,             /* process.rlimits[index] */
    OP_SCHEDULER,          /* policy, priority of processor, input and output; memory policy */
    OP_PERSONALITY,        /* */
    OP_STDIO,              /* 0, 1, 2 */
    OP_LABEL,              /* what AppArmor or SELinux calls the program to come */
    OP_CLOSE,              /* every other descriptor */
    OP_SIGNALS,            /* none blocked, none ignored */
    OP_SECCOMP_PRIVILEGED, /* the filter while still privileged: without no_new_privs there is no other way */
    OP_BOUND,              /* capability bounding set */
    OP_USER,               /* groups, ids, capabilities */
    OP_CWD,                /* umask and working directory */
    OP_PROGRAM,            /* look it up */
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
    unsigned index;   /* of the list that the kind names */
    const char *path; /* OP_MASK, OP_READ_ONLY; borrowed from the spec */
};
struct ops {
    unsigned n, size;
    struct op *list; /* malloc'd */
};

/* hold: with OP_HOLD before exec. Give *ret to ops_done. Pure. */
void ops_make(const struct spec *s, bool hold, struct ops *ret);
/* The same for a process that joins a running box: only the steps of s->process. Pure. */
void ops_make_exec(const struct spec *s, struct ops *ret);
void ops_done(struct ops *o);
/* "mount proc /proc nosuid,nodev,noexec": one step as text; returns dst. Pure. */
char *ops_text(const struct spec *s, const struct op *op, char *dst, size_t size);
/* "mount" of OP_MOUNT. */
const char *ops_name(enum op_kind kind);
/* mount(2) flags of a mount of the spec. Pure. */
unsigned long ops_mount_flags(const struct spec_mount *m);
/* A /dev that is to be read-only: it gets its nodes first. Pure. */
bool ops_seals_dev(const struct spec_mount *m);
const char *ops_mount_type(enum spec_mount_kind kind); /* "tmpfs" ...; "bind" */
#endif
