/* cgroup_list.c - settings as data: made from limits, written and read back by one loop, judged. See
 * cgroup.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "platform/cgroup/cgroup_int.h"
#include "platform/mem.h"

#define READ_BACK_SLACK 65536 /* the kernel rounds to pages, which are at most this large */

const char *cgroup_state_name(enum cgroup_state s)
{
    static const char *const names[] = {
        [CGROUP_NOT_ASKED] = "not-asked",
        [CGROUP_ENFORCED] = "enforced",
        [CGROUP_DEGRADED] = "degraded",
        [CGROUP_UNSUPPORTED] = "unsupported",
    };

    return (size_t)s < COUNT_OF(names) ? names[s] : "unsupported";
}

/* ---- make ---- */

void cgroup_list_init(struct cgroup_list *l)
{
    l->n = l->n_devices = 0;
    l->has_devices = l->check_before_update = false;
    l->device_state = (struct cgroup_field){.state = CGROUP_NOT_ASKED, .value = CGROUP_UNSET};
    l->memory_bytes = CGROUP_UNSET;
    l->used = 0;
}

const char *cgroup_list_text(struct cgroup_list *l, const char *fmt, ...)
{
    char *at = l->text + l->used;
    size_t room = sizeof(l->text) - l->used;
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(at, room, fmt, ap);
    va_end(ap);
    if (len < 0 || (size_t)len >= room)
        return NULL;
    l->used += (size_t)len + 1;
    return at;
}

struct cgroup_setting *cgroup_list_add(struct cgroup_list *l, enum cgroup_ctl ctl, const char *field,
                                       const char *option)
{
    struct cgroup_setting *s;

    if (l->n == CGROUP_SETTINGS_MAX)
        return NULL;
    s = &l->list[l->n++];
    memset(s, 0, sizeof(*s));
    s->ctl = ctl;
    s->field = field;
    s->option = option;
    s->got = CGROUP_UNSET;
    for (int i = 0; i < 2; i++)
        s->v1[i].want = s->v2[i].want = CGROUP_UNSET;
    return s;
}

const struct cgroup_setting *cgroup_list_find(const struct cgroup_list *l, const char *field)
{
    for (unsigned i = 0; i < l->n; i++)
        if (!l->list[i].quiet && strcmp(l->list[i].field, field) == 0)
            return &l->list[i];
    return NULL;
}

static struct cgroup_place number(struct cgroup_list *l, const char *file, uint64_t value)
{
    return (struct cgroup_place){file, cgroup_list_text(l, "%" PRIu64, value), value};
}

/* One limit that is a plain number on both versions; CGROUP_UNSET removes an old one. A list of limits is far
 * below the maximum. */
static struct cgroup_setting *add_limit(struct cgroup_list *l, enum cgroup_ctl ctl, const char *field,
                                        const char *option, const char *v1, const char *v2, uint64_t value)
{
    struct cgroup_setting *s = cgroup_list_add(l, ctl, field, option);

    s->lift = s->quiet = value == CGROUP_UNSET;
    if (s->lift) {
        s->v1[0] = (struct cgroup_place){v1, ctl == CGROUP_PIDS ? "max" : "-1", CGROUP_UNSET};
        s->v2[0] = (struct cgroup_place){v2, "max", CGROUP_UNSET};
    } else {
        s->v1[0] = number(l, v1, value);
        s->v2[0] = number(l, v2, value);
    }
    return s;
}

static void add_memory(const struct cgroup_limits *lim, struct cgroup_list *l)
{
    static const char opt[] = "CONFIG_MEMCG, kernel line cgroup_enable=memory";
    static const char both[] = "memory.memsw.limit_in_bytes";
    uint64_t mem = lim->memory_max_bytes, swap = lim->swap_max_bytes;
    struct cgroup_setting *s;

    /* v1 counts memory and swap together: an old limit must not be in the way */
    (void)add_limit(l, CGROUP_MEMORY, "memory.swap", opt, both, NULL, CGROUP_UNSET);
    (void)add_limit(l, CGROUP_MEMORY, "memory.limit", opt, "memory.limit_in_bytes", "memory.max", mem);
    (void)add_limit(l, CGROUP_MEMORY, "memory.high", opt, "memory.soft_limit_in_bytes", "memory.high",
                    lim->memory_high_bytes);
    s = add_limit(l, CGROUP_MEMORY, "memory.swap", "CONFIG_SWAP, kernel line swapaccount=1", NULL,
                  "memory.swap.max", swap);
    if (mem != CGROUP_UNSET && swap != CGROUP_UNSET)
        s->v1[0] = number(l, both, mem + swap);
    if (mem == CGROUP_UNSET)
        return;
    s = cgroup_list_add(l, CGROUP_MEMORY, "memory.limit", opt);
    s->quiet = true;
    s->v2[0] = (struct cgroup_place){"memory.oom.group", "1", CGROUP_UNSET}; /* kill all of a container */
}

static void add_cpu(const struct cgroup_limits *lim, struct cgroup_list *l)
{
    static const char opt[] = "CONFIG_CFS_BANDWIDTH";
    uint64_t quota = lim->cpu_quota_us, weight = lim->cpu_weight;
    struct cgroup_setting *s;

    if (quota != CGROUP_UNSET) {
        s = add_limit(l, CGROUP_CPU, "cpu.period", opt, "cpu.cfs_period_us", NULL, lim->cpu_period_us);
        s->quiet = true;
    }
    s = add_limit(l, CGROUP_CPU, "cpu.quota", opt, "cpu.cfs_quota_us", "cpu.max", quota);
    if (quota != CGROUP_UNSET)
        s->v2[0].text = cgroup_list_text(l, "%" PRIu64 " %" PRIu64, quota, lim->cpu_period_us);
    if (weight == CGROUP_UNSET)
        return;
    /* v2 weights run from 1 to 10000, v1 shares from 2 to 262144 */
    s = add_limit(l, CGROUP_CPU, "cpu.shares", "CONFIG_FAIR_GROUP_SCHED", NULL, "cpu.weight", weight);
    s->v1[0] = number(l, "cpu.shares", 2 + (weight - 1) * 262142 / 9999);
}

void cgroup_list_of_limits(const struct cgroup_limits *lim, struct cgroup_list *ret)
{
    cgroup_list_init(ret);
    add_memory(lim, ret);
    add_cpu(lim, ret);
    (void)add_limit(ret, CGROUP_PIDS, "pids.limit", "CONFIG_CGROUP_PIDS", "pids.max", "pids.max",
                    lim->pids_max);
}

bool cgroup_list_add_device(struct cgroup_list *l, struct cgroup_device d)
{
    if (l->n_devices == CGROUP_DEVICES_MAX)
        return false;
    l->devices[l->n_devices++] = d;
    return true;
}

void cgroup_list_standard_devices(struct cgroup_list *l)
{
    static const struct cgroup_device nodes[] = {
        {true, 'c', 1, 3, CGROUP_DEV_ALL},    /* null */
        {true, 'c', 1, 5, CGROUP_DEV_ALL},    /* zero */
        {true, 'c', 1, 7, CGROUP_DEV_ALL},    /* full */
        {true, 'c', 1, 8, CGROUP_DEV_ALL},    /* random */
        {true, 'c', 1, 9, CGROUP_DEV_ALL},    /* urandom */
        {true, 'c', 5, 0, CGROUP_DEV_ALL},    /* tty */
        {true, 'c', 5, 2, CGROUP_DEV_ALL},    /* ptmx */
        {true, 'c', 136, -1, CGROUP_DEV_ALL}, /* pts */
    };

    l->has_devices = true;
    for (size_t i = 0; i < COUNT_OF(nodes); i++)
        (void)cgroup_list_add_device(l, nodes[i]);
}

/* ---- write, read back ---- */

static const struct cgroup_place *places_of(const struct cgroup_setting *s, enum cgroup_mode mode)
{
    return mode == CGROUP_V1 ? s->v1 : s->v2;
}

unsigned cgroup_list_needs(const struct cgroup_host *h, const struct cgroup_list *l)
{
    unsigned mask = 0;

    for (unsigned i = 0; i < l->n; i++) {
        const struct cgroup_setting *s = &l->list[i];
        enum cgroup_mode mode = h->ctl[s->ctl].mode;
        if (!s->lift && mode != CGROUP_NONE && places_of(s, mode)[0].file)
            mask |= 1u << s->ctl;
    }
    if (l->has_devices && h->ctl[CGROUP_DEVICES].mode == CGROUP_V1)
        mask |= 1u << CGROUP_DEVICES;
    return mask;
}

/* 0 or -errno: to the first place whose file exists. */
static int write_setting(const struct cgroup_slot *slot, const struct cgroup_setting *s)
{
    const struct cgroup_place *p = places_of(s, slot->mode);
    int rc = -ENOENT;

    if (s->lift && (slot->fresh || (p->file && cgroup_get_u64(slot->fd, p->file) == CGROUP_UNSET)))
        return 0;
    for (int i = 0; i < 2 && p[i].file && rc == -ENOENT; i++)
        rc = cgroup_put(slot->fd, p[i].file, p[i].text);
    return rc;
}

static bool is_near(uint64_t a, uint64_t b, enum cgroup_ctl ctl)
{
    uint64_t slack = ctl == CGROUP_MEMORY ? READ_BACK_SLACK : 0;

    return a != CGROUP_UNSET && (a > b ? a - b : b - a) <= slack;
}

static void read_setting(const struct cgroup_slot *slot, struct cgroup_setting *s)
{
    const struct cgroup_place *p = places_of(s, slot->mode);

    if (s->quiet || !p->file) {
        s->state = s->quiet ? CGROUP_NOT_ASKED : CGROUP_UNSUPPORTED;
        return;
    }
    if (p[1].file && s->result == 0 && faccessat(slot->fd, p->file, F_OK, 0) != 0)
        p++;
    if (p->want == CGROUP_UNSET) {
        s->state = s->result == 0 ? CGROUP_ENFORCED : CGROUP_UNSUPPORTED;
        return;
    }
    s->got = cgroup_get_u64(slot->fd, p->file);
    if (is_near(s->got, p->want, s->ctl))
        s->state = CGROUP_ENFORCED;
    else
        s->state = s->got == CGROUP_UNSET ? CGROUP_UNSUPPORTED : CGROUP_DEGRADED;
}

/* Limits depend on each other (memory below memory and swap, quota on period): what is refused now may be
 * accepted once the others are set. */
static bool may_go_later(int result)
{
    return result == -EINVAL || result == -EBUSY;
}

/* Real-time runtime is taken from the parent group's share, and a new parent has none. */
static const char *short_of_budget(const struct cgroup_slot *slot, const struct cgroup_setting *s,
                                   struct cgroup_list *l)
{
    static const char file[] = "../cpu.rt_runtime_us";
    uint64_t above = cgroup_get_u64(slot->fd, file);

    if (slot->mode != CGROUP_V1 || s->result != -EINVAL || !s->v1[0].file ||
        strcmp(s->v1[0].file, file + 3) != 0 || above == CGROUP_UNSET)
        return NULL;
    return cgroup_list_text(
        l, "the group above has %" PRIu64 " us for all below it: raise its cpu.rt_runtime_us first", above);
}

void cgroup_list_apply(const struct cgroup *c, struct cgroup_list *l)
{
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < l->n; i++) {
            struct cgroup_setting *s = &l->list[i];
            const struct cgroup_slot *slot = cgroup_slot_of(c, s->ctl);
            if (!slot)
                s->result = -ENODEV;
            else if (pass == 0 || may_go_later(s->result))
                s->result = write_setting(slot, s);
        }
    for (unsigned i = 0; i < l->n; i++) {
        struct cgroup_setting *s = &l->list[i];
        const struct cgroup_slot *slot = cgroup_slot_of(c, s->ctl);
        if ((s->result == -ENODEV || s->result == -ENOENT) && !s->quiet && c->refused[s->ctl][0])
            s->why = cgroup_list_text(l, "%s", c->refused[s->ctl]);
        if (slot && s->result < 0 && !s->why)
            s->why = short_of_budget(slot, s, l);
        if (slot)
            read_setting(slot, s);
        else
            s->state = s->quiet ? CGROUP_NOT_ASKED : CGROUP_UNSUPPORTED;
    }
}

/* ---- judge ---- */

static void why_not(const struct cgroup_setting *s, char *dst, size_t size)
{
    if (s->why)
        (void)snprintf(dst, size, "%s", s->why);
    else if (s->result == -ENODEV)
        (void)snprintf(dst, size, "no %s controller for us (%s)", cgroup_ctl_name(s->ctl, CGROUP_V1),
                       s->option);
    else if (s->result == -ENOENT)
        (void)snprintf(dst, size, "this kernel lacks the setting (%s)", s->option);
    else if (s->result < 0)
        (void)snprintf(dst, size, "%s", strerror(-s->result));
    else
        (void)snprintf(dst, size, "the kernel took another value");
}

static void report_field(const struct cgroup_list *l, const char *field, struct cgroup_field *ret)
{
    const struct cgroup_setting *s = cgroup_list_find(l, field);

    *ret = (struct cgroup_field){.state = CGROUP_NOT_ASKED, .value = CGROUP_UNSET};
    if (!s)
        return;
    ret->state = s->state;
    ret->value = s->got;
    if (s->state != CGROUP_ENFORCED)
        why_not(s, ret->why, sizeof(ret->why));
}

void cgroup_list_report(const struct cgroup_list *l, struct cgroup_report *ret)
{
    const struct cgroup_setting *mem = cgroup_list_find(l, "memory.limit"),
                                *swap = cgroup_list_find(l, "memory.swap");
    struct cgroup_field weight;

    report_field(l, "memory.limit", &ret->memory);
    report_field(l, "memory.swap", &ret->swap);
    if (swap && mem && swap->got != CGROUP_UNSET && swap->v1[0].file && swap->got == swap->v1[0].want &&
        swap->v1[0].want != swap->v2[0].want)
        ret->swap.value = swap->got - mem->got; /* v1 counts both together */
    report_field(l, "cpu.quota", &ret->cpu);
    report_field(l, "cpu.shares", &weight);
    if (weight.state > ret->cpu.state) /* one field reports both: the worse one */
        ret->cpu = weight;
    report_field(l, "pids.limit", &ret->pids);
}

/* Requested, not in force, and not merely because the machine lacks it. */
static bool is_failure(const struct cgroup_setting *s)
{
    if (s->quiet || s->state == CGROUP_ENFORCED || s->state == CGROUP_NOT_ASKED)
        return false;
    return s->v2_only || !(s->result == -ENODEV || (s->result == -ENOENT && s->may_lack));
}

int cgroup_list_judge(const struct cgroup_list *l, struct err *err)
{
    for (unsigned i = 0; i < l->n; i++) {
        const struct cgroup_setting *s = &l->list[i];
        const char *file = s->v2[0].file ? s->v2[0].file : s->v1[0].file, *text = s->v2[0].text;
        char why[128];
        if (!is_failure(s))
            continue;
        why_not(s, why, sizeof(why));
        if (s->v2_only && s->result == -ENODEV)
            (void)snprintf(why, sizeof(why),
                           "its controller is not on cgroup v2 here: use the field's own name");
        return err_set(
            err, s->result == -EBUSY ? ERR_CONFLICT : ERR_UNSUPPORTED,
            "linux.resources.%s: %.60s cannot be set to %.60s: %s; leave the field out to run without",
            s->field, file, text ? text : s->v1[0].text, why);
    }
    return 0;
}

bool cgroup_list_warning(const struct cgroup_list *l, unsigned i, char *dst, size_t size)
{
    const struct cgroup_setting *s = &l->list[i];
    char why[128];

    if (i == l->n) {
        if (l->device_state.state != CGROUP_DEGRADED && l->device_state.state != CGROUP_UNSUPPORTED)
            return false;
        (void)snprintf(dst, size, "linux.resources.devices: not enforced: %s", l->device_state.why);
        return true;
    }
    if (s->quiet || s->state == CGROUP_ENFORCED || s->state == CGROUP_NOT_ASKED)
        return false;
    why_not(s, why, sizeof(why));
    (void)snprintf(dst, size, "linux.resources.%s: not enforced: %s", s->field, why);
    return true;
}
