/* exit.c - the smallest payload: no C library, ends at once, so that what is measured is the runtime. */
void _start(void);
void _start(void)
{
#if defined(__x86_64__)
    __asm__ volatile("xor %%edi, %%edi\n\tmov $231, %%eax\n\tsyscall" ::: "memory");
#elif defined(__aarch64__)
    __asm__ volatile("mov x0, #0\n\tmov x8, #94\n\tsvc #0" ::: "memory");
#elif defined(__arm__)
    __asm__ volatile("mov r0, #0\n\tmov r7, #248\n\tsvc #0" ::: "memory");
#elif defined(__riscv)
    __asm__ volatile("li a0, 0\n\tli a7, 94\n\tecall" ::: "memory");
#else
#error "exit_group for this architecture"
#endif
    for (;;)
        ;
}
