/* bpf_run.h - what the kernel does with a system call filter: classic BPF as seccomp(2) takes it. */
#ifndef TESTS_UNIT_BPF_RUN_H
#define TESTS_UNIT_BPF_RUN_H
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>

#include "check.h"

#if defined(__x86_64__)
#define BPF_RUN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define BPF_RUN_ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__)
#define BPF_RUN_ARCH AUDIT_ARCH_ARM
#else
#define BPF_RUN_ARCH AUDIT_ARCH_RISCV64
#endif

/* The filter's answer; *ret_steps: how many instructions ran, NULL: not asked. */
static inline uint32_t bpf_run(const struct sock_filter *code, unsigned n, const struct seccomp_data *d,
                               unsigned *ret_steps)
{
    uint32_t a = 0;
    unsigned steps = 0;

    for (unsigned pc = 0; pc < n; pc++) {
        const struct sock_filter *f = &code[pc];
        if (ret_steps)
            *ret_steps = ++steps;
        switch (f->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            memcpy(&a, (const char *)d + f->k, 4);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= f->k;
            break;
        case BPF_RET | BPF_K:
            return f->k;
        case BPF_JMP | BPF_JA:
            pc += f->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += a == f->k ? f->jt : f->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            pc += a >= f->k ? f->jt : f->jf;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            pc += a > f->k ? f->jt : f->jf;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            pc += a & f->k ? f->jt : f->jf;
            break;
        default:
            CHECK(!"unknown instruction");
            return 0;
        }
    }
    CHECK(!"ran off the end");
    return 0;
}
#endif
