/* box_net.c - chooses who sets up a box's network, by its kind. See net.h. */
#include "runtime/box/box.h"
#include "runtime/net/cni.h"
#include "runtime/net/net.h"

int net_attach(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err)
{
    switch (s->net) {
    case SPEC_NET_BRIDGE:
        return net_bridge_attach(pid, s, ret, err);
    case SPEC_NET_CNI:
        return cni_add(pid, s, ret, err);
    default:
        return 0;
    }
}

int net_detach(enum spec_net net, const char *id, const char *address, struct err *err)
{
    if (net == SPEC_NET_CNI) /* plugins may have to undo more than an address */
        return cni_del(id, err);
    return net == SPEC_NET_BRIDGE ? net_bridge_detach(id, address, err) : 0;
}

int net_sweep(struct err *err)
{
    cni_sweep();
    return net_bridge_sweep(err);
}

int box_cni_look(const char *name, struct err *err)
{
    return cni_look(name, err);
}

char *box_dns(const struct box_id *b)
{
    return b->net == SPEC_NET_CNI ? cni_dns(b->id) : NULL;
}

int box_net_check(const struct box_id *b, struct err *err)
{
    return b->net == SPEC_NET_CNI ? cni_check(b->id, err) : 0;
}
