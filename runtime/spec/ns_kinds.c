/* ns_kinds.c - see ns_kinds.h. */
#include "runtime/spec/ns_kinds.h"

#include <sched.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

const struct ns_kind ns_kinds[SPEC_NS_COUNT_] = {
    [SPEC_NS_USER] = {"user", "user", "USER_NS", CLONE_NEWUSER},
    [SPEC_NS_PID] = {"pid", "pid", "PID_NS", CLONE_NEWPID},
    [SPEC_NS_NET] = {"network", "net", "NET_NS", CLONE_NEWNET},
    [SPEC_NS_IPC] = {"ipc", "ipc", "IPC_NS", CLONE_NEWIPC},
    [SPEC_NS_UTS] = {"uts", "uts", "UTS_NS", CLONE_NEWUTS},
    [SPEC_NS_CGROUP] = {"cgroup", "cgroup", "CGROUPS", CLONE_NEWCGROUP},
    [SPEC_NS_TIME] = {"time", "time", "TIME_NS", CLONE_NEWTIME},
    [SPEC_NS_MOUNT] = {"mount", "mnt", "NAMESPACES", CLONE_NEWNS},
};
