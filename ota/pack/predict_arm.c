#include "ota/pack/predict_int.h"

/* 32-bit ARM ("Arm Architecture Reference Manual", ARMv7-A): Thumb-2, or A32 if most words of the window have
 * the condition "always". Branches; literal pool words loaded by LDR, alone or for an ADD of pc; MOVW with
 * MOVT. */

#define AHEAD 24 /* maximum bytes between LDR and its ADD, MOVW and its MOVT */

static uint32_t half(const struct window *w, size_t at)
{
    return (uint32_t)w->p[at] | (uint32_t)w->p[at + 1] << 8;
}

static int64_t sign(uint32_t v, unsigned bits)
{
    return (int64_t)((uint64_t)v << (64 - bits)) >> (64 - bits);
}

static void site(const struct window *w, size_t at, enum field field, int32_t extra, uint64_t target,
                 site_fn *fn, void *arg)
{
    struct site s = {.at = (uint32_t)at, .field = (uint8_t)field, .extra = extra, .target = (uint32_t)target};

    if (predict_window_has(w, s.target & ~1ULL))
        fn(arg, &s);
}

static bool is_a32(const struct window *w)
{
    size_t n = 0, always = 0;

    for (size_t at = (size_t)(-w->va & 3); at + 4 <= w->len; at += 4, n++)
        always += w->p[at + 3] >> 4 == 0xe;
    return always * 2 > n;
}

static void sites_a32(const struct window *w, site_fn *fn, void *arg)
{
    for (size_t at = (size_t)(-w->va & 3); at + 4 <= w->len; at += 4) {
        uint32_t v = half(w, at) | half(w, at + 2) << 16;
        if ((v & 0x0e000000) == 0x0a000000 && v >> 28 != 0xf)
            site(w, at, FIELD_A32_24, 0, w->va + at + 8 + (uint64_t)(sign(v, 24) * 4), fn, arg);
    }
}

/* LDR rd from the pool at `pool` (an offset in the window): the word is an address, or with ADD rd, pc a
 * distance. */
static void literal(const struct window *w, size_t at, unsigned rd, size_t pool, site_fn *fn, void *arg)
{
    if (pool + 4 > w->len)
        return;
    uint32_t v = half(w, pool) | half(w, pool + 2) << 16;
    for (size_t i = at + 2; i + 2 <= w->len && i <= at + AHEAD; i += 2) {
        if (half(w, i) == (0x4478U | (rd & 7) | (rd & 8) << 4)) {
            uint64_t pc = w->va + i + 4;
            site(w, pool, FIELD_REL32, (int32_t)(pc - (w->va + pool)), pc + (uint64_t)(int64_t)(int32_t)v, fn,
                 arg);
            return;
        }
    }
    if (w->elf->fixed)
        site(w, pool, FIELD_ABS32, 0, v, fn, arg);
}

static uint32_t mov_value(const struct window *w, size_t at)
{
    uint32_t a = half(w, at), b = half(w, at + 2);

    return (a & 15) << 12 | (a >> 10 & 1) << 11 | (b >> 12 & 7) << 8 | (b & 0xff);
}

static void mov(const struct window *w, size_t at, site_fn *fn, void *arg)
{
    uint32_t rd = half(w, at + 2) & 0x0f00;

    for (size_t i = at + 4; w->elf->fixed && i + 4 <= w->len && i <= at + AHEAD; i += 2) {
        if ((half(w, i) & 0xfbf0) == 0xf2c0 && (half(w, i + 2) & 0x8f00) == rd) {
            uint32_t v = mov_value(w, at) | mov_value(w, i) << 16;
            site(w, at, FIELD_T32_MOV, 0, v, fn, arg);
            site(w, i, FIELD_T32_MOV, 16, v, fn, arg);
            return;
        }
    }
}

static void wide(const struct window *w, size_t at, site_fn *fn, void *arg)
{
    uint32_t a = half(w, at), b = half(w, at + 2), s = a >> 10 & 1;
    uint64_t pc = w->va + at + 4;

    if ((a & 0xff7f) == 0xf85f) { /* LDR rt, [pc, ...] */
        uint64_t from = (pc & ~3ULL) - w->va, by = b & 0xfff;
        if (a & 0x80 || by <= from)
            literal(w, at + 2, b >> 12, (size_t)(a & 0x80 ? from + by : from - by), fn, arg);
        return;
    }
    if ((a & 0xfbf0) == 0xf240 && !(b & 0x8000)) {
        mov(w, at, fn, arg);
        return;
    }
    if ((a & 0xf800) != 0xf000 || !(b & 0x8000))
        return;
    if (b & 0x1000 || b & 0x4000) { /* BL, BLX, B.W */
        uint32_t i1 = (b >> 13 & 1) ^ 1 ^ s, i2 = (b >> 11 & 1) ^ 1 ^ s;
        bool blx = !(b & 0x1000);
        int64_t d = sign(s << 24 | i1 << 23 | i2 << 22 | (a & 0x3ff) << 12 | (b & 0x7ff) << 1, 25);
        site(w, at, FIELD_T32_24, blx ? 2 : 0, (blx ? pc & ~3ULL : pc) + (uint64_t)d, fn, arg);
    } else if ((a >> 6 & 15) < 14) {
        int64_t d =
            sign(s << 20 | (b >> 11 & 1) << 19 | (b >> 13 & 1) << 18 | (a & 63) << 12 | (b & 0x7ff) << 1, 21);
        site(w, at, FIELD_T32_20, 0, pc + (uint64_t)d, fn, arg);
    }
}

void predict_sites_arm(const struct window *w, site_fn *fn, void *arg)
{
    if (is_a32(w)) {
        sites_a32(w, fn, arg);
        return;
    }
    for (size_t at = (size_t)(w->va & 1); at + 2 <= w->len; at += 2) {
        uint32_t a = half(w, at);
        uint64_t pc = w->va + at + 4;
        if (a >> 11 >= 0x1d) {
            if (at + 4 <= w->len)
                wide(w, at, fn, arg);
            at += 2;
        } else if ((a & 0xf800) == 0xe000) {
            site(w, at, FIELD_T32_11, 0, pc + (uint64_t)(sign(a, 11) * 2), fn, arg);
        } else if ((a & 0xf000) == 0xd000 && (a >> 8 & 15) < 14) {
            site(w, at, FIELD_T32_8, 0, pc + (uint64_t)(sign(a, 8) * 2), fn, arg);
        } else if ((a & 0xf800) == 0x4800) { /* LDR rt, [pc, imm8 words] */
            literal(w, at, a >> 8 & 7, (size_t)((pc & ~3ULL) - w->va + (a & 0xff) * 4), fn, arg);
        }
    }
}
