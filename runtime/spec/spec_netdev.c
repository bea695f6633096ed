/* spec_netdev.c - linux.netDevices: which devices of the host are moved into the container, and under which
 * names. Pure. */
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "runtime/spec/spec_parse.h"

/* What the kernel accepts as a device name (dev_valid_name). */
static bool is_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len < IFNAMSIZ && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strcspn(name, "/: \t\n\v\f\r") == len;
}

/* The same, or a template: "eth%d". */
static bool is_name_or_template(const char *name)
{
    const char *at = strchr(name, '%');

    return is_name(name) && (!at || (at[1] == 'd' && !strchr(at + 1, '%')));
}

bool spec_net_device_name(const char *wanted, bool (*is_taken)(const void *who, const char *name),
                          const void *who, char *ret, size_t size)
{
    const char *at = strchr(wanted, '%');

    if (!at)
        return str_copy(ret, size, wanted) && !is_taken(who, ret);
    for (unsigned i = 0; i < 1024; i++)
        if (str_fmt(ret, size, "%.*s%u%s", (int)(at - wanted), wanted, i, at + 2) && !is_taken(who, ret))
            return true;
    return false;
}

static int read_one(struct spec_ctx *x, const struct json_cur *c, struct spec_net_device *list, unsigned i)
{
    struct spec_net_device *d = &list[i];
    int rc;

    d->host = d->name = spec_keep(x, c->key);
    if (!d->host)
        return json_fail(c, x->err, ERR_NOMEM, "config.json: too large");
    if ((rc = spec_get_text(x, c, "name", LIM_PATH_BYTES, &d->name)) < 0)
        return rc;
    if (!is_name(d->host) || strchr(d->host, '%'))
        return json_fail(c, x->err, ERR_INVALID, "not the name of a network device");
    if (!is_name_or_template(d->name))
        return json_fail(c, x->err, ERR_INVALID, "name: \"%.40s\" cannot name a network device", d->name);
    for (unsigned j = 0; j < i; j++)
        if (strcmp(list[j].name, d->name) == 0 && !strchr(d->name, '%'))
            return json_fail(c, x->err, ERR_INVALID, "name: \"%s\" is that of %s already", d->name,
                             list[j].host);
    return 0;
}

int spec_read_net_devices(struct spec_ctx *x, const struct json_cur *lin)
{
    const struct spec_ns *net = &x->s->ns[SPEC_NS_NET];
    struct spec_net_device *list;
    struct json_cur all;
    int rc = json_get_object(lin, "netDevices", JSON_OPTIONAL, &all, x->err);

    if (rc != 1 || json_len(&all) == 0)
        return rc;
    if (!net->own && !net->join)
        return json_fail(&all, x->err, ERR_INVALID, "needs a network namespace in linux.namespaces");
    if (json_len(&all) > LIM_NETDEVS)
        return json_fail(&all, x->err, ERR_INVALID, "more than %d", LIM_NETDEVS);
    if (!(list = arena_get(x->arena, json_len(&all) * sizeof(*list))))
        return json_fail(&all, x->err, ERR_NOMEM, "config.json: too large");
    for (unsigned i = 0; i < json_len(&all); i++) {
        struct json_cur c = json_member(&all, i);
        if ((rc = read_one(x, &c, list, i)) < 0)
            return rc;
    }
    x->s->net_devices = list;
    x->s->n_net_devices = json_len(&all);
    return 0;
}
