/* What the compiler's own library asks for to unwind the stack. C programs never do, and the unwinder is 10 KB. */
void __aeabi_unwind_cpp_pr0(void);
void __aeabi_unwind_cpp_pr1(void);
void __aeabi_unwind_cpp_pr2(void);

void __aeabi_unwind_cpp_pr0(void) {}

void __aeabi_unwind_cpp_pr1(void) {}

void __aeabi_unwind_cpp_pr2(void) {}
