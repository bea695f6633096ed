/* cgroup_bpf.c - device rules as a BPF program, for cgroup v2. No library: a rule is at most ten
 * instructions. See cgroup_device.c for what rules mean. */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/cgroup/cgroup_int.h"
#include "platform/mem.h"

#define RULE_INSNS 10
#define MAX_INSNS  (6 + CGROUP_DEVICES_MAX * RULE_INSNS + 2)
#define MAX_PROGS  16
#define RETRIES    20

struct code {
    unsigned n;
    struct bpf_insn insn[MAX_INSNS];
};

static void emit(struct code *c, int op, int dst, int src, int off, int imm)
{
    c->insn[c->n++] = (struct bpf_insn){.code = (uint8_t)op,
                                        .dst_reg = (uint8_t)(dst & 15),
                                        .src_reg = (uint8_t)(src & 15),
                                        .off = (int16_t)off,
                                        .imm = imm};
}

static void emit_return(struct code *c, bool allow)
{
    emit(c, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allow);
    emit(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Registers: r2 the accesses still undecided, r3 the type, r4 major, r5 minor. */
static void emit_head(struct code *c)
{
    emit(c, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, access_type),
         0);
    emit(c, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
    emit(c, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_3, 0, 0, 0xffff);
    emit(c, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_2, 0, 0, 16);
    emit(c, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_4, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
    emit(c, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_5, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
}

/* "If it is another device, jump to the next rule": the distance is filled in once known. */
static void emit_match(struct code *c, unsigned skips[3], unsigned *n_skips, int reg, int64_t value)
{
    skips[(*n_skips)++] = c->n;
    emit(c, BPF_JMP | BPF_JNE | BPF_K, reg, 0, 0, (int)value);
}

/* False: it decides everything, so later rules are never reached. */
static bool emit_rule(struct code *c, const struct cgroup_device *r)
{
    unsigned skips[4], n = 0;
    bool whole = r->access == CGROUP_DEV_ALL;

    if (r->type != 'a')
        emit_match(c, skips, &n, BPF_REG_3, r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
    if (r->major >= 0)
        emit_match(c, skips, &n, BPF_REG_4, r->major);
    if (r->minor >= 0)
        emit_match(c, skips, &n, BPF_REG_5, r->minor);
    if (whole && n == 0) {
        emit_return(c, r->allow);
        return false;
    }
    if (!whole && r->allow) {
        emit(c, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, (int)(~r->access & CGROUP_DEV_ALL));
        skips[n++] = c->n;
        emit(c, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 0, 0);
    } else if (!whole) {
        emit(c, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_0, BPF_REG_2, 0, 0);
        emit(c, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_0, 0, 0, (int)r->access);
        skips[n++] = c->n;
        emit(c, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 0, 0);
    }
    emit_return(c, r->allow);
    for (unsigned i = 0; i < n; i++)
        c->insn[skips[i]].off = (int16_t)(c->n - skips[i] - 1);
    return true;
}

/* The last match decides, so it is tested first. */
static void assemble(struct code *c, const struct cgroup_device *rules, unsigned n)
{
    c->n = 0;
    emit_head(c);
    while (n > 0)
        if (!emit_rule(c, &rules[--n]))
            return;
    emit_return(c, false);
}

static int call(int cmd, union bpf_attr *a)
{
    long r = syscall(SYS_bpf, cmd, a, sizeof(*a));

    return r < 0 ? -errno : (int)r;
}

/* Before Linux 5.11 programs count as locked memory until the kernel has freed them, some time after they
 * were replaced: raise the limit as far as allowed, and wait a little for them to go. */
static int load_again(union bpf_attr *a)
{
    static const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit old, most;
    int rc = -EPERM;

    if (getrlimit(RLIMIT_MEMLOCK, &old) != 0)
        return -EPERM;
    most = (struct rlimit){old.rlim_max, old.rlim_max};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0)
        (void)setrlimit(RLIMIT_MEMLOCK, &most);
    for (int i = 0; rc == -EPERM && i < RETRIES; i++) {
        if (i > 0)
            cgroup_sleep_ms(10);
        rc = call(BPF_PROG_LOAD, a);
    }
    (void)setrlimit(RLIMIT_MEMLOCK, &old);
    return rc;
}

static int load(const struct code *c)
{
    union bpf_attr a;
    int rc;

    memset(&a, 0, sizeof(a));
    a.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    a.insn_cnt = c->n;
    a.insns = (uint64_t)(uintptr_t)c->insn;
    a.license = (uint64_t)(uintptr_t) "";
    memcpy(a.prog_name, "limpet_devices", sizeof("limpet_devices"));
    rc = call(BPF_PROG_LOAD, &a);
    if (rc == -EINVAL || rc == -E2BIG) { /* before 4.15 programs have no name */
        memset(a.prog_name, 0, sizeof(a.prog_name));
        rc = call(BPF_PROG_LOAD, &a);
    }
    return rc == -EPERM && geteuid() == 0 ? load_again(&a) : rc;
}

/* Descriptors of the device programs attached to the group itself; returns their number. */
static unsigned attached(int dir_fd, int fds[MAX_PROGS])
{
    uint32_t ids[MAX_PROGS];
    union bpf_attr a;
    unsigned n = 0;

    memset(&a, 0, sizeof(a));
    a.query.target_fd = (uint32_t)dir_fd;
    a.query.attach_type = BPF_CGROUP_DEVICE;
    a.query.prog_ids = (uint64_t)(uintptr_t)ids;
    a.query.prog_cnt = MAX_PROGS;
    if (call(BPF_PROG_QUERY, &a) < 0)
        return 0;
    for (uint32_t i = 0; i < a.query.prog_cnt && i < MAX_PROGS; i++) {
        union bpf_attr by_id;
        int fd;
        memset(&by_id, 0, sizeof(by_id));
        by_id.prog_id = ids[i];
        fd = call(BPF_PROG_GET_FD_BY_ID, &by_id);
        if (fd >= 0)
            fds[n++] = fd;
    }
    return n;
}

static int attach(int dir_fd, int prog, int replace)
{
    union bpf_attr a;

    memset(&a, 0, sizeof(a));
    a.target_fd = (uint32_t)dir_fd;
    a.attach_bpf_fd = (uint32_t)prog;
    a.attach_type = BPF_CGROUP_DEVICE;
    a.attach_flags = BPF_F_ALLOW_MULTI;
    if (replace >= 0) {
        a.attach_flags |= BPF_F_REPLACE;
        a.replace_bpf_fd = (uint32_t)replace;
    }
    return call(BPF_PROG_ATTACH, &a);
}

static void detach(int dir_fd, int prog)
{
    union bpf_attr a;

    memset(&a, 0, sizeof(a));
    a.target_fd = (uint32_t)dir_fd;
    a.attach_bpf_fd = (uint32_t)prog;
    a.attach_type = BPF_CGROUP_DEVICE;
    (void)call(BPF_PROG_DETACH, &a);
}

/* All programs on a group must allow an access, so on kernels that cannot replace one the old ones are
 * removed after the new one is attached: less is allowed in between, never more. */
int cgroup_bpf_set(int dir_fd, const struct cgroup_device *rules, unsigned n)
{
    AUTO_MEM struct code *c = mem_need(sizeof(*c));
    AUTO_FD int prog = -1;
    int old[MAX_PROGS], r;
    unsigned n_old;

    assemble(c, rules, n);
    prog = load(c);
    if (prog < 0)
        return prog;
    n_old = attached(dir_fd, old);
    r = n_old == 1 ? attach(dir_fd, prog, old[0]) : -EINVAL;
    if (r < 0 && (r = attach(dir_fd, prog, -1)) == 0)
        for (unsigned i = 0; i < n_old; i++)
            detach(dir_fd, old[i]);
    for (unsigned i = 0; i < n_old; i++)
        (void)close(old[i]);
    return r;
}
