/* sha256_cpu.c - FIPS 180-4's compression, four rounds a step, by the processor's own instructions. They take the same time
 * for all bytes. tests/unit/sha256.c compares with mbedtls. */
#include "platform/sha256_cpu.h"

/* clang offers these of arm64 only where it may use them everywhere */
#if defined(__aarch64__) && (!defined(__clang__) || defined(__ARM_FEATURE_SHA2))
#define SHA256_ARM
#endif

#if defined(__x86_64__) || defined(SHA256_ARM)
static const uint32_t round_words[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
#endif

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define BY_CPU __attribute__((target("sha,sse4.1,ssse3")))

bool sha256_cpu_is_here(void)
{
    unsigned a, b = 0, c = 0, d;

    /* SSSE3 and SSE4.1, then SHA */
    return __get_cpuid(1, &a, &b, &c, &d) && c & 1U << 9 && c & 1U << 19 &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & 1U << 29;
}

struct halves { /* as the instructions want the state: its words ABEF, and CDGH */
    __m128i abef, cdgh;
};

BY_CPU static inline void rounds(struct halves *s, __m128i w, const uint32_t *k)
{
    w = _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)(const void *)k));
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, w);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(w, 0x0e));
}

/* The four message words behind those of d, of the sixteen before them. */
BY_CPU static inline __m128i next_words(__m128i a, __m128i b, __m128i c, __m128i d)
{
    return _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4)), d);
}

BY_CPU static inline __m128i load_words(const uint8_t *p)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), swap);
}

BY_CPU void sha256_cpu_blocks(uint32_t state[8], const uint8_t *p, size_t n)
{
    __m128i *at = (__m128i *)(void *)state;
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(at), 0xb1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(at + 1), 0x1b);
    struct halves s = {_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xf0)};

    for (; n > 0; n--, p += SHA256_BLOCK) {
        __m128i a = load_words(p), b = load_words(p + 16), c = load_words(p + 32), d = load_words(p + 48);
        struct halves was = s;
        for (const uint32_t *k = round_words;; k += 16) {
            rounds(&s, a, k);
            rounds(&s, b, k + 4);
            rounds(&s, c, k + 8);
            rounds(&s, d, k + 12);
            if (k == round_words + 48)
                break;
            a = next_words(a, b, c, d);
            b = next_words(b, c, d, a);
            c = next_words(c, d, a, b);
            d = next_words(d, a, b, c);
        }
        s.abef = _mm_add_epi32(s.abef, was.abef);
        s.cdgh = _mm_add_epi32(s.cdgh, was.cdgh);
    }
    __m128i feba = _mm_shuffle_epi32(s.abef, 0x1b), dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);
    _mm_storeu_si128(at, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128(at + 1, _mm_alignr_epi8(dchg, feba, 8));
}

#elif defined(SHA256_ARM)
#include <arm_neon.h>
#include <sys/auxv.h>

#define HAS_SHA2 (1UL << 6) /* asm/hwcap.h */
#define BY_CPU   __attribute__((target("+crypto")))

bool sha256_cpu_is_here(void)
{
    return getauxval(AT_HWCAP) & HAS_SHA2;
}

struct halves {
    uint32x4_t abcd, efgh;
};

BY_CPU static inline void rounds(struct halves *s, uint32x4_t w, const uint32_t *k)
{
    uint32x4_t abcd = s->abcd;

    w = vaddq_u32(w, vld1q_u32(k));
    s->abcd = vsha256hq_u32(abcd, s->efgh, w);
    s->efgh = vsha256h2q_u32(s->efgh, abcd, w);
}

/* The four message words behind those of d, of the sixteen before them. */
BY_CPU static inline uint32x4_t next_words(uint32x4_t a, uint32x4_t b, uint32x4_t c, uint32x4_t d)
{
    return vsha256su1q_u32(vsha256su0q_u32(a, b), c, d);
}

BY_CPU static inline uint32x4_t load_words(const uint8_t *p)
{
    uint8x16_t bytes = vld1q_u8(p);

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    bytes = vrev32q_u8(bytes);
#endif
    return vreinterpretq_u32_u8(bytes);
}

BY_CPU void sha256_cpu_blocks(uint32_t state[8], const uint8_t *p, size_t n)
{
    struct halves s = {vld1q_u32(state), vld1q_u32(state + 4)};

    for (; n > 0; n--, p += SHA256_BLOCK) {
        uint32x4_t a = load_words(p), b = load_words(p + 16), c = load_words(p + 32), d = load_words(p + 48);
        struct halves was = s;
        for (const uint32_t *k = round_words;; k += 16) {
            rounds(&s, a, k);
            rounds(&s, b, k + 4);
            rounds(&s, c, k + 8);
            rounds(&s, d, k + 12);
            if (k == round_words + 48)
                break;
            a = next_words(a, b, c, d);
            b = next_words(b, c, d, a);
            c = next_words(c, d, a, b);
            d = next_words(d, a, b, c);
        }
        s.abcd = vaddq_u32(s.abcd, was.abcd);
        s.efgh = vaddq_u32(s.efgh, was.efgh);
    }
    vst1q_u32(state, s.abcd);
    vst1q_u32(state + 4, s.efgh);
}

#else

bool sha256_cpu_is_here(void)
{
    return false;
}

void sha256_cpu_blocks(uint32_t state[8], const uint8_t *p, size_t n)
{
    (void)state;
    (void)p;
    (void)n;
}
#endif
