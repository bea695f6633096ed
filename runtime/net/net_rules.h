/* net_rules.h - NAT, published ports and who may talk to whom, by the host tool nft. One table for all, "inet
 * limpet", replaced with each box; and one table a box, "limpet_5" for box 5 (10.88.77.5) in ip and ip6, made
 * whole and removed whole. What holds is asked of the kernel, there is no database. Private to runtime/;
 * callers hold net.c's lock. */
#ifndef RUNTIME_NET_RULES_H
#define RUNTIME_NET_RULES_H
#include <stdbool.h>

#include "platform/err.h"
#include "runtime/spec/net_plan.h"
#include "runtime/spec/spec.h"

/* Bridges that there are. */
struct net_base {
    unsigned n;
    char bridge[NET_COUNT][16];
    unsigned network[NET_COUNT];
};
/* CONFLICT when a box that lives publishes one of these host ports. Tables of boxes that have gone are
 * removed. */
NODISCARD int net_rules_check(const struct spec *s, struct err *err);
/* Does the device itself serve one of the ports, at an address that the rule takes? CONFLICT says who, and
 * where. */
NODISCARD int net_taken_check(const struct spec *s, struct err *err);
/* UNSUPPORTED with nft's words when this kernel or host cannot; then nothing was changed. */
NODISCARD int net_rules_put(const struct spec *s, const struct net_base *b, unsigned number, bool v6,
                            struct err *err);
/* The tables of one box; absent is fine. */
void net_rules_drop(unsigned number);
/* Tables of boxes that have gone; with keep_base false the common one too. */
void net_rules_sweep(bool keep_base);
void net_rules_clear(void); /* all of ours */
bool net_rules_work(void);  /* nft and the kernel's tables are there */
/* The same text that goes to nft: pure, malloc'd, owner: caller. For people and tests. */
char *net_rules_text(const struct spec *s, const struct net_base *b, unsigned number, bool v6);
#endif
