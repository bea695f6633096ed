/* net_none.c - replaces bridges and CNI in the static limpet: config.json cannot request them (they are the
 * agent's), and the program is a tenth smaller without. See net.h. */
#include "runtime/net/net.h"

int net_attach(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err)
{
    (void)pid, (void)ret;
    return s->net == SPEC_NET_BRIDGE || s->net == SPEC_NET_CNI
               ? err_set(err, ERR_UNSUPPORTED, "network: this build of limpet has neither bridges nor CNI")
               : 0;
}

int net_detach(enum spec_net net, const char *id, const char *address, struct err *err)
{
    (void)net, (void)id, (void)address, (void)err;
    return 0;
}

int net_sweep(struct err *err)
{
    (void)err;
    return 0;
}

bool net_has_bridge(void)
{
    return false;
}

bool net_has_nat(void)
{
    return false;
}
