/* limpet_events.c - events: a container's usage, as JSON in the format that callers of runc know, and when it
 * reaches its memory limit. See limpet_int.h. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "runtime/limpet/limpet_int.h"

#define INTERVAL_S 5
#define TEXT_BYTES 8192

/* Callers read counters as 64-bit numbers, whatever JSON says about exactness. */
static void put_count(struct cJSON *o, const char *key, uint64_t v)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, v);
    json_put_decimal(o, key, text);
}

static uint64_t or_zero(uint64_t v)
{
    return v == CGROUP_UNSET ? 0 : v;
}

/* ---- cpu ---- */

/* "12 34 56" as an array of numbers. */
static void put_numbers(struct cJSON *o, const char *key, char *text)
{
    struct cJSON *arr = json_put(o, key, json_arr());
    char *save = NULL;

    for (char *w = strtok_r(text, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
        json_push_u64(arr, strtoull(w, NULL, 10));
}

static void put_percpu(const struct cgroup *g, struct cJSON *usage)
{
    static const struct {
        const char *key, *file;
    } rows[] = {{"percpu", "cpuacct.usage_percpu"},
                {"percpu_kernel", "cpuacct.usage_percpu_sys"},
                {"percpu_user", "cpuacct.usage_percpu_user"}};
    char text[TEXT_BYTES];

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (cgroup_read(g, CGROUP_CPUACCT, rows[i].file, NULL, text, sizeof(text)) > 0)
            put_numbers(usage, rows[i].key, text);
}

static struct cJSON *put_cpu(const struct cgroup *g, struct cJSON *data)
{
    struct cJSON *cpu = json_put(data, "cpu", json_obj()), *usage = json_put(cpu, "usage", json_obj());
    struct cJSON *throttling = json_put(cpu, "throttling", json_obj());
    bool v2 = cgroup_is_v2(g, CGROUP_CPU);
    uint64_t total = cgroup_read_u64(g, CGROUP_CPUACCT, NULL, "cpu.stat", "usage_usec"), user, kernel;

    if (total != CGROUP_UNSET) {
        total *= 1000;
        user = or_zero(cgroup_read_u64(g, CGROUP_CPUACCT, NULL, "cpu.stat", "user_usec")) * 1000;
        kernel = or_zero(cgroup_read_u64(g, CGROUP_CPUACCT, NULL, "cpu.stat", "system_usec")) * 1000;
    } else {
        total = or_zero(cgroup_read_u64(g, CGROUP_CPUACCT, "cpuacct.usage", NULL, NULL));
        user = or_zero(cgroup_read_u64(g, CGROUP_CPUACCT, "cpuacct.usage_user", NULL, NULL));
        kernel = or_zero(cgroup_read_u64(g, CGROUP_CPUACCT, "cpuacct.usage_sys", NULL, NULL));
    }
    put_count(usage, "total", total);
    put_percpu(g, usage);
    put_count(usage, "kernel", kernel);
    put_count(usage, "user", user);
    put_count(throttling, "periods",
              or_zero(cgroup_read_u64(g, CGROUP_CPU, "cpu.stat", "cpu.stat", "nr_periods")));
    put_count(throttling, "throttledPeriods",
              or_zero(cgroup_read_u64(g, CGROUP_CPU, "cpu.stat", "cpu.stat", "nr_throttled")));
    put_count(throttling, "throttledTime",
              v2 ? or_zero(cgroup_read_u64(g, CGROUP_CPU, NULL, "cpu.stat", "throttled_usec")) * 1000
                 : or_zero(cgroup_read_u64(g, CGROUP_CPU, "cpu.stat", NULL, "throttled_time")));
    return cpu;
}

/* ---- memory ---- */

/* "key number" lines as members. */
static void put_flat(const struct cgroup *g, enum cgroup_ctl ctl, const char *file, struct cJSON *o)
{
    char text[TEXT_BYTES], *save = NULL, key[64];
    uint64_t v;

    if (cgroup_read(g, ctl, file, file, text, sizeof(text)) <= 0)
        return;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (sscanf(line, "%63s %" SCNu64, key, &v) == 2)
            put_count(o, key, v);
}

struct counter {
    const char *key, *now, *max, *limit, *fails; /* files of v1 */
    const char *now2, *max2, *limit2;            /* files of v2 */
};
static const struct counter counters[] = {
    {"usage", "memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.limit_in_bytes", "memory.failcnt",
     "memory.current", "memory.peak", "memory.max"},
    {"swap", "memory.memsw.usage_in_bytes", "memory.memsw.max_usage_in_bytes", "memory.memsw.limit_in_bytes",
     "memory.memsw.failcnt", "memory.swap.current", "memory.swap.peak", "memory.swap.max"},
    {"kernel", "memory.kmem.usage_in_bytes", "memory.kmem.max_usage_in_bytes", NULL, "memory.kmem.failcnt",
     NULL, NULL, NULL},
    {"kernelTCP", "memory.kmem.tcp.usage_in_bytes", "memory.kmem.tcp.max_usage_in_bytes", NULL,
     "memory.kmem.tcp.failcnt", NULL, NULL, NULL},
};

static void put_counter(const struct cgroup *g, const struct counter *c, struct cJSON *memory)
{
    struct cJSON *o = json_put(memory, c->key, json_obj());
    uint64_t limit = cgroup_read_u64(g, CGROUP_MEMORY, c->limit, c->limit2, NULL);

    put_count(o, "limit", limit); /* no limit: 2^64-1 */
    put_count(o, "usage", or_zero(cgroup_read_u64(g, CGROUP_MEMORY, c->now, c->now2, NULL)));
    put_count(o, "max", or_zero(cgroup_read_u64(g, CGROUP_MEMORY, c->max, c->max2, NULL)));
    put_count(o, "failcnt", or_zero(cgroup_read_u64(g, CGROUP_MEMORY, c->fails, NULL, NULL)));
}

static struct cJSON *put_memory(const struct cgroup *g, struct cJSON *data)
{
    struct cJSON *memory = json_put(data, "memory", json_obj());
    const char *cache = cgroup_is_v2(g, CGROUP_MEMORY) ? "file" : "cache";

    put_count(memory, "cache",
              or_zero(cgroup_read_u64(g, CGROUP_MEMORY, "memory.stat", "memory.stat", cache)));
    for (size_t i = 0; i < COUNT_OF(counters); i++)
        put_counter(g, &counters[i], memory);
    put_flat(g, CGROUP_MEMORY, "memory.stat", json_put(memory, "raw", json_obj()));
    return memory;
}

/* ---- block devices ---- */

static void push_io(struct cJSON *arr, unsigned major, unsigned minor, const char *op, uint64_t value)
{
    struct cJSON *o = json_push(arr, json_obj());

    put_count(o, "major", major);
    put_count(o, "minor", minor);
    json_put_str(o, "op", op);
    put_count(o, "value", value);
}

/* v1: "8:0 Read 4096" lines. */
static void put_io_v1(const struct cgroup *g, struct cJSON *io, const char *key, const char *file)
{
    struct cJSON *arr = json_put(io, key, json_arr());
    char text[TEXT_BYTES], *save = NULL, op[16];
    unsigned major, minor;
    uint64_t v;

    if (cgroup_read(g, CGROUP_IO, file, NULL, text, sizeof(text)) <= 0)
        return;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (sscanf(line, "%u:%u %15s %" SCNu64, &major, &minor, op, &v) == 4)
            push_io(arr, major, minor, op, v);
}

/* v2: "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 ..." lines. */
static void put_io_v2(const struct cgroup *g, struct cJSON *io)
{
    static const struct {
        const char *key, *op;
        bool bytes;
    } rows[] = {{"rbytes=", "Read", true},
                {"wbytes=", "Write", true},
                {"rios=", "Read", false},
                {"wios=", "Write", false}};
    struct cJSON *bytes = json_put(io, "ioServiceBytesRecursive", json_arr());
    struct cJSON *ops = json_put(io, "ioServicedRecursive", json_arr());
    char text[TEXT_BYTES], *save = NULL;
    unsigned major, minor;

    if (cgroup_read(g, CGROUP_IO, NULL, "io.stat", text, sizeof(text)) <= 0)
        return;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        for (size_t i = 0; sscanf(line, "%u:%u", &major, &minor) == 2 && i < COUNT_OF(rows); i++) {
            const char *at = strstr(line, rows[i].key);
            if (at)
                push_io(rows[i].bytes ? bytes : ops, major, minor, rows[i].op,
                        strtoull(at + strlen(rows[i].key), NULL, 10));
        }
}

static struct cJSON *put_io(const struct cgroup *g, struct cJSON *data)
{
    struct cJSON *io = json_put(data, "blkio", json_obj());

    if (cgroup_is_v2(g, CGROUP_IO)) {
        put_io_v2(g, io);
        return io;
    }
    put_io_v1(g, io, "ioServiceBytesRecursive", "blkio.throttle.io_service_bytes_recursive");
    put_io_v1(g, io, "ioServicedRecursive", "blkio.throttle.io_serviced_recursive");
    return io;
}

/* ---- the rest ---- */

static void put_pids(const struct cgroup *g, struct cJSON *data)
{
    struct cJSON *pids = json_put(data, "pids", json_obj());
    uint64_t limit = cgroup_read_u64(g, CGROUP_PIDS, "pids.max", "pids.max", NULL);
    struct cgroup_usage u;

    cgroup_usage(g, &u);
    put_count(pids, "current", or_zero(u.pids));
    put_count(pids, "limit", or_zero(limit));
}

static void put_hugetlb(const struct cgroup *g, struct cJSON *data)
{
    static const char *const sizes[] = {"64KB", "1MB", "2MB", "16MB", "32MB", "512MB", "1GB", "16GB"};
    struct cJSON *huge = json_put(data, "hugetlb", json_obj());

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char now[64], now2[64], max[64], fails[64];
        struct cJSON *o;
        uint64_t v;
        (void)snprintf(now, sizeof(now), "hugetlb.%s.usage_in_bytes", sizes[i]);
        (void)snprintf(now2, sizeof(now2), "hugetlb.%s.current", sizes[i]);
        (void)snprintf(max, sizeof(max), "hugetlb.%s.max_usage_in_bytes", sizes[i]);
        (void)snprintf(fails, sizeof(fails), "hugetlb.%s.failcnt", sizes[i]);
        v = cgroup_read_u64(g, CGROUP_HUGETLB, now, now2, NULL);
        if (v == CGROUP_UNSET)
            continue;
        o = json_put(huge, sizes[i], json_obj());
        put_count(o, "usage", v);
        put_count(o, "max", or_zero(cgroup_read_u64(g, CGROUP_HUGETLB, max, NULL, NULL)));
        put_count(o, "failcnt", or_zero(cgroup_read_u64(g, CGROUP_HUGETLB, fails, NULL, NULL)));
    }
}

/* Pressure (PSI): "some avg10=0.12 avg60=0.00 avg300=0.00 total=345", fractions as the kernel's text. */
static void put_pressure(const struct cgroup *g, enum cgroup_ctl ctl, const char *file, struct cJSON *part)
{
    char text[256], *save = NULL, kind[8], avg[3][16];
    uint64_t total;

    if (cgroup_read(g, ctl, NULL, file, text, sizeof(text)) <= 0)
        return;
    part = json_put(part, "psi", json_obj());
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        struct cJSON *o;
        if (sscanf(line, "%7s avg10=%15s avg60=%15s avg300=%15s total=%" SCNu64, kind, avg[0], avg[1], avg[2],
                   &total) != 5)
            continue;
        o = json_put(part, kind, json_obj());
        json_put_decimal(o, "avg10", avg[0]);
        json_put_decimal(o, "avg60", avg[1]);
        json_put_decimal(o, "avg300", avg[2]);
        put_count(o, "total", total);
    }
}

static struct cJSON *event(const char *type, const char *id)
{
    struct cJSON *o = json_obj();

    json_put_str(o, "type", type);
    json_put_str(o, "id", id);
    return o;
}

static int print(struct cJSON *take)
{
    AUTO_MEM char *text = json_print(take, false);

    (void)json_free(take);
    return puts(text) < 0 || fflush(stdout) != 0;
}

static int print_stats(const struct cgroup *g, const char *id)
{
    struct cJSON *o = event("stats", id), *data = json_put(o, "data", json_obj());

    put_pressure(g, CGROUP_CPU, "cpu.pressure", put_cpu(g, data));
    put_pressure(g, CGROUP_MEMORY, "memory.pressure", put_memory(g, data));
    put_pids(g, data);
    put_pressure(g, CGROUP_IO, "io.pressure", put_io(g, data));
    put_hugetlb(g, data);
    return print(o);
}

/* On v1 any wake-up is an oom; v2 also wakes for lesser events, so the count must have grown. */
static bool is_oom(const struct cgroup *g, uint64_t *count)
{
    uint64_t now = cgroup_read_u64(g, CGROUP_MEMORY, "memory.oom_control", "memory.events", "oom_kill");
    bool grown = now != CGROUP_UNSET && now > or_zero(*count);

    *count = now;
    return grown;
}

static int follow(const struct limpet *c, const struct limpet_state *s, struct cgroup *g, unsigned interval_s)
{
    uint32_t events = 0;
    struct pollfd p = {.fd = cgroup_oom_fd(g, &events)};
    uint64_t ooms = 0;

    p.events = events == EPOLLIN ? POLLIN : POLLPRI;
    (void)is_oom(g, &ooms);
    for (int rc = 0; rc == 0 && box_is_alive(&s->id);) {
        int n = poll(&p, 1, (int)interval_s * 1000);
        uint64_t skip;
        if (n > 0 && events == EPOLLIN && read(p.fd, &skip, sizeof(skip)) < 0)
            return 0;
        if (n > 0 && is_oom(g, &ooms))
            rc = print(event("oom", c->id));
        if (n == 0)
            rc = print_stats(g, c->id);
    }
    return 0;
}

/* "5s", "2", "500ms" (rounded to one second). */
static int parse_interval(const char *text, unsigned *ret, struct err *err)
{
    char *end;
    unsigned long v = text ? strtoul(text, &end, 10) : INTERVAL_S;

    if (text && strcmp(end, "ms") == 0)
        v = (v + 999) / 1000;
    else if (text && (end == text || (end[0] && strcmp(end, "s") != 0)))
        v = 0;
    if (v < 1 || v > 86400)
        return err_set(err, ERR_INVALID, "--interval %.20s: not 1s to 86400s", text ? text : "");
    *ret = (unsigned)v;
    return 0;
}

int limpet_events(struct limpet *c, struct err *err)
{
    struct cgroup *g = NULL;
    struct limpet_state s;
    unsigned interval_s;
    int rc;

    if ((rc = parse_interval(c->interval, &interval_s, err)) < 0 ||
        (rc = limpet_open_running(c, &s, &g, err)) < 0)
        return rc;
    rc = c->stats ? print_stats(g, c->id) : follow(c, &s, g, interval_s);
    (void)cgroup_free(g);
    return rc;
}
