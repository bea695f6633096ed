/* net_rules.h - NAT, published ports and who may talk to whom, by the host program nft. One common table,
 * "inet limpet", replaced with each box; and one table per box, "limpet_5" for box 5 (10.88.77.5) in ip and
 * ip6, created and removed as a whole. The state is read from the kernel, there is no database. Private to
 * runtime/; callers hold net.c's lock. */
#ifndef RUNTIME_NET_RULES_H
#define RUNTIME_NET_RULES_H
#include <stdbool.h>

#include "platform/err.h"
#include "runtime/spec/net_plan.h"
#include "runtime/spec/spec.h"

/* Existing bridges. */
struct net_base {
    unsigned n;
    char bridge[NET_COUNT][16];
    unsigned network[NET_COUNT];
};
/* CONFLICT if a living box publishes one of these host ports. Tables of boxes that are gone are removed. */
NODISCARD int net_rules_check(const struct spec *s, struct err *err);
/* Does the device itself serve one of the ports, at an address that the rule covers? CONFLICT names the
 * process and the address. */
NODISCARD int net_taken_check(const struct spec *s, struct err *err);
/* UNSUPPORTED with nft's message if this kernel or host does not support it; then nothing was changed. */
NODISCARD int net_rules_put(const struct spec *s, const struct net_base *b, unsigned number, bool v6,
                            struct err *err);
/* Remove the tables of one box; missing ones are fine. */
void net_rules_drop(unsigned number);
/* Remove tables of boxes that are gone; with keep_base false the common one too. */
void net_rules_sweep(bool keep_base);
void net_rules_clear(void); /* remove all of ours */
bool net_rules_work(void);  /* are nft and the kernel's tables available? */
/* The text passed to nft: pure, malloc'd, owner: caller. For display and tests. */
char *net_rules_text(const struct spec *s, const struct net_base *b, unsigned number, bool v6);
#endif
