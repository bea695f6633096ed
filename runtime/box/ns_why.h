/* ns_why.h - which kind of namespace the kernel refused, why as far as it says so, and what helps. Private to
 * runtime/. */
#ifndef RUNTIME_NS_WHY_H
#define RUNTIME_NS_WHY_H
#include "runtime/spec/spec.h"

/* What the text leans on; values of sysctls, -1: not to be read here. */
struct ns_facts {
    int64_t limit;             /* user.max_KIND_namespaces */
    int64_t unprivileged;      /* kernel.unprivileged_userns_clone (Debian) */
    int64_t apparmor_restrict; /* kernel.apparmor_restrict_unprivileged_userns (Ubuntu) */
};
/* "linux.namespaces: user: ..." for what unshare(2) or clone(2) of this kind said. UNSUPPORTED (not built in,
 * switched off), NOMEM (all in use), DENIED. Pure. */
NODISCARD int ns_why_text(enum spec_ns_kind kind, int error, const struct ns_facts *f, struct err *err);
/* The same with the facts of this machine. Errors: as above. */
NODISCARD int ns_why_kind(enum spec_ns_kind kind, int error, struct err *err);
/* After clone(2) with these flags failed with error: tries each kind alone, in a process each, and names
 * the first that fails. */
NODISCARD int ns_why(uint64_t flags, int error, struct err *err);
#endif
