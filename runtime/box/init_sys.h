/* init_sys.h - all of limpet-init's libc: raw system calls for x86-64, aarch64, arm (EABI) and riscv64, and
 * the entry point. Numbers are defined here, so that building it needs nothing of the target. */
#ifndef RUNTIME_INIT_SYS_H
#define RUNTIME_INIT_SYS_H

#if defined(__x86_64__)
enum {
    SYS_WRITE = 1,
    SYS_IOCTL = 16,
    SYS_RT_SIGPROCMASK = 14,
    SYS_RT_SIGTIMEDWAIT = 128,
    SYS_CLONE = 56,
    SYS_EXECVE = 59,
    SYS_WAIT4 = 61,
    SYS_KILL = 62,
    SYS_GETPID = 39,
    SYS_SETPGID = 109,
    SYS_PRCTL = 157,
    SYS_EXIT_GROUP = 231
};
/* The stack as set up by the kernel: argc, argv, NULL, environment, NULL. */
#define INIT_START                                                                                         \
    __asm__(                                                                                               \
        ".text\n.globl _start\n_start:\n xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call init_main\n" \
        " hlt\n")
static inline long init_call(long n, long a, long b, long c, long d, long e)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return ret;
}
#elif defined(__aarch64__) || (defined(__riscv) && __riscv_xlen == 64)
enum {
    SYS_WRITE = 64,
    SYS_IOCTL = 29,
    SYS_RT_SIGPROCMASK = 135,
    SYS_RT_SIGTIMEDWAIT = 137,
    SYS_CLONE = 220,
    SYS_EXECVE = 221,
    SYS_WAIT4 = 260,
    SYS_KILL = 129,
    SYS_GETPID = 172,
    SYS_SETPGID = 154,
    SYS_PRCTL = 167,
    SYS_EXIT_GROUP = 94
};
#ifdef __aarch64__
#define INIT_START __asm__(".text\n.globl _start\n_start:\n mov x29,#0\n mov x0,sp\n bl init_main\n brk #0\n")
#define ARG(i, v)  register long x##i __asm__("x" #i) = v
#define NUMBER     "x8"
#define CALL       "svc 0"
#else
#define INIT_START                                                                                        \
    __asm__(".text\n.globl _start\n_start:\n .option push\n .option norelax\n lla gp,__global_pointer$\n" \
            " .option pop\n mv a0,sp\n andi sp,sp,-16\n call init_main\n ebreak\n")
#define ARG(i, v) register long x##i __asm__("a" #i) = v
#define NUMBER    "a7"
#define CALL      "ecall"
#endif
static inline long init_call(long n, long a, long b, long c, long d, long e)
{
    register long number __asm__(NUMBER) = n;
    ARG(0, a);
    ARG(1, b);
    ARG(2, c);
    ARG(3, d);
    ARG(4, e);

    __asm__ volatile(CALL : "+r"(x0) : "r"(number), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
#elif defined(__arm__)
enum {
    SYS_WRITE = 4,
    SYS_IOCTL = 54,
    SYS_RT_SIGPROCMASK = 175,
    SYS_RT_SIGTIMEDWAIT = 177,
    SYS_CLONE = 120,
    SYS_EXECVE = 11,
    SYS_WAIT4 = 114,
    SYS_KILL = 37,
    SYS_GETPID = 20,
    SYS_SETPGID = 57,
    SYS_PRCTL = 172,
    SYS_EXIT_GROUP = 248
};
#define INIT_START                                                                            \
    __asm__(".text\n.globl _start\n.type _start,%function\n_start:\n mov fp,#0\n mov r0,sp\n" \
            " bl init_main\n udf #0\n")
/* r7 holds the number, and the frame in Thumb code: saved by hand. */
static inline long init_call(long n, long a, long b, long c, long d, long e)
{
    register long number __asm__("ip") = n;
    register long r0 __asm__("r0") = a;
    register long r1 __asm__("r1") = b;
    register long r2 __asm__("r2") = c;
    register long r3 __asm__("r3") = d;
    register long r4 __asm__("r4") = e;

    __asm__ volatile("push {r7}\n mov r7,ip\n svc #0\n pop {r7}"
                     : "+r"(r0)
                     : "r"(number), "r"(r1), "r"(r2), "r"(r3), "r"(r4)
                     : "memory");
    return r0;
}
#else
#error "limpet-init: no system calls for this architecture; add them here"
#endif
#endif
