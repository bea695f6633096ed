/* net_none.c - in place of bridges and CNI in the static limpet: config.json cannot ask for them (they are the agent's), and
 * the program is a tenth smaller without. See net.h, cni.h. */
#include "runtime/cni.h"

static int none(struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "network: this build of limpet has neither bridges nor CNI");
}

int net_attach(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err)
{
    (void)pid, (void)s, (void)ret;
    return none(err);
}

int net_detach(const char *id, const char *address, struct err *err)
{
    (void)id, (void)address;
    return none(err);
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

int cni_add(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err)
{
    (void)pid, (void)s, (void)ret;
    return none(err);
}

int cni_del(const char *id, struct err *err)
{
    (void)id;
    return none(err);
}

void cni_sweep(void)
{
}
