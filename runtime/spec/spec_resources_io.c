/* spec_resources_io.c - linux.resources: block devices, huge pages, network, RDMA, unified, devices. Pure.
 * See spec_parse.h. */
#include <inttypes.h>
#include <string.h>

#include "runtime/spec/spec_parse.h"

#define MAX_ELEMENTS 64
#define OPT_BFQ      "CONFIG_BFQ_GROUP_IOSCHED or CONFIG_BLK_CGROUP_IOCOST"
#define DEV_MAX      ((1ULL << 31) - 1)

static bool is_whole(const struct cgroup_setting *s)
{
    for (int i = 0; i < 2; i++)
        if ((s->v1[i].file && !s->v1[i].text) || (s->v2[i].file && !s->v2[i].text))
            return false;
    return true;
}

static struct cgroup_place text_place(const char *file, const char *text)
{
    return (struct cgroup_place){file, text, CGROUP_UNSET};
}

/* Scales of the weights: 10..1000 in config.json and BFQ, 1..10000 in io.weight. */
static unsigned io_weight(uint64_t w)
{
    return (unsigned)(1 + (w - 10) * 9999 / 990);
}

static int add_weight(const struct spec_list *x, const struct json_cur *at, const char *field,
                      const char *dev, uint64_t w)
{
    struct cgroup_setting *s = cgroup_list_add(x->l, CGROUP_IO, field, OPT_BFQ);
    const char *text = cgroup_list_text(x->l, "%s%" PRIu64, dev, w);

    if (!s)
        return spec_list_full(x, at);
    s->v1[0] = text_place(dev[0] ? "blkio.weight_device" : "blkio.weight", text);
    s->v1[1] = text_place(dev[0] ? "blkio.bfq.weight_device" : "blkio.bfq.weight", text);
    s->v2[0] = text_place("io.bfq.weight", text);
    s->v2[1] =
        text_place("io.weight", cgroup_list_text(x->l, "%s%u", dev[0] ? dev : "default ", io_weight(w)));
    return is_whole(s) ? 0 : spec_list_full(x, at);
}

/* Part of CFQ, which was removed in Linux 5.0. */
static int add_leaf(const struct spec_list *x, const struct json_cur *at, const char *field, const char *dev,
                    uint64_t w)
{
    struct cgroup_setting *s = cgroup_list_add(x->l, CGROUP_IO, field, "gone in Linux 5.0");

    if (!s)
        return spec_list_full(x, at);
    s->may_lack = true;
    s->v1[0] = text_place(dev[0] ? "blkio.leaf_weight_device" : "blkio.leaf_weight",
                          cgroup_list_text(x->l, "%s%" PRIu64, dev, w));
    return is_whole(s) ? 0 : spec_list_full(x, at);
}

static int read_weights(const struct spec_list *x, const struct json_cur *obj, const char *field,
                        const char *leaf_field, const char *dev)
{
    uint64_t w = 0;
    int rc = json_get_u64(obj, "weight", JSON_OPTIONAL, 10, 1000, &w, x->err);

    if (rc < 0 || (rc == 1 && (rc = add_weight(x, obj, field, dev, w)) < 0))
        return rc;
    rc = json_get_u64(obj, "leafWeight", JSON_OPTIONAL, 10, 1000, &w, x->err);
    return rc == 1 ? add_leaf(x, obj, leaf_field, dev, w) : rc;
}

/* "8:0 " for an element. */
static int read_dev(const struct spec_list *x, const struct json_cur *c, const char **ret)
{
    uint64_t major, minor;

    if (json_get_u64(c, "major", JSON_REQUIRED, 0, DEV_MAX, &major, x->err) < 0 ||
        json_get_u64(c, "minor", JSON_REQUIRED, 0, DEV_MAX, &minor, x->err) < 0)
        return -(int)x->err->kind;
    *ret = cgroup_list_text(x->l, "%u:%u ", (unsigned)major, (unsigned)minor);
    return *ret ? 0 : spec_list_full(x, c);
}

static int read_weight_devices(const struct spec_list *x, const struct json_cur *io)
{
    struct json_cur arr;
    int rc = json_get_array(io, "weightDevice", JSON_OPTIONAL, MAX_ELEMENTS, &arr, x->err);

    for (unsigned i = 0; rc == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        const char *dev = "", *field = cgroup_list_text(x->l, "blockIO.weightDevice[%u]", i);
        int one = field ? read_dev(x, &c, &dev) : spec_list_full(x, &c);
        if (one < 0 || (one = read_weights(x, &c, field, field, dev)) < 0)
            return one;
    }
    return rc < 0 ? rc : 0;
}

static const struct throttle {
    const char *key, *v1, *v2;
} throttles[] = {
    {"throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"},
    {"throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"},
    {"throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"},
    {"throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"},
};

static int add_throttle(const struct spec_list *x, const struct json_cur *c, const struct throttle *t,
                        unsigned i)
{
    struct cgroup_setting *s;
    const char *dev = "", *field = cgroup_list_text(x->l, "blockIO.%s[%u]", t->key, i);
    uint64_t rate = 0;
    int rc = field ? read_dev(x, c, &dev) : spec_list_full(x, c);

    if (rc < 0 || (rc = json_get_u64(c, "rate", JSON_REQUIRED, 0, LIM_INTEGER, &rate, x->err)) < 0)
        return rc;
    s = cgroup_list_add(x->l, CGROUP_IO, field, "CONFIG_BLK_DEV_THROTTLING");
    if (!s)
        return spec_list_full(x, c);
    s->v1[0] = text_place(t->v1, cgroup_list_text(x->l, "%s%" PRIu64, dev, rate));
    s->v2[0] = text_place("io.max", rate == 0 ? cgroup_list_text(x->l, "%s%s=max", dev, t->v2)
                                              : cgroup_list_text(x->l, "%s%s=%" PRIu64, dev, t->v2, rate));
    return is_whole(s) ? 0 : spec_list_full(x, c);
}

static int read_io(const struct spec_list *x, const struct json_cur *res)
{
    struct json_cur io;
    int rc = json_get_object(res, "blockIO", JSON_OPTIONAL, &io, x->err);

    if (rc != 1)
        return rc;
    if ((rc = read_weights(x, &io, "blockIO.weight", "blockIO.leafWeight", "")) < 0 ||
        (rc = read_weight_devices(x, &io)) < 0)
        return rc;
    for (size_t t = 0; t < COUNT_OF(throttles); t++) {
        struct json_cur arr;
        rc = json_get_array(&io, throttles[t].key, JSON_OPTIONAL, MAX_ELEMENTS, &arr, x->err);
        for (unsigned i = 0; rc == 1 && i < json_len(&arr); i++) {
            struct json_cur c = json_at(&arr, i);
            int one = add_throttle(x, &c, &throttles[t], i);
            if (one < 0)
                return one;
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* "2MB", "1GB": a number and a unit, nothing that leads to another file. */
static bool is_page_size(const char *s)
{
    size_t n = strspn(s, "0123456789");

    return n > 0 && n < 8 && s[0] != '0' && strchr("KMG", s[n]) && s[n] && strcmp(s + n + 1, "B") == 0;
}

static int add_huge(const struct spec_list *x, const struct json_cur *c, unsigned i, bool reserved)
{
    static const char *const mid[] = {"", "rsvd."};
    struct cgroup_setting *s;
    const char *size, *field = cgroup_list_text(x->l, "hugepageLimits[%u]", i);
    uint64_t limit;

    if (json_get_str(c, "pageSize", JSON_REQUIRED, 15, &size, x->err) < 0 ||
        json_get_u64(c, "limit", JSON_REQUIRED, 0, LIM_INTEGER, &limit, x->err) < 0)
        return -(int)x->err->kind;
    if (!is_page_size(size))
        return json_fail(c, x->err, ERR_INVALID, "pageSize: \"%s\" is not a size like 2MB", size);
    s = cgroup_list_add(x->l, CGROUP_HUGETLB, field, "CONFIG_CGROUP_HUGETLB and pages of this size");
    if (!s || !field)
        return spec_list_full(x, c);
    s->quiet = reserved;
    s->v1[0] = text_place(cgroup_list_text(x->l, "hugetlb.%s.%slimit_in_bytes", size, mid[reserved]),
                          cgroup_list_text(x->l, "%" PRIu64, limit));
    s->v2[0] = text_place(cgroup_list_text(x->l, "hugetlb.%s.%smax", size, mid[reserved]), s->v1[0].text);
    return s->v1[0].file && s->v2[0].file && is_whole(s) ? 0 : spec_list_full(x, c);
}

static int read_huge(const struct spec_list *x, const struct json_cur *res)
{
    struct json_cur arr;
    int rc = json_get_array(res, "hugepageLimits", JSON_OPTIONAL, MAX_ELEMENTS, &arr, x->err);

    for (unsigned i = 0; rc == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        int one = add_huge(x, &c, i, false);
        if (one < 0 || (one = add_huge(x, &c, i, true)) < 0) /* pages that are reserved and not yet touched */
            return one;
    }
    return rc < 0 ? rc : 0;
}

static int add_priority(const struct spec_list *x, const struct json_cur *c, unsigned i)
{
    struct cgroup_setting *s;
    const char *name, *field = cgroup_list_text(x->l, "network.priorities[%u]", i);
    uint64_t prio;

    if (json_get_str(c, "name", JSON_REQUIRED, 15, &name, x->err) < 0 ||
        json_get_u64(c, "priority", JSON_REQUIRED, 0, UINT32_MAX, &prio, x->err) < 0)
        return -(int)x->err->kind;
    if (name[0] == '\0' || strpbrk(name, " /\n\t"))
        return json_fail(c, x->err, ERR_INVALID, "name: not the name of an interface");
    s = cgroup_list_add(x->l, CGROUP_NET_PRIO, field, "CONFIG_CGROUP_NET_PRIO and cgroup v1");
    if (!s || !field)
        return spec_list_full(x, c);
    s->v1[0] = text_place("net_prio.ifpriomap", cgroup_list_text(x->l, "%s %" PRIu64, name, prio));
    return is_whole(s) ? 0 : spec_list_full(x, c);
}

static int read_network(const struct spec_list *x, const struct json_cur *res)
{
    struct json_cur net, arr;
    struct cgroup_setting *s;
    uint64_t id = 0;
    int rc = json_get_object(res, "network", JSON_OPTIONAL, &net, x->err);

    if (rc != 1 || (rc = json_get_u64(&net, "classID", JSON_OPTIONAL, 0, UINT32_MAX, &id, x->err)) < 0)
        return rc;
    if (rc == 1) {
        s = cgroup_list_add(x->l, CGROUP_NET_CLS, "network.classID",
                            "CONFIG_CGROUP_NET_CLASSID and cgroup v1");
        if (!s)
            return spec_list_full(x, &net);
        s->v1[0] = (struct cgroup_place){"net_cls.classid", cgroup_list_text(x->l, "%" PRIu64, id), id};
        if (!is_whole(s))
            return spec_list_full(x, &net);
    }
    rc = json_get_array(&net, "priorities", JSON_OPTIONAL, MAX_ELEMENTS, &arr, x->err);
    for (unsigned i = 0; rc == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        int one = add_priority(x, &c, i);
        if (one < 0)
            return one;
    }
    return rc < 0 ? rc : 0;
}

static int add_rdma(const struct spec_list *x, const struct json_cur *c)
{
    struct cgroup_setting *s;
    const char *field = cgroup_list_text(x->l, "rdma.%s", c->key), *text;
    uint64_t handles = 0, objects = 0;
    int h = json_get_u64(c, "hcaHandles", JSON_OPTIONAL, 0, UINT32_MAX, &handles, x->err), o;

    if (h < 0 || (o = json_get_u64(c, "hcaObjects", JSON_OPTIONAL, 0, UINT32_MAX, &objects, x->err)) < 0)
        return -(int)x->err->kind;
    if (strlen(c->key) > 63 || strpbrk(c->key, " \n\t="))
        return json_fail(c, x->err, ERR_INVALID, "not the name of an RDMA device");
    text = cgroup_list_text(x->l, "%s", c->key);
    if (text && h)
        text = cgroup_list_text(x->l, "%s hca_handle=%" PRIu64, text, handles);
    if (text && o)
        text = cgroup_list_text(x->l, "%s hca_object=%" PRIu64, text, objects);
    s = cgroup_list_add(x->l, CGROUP_RDMA, field, "CONFIG_CGROUP_RDMA");
    if (!s || !field || !text)
        return spec_list_full(x, c);
    s->v1[0] = s->v2[0] = text_place("rdma.max", text);
    return 0;
}

static int read_rdma(const struct spec_list *x, const struct json_cur *res)
{
    struct json_cur map;
    int rc = json_get_object(res, "rdma", JSON_OPTIONAL, &map, x->err);

    for (unsigned i = 0; rc == 1 && i < json_len(&map); i++) {
        struct json_cur c = json_member(&map, i);
        int one = json_is_object(&c, x->err);
        if (one < 0 || (one = add_rdma(x, &c)) < 0)
            return one;
    }
    return rc < 0 ? rc : 0;
}

/* The controller of a v2 file: the word before its first dot. */
static bool ctl_of(const char *file, enum cgroup_ctl *ret)
{
    size_t len = strcspn(file, ".");

    for (int i = 0; i < CGROUP_CTL_COUNT_; i++) {
        const char *name = cgroup_ctl_name((enum cgroup_ctl)i, CGROUP_V2);
        if (name && strlen(name) == len && memcmp(name, file, len) == 0) {
            *ret = (enum cgroup_ctl)i;
            return true;
        }
    }
    *ret = CGROUP_CORE;
    return strncmp(file, "cgroup.max.", 11) ==
           0; /* not procs, kill, freeze, subtree_control: those are ours */
}

static int read_unified(const struct spec_list *x, const struct json_cur *res)
{
    struct json_cur map;
    int rc = json_get_object(res, "unified", JSON_OPTIONAL, &map, x->err);

    for (unsigned i = 0; rc == 1 && i < json_len(&map); i++) {
        struct json_cur c = json_member(&map, i);
        struct cgroup_setting *s;
        const char *text, *field = cgroup_list_text(x->l, "unified.%s", c.key);
        enum cgroup_ctl ctl;
        if (json_as_str(&c, 1024, &text, x->err) < 0)
            return -(int)x->err->kind;
        if (strchr(c.key, '/') || !strchr(c.key, '.') || !ctl_of(c.key, &ctl))
            return json_fail(&c, x->err, ERR_INVALID, "no file of a cgroup v2 controller");
        s = cgroup_list_add(x->l, ctl, field, "a controller of cgroup v2 that has this file");
        if (!s || !field)
            return spec_list_full(x, &c);
        s->v2_only = true;
        s->v2[0] = text_place(field + strlen("unified."), cgroup_list_text(x->l, "%s", text));
        if (!is_whole(s))
            return spec_list_full(x, &c);
    }
    return rc < 0 ? rc : 0;
}

int spec_resources_io(const struct json_cur *res, struct cgroup_list *ret, struct err *err)
{
    const struct spec_list x = {ret, err};
    int rc;

    if ((rc = read_io(&x, res)) < 0 || (rc = read_huge(&x, res)) < 0 || (rc = read_network(&x, res)) < 0 ||
        (rc = read_rdma(&x, res)) < 0)
        return rc;
    return read_unified(&x, res);
}

/* ---- devices ---- */

static int read_access(const struct spec_list *x, const struct json_cur *c, unsigned *ret)
{
    const char *text = "rwm";
    int rc = json_get_str(c, "access", JSON_OPTIONAL, 8, &text, x->err);

    if (rc < 0)
        return rc;
    if (text[0] == '\0')
        text = "rwm";
    if (text[strspn(text, "rwm")] != '\0')
        return json_fail(c, x->err, ERR_INVALID, "access: \"%s\" is not made of r, w, m", text);
    *ret = (strchr(text, 'r') ? CGROUP_DEV_READ : 0) | (strchr(text, 'w') ? CGROUP_DEV_WRITE : 0) |
           (strchr(text, 'm') ? CGROUP_DEV_MKNOD : 0);
    return 0;
}

static int read_number(const struct spec_list *x, const struct json_cur *c, const char *key, int64_t *ret)
{
    struct json_cur n;
    AUTO_MEM char *text = NULL;
    uint64_t v;
    int rc = json_get(c, key, JSON_OPTIONAL, &n, x->err);

    *ret = -1;
    if (rc != 1)
        return rc;
    text = json_print(n.node, false);
    if (strcmp(text, "-1") == 0)
        return 0;
    if ((rc = json_as_u64(&n, 0, DEV_MAX, &v, x->err)) < 0)
        return rc;
    *ret = (int64_t)v;
    return 0;
}

/* "a" is all or nothing in v1's list: one rule for both types becomes two. */
static bool add_device(struct cgroup_list *l, struct cgroup_device d)
{
    struct cgroup_device b = d, c = d;

    if (d.type != 'a' || (d.major < 0 && d.minor < 0 && d.access == CGROUP_DEV_ALL))
        return cgroup_list_add_device(l, d);
    b.type = 'b';
    c.type = 'c';
    return cgroup_list_add_device(l, b) && cgroup_list_add_device(l, c);
}

static int read_device(const struct spec_list *x, const struct json_cur *c)
{
    struct cgroup_device d = {.type = 'a'};
    const char *type = "a";

    if (json_get_bool(c, "allow", JSON_REQUIRED, &d.allow, x->err) < 0 ||
        json_get_str(c, "type", JSON_OPTIONAL, 8, &type, x->err) < 0 || read_access(x, c, &d.access) < 0 ||
        read_number(x, c, "major", &d.major) < 0 || read_number(x, c, "minor", &d.minor) < 0)
        return -(int)x->err->kind;
    if (type[0] == '\0')
        type = "a";
    if (strlen(type) != 1 || !strchr("abcu", type[0]))
        return json_fail(c, x->err, ERR_INVALID, "type: \"%s\" is not a, b, c or u", type);
    d.type = type[0] == 'u' ? 'c' : type[0]; /* u: an unbuffered character device */
    if (!add_device(x->l, d) || x->l->n_devices > CGROUP_DEVICES_MAX - SPEC_DEFAULT_DEVICES)
        return json_fail(c, x->err, ERR_INVALID, "more than %d rules",
                         CGROUP_DEVICES_MAX - SPEC_DEFAULT_DEVICES);
    return 0;
}

int spec_resources_devices(const struct json_cur *res, struct cgroup_list *ret, struct err *err)
{
    const struct spec_list x = {ret, err};
    struct json_cur arr;
    int rc = json_get_array(res, "devices", JSON_OPTIONAL, MAX_ELEMENTS, &arr, err);

    if (rc != 1 || json_len(&arr) == 0)
        return rc < 0 ? rc : 0;
    ret->has_devices = true;
    /* only what a rule allows */
    (void)cgroup_list_add_device(ret, (struct cgroup_device){false, 'a', -1, -1, CGROUP_DEV_ALL});
    for (unsigned i = 0; i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        if ((rc = read_device(&x, &c)) < 0)
            return rc;
    }
    return 0;
}

void spec_default_devices(struct cgroup_list *l)
{
    (void)cgroup_list_add_device(l, (struct cgroup_device){true, 'c', -1, -1, CGROUP_DEV_MKNOD});
    (void)cgroup_list_add_device(l, (struct cgroup_device){true, 'b', -1, -1, CGROUP_DEV_MKNOD});
    cgroup_list_standard_devices(l);
}
