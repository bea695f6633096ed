/* ns_kinds.h - the types of namespaces under all their names. Pure. Private to runtime/. */
#ifndef RUNTIME_NS_KINDS_H
#define RUNTIME_NS_KINDS_H
#include "runtime/spec/spec.h"

struct ns_kind {
    const char *name;   /* config.json, linux.namespaces[].type: "network" */
    const char *file;   /* /proc/PID/ns/ and user.max_..._namespaces: "net" */
    const char *option; /* kernel option: "NET_NS" */
    int flag;           /* CLONE_NEW... */
};
extern const struct ns_kind ns_kinds[SPEC_NS_COUNT_];
#endif
