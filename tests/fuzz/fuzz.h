/* fuzz.h - one C file here is one target: it has LLVMFuzzerTestOneInput, and its corpus is corpus/NAME/. It
 * is built twice: with libFuzzer (tests/fuzz/run), and with main.c, which walks the corpus and mutates it
 * without help (ctest -L fuzz). A target whose inputs are too involved to be written by hand also has
 * fuzz_seeds. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
/* Call fn for each input that is good to begin with. */
void fuzz_seeds(void (*fn)(const uint8_t *data, size_t len)) __attribute__((weak));

/* Something that must never be. */
#define FUZZ_CHECK(cond)      \
    do {                      \
        if (!(cond))          \
            __builtin_trap(); \
    } while (0)
#endif
