/* spec_resources.c - linux.resources of config.json as a list of settings for both versions of control
 * groups. Pure: what this machine supports is known once the list is applied. See spec_parse.h, cgroup.h. */
#include <stdio.h>
#include <string.h>

#include "runtime/spec/spec_parse.h"

#define EXACT     (1LL << 53) /* JSON numbers are exact up to this */
#define NO_LIMIT  (-1)
#define OPT_MEMCG "CONFIG_MEMCG, kernel line cgroup_enable=memory"
#define OPT_OLD   "gone from newer kernels and cgroup v2"

int spec_list_full(const struct spec_list *x, const struct json_cur *at)
{
    return json_fail(at, x->err, ERR_INVALID, "too many settings (%d, or %d bytes of text)",
                     CGROUP_SETTINGS_MAX, CGROUP_LIST_TEXT);
}

/* An integer: 1 found, 0 missing, or -kind. */
static int get_int(const struct spec_list *x, const struct json_cur *obj, const char *key, int64_t min,
                   int64_t max, int64_t *ret)
{
    struct json_cur c;
    AUTO_MEM char *text = NULL;
    char *end;
    long long v;
    int rc = json_get(obj, key, JSON_OPTIONAL, &c, x->err);

    if (rc != 1)
        return rc;
    text = json_print(c.node, false);
    v = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || v > EXACT || v < -EXACT)
        return json_fail(&c, x->err, ERR_INVALID,
                         "not a whole number within 2^53 (-1 is no limit where there may be none)");
    if (v < min || v > max)
        return json_fail(&c, x->err, ERR_INVALID, "%lld is not within %lld..%lld", v, (long long)min,
                         (long long)max);
    *ret = v;
    return 1;
}

/* One number that is written unchanged to one file. */
struct row {
    const char *key, *field;
    enum cgroup_ctl ctl;
    const char *option, *v1, *v2;
    int64_t min, max; /* min NO_LIMIT: -1 means none; then 0 is refused unless zero_too */
    bool zero_too, may_lack;
};
static const struct row memory_rows[] = {
    {"limit", "memory.limit", CGROUP_MEMORY, OPT_MEMCG, "memory.limit_in_bytes", "memory.max", NO_LIMIT,
     EXACT},
    {"reservation", "memory.reservation", CGROUP_MEMORY, OPT_MEMCG, "memory.soft_limit_in_bytes",
     "memory.low", NO_LIMIT, EXACT, .zero_too = true},
    {"kernel", "memory.kernel", CGROUP_MEMORY, OPT_OLD, "memory.kmem.limit_in_bytes", NULL, NO_LIMIT, EXACT,
     .may_lack = true},
    {"kernelTCP", "memory.kernelTCP", CGROUP_MEMORY, OPT_OLD, "memory.kmem.tcp.limit_in_bytes", NULL,
     NO_LIMIT, EXACT, .may_lack = true},
    {"swappiness", "memory.swappiness", CGROUP_MEMORY, OPT_OLD, "memory.swappiness", NULL, 0, 200,
     .may_lack = true},
};
static const struct row cpu_rows[] = {
    {"burst", "cpu.burst", CGROUP_CPU, "CONFIG_CFS_BANDWIDTH and Linux 5.14", "cpu.cfs_burst_us",
     "cpu.max.burst", 0, EXACT},
    {"realtimePeriod", "cpu.realtimePeriod", CGROUP_CPU, "CONFIG_RT_GROUP_SCHED and cgroup v1",
     "cpu.rt_period_us", NULL, 1, EXACT},
    {"realtimeRuntime", "cpu.realtimeRuntime", CGROUP_CPU, "CONFIG_RT_GROUP_SCHED and cgroup v1",
     "cpu.rt_runtime_us", NULL, NO_LIMIT, EXACT, .zero_too = true},
    {"idle", "cpu.idle", CGROUP_CPU, "Linux 5.15", "cpu.idle", "cpu.idle", 0, 1},
};

static struct cgroup_place number(struct cgroup_list *l, const char *file, int64_t v, const char *none)
{
    struct cgroup_place p = {file, none, CGROUP_UNSET};

    if (v >= 0) {
        p.text = cgroup_list_text(l, "%lld", (long long)v);
        p.want = (uint64_t)v;
    }
    return p;
}

static int add_number(const struct spec_list *x, const struct json_cur *at, const struct row *row, int64_t v)
{
    struct cgroup_setting *s;

    if (v == 0 && row->min == NO_LIMIT && !row->zero_too)
        return json_fail(at, x->err, ERR_INVALID, "%s: 0 would leave nothing; -1 is no limit", row->key);
    s = cgroup_list_add(x->l, row->ctl, row->field, row->option);
    if (!s)
        return spec_list_full(x, at);
    s->may_lack = row->may_lack;
    s->v1[0] = number(x->l, row->v1, v, "-1");
    s->v2[0] = number(x->l, row->v2, v, row->v2 && strcmp(row->v2, "memory.low") == 0 ? "0" : "max");
    return s->v1[0].text && s->v2[0].text ? 0 : spec_list_full(x, at);
}

static int read_rows(const struct spec_list *x, const struct json_cur *obj, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t v = 0;
        int rc = get_int(x, obj, rows[i].key, rows[i].min, rows[i].max, &v);
        if (rc < 0 || (rc == 1 && (rc = add_number(x, obj, &rows[i], v)) < 0))
            return rc;
    }
    return 0;
}

/* ---- memory ---- */

/* v1 counts memory and swap together, as config.json does; v2 counts swap only. */
static int read_swap(const struct spec_list *x, const struct json_cur *m, int64_t limit)
{
    struct cgroup_setting *s;
    int64_t swap = 0;
    int rc = get_int(x, m, "swap", NO_LIMIT, EXACT, &swap);

    if (rc != 1)
        return rc;
    if (swap >= 0 && limit < 0)
        return json_fail(m, x->err, ERR_INVALID, "swap counts memory too and needs a memory limit");
    if (swap >= 0 && swap < limit)
        return json_fail(m, x->err, ERR_INVALID, "swap counts memory too and cannot be below limit");
    s = cgroup_list_add(x->l, CGROUP_MEMORY, "memory.swap", "CONFIG_SWAP, kernel line swapaccount=1");
    if (!s)
        return spec_list_full(x, m);
    s->may_lack = true;
    s->v1[0] = number(x->l, "memory.memsw.limit_in_bytes", swap, "-1");
    s->v2[0] = number(x->l, "memory.swap.max", swap < 0 ? swap : swap - limit, "max");
    return s->v1[0].text && s->v2[0].text ? 0 : spec_list_full(x, m);
}

/* A flag that is a file on v1 and does not exist on v2. */
static int add_flag(const struct spec_list *x, const struct json_cur *m, const char *field, const char *v1,
                    const char *v2, bool quiet)
{
    struct cgroup_setting *s = cgroup_list_add(x->l, CGROUP_MEMORY, field, "only on cgroup v1");

    if (!s)
        return spec_list_full(x, m);
    s->may_lack = true;
    s->quiet = quiet;
    s->v1[0] = (struct cgroup_place){v1, "1", CGROUP_UNSET};
    s->v2[0] = (struct cgroup_place){v2, "1", CGROUP_UNSET};
    return 0;
}

static int read_memory(const struct spec_list *x, const struct json_cur *res)
{
    bool no_oom = false, hierarchy = true;
    int64_t limit = NO_LIMIT;
    struct json_cur m;
    int rc = json_get_object(res, "memory", JSON_OPTIONAL, &m, x->err);

    if (rc != 1)
        return rc;
    if ((rc = get_int(x, &m, "limit", NO_LIMIT, EXACT, &limit)) < 0 ||
        (rc = json_get_bool(&m, "disableOOMKiller", JSON_OPTIONAL, &no_oom, x->err)) < 0 ||
        (rc = json_get_bool(&m, "useHierarchy", JSON_OPTIONAL, &hierarchy, x->err)) < 0 ||
        (rc = json_get_bool(&m, "checkBeforeUpdate", JSON_OPTIONAL, &x->l->check_before_update, x->err)) <
            0 ||
        (rc = read_rows(x, &m, memory_rows, COUNT_OF(memory_rows))) < 0 || (rc = read_swap(x, &m, limit)) < 0)
        return rc;
    if (limit > 0)
        x->l->memory_bytes = (uint64_t)limit;
    if (limit > 0 && !no_oom &&
        (rc = add_flag(x, &m, "memory.limit", NULL, "memory.oom.group", true)) <
            0) /* kill the whole container, not part of it */
        return rc;
    return no_oom ? add_flag(x, &m, "memory.disableOOMKiller", "memory.oom_control", NULL, false) : 0;
}

/* ---- cpu ---- */

static int read_quota(const struct spec_list *x, const struct json_cur *c)
{
    static const char opt[] = "CONFIG_CFS_BANDWIDTH";
    int64_t quota = NO_LIMIT, period = 0;
    struct cgroup_setting *s, *p;
    int q = get_int(x, c, "quota", NO_LIMIT, EXACT, &quota),
        has = get_int(x, c, "period", 1000, 1000000, &period);

    if (q < 0 || has < 0)
        return q < 0 ? q : has;
    if (q == 1 && quota >= 0 && quota < 1000)
        return json_fail(c, x->err, ERR_INVALID, "quota: %lld is below 1000 us; -1 is no limit",
                         (long long)quota);
    if (has == 1) {
        p = cgroup_list_add(x->l, CGROUP_CPU, "cpu.period", opt);
        if (!p)
            return spec_list_full(x, c);
        p->v1[0] = number(x->l, "cpu.cfs_period_us", period, "");
        p->v2[0] = (struct cgroup_place){"cpu.max", NULL, CGROUP_UNSET};
        p->v2[0].text = quota < 0 ? cgroup_list_text(x->l, "max %lld", (long long)period)
                                  : cgroup_list_text(x->l, "%lld %lld", (long long)quota, (long long)period);
        if (!p->v2[0].text || !p->v1[0].text)
            return spec_list_full(x, c);
    }
    if (q == 0)
        return 0;
    s = cgroup_list_add(x->l, CGROUP_CPU, "cpu.quota", opt);
    if (!s)
        return spec_list_full(x, c);
    s->v1[0] = number(x->l, "cpu.cfs_quota_us", quota, "-1");
    s->v2[0] = number(x->l, "cpu.max", quota, "max");
    return s->v1[0].text && s->v2[0].text ? 0 : spec_list_full(x, c);
}

static int read_shares(const struct spec_list *x, const struct json_cur *c)
{
    struct cgroup_setting *s;
    int64_t shares = 0;
    int rc = get_int(x, c, "shares", 2, 262144, &shares);

    if (rc != 1)
        return rc;
    s = cgroup_list_add(x->l, CGROUP_CPU, "cpu.shares", "CONFIG_FAIR_GROUP_SCHED");
    if (!s)
        return spec_list_full(x, c);
    s->v1[0] = number(x->l, "cpu.shares", shares, "");
    s->v2[0] = number(x->l, "cpu.weight", 1 + (shares - 2) * 9999 / 262142, ""); /* maps v1's range to v2's */
    return s->v1[0].text && s->v2[0].text ? 0 : spec_list_full(x, c);
}

/* "0-3,7" */
static int read_set(const struct spec_list *x, const struct json_cur *c, const char *key, const char *field,
                    const char *file)
{
    const char *text;
    struct cgroup_setting *s;
    int rc = json_get_str(c, key, JSON_OPTIONAL, 1024, &text, x->err);

    if (rc != 1 || text[0] == '\0')
        return rc < 0 ? rc : 0;
    if (text[strspn(text, "0123456789,-")] != '\0')
        return json_fail(c, x->err, ERR_INVALID, "%s: \"%.40s\" is not a list like 0-3,7", key, text);
    s = cgroup_list_add(x->l, CGROUP_CPUSET, field, "CONFIG_CPUSETS");
    if (!s || !(text = cgroup_list_text(x->l, "%s", text)))
        return spec_list_full(x, c);
    s->v1[0] = s->v2[0] = (struct cgroup_place){file, text, CGROUP_UNSET};
    return 0;
}

static int read_cpu(const struct spec_list *x, const struct json_cur *res)
{
    struct json_cur c;
    int rc = json_get_object(res, "cpu", JSON_OPTIONAL, &c, x->err);

    if (rc != 1)
        return rc;
    if ((rc = read_shares(x, &c)) < 0 || (rc = read_quota(x, &c)) < 0 ||
        (rc = read_rows(x, &c, cpu_rows, COUNT_OF(cpu_rows))) < 0 ||
        (rc = read_set(x, &c, "cpus", "cpu.cpus", "cpuset.cpus")) < 0)
        return rc;
    return read_set(x, &c, "mems", "cpu.mems", "cpuset.mems");
}

static int read_pids(const struct spec_list *x, const struct json_cur *res)
{
    struct cgroup_setting *s;
    struct json_cur p;
    int64_t max = NO_LIMIT;
    int rc = json_get_object(res, "pids", JSON_OPTIONAL, &p, x->err);

    if (rc != 1 || (rc = get_int(x, &p, "limit", NO_LIMIT, EXACT, &max)) != 1)
        return rc;
    if (max > 4194304)
        return json_fail(&p, x->err, ERR_INVALID, "limit: more than the 4194304 that Linux can have");
    s = cgroup_list_add(x->l, CGROUP_PIDS, "pids.limit", "CONFIG_CGROUP_PIDS");
    if (!s)
        return spec_list_full(x, &p);
    /* engines write 0 for none */
    s->v1[0] = s->v2[0] = number(x->l, "pids.max", max == 0 ? NO_LIMIT : max, "max");
    return s->v1[0].text ? 0 : spec_list_full(x, &p);
}

int spec_resources(const struct json_cur *res, struct cgroup_list *ret, struct err *err)
{
    const struct spec_list x = {ret, err};
    int rc;

    if ((rc = read_memory(&x, res)) < 0 || (rc = read_cpu(&x, res)) < 0 || (rc = read_pids(&x, res)) < 0 ||
        (rc = spec_resources_io(res, ret, err)) < 0)
        return rc;
    return spec_resources_devices(res, ret, err);
}

int spec_read_resources(struct spec_ctx *x, const struct json_cur *lin)
{
    struct cgroup_list *l = arena_get(x->arena, sizeof(*l));
    struct json_cur res;
    int rc;

    if (!l)
        return err_set(x->err, ERR_NOMEM, "config.json: too large");
    cgroup_list_init(l);
    rc = json_get_object(lin, "resources", JSON_OPTIONAL, &res, x->err);
    if (rc < 0 || (rc == 1 && (rc = spec_resources(&res, l, x->err)) < 0))
        return rc;
    if (!l->has_devices)
        (void)cgroup_list_add_device(l, (struct cgroup_device){false, 'a', -1, -1, CGROUP_DEV_ALL});
    spec_default_devices(l);
    x->s->resources = l;
    return 0;
}
