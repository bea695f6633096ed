/* The default system call filter, run by a small interpreter of its BPF: what passes, what is refused, how
 * far it looks. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "bpf_run.h"
#include "check.h"
#include "runtime/box/box_int.h"

static unsigned steps, worst;

static uint32_t judge(const struct seccomp_data *d)
{
    uint32_t answer = bpf_run(seccomp_default, seccomp_default_len, d, &steps);

    worst = steps > worst ? steps : worst;
    return answer;
}

static uint32_t call(int nr, uint64_t a0, uint64_t a1)
{
    struct seccomp_data d = {.nr = nr, .arch = BPF_RUN_ARCH, .args = {a0, a1}};

    return judge(&d);
}
#define REFUSE(e) (SECCOMP_RET_ERRNO | (e))

#ifndef SYS_mmap /* 32-bit ARM */
#define SYS_mmap SYS_mmap2
#endif

TEST(what_programs_need_passes)
{
    static const int allowed[] = {
        SYS_read,  SYS_write,  SYS_openat, SYS_close,     SYS_mmap,   SYS_execve, SYS_exit_group,
        SYS_futex, SYS_socket, SYS_clone,  SYS_getrandom, SYS_wait4,  SYS_kill,   SYS_fcntl,
        SYS_prctl, SYS_setuid, SYS_capset, SYS_statx,     SYS_sendto, SYS_rseq,   SYS_ppoll};

    for (size_t i = 0; i < COUNT_OF(allowed); i++)
        CHECK(call(allowed[i], allowed[i] == SYS_socket ? AF_INET : 0, 0) == SECCOMP_RET_ALLOW);
}

TEST(what_changes_the_machine_is_refused)
{
    static const int denied[] = {
        SYS_mount,           SYS_umount2,          SYS_unshare,     SYS_setns,       SYS_bpf,
        SYS_perf_event_open, SYS_keyctl,           SYS_add_key,     SYS_ptrace,      SYS_init_module,
        SYS_pivot_root,      SYS_reboot,           SYS_swapon,      SYS_userfaultfd, SYS_acct,
        SYS_chroot,          SYS_finit_module,     SYS_sethostname, SYS_syslog,      SYS_open_by_handle_at,
        SYS_quotactl,        SYS_process_vm_writev};

    for (size_t i = 0; i < COUNT_OF(denied); i++)
        CHECK(call(denied[i], 0, 0) == REFUSE(EPERM));
}

TEST(arguments_decide_where_they_must)
{
    static const unsigned spaces[] = {CLONE_NEWNS,  CLONE_NEWUSER, CLONE_NEWPID,   CLONE_NEWNET,
                                      CLONE_NEWIPC, CLONE_NEWUTS,  CLONE_NEWCGROUP};

    CHECK(call(SYS_clone, CLONE_VM | CLONE_FS | CLONE_THREAD | CLONE_SIGHAND, 0) == SECCOMP_RET_ALLOW);
    for (size_t i = 0; i < COUNT_OF(spaces); i++)
        CHECK(call(SYS_clone, spaces[i] | 17, 0) == REFUSE(EPERM));
    CHECK(call(SYS_socket, AF_UNIX, 0) == SECCOMP_RET_ALLOW &&
          call(SYS_socket, AF_INET6, 0) == SECCOMP_RET_ALLOW);
    CHECK(call(SYS_socket, 38 /* AF_ALG */, 0) == REFUSE(EAFNOSUPPORT));
    CHECK(call(SYS_socket, 40 /* AF_VSOCK */, 0) == REFUSE(EAFNOSUPPORT));
    CHECK(call(SYS_socket, AF_PACKET, 0) == REFUSE(EAFNOSUPPORT));
    CHECK(call(SYS_ioctl, 0, 0x5401) == SECCOMP_RET_ALLOW);
    CHECK(call(SYS_ioctl, 0, 0x5412) == REFUSE(EPERM) &&
          call(SYS_ioctl, 0, 0xffffffff00005412ULL) == REFUSE(EPERM));
    CHECK(call(SYS_personality, 0xffffffff, 0) == SECCOMP_RET_ALLOW &&
          call(SYS_personality, 0x40000, 0) == REFUSE(EPERM));
}

TEST(what_nobody_knows_is_not_implemented)
{
    struct seccomp_data other = {.nr = SYS_read, .arch = BPF_RUN_ARCH ^ 1};

    CHECK(call(435 /* clone3: libc falls back to clone, whose flags can be seen */, 0, 0) == REFUSE(ENOSYS));
    for (int nr = 600; nr < 2000; nr++)
        CHECK(call(nr, 0, 0) == REFUSE(ENOSYS));
    CHECK(call(-1, 0, 0) == REFUSE(ENOSYS) && call(0x40000000 | SYS_read, 0, 0) == REFUSE(ENOSYS));
    CHECK(judge(&other) == SECCOMP_RET_KILL_PROCESS);
}

TEST(every_number_ends_soon)
{
    for (int nr = 0; nr < 700; nr++)
        (void)call(nr, 0, 0);
    printf("     %u instructions, at most %u run\n", (unsigned)seccomp_default_len, worst);
    CHECK(worst < 40);
}
TEST_MAIN
