/* spec_resources.c - linux.resources of config.json. Pure. See spec_parse.h. */
#include <string.h>

#include "runtime/spec_parse.h"

static int read_memory(struct spec_ctx *x, const struct json_cur *res)
{
    static const char *const no[] = {"kernelTCP", "kernel", "swappiness", "useHierarchy"};
    struct cgroup_limits *l = &x->s->limits;
    struct json_cur m;
    int64_t limit = -1, swap = -1, soft = -1;
    int r = json_get_object(res, "memory", JSON_OPTIONAL, &m, x->err);

    if (r != 1)
        return r;
    if (spec_get_i64(x, &m, "limit", &limit) < 0 || spec_get_i64(x, &m, "swap", &swap) < 0 ||
        spec_get_i64(x, &m, "reservation", &soft) < 0)
        return -(int)x->err->kind;
    if (limit > 0)
        l->memory_max_bytes = (uint64_t)limit;
    if (soft > 0)
        l->memory_high_bytes = (uint64_t)soft;
    if (swap > 0 && (limit <= 0 || swap < limit))
        return json_fail(&m, x->err, ERR_INVALID, "swap counts memory too and cannot be below limit");
    if (swap > 0)
        l->swap_max_bytes = (uint64_t)(swap - limit);
    return spec_refuse(x, &m, no, 3);
}

static int read_cpu(struct spec_ctx *x, const struct json_cur *res)
{
    static const char *const no[] = {"cpus", "mems"};
    struct cgroup_limits *l = &x->s->limits;
    struct json_cur c;
    int64_t quota = -1, shares = 0, period = 0;
    int r = json_get_object(res, "cpu", JSON_OPTIONAL, &c, x->err);

    if (r != 1)
        return r;
    if ((r = spec_refuse(x, &c, no, COUNT_OF(no))) < 0)
        return r;
    if (spec_get_i64(x, &c, "quota", &quota) < 0 || spec_get_i64(x, &c, "shares", &shares) < 0 ||
        spec_get_i64(x, &c, "period", &period) < 0)
        return -(int)x->err->kind;
    if (quota > 0)
        l->cpu_quota_us = (uint64_t)quota;
    if (period > 0)
        l->cpu_period_us = (uint64_t)period;
    if (shares >= 2 && shares <= 262144) /* v1's shares onto v2's weights */
        l->cpu_weight = 1 + (uint64_t)(shares - 2) * 9999 / 262142;
    return 0;
}

int spec_read_resources(struct spec_ctx *x, const struct json_cur *lin)
{
    static const char *const no[] = {"blockIO", "hugepageLimits", "network", "rdma", "unified"};
    struct json_cur res, pids;
    int64_t max = -1;
    int r = json_get_object(lin, "resources", JSON_OPTIONAL, &res, x->err);

    if (r != 1)
        return r;
    if ((r = spec_refuse(x, &res, no, COUNT_OF(no))) < 0 || (r = read_memory(x, &res)) < 0 ||
        (r = read_cpu(x, &res)) < 0 || (r = json_get_object(&res, "pids", JSON_OPTIONAL, &pids, x->err)) < 0)
        return r;
    if (r == 1 && (r = spec_get_i64(x, &pids, "limit", &max)) < 0)
        return r;
    if (max > 0)
        x->s->limits.pids_max = (uint64_t)max;
    return 0;
}
