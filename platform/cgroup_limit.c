/* cgroup_limit.c - limits written, read back and judged; usage. See cgroup.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "platform/cgroup_priv.h"
#include "platform/mem.h"

#define READ_BACK_SLACK 65536 /* the kernel rounds to pages, and pages are at most this large */
#define V1_NO_LIMIT     (1ULL << 62)

enum file { F_MEM_MAX, F_MEM_HIGH, F_MEM_NOW, F_MEM_PEAK, F_MEM_EVENTS, F_SWAP_MAX, F_COUNT_ };
static const char *const files[F_COUNT_][CGROUP_V2 + 1] = {
    [F_MEM_MAX] = {[CGROUP_V1] = "memory.limit_in_bytes", [CGROUP_V2] = "memory.max"},
    [F_MEM_HIGH] = {[CGROUP_V1] = "memory.soft_limit_in_bytes", [CGROUP_V2] = "memory.high"},
    [F_MEM_NOW] = {[CGROUP_V1] = "memory.usage_in_bytes", [CGROUP_V2] = "memory.current"},
    [F_MEM_PEAK] = {[CGROUP_V1] = "memory.max_usage_in_bytes", [CGROUP_V2] = "memory.peak"},
    [F_MEM_EVENTS] = {[CGROUP_V1] = "memory.oom_control", [CGROUP_V2] = "memory.events"},
    [F_SWAP_MAX] = {[CGROUP_V1] = "memory.memsw.limit_in_bytes", [CGROUP_V2] = "memory.swap.max"},
};

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

ssize_t cgroup_get_text(int dir_fd, const char *name, char *dst, size_t size)
{
    AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, dst, size - 1);

    dst[len < 0 ? 0 : len] = '\0';
    return len;
}

uint64_t cgroup_get_u64(int dir_fd, const char *name)
{
    char text[64], *end;
    uint64_t v;

    if (cgroup_get_text(dir_fd, name, text, sizeof text) <= 0 || text[0] < '0' || text[0] > '9')
        return CGROUP_UNSET; /* "max", "-1", nothing */
    v = strtoull(text, &end, 10);
    return v >= V1_NO_LIMIT ? CGROUP_UNSET : v;
}

uint64_t cgroup_get_key(int dir_fd, const char *name, const char *key)
{
    char text[2048];
    size_t len = strlen(key);

    if (cgroup_get_text(dir_fd, name, text, sizeof text) <= 0)
        return CGROUP_UNSET;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return strtoull(line + len, NULL, 10);
    }
    return CGROUP_UNSET;
}

unsigned cgroup_needs(const struct cgroup_limits *lim)
{
    unsigned mask = 0;

    if (lim->memory_max_bytes != CGROUP_UNSET || lim->memory_high_bytes != CGROUP_UNSET ||
        lim->swap_max_bytes != CGROUP_UNSET)
        mask |= 1u << CGROUP_MEMORY;
    if (lim->cpu_quota_us != CGROUP_UNSET || lim->cpu_weight != CGROUP_UNSET)
        mask |= 1u << CGROUP_CPU;
    if (lim->pids_max != CGROUP_UNSET)
        mask |= 1u << CGROUP_PIDS;
    return mask;
}

static void field_set(struct cgroup_field *f, enum cgroup_state state, uint64_t value, const char *why)
{
    f->state = state;
    f->value = value;
    (void)snprintf(f->why, sizeof f->why, "%s", why);
}

/* Asked, but no hierarchy carries it. */
static void field_missing(const struct cgroup *c, enum cgroup_ctl ctl, struct cgroup_field *f,
                          const char *why)
{
    field_set(f, CGROUP_UNSUPPORTED, CGROUP_UNSET, c->refused[ctl][0] ? c->refused[ctl] : why);
}

/* 0 or -errno. CGROUP_UNSET: lift a limit that is there. */
static int put_limit(int fd, const char *name, uint64_t value, const char *unlimited)
{
    char text[32];

    if (value == CGROUP_UNSET && cgroup_get_u64(fd, name) == CGROUP_UNSET)
        return 0;
    if (value == CGROUP_UNSET)
        return cgroup_put(fd, name, unlimited);
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    return cgroup_put(fd, name, text);
}

/* Compare what was asked with what the kernel now says. */
static void judge(struct cgroup_field *f, int put_result, uint64_t asked, uint64_t got, uint64_t slack)
{
    if (asked == CGROUP_UNSET)
        field_set(f, CGROUP_NOT_ASKED, got, "");
    else if (put_result == -ENOENT)
        field_set(f, CGROUP_UNSUPPORTED, CGROUP_UNSET, "this kernel lacks the setting");
    else if (got != CGROUP_UNSET && (got > asked ? got - asked : asked - got) <= slack)
        field_set(f, CGROUP_ENFORCED, got, "");
    else if (put_result < 0)
        field_set(f, got == CGROUP_UNSET ? CGROUP_UNSUPPORTED : CGROUP_DEGRADED, got, strerror(-put_result));
    else
        field_set(f, CGROUP_DEGRADED, got, "the kernel took another value");
}

/* v1 counts memory and swap together, and neither limit may pass the other on the way. */
static void apply_memory_v1(int fd, const struct cgroup_limits *lim, struct cgroup_report *rep)
{
    const char *max = files[F_MEM_MAX][CGROUP_V1], *both = files[F_SWAP_MAX][CGROUP_V1];
    uint64_t mem = lim->memory_max_bytes, sum = CGROUP_UNSET, got_mem, got_sum;
    int r;

    (void)put_limit(fd, both, CGROUP_UNSET, "-1");
    r = put_limit(fd, max, mem, "-1");
    got_mem = cgroup_get_u64(fd, max);
    judge(&rep->memory, r, mem, got_mem, READ_BACK_SLACK);
    if (lim->swap_max_bytes == CGROUP_UNSET)
        return;
    if (got_mem == CGROUP_UNSET) {
        field_set(&rep->swap, CGROUP_UNSUPPORTED, CGROUP_UNSET, "cgroup v1 needs a memory limit for this");
        return;
    }
    sum = got_mem + lim->swap_max_bytes;
    r = put_limit(fd, both, sum, "-1");
    got_sum = cgroup_get_u64(fd, both);
    judge(&rep->swap, r, lim->swap_max_bytes, got_sum == CGROUP_UNSET ? got_sum : got_sum - got_mem,
          READ_BACK_SLACK);
}

static void apply_memory_v2(int fd, const struct cgroup_limits *lim, struct cgroup_report *rep)
{
    const char *max = files[F_MEM_MAX][CGROUP_V2], *swap = files[F_SWAP_MAX][CGROUP_V2];
    int r = put_limit(fd, max, lim->memory_max_bytes, "max");

    judge(&rep->memory, r, lim->memory_max_bytes, cgroup_get_u64(fd, max), READ_BACK_SLACK);
    r = put_limit(fd, swap, lim->swap_max_bytes, "max");
    judge(&rep->swap, r, lim->swap_max_bytes, cgroup_get_u64(fd, swap), READ_BACK_SLACK);
    if (lim->memory_max_bytes != CGROUP_UNSET)
        (void)cgroup_put(fd, "memory.oom.group", "1"); /* half a container is no container */
}

static void apply_memory(const struct cgroup *c, const struct cgroup_limits *lim, struct cgroup_report *rep)
{
    const struct cgroup_slot *s = cgroup_slot_of(c, CGROUP_MEMORY);
    static const char why[] = "no memory controller (kernel line: cgroup_enable=memory)";

    if (!s) {
        if (lim->memory_max_bytes != CGROUP_UNSET)
            field_missing(c, CGROUP_MEMORY, &rep->memory, why);
        if (lim->swap_max_bytes != CGROUP_UNSET)
            field_missing(c, CGROUP_MEMORY, &rep->swap, why);
        return;
    }
    if (s->mode == CGROUP_V1)
        apply_memory_v1(s->fd, lim, rep);
    else
        apply_memory_v2(s->fd, lim, rep);
    (void)put_limit(s->fd, files[F_MEM_HIGH][s->mode], lim->memory_high_bytes,
                    s->mode == CGROUP_V1 ? "-1" : "max");
}

static int apply_quota(const struct cgroup_slot *s, const struct cgroup_limits *lim, uint64_t *ret_got)
{
    char text[64];
    int r;

    if (s->mode == CGROUP_V2) {
        if (lim->cpu_quota_us == CGROUP_UNSET)
            r = put_limit(s->fd, "cpu.max", CGROUP_UNSET, "max");
        else {
            (void)snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64, lim->cpu_quota_us, lim->cpu_period_us);
            r = cgroup_put(s->fd, "cpu.max", text);
        }
        *ret_got = cgroup_get_u64(s->fd, "cpu.max");
        return r;
    }
    if (lim->cpu_quota_us != CGROUP_UNSET)
        (void)put_limit(s->fd, "cpu.cfs_period_us", lim->cpu_period_us, "100000");
    r = put_limit(s->fd, "cpu.cfs_quota_us", lim->cpu_quota_us, "-1");
    *ret_got = cgroup_get_u64(s->fd, "cpu.cfs_quota_us");
    return r;
}

/* v2 weights run from 1 to 10000, v1 shares from 2 to 262144. */
static uint64_t shares_of_weight(uint64_t weight)
{
    return 2 + (weight - 1) * 262142 / 9999;
}

static void apply_weight(const struct cgroup_slot *s, uint64_t weight, struct cgroup_field *ret)
{
    uint64_t v = s->mode == CGROUP_V1 ? shares_of_weight(weight) : weight;
    const char *name = s->mode == CGROUP_V1 ? "cpu.shares" : "cpu.weight";
    int r = put_limit(s->fd, name, v, "");

    judge(ret, r, v, cgroup_get_u64(s->fd, name), 0);
}

static void apply_cpu(const struct cgroup *c, const struct cgroup_limits *lim, struct cgroup_field *ret)
{
    const struct cgroup_slot *s = cgroup_slot_of(c, CGROUP_CPU);
    struct cgroup_field weight = {0};
    uint64_t got;
    int r;

    if (!s) {
        if (cgroup_needs(lim) & (1u << CGROUP_CPU))
            field_missing(c, CGROUP_CPU, ret, "no cpu controller");
        return;
    }
    r = apply_quota(s, lim, &got);
    judge(ret, r, lim->cpu_quota_us, got, 0);
    if (ret->state == CGROUP_UNSUPPORTED)
        field_set(ret, CGROUP_UNSUPPORTED, CGROUP_UNSET, "kernel without CONFIG_CFS_BANDWIDTH");
    if (lim->cpu_weight == CGROUP_UNSET)
        return;
    apply_weight(s, lim->cpu_weight, &weight);
    if (weight.state > ret->state) /* one field speaks for both: the worse one */
        *ret = weight;
}

static void apply_pids(const struct cgroup *c, const struct cgroup_limits *lim, struct cgroup_field *ret)
{
    const struct cgroup_slot *s = cgroup_slot_of(c, CGROUP_PIDS);
    int r;

    if (!s) {
        if (lim->pids_max != CGROUP_UNSET)
            field_missing(c, CGROUP_PIDS, ret, "no pids controller");
        return;
    }
    r = put_limit(s->fd, "pids.max", lim->pids_max, "max");
    judge(ret, r, lim->pids_max, cgroup_get_u64(s->fd, "pids.max"), 0);
}

void cgroup_apply(const struct cgroup *c, const struct cgroup_limits *lim, struct cgroup_report *ret)
{
    static const struct cgroup_field unset = {.state = CGROUP_NOT_ASKED, .value = CGROUP_UNSET};
    struct cgroup_report rep = {unset, unset, unset, unset};

    apply_memory(c, lim, &rep);
    apply_cpu(c, lim, &rep.cpu);
    apply_pids(c, lim, &rep.pids);
    *ret = rep;
}

static uint64_t cpu_time_us(const struct cgroup *c)
{
    const struct cgroup_slot *v2 = cgroup_v2_slot(c), *v1 = cgroup_slot_of(c, CGROUP_CPU);
    uint64_t us = v2 ? cgroup_get_key(v2->fd, "cpu.stat", "usage_usec") : CGROUP_UNSET;

    if (us == CGROUP_UNSET && v1 && v1->mode == CGROUP_V1) {
        uint64_t ns = cgroup_get_u64(v1->fd, "cpuacct.usage"); /* where cpu and cpuacct share a hierarchy */
        us = ns == CGROUP_UNSET ? ns : ns / 1000;
    }
    return us;
}

static uint64_t pids_now(const struct cgroup *c)
{
    const struct cgroup_slot *s = cgroup_slot_of(c, CGROUP_PIDS);
    pid_t pids[512];
    uint64_t n = s ? cgroup_get_u64(s->fd, "pids.current") : CGROUP_UNSET;

    if (n != CGROUP_UNSET || c->n_slots == 0)
        return n;
    return cgroup_pids(c, pids, COUNT_OF(pids));
}

void cgroup_usage(const struct cgroup *c, struct cgroup_usage *ret)
{
    const struct cgroup_slot *m = cgroup_slot_of(c, CGROUP_MEMORY);
    struct cgroup_usage u = {CGROUP_UNSET, CGROUP_UNSET, CGROUP_UNSET,
                             CGROUP_UNSET, CGROUP_UNSET, CGROUP_UNSET};

    if (m) {
        u.memory_bytes = cgroup_get_u64(m->fd, files[F_MEM_NOW][m->mode]);
        u.memory_peak_bytes = cgroup_get_u64(m->fd, files[F_MEM_PEAK][m->mode]);
        u.memory_limit_bytes = cgroup_get_u64(m->fd, files[F_MEM_MAX][m->mode]);
        u.oom_kills = cgroup_get_key(m->fd, files[F_MEM_EVENTS][m->mode], "oom_kill");
    }
    u.cpu_us = cpu_time_us(c);
    u.pids = pids_now(c);
    *ret = u;
}

/* v1: an eventfd, bound by naming both descriptors in cgroup.event_control. */
static int oom_fd_v1(int dir_fd)
{
    AUTO_FD int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD int control = openat(dir_fd, files[F_MEM_EVENTS][CGROUP_V1], O_RDONLY | O_CLOEXEC);
    char text[32];

    (void)snprintf(text, sizeof text, "%d %d", event, control);
    if (event < 0 || control < 0 || cgroup_put(dir_fd, "cgroup.event_control", text) < 0)
        return -1;
    return steal_fd(&event);
}

int cgroup_oom_fd(struct cgroup *c, uint32_t *ret_epoll_events)
{
    const struct cgroup_slot *m = cgroup_slot_of(c, CGROUP_MEMORY);
    int fd;

    if (!m)
        return -1;
    fd = m->mode == CGROUP_V1 ? oom_fd_v1(m->fd)
                              : openat(m->fd, files[F_MEM_EVENTS][CGROUP_V2], O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        *ret_epoll_events = m->mode == CGROUP_V1 ? EPOLLIN : EPOLLPRI;
    return fd;
}
