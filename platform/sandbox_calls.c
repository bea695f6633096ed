/* sandbox_calls.c - the system calls of a process that reads untrusted bytes: an allow list; everything else
 * returns ENOSYS, as on a kernel without it, so that libraries fall back. One list for all architectures;
 * calls that one lacks are skipped. */
#include <asm/unistd.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "platform/mem.h"
#include "platform/sandbox_int.h"

#if defined(__x86_64__)
#define SANDBOX_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SANDBOX_ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__)
#define SANDBOX_ARCH AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define SANDBOX_ARCH AUDIT_ARCH_RISCV64
#else
#define SANDBOX_ARCH 0
#endif

/* musl's names, on 32 bits, for calls whose seconds end in 2038 */
#ifdef SYS_clock_gettime32
#define SYS_gettimeofday    SYS_gettimeofday_time32
#define SYS_clock_gettime   SYS_clock_gettime32
#define SYS_clock_getres    SYS_clock_getres_time32
#define SYS_clock_nanosleep SYS_clock_nanosleep_time32
#define SYS_timerfd_settime SYS_timerfd_settime32
#define SYS_timerfd_gettime SYS_timerfd_gettime32
#endif

/* Allowed with any arguments. */
static const unsigned allowed_calls[] = {
    /* I/O on open descriptors */
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_lseek,
    SYS_close,
    SYS_dup,
    SYS_dup3,
    SYS_ftruncate,
    SYS_fsync,
    SYS_fdatasync,
    SYS_fcntl,
    SYS_pipe2,
    /* files that Landlock leaves accessible */
    SYS_openat,
    SYS_unlinkat,
    SYS_faccessat,
    SYS_readlinkat,
    SYS_getdents64,
    SYS_getcwd,
    SYS_umask,
    SYS_statx,
    /* waiting */
    SYS_ppoll,
    SYS_pselect6,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_eventfd2,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_timerfd_gettime,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_gettimeofday,
    /* its own memory, threads, signals */
    SYS_munmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_madvise,
    SYS_brk,
    SYS_futex,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_set_tid_address,
    SYS_membarrier,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigpending,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_exit,
    SYS_exit_group,
    SYS_prctl,
    /* its identity and time */
    SYS_getpid,
    SYS_gettid,
    SYS_getppid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_uname,
    SYS_sysinfo,
    SYS_getrandom,
    SYS_getrusage,
#ifdef SYS_fstat
    SYS_fstat,
#endif
#ifdef SYS_newfstatat
    SYS_newfstatat,
#endif
#ifdef SYS_getrlimit
    SYS_getrlimit,
#endif
#if defined(__x86_64__) || defined(__arm__) /* older calls without a directory argument */
    SYS_open,
    SYS_access,
    SYS_unlink,
    SYS_readlink,
    SYS_stat,
    SYS_lstat,
    SYS_poll,
    SYS_epoll_wait,
    SYS_dup2,
    SYS_pipe,
#endif
#ifdef __x86_64__
    SYS_mmap,
    SYS_select,
    SYS_time,
    SYS_arch_prctl,
#elif defined(__arm__)
    SYS__newselect,
    SYS__llseek,
    SYS_mmap2,
    SYS_stat64,
    SYS_lstat64,
    SYS_fstat64,
    SYS_fstatat64,
    SYS_fcntl64,
    SYS_ftruncate64,
    SYS_getuid32,
    SYS_geteuid32,
    SYS_getgid32,
    SYS_getegid32,
    SYS_ugetrlimit,
    SYS_sigreturn,
    __ARM_NR_cacheflush,
    __ARM_NR_set_tls,
#else
    SYS_mmap,
#endif
#ifdef SYS_riscv_flush_icache
    SYS_riscv_flush_icache,
#endif
#ifdef SYS_riscv_hwprobe
    SYS_riscv_hwprobe,
#endif
#ifdef SYS_rseq
    SYS_rseq,
#endif
#ifdef SYS_faccessat2
    SYS_faccessat2,
#endif
#ifdef SYS_epoll_pwait2
    SYS_epoll_pwait2,
#endif
#ifdef SYS_futex_time64 /* 32-bit architectures */
    SYS_futex_time64,
    SYS_ppoll_time64,
    SYS_pselect6_time64,
    SYS_clock_gettime64,
    SYS_clock_getres_time64,
    SYS_clock_nanosleep_time64,
    SYS_timerfd_settime64,
    SYS_timerfd_gettime64,
#endif
};

static const unsigned network_calls[] = {
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_accept4,
    SYS_getsockname,
    SYS_getpeername,
    SYS_getsockopt,
    SYS_setsockopt,
    SYS_sendto,
    SYS_sendmmsg,
    SYS_recvfrom,
    SYS_recvmmsg,
    SYS_shutdown,
#ifdef SYS_accept
    SYS_accept,
#endif
#ifdef SYS_send
    SYS_send,
    SYS_recv,
#endif
#ifdef SYS_recvmmsg_time64
    SYS_recvmmsg_time64,
#endif
};

/* Allowed with some arguments only. */
struct arg_test {
    unsigned arg, mask, n;
    unsigned values[8];
};
struct arg_check {
    unsigned call;
    bool network;
    int err;
    struct arg_test tests[3]; /* all must hold; n 0: end */
};
#define ALL_BITS 0xffffffffU

static const struct arg_check arg_checks[] = {
    /* terminals, devices and networks: only what libraries ask about their own descriptors */
    {SYS_ioctl,
     false,
     ENOTTY,
     {{1, ALL_BITS, 6, {FIONREAD, FIONBIO, FIOCLEX, TCGETS, SIOCGIFINDEX, SIOCGIFNAME}}}},
    /* TCP and UDP, and unix sockets: name services use them, and libmosquitto connects to one of ours */
    {SYS_socket,
     true,
     EAFNOSUPPORT,
     {{0, ALL_BITS, 3, {AF_INET, AF_INET6, AF_UNIX}},
      {1, 0xf, 2, {SOCK_STREAM, SOCK_DGRAM}},
      {2, ALL_BITS, 3, {0, IPPROTO_TCP, IPPROTO_UDP}}}},
    {SYS_socketpair, false, EAFNOSUPPORT, {{0, ALL_BITS, 1, {AF_UNIX}}}},
    {SYS_prlimit64, false, EPERM, {{0, ALL_BITS, 1, {0}}}}, /* its own */
};

#define FILTER_MAX (2 * (COUNT_OF(allowed_calls) + COUNT_OF(network_calls)) + 32 * COUNT_OF(arg_checks) + 48)
enum {
    RET = BPF_RET | BPF_K,
    LOAD = BPF_LD | BPF_W | BPF_ABS,
    EQ = BPF_JMP | BPF_JEQ | BPF_K,
    AND = BPF_ALU | BPF_AND | BPF_K
};

struct filter {
    struct sock_filter code[FILTER_MAX];
    unsigned n;
};

static void put(struct filter *f, uint16_t code, uint32_t k, unsigned jt, unsigned jf)
{
    f->code[f->n++] = (struct sock_filter){code, (uint8_t)jt, (uint8_t)jf, k};
}

static void put_list(struct filter *f, const unsigned *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put(f, EQ, calls[i], 0, 1);
        put(f, RET, SECCOMP_RET_ALLOW, 0, 0);
    }
}

/* The accumulator holds the call's number before and, if it is another call, after. */
static void put_check(struct filter *f, const struct arg_check *c)
{
    unsigned at = f->n;

    put(f, EQ, c->call, 0, 0);
    for (unsigned t = 0; t < COUNT_OF(c->tests) && c->tests[t].n; t++) {
        const struct arg_test *test = &c->tests[t];
        put(f, LOAD, (uint32_t)(offsetof(struct seccomp_data, args) + 8 * test->arg), 0, 0);
        put(f, AND, test->mask, 0, 0);
        for (unsigned i = 0; i < test->n; i++)
            put(f, EQ, test->values[i], test->n - i, 0);
        put(f, RET, SECCOMP_RET_ERRNO | (unsigned)c->err, 0, 0);
    }
    put(f, RET, SECCOMP_RET_ALLOW, 0, 0);
    f->code[at].jf = (uint8_t)(f->n - at - 1);
}

/* Threads (a resolver's) may be created, processes not. clone3's flags are behind a pointer: libc falls back
 * to clone. */
static void put_clone(struct filter *f)
{
    put(f, EQ, SYS_clone, 0, 4);
    put(f, LOAD, offsetof(struct seccomp_data, args[0]), 0, 0);
    put(f, BPF_JMP | BPF_JSET | BPF_K, 0x00010000 /* CLONE_THREAD */, 1, 0);
    put(f, RET, SECCOMP_RET_ERRNO | EPERM, 0, 0);
    put(f, RET, SECCOMP_RET_ALLOW, 0, 0);
}

/* A signal to itself, as sent by abort() and stack checks. */
static void put_tgkill(struct filter *f)
{
    const struct arg_check own = {SYS_tgkill, false, EPERM, {{0, ALL_BITS, 1, {(unsigned)getpid()}}}};

    put_check(f, &own);
}

int sandbox_filter(bool network)
{
    struct filter f = {.n = 0};

    if (SANDBOX_ARCH == 0)
        return -1;
    put(&f, LOAD, offsetof(struct seccomp_data, arch), 0, 0);
    put(&f, EQ, SANDBOX_ARCH, 1, 0);
    put(&f, RET, SECCOMP_RET_KILL_PROCESS, 0, 0);
    put(&f, LOAD, offsetof(struct seccomp_data, nr), 0, 0);
    put_list(&f, allowed_calls, COUNT_OF(allowed_calls)); /* x32 numbers have a bit that none of these has */
    if (network)
        put_list(&f, network_calls, COUNT_OF(network_calls));
    for (unsigned i = 0; i < COUNT_OF(arg_checks); i++)
        if (network || !arg_checks[i].network)
            put_check(&f, &arg_checks[i]);
    put_clone(&f);
    put_tgkill(&f);
    put(&f, RET, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
    struct sock_fprog prog = {(unsigned short)f.n, f.code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}
