/* sha256_cpu.h - the heart of SHA-256 by instructions that the processor has for it (x86-64 SHA, ARMv8 SHA2). Private to
 * platform/crypto.c, which leaves it to mbedtls where there are none. */
#ifndef PLATFORM_SHA256_CPU_H
#define PLATFORM_SHA256_CPU_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BLOCK 64

bool sha256_cpu_is_here(void);
/* n blocks at p into the state. Only where sha256_cpu_is_here. */
void sha256_cpu_blocks(uint32_t state[8], const uint8_t *p, size_t n);
#endif
