/* net_forward.h - the host's packet forwarding: enabled while boxes need it, and restored with the last one.
 * The previous state is in the alias of limpet0, written before anything is changed. Private to runtime/;
 * callers hold net.c's lock. */
#ifndef RUNTIME_NET_FORWARD_H
#define RUNTIME_NET_FORWARD_H
#include <stdbool.h>

#include "platform/err.h"

/* Does this host have IPv6: in the kernel, and not disabled? */
bool net_forward_has6(void);
/* alias: the current one of limpet0. A host that forwards IPv6 ignores router advertisements unless accept_ra
 * is 2: interfaces that accept them (1) get that. */
NODISCARD int net_forward_open(int nl, const char *alias, bool v6, struct err *err);
/* Restore the previous state, as noted in the alias. */
void net_forward_restore(const char *alias);
#endif
