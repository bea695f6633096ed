#include "platform/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "platform/mem.h"
#include "platform/sys.h"

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

/* What a process that only reads the network and writes to given fds never needs: EPERM. */
static const unsigned denied_calls[] = {
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_swapon,
    SYS_swapoff,
    SYS_reboot,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_acct,
    SYS_quotactl,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_userfaultfd,
    SYS_personality,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_syslog,
    SYS_mknodat,
    SYS_fchownat,
    SYS_fchown,
    SYS_setxattr,
    SYS_fsetxattr,
    SYS_lsetxattr,
    SYS_vhangup,
#ifdef SYS_io_uring_setup
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
#endif
#ifdef SYS_open_tree
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsmount,
#endif
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
#endif
};

#define SANDBOX_FILTER_MAX (2 * COUNT_OF(denied_calls) + 16)

static unsigned put(struct sock_filter *f, unsigned n, uint16_t code, uint32_t k, unsigned jt, unsigned jf)
{
    f[n] = (struct sock_filter){code, (uint8_t)jt, (uint8_t)jf, k};
    return n + 1;
}

static int install_filter(void)
{
    enum { RET = BPF_RET | BPF_K, LOAD = BPF_LD | BPF_W | BPF_ABS, EQ = BPF_JMP | BPF_JEQ | BPF_K };
    struct sock_filter f[SANDBOX_FILTER_MAX];
    unsigned n = 0;
    const unsigned eperm = SECCOMP_RET_ERRNO | EPERM;
    n = put(f, n, LOAD, offsetof(struct seccomp_data, arch), 0, 0);
    n = put(f, n, EQ, SANDBOX_ARCH, 1, 0);
    n = put(f, n, RET, SECCOMP_RET_KILL_PROCESS, 0, 0);
    n = put(f, n, LOAD, offsetof(struct seccomp_data, nr), 0, 0);
#if defined(__x86_64__)
    n = put(f, n, BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1); /* x32 */
    n = put(f, n, RET, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
#endif
    for (unsigned i = 0; i < COUNT_OF(denied_calls); i++) {
        n = put(f, n, EQ, denied_calls[i], 0, 1);
        n = put(f, n, RET, eperm, 0, 0);
    }
#ifdef SYS_clone3
    n = put(f, n, EQ, SYS_clone3, 0, 1); /* its flags lie behind a pointer: libc falls back to clone */
    n = put(f, n, RET, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
#endif
    n = put(f, n, EQ, SYS_clone, 0, 3); /* threads (a resolver's) may be made, processes not */
    n = put(f, n, LOAD, offsetof(struct seccomp_data, args[0]), 0, 0);
    n = put(f, n, BPF_JMP | BPF_JSET | BPF_K, 0x00010000 /* CLONE_THREAD */, 1, 0);
    n = put(f, n, RET, eperm, 0, 0);
    n = put(f, n, RET, SECCOMP_RET_ALLOW, 0, 0);
    struct sock_fprog prog = {(unsigned short)n, f};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}

#define LL_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define LL_WRITE                                                                                      \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
     LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |       \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |    \
     LANDLOCK_ACCESS_FS_MAKE_SYM)
/* files below the folder may be read; a rule for a plain file may only name file rights */
#define LL_FILE_ONLY (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

static int allow_paths(int ruleset, const char *const *paths, uint64_t access)
{
    for (; paths && *paths; paths++) {
        int AUTO_FD fd = open(*paths, O_PATH | O_CLOEXEC);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
            continue; /* what is not there cannot be read either */
        if (sys_landlock_add_path(ruleset, fd, S_ISDIR(st.st_mode) ? access : access & LL_FILE_ONLY) < 0)
            return -1;
    }
    return 0;
}

static int restrict_files(const struct sandbox *s)
{
    struct landlock_ruleset_attr attr = {.handled_access_fs =
                                             LANDLOCK_ACCESS_FS_EXECUTE | LL_READ | LL_WRITE};
    int AUTO_FD ruleset = sys_landlock_create_ruleset(&attr, sizeof(attr.handled_access_fs), 0);
    if (ruleset < 0)
        return -1;
    if (allow_paths(ruleset, s->read_paths, LL_READ | LANDLOCK_ACCESS_FS_EXECUTE) < 0 ||
        allow_paths(ruleset, s->write_paths, LL_READ | LL_WRITE) < 0)
        return -1;
    return sys_landlock_restrict_self(ruleset);
}

static int limit(int resource, uint64_t value, struct err *err)
{
    struct rlimit r = {(rlim_t)value, (rlim_t)value}, now;
    if (getrlimit(resource, &now) == 0 && now.rlim_max < r.rlim_max)
        r.rlim_cur = r.rlim_max = now.rlim_max;
    return setrlimit(resource, &r) < 0 ? err_errno(err, errno, "sandbox: rlimit %d", resource) : 0;
}

static int drop_ids(const struct sandbox *s, struct err *err)
{
    if (s->uid == 0 || geteuid() != 0)
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(s->gid, s->gid, s->gid) < 0 ||
        setresuid(s->uid, s->uid, s->uid) < 0)
        return err_errno(err, errno, "sandbox: become user %u", (unsigned)s->uid);
    return 0;
}

int sandbox_enter(const struct sandbox *s, char *ret_missing, size_t size, struct err *err)
{
    bool landlock, seccomp;
    int rc = limit(RLIMIT_CORE, 0, err);
    if (rc == 0 && s->data_bytes)
        rc = limit(RLIMIT_DATA, s->data_bytes, err);
    if (rc == 0 && s->file_bytes != UINT64_MAX)
        rc = limit(RLIMIT_FSIZE, s->file_bytes, err);
    if (rc == 0 && s->open_files)
        rc = limit(RLIMIT_NOFILE, s->open_files, err);
    if (rc == 0)
        rc = drop_ids(s, err);
    if (rc < 0)
        return rc;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, errno, "sandbox: no_new_privs");
    (void)prctl(PR_SET_DUMPABLE, 0);
    landlock = restrict_files(s) == 0;
    seccomp = SANDBOX_ARCH != 0 && install_filter() == 0;
    (void)str_fmt(ret_missing, size, "%s%s", landlock ? "" : "landlock ", seccomp ? "" : "seccomp ");
    return 0;
}
