/* ns_why.h - which type of namespace the kernel refused, why as far as known, and what helps. Private to
 * runtime/. */
#ifndef RUNTIME_NS_WHY_H
#define RUNTIME_NS_WHY_H
#include "runtime/spec/spec.h"

/* The text's inputs; values of sysctls, -1: not readable here. */
struct ns_facts {
    int64_t limit;             /* user.max_KIND_namespaces */
    int64_t unprivileged;      /* kernel.unprivileged_userns_clone (Debian) */
    int64_t apparmor_restrict; /* kernel.apparmor_restrict_unprivileged_userns (Ubuntu) */
};
/* "linux.namespaces: user: ..." for the errno of unshare(2) or clone(2) with this type. UNSUPPORTED (not
 * built in, disabled), NOMEM (limit reached), DENIED. Pure. */
NODISCARD int ns_why_text(enum spec_ns_kind kind, int error, const struct ns_facts *f, struct err *err);
/* The same with the facts of this machine. Errors: as above. */
NODISCARD int ns_why_kind(enum spec_ns_kind kind, int error, struct err *err);
/* After clone(2) with these flags failed with error: tries each type alone, each in a process, and names the
 * first that fails. */
NODISCARD int ns_why(uint64_t flags, int error, struct err *err);
#endif
