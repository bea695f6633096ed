/* net_forward.h - the host's forwarding of packets: on while boxes need it, and back to what it was with the
 * last one. What it was stands in the alias of limpet0, written before anything is changed. Private to
 * runtime/; callers hold net.c's lock. */
#ifndef RUNTIME_NET_FORWARD_H
#define RUNTIME_NET_FORWARD_H
#include <stdbool.h>

#include "platform/err.h"

/* Has this host IPv6 at all: in the kernel, and not switched off? */
bool net_forward_has6(void);
/* alias: of limpet0, as it is. A host that forwards IPv6 no longer listens to router advertisements unless
 * accept_ra is 2: interfaces that listen (1) get that. */
NODISCARD int net_forward_open(int nl, const char *alias, bool v6, struct err *err);
/* What the alias says that it was before. */
void net_forward_restore(const char *alias);
#endif
