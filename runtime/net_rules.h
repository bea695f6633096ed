/* net_rules.h - NAT and published ports, by the host tool nft: one table a box, "limpet_5" for 10.88.77.5, made
 * whole and removed whole. What holds is asked of the kernel, there is no database. Private to runtime/; callers
 * hold net.c's lock. */
#ifndef RUNTIME_NET_RULES_H
#define RUNTIME_NET_RULES_H
#include <stdbool.h>

#include "platform/err.h"
#include "runtime/spec.h"

/* CONFLICT when a box that lives publishes one of these host ports. Tables of boxes that have gone are removed. */
int net_rules_check(const struct spec *s, struct err *err);
/* UNSUPPORTED with nft's words when this kernel or host cannot. */
int net_rules_put(const struct spec *s, const char *address, unsigned host, struct err *err);
void net_rules_drop(unsigned host);
bool net_rules_work(void); /* nft and the kernel's tables are there */
#endif
