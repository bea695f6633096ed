/* child_sched.c - steps for the program's scheduling and memory policy. See child.h. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/box/child.h"

#define IOPRIO_WHO_PROCESS 1
#define BITS               (8 * sizeof(unsigned long))

struct sched_attr_ { /* sched_setattr(2), first version; glibc has it only since 2.41 */
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

bool child_parse_cpus(const char *list, unsigned long *mask, size_t words)
{
    memset(mask, 0, words * sizeof(*mask));
    while (*list) {
        char *end;
        unsigned long from = strtoul(list, &end, 10), to = from;
        if (end == list)
            return false;
        if (*end == '-') {
            list = end + 1;
            to = strtoul(list, &end, 10);
            if (end == list)
                return false;
        }
        if (to < from || to >= words * BITS || (*end != ',' && *end != '\0'))
            return false;
        for (; from <= to; from++)
            mask[from / BITS] |= 1UL << from % BITS;
        list = end + (*end == ',');
    }
    return true;
}

int child_set_cpus(pid_t pid, const char *list, const char *which, struct err *err)
{
    unsigned long mask[16];

    if (!list)
        return 0;
    if (!child_parse_cpus(list, mask, COUNT_OF(mask)))
        return err_set(err, ERR_INVALID, "process.execCPUAffinity.%s: %s is not a list like \"0-3,7\"", which,
                       list);
    if (sched_setaffinity(pid, sizeof(mask), (const cpu_set_t *)(const void *)mask) != 0)
        return err_errno(err, errno, "process.execCPUAffinity.%s: %s", which, list);
    return 0;
}

int child_op_scheduler(struct child *c, const struct op *op, struct err *err)
{
    const struct spec_process *p = &c->spec->process;
    const struct spec_scheduler *s = &p->scheduler;
    struct sched_attr_ a = {sizeof(a),   s->policy,     s->flags,       s->nice,
                            s->priority, s->runtime_ns, s->deadline_ns, s->period_ns};
    unsigned long nodes[16] = {0};

    (void)op;
    if (s->set && syscall(SYS_sched_setattr, 0, &a, 0) != 0)
        return err_errno(err, errno, "process.scheduler");
    if (p->io_priority_set && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, p->io_priority) != 0)
        return err_errno(err, errno, "process.ioPriority");
    if (!c->spec->mempolicy_set)
        return 0;
    if (c->spec->mempolicy_nodes && !child_parse_cpus(c->spec->mempolicy_nodes, nodes, COUNT_OF(nodes)))
        return err_set(err, ERR_INVALID, "linux.memoryPolicy.nodes: %s is not a list like \"0-3,7\"",
                       c->spec->mempolicy_nodes);
    if (syscall(SYS_set_mempolicy, c->spec->mempolicy_mode, c->spec->mempolicy_nodes ? nodes : NULL,
                c->spec->mempolicy_nodes ? COUNT_OF(nodes) * BITS + 1 : 0UL) != 0)
        return err_errno(err, errno, "linux.memoryPolicy");
    return 0;
}

int child_op_personality(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    return personality(c->spec->personality) >= 0 ? 0 : err_errno(err, errno, "linux.personality");
}
