/* cgroup_usage.c - a group's files as numbers, usage, out of memory. See cgroup.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "platform/cgroup/cgroup_int.h"
#include "platform/mem.h"

#define V1_NO_LIMIT (1ULL << 62)

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

    if (cgroup_get_text(dir_fd, name, text, sizeof(text)) <= 0 || text[0] < '0' || text[0] > '9')
        return CGROUP_UNSET; /* "max", "-1", nothing */
    v = strtoull(text, &end, 10);
    return v >= V1_NO_LIMIT ? CGROUP_UNSET : v;
}

uint64_t cgroup_get_key(int dir_fd, const char *name, const char *key)
{
    char text[2048];
    size_t len = strlen(key);

    if (cgroup_get_text(dir_fd, name, text, sizeof(text)) <= 0)
        return CGROUP_UNSET;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return strtoull(line + len, NULL, 10);
    }
    return CGROUP_UNSET;
}

bool cgroup_is_v2(const struct cgroup *c, enum cgroup_ctl ctl)
{
    const struct cgroup_slot *s = cgroup_slot_of(c, ctl);

    return s ? s->mode == CGROUP_V2 : c->host.ctl[ctl].mode != CGROUP_V1;
}

/* v2 reports some values (cpu.stat) even for groups whose controller is elsewhere. */
static const struct cgroup_slot *slot_for(const struct cgroup *c, enum cgroup_ctl ctl)
{
    const struct cgroup_slot *s = cgroup_slot_of(c, ctl);

    return s ? s : cgroup_v2_slot(c);
}

ssize_t cgroup_read(const struct cgroup *c, enum cgroup_ctl ctl, const char *v1, const char *v2, char *dst,
                    size_t size)
{
    const struct cgroup_slot *s = slot_for(c, ctl);
    const char *name = !s ? NULL : s->mode == CGROUP_V1 ? v1 : v2;

    dst[0] = '\0';
    return name ? cgroup_get_text(s->fd, name, dst, size) : -1;
}

uint64_t cgroup_read_u64(const struct cgroup *c, enum cgroup_ctl ctl, const char *v1, const char *v2,
                         const char *key)
{
    const struct cgroup_slot *s = slot_for(c, ctl);
    const char *name = !s ? NULL : s->mode == CGROUP_V1 ? v1 : v2;

    if (!name)
        return CGROUP_UNSET;
    return key ? cgroup_get_key(s->fd, name, key) : cgroup_get_u64(s->fd, name);
}

static uint64_t cpu_time_us(const struct cgroup *c)
{
    const struct cgroup_slot *v2 = cgroup_v2_slot(c), *v1 = cgroup_slot_of(c, CGROUP_CPUACCT);
    uint64_t us = v2 ? cgroup_get_key(v2->fd, "cpu.stat", "usage_usec") : CGROUP_UNSET;

    if (us == CGROUP_UNSET && v1 && v1->mode == CGROUP_V1) {
        uint64_t ns = cgroup_get_u64(v1->fd, "cpuacct.usage");
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
        u.memory_bytes = cgroup_read_u64(c, CGROUP_MEMORY, "memory.usage_in_bytes", "memory.current", NULL);
        u.memory_peak_bytes =
            cgroup_read_u64(c, CGROUP_MEMORY, "memory.max_usage_in_bytes", "memory.peak", NULL);
        u.memory_limit_bytes = cgroup_read_u64(c, CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max", NULL);
        u.oom_kills = cgroup_read_u64(c, CGROUP_MEMORY, "memory.oom_control", "memory.events", "oom_kill");
    }
    u.cpu_us = cpu_time_us(c);
    u.pids = pids_now(c);
    *ret = u;
}

/* v1: an eventfd, registered by writing both descriptors to cgroup.event_control. */
static int oom_fd_v1(int dir_fd)
{
    AUTO_FD int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD int control = openat(dir_fd, "memory.oom_control", O_RDONLY | O_CLOEXEC);
    char text[32];

    (void)snprintf(text, sizeof(text), "%d %d", event, control);
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
    fd = m->mode == CGROUP_V1 ? oom_fd_v1(m->fd) : openat(m->fd, "memory.events", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        *ret_epoll_events = m->mode == CGROUP_V1 ? EPOLLIN : EPOLLPRI;
    return fd;
}
