/* seccomp.c - our own system call filter for the architecture of this build; its body is generated from
 * seccomp.list. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "runtime/box/box_int.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__)
#define ARCH AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#else
#error "no system call filter for this architecture yet: name its AUDIT_ARCH here and run the tests"
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ARG_LOW assumes little endian"
#endif

#define ALLOW      SECCOMP_RET_ALLOW
#define ERRNO(e)   (SECCOMP_RET_ERRNO | (e))
#define ARG_LOW(i) offsetof(struct seccomp_data, args[i])
/* CLONE_NEWTIME shares its bit with clone's exit signal and cannot be checked there. */
#define NAMESPACES 0x7E020000

const struct sock_filter seccomp_default[] = {
    /* through another kernel entry (32-bit calls on a 64-bit kernel) the numbers would mean something else */
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#include "runtime/seccomp.inc"
};
const unsigned short seccomp_default_len = sizeof(seccomp_default) / sizeof(seccomp_default[0]);

bool box_has_seccomp(void)
{
    /* a filter at address 0 is unreadable: EFAULT if the kernel supports filters */
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) != 0 && errno == EFAULT;
}

struct spec_filter box_filter(const struct spec_process *p)
{
    if (!box_has_seccomp())
        return (struct spec_filter){0};
    return p->seccomp_default ? (struct spec_filter){.code = seccomp_default, .n = seccomp_default_len}
                              : p->seccomp;
}
