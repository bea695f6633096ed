#include "ota/pack/predict_int.h"

/* AArch64: one rule per word ("Arm Architecture Reference Manual", A64 encodings). ADRP gives a page, a later
 * ADD, LDR or STR of the same register the rest of the address. */

#define AHEAD 10 /* maximum words between ADRP and its first partner */

struct pages {
    uint32_t at[32]; /* where the register got its page; 0: nowhere (the window's first word is at 1) */
    uint64_t page[32];
};

static uint32_t word_at(const struct window *w, size_t at)
{
    const uint8_t *p = w->p + at;

    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int64_t sign(uint32_t v, unsigned bits)
{
    return (int64_t)((uint64_t)v << (64 - bits)) >> (64 - bits);
}

static bool is_adrp(uint32_t w)
{
    return (w & 0x9f000000) == 0x90000000;
}

/* ADD, LDR or STR with an unsigned offset from register rn: the offset's scale, -1: none of these. */
static int low_of(uint32_t w, unsigned rn)
{
    if ((w >> 5 & 31) != rn)
        return -1;
    if ((w & 0xffc00000) == 0x91000000)
        return 0;
    if ((w & 0x3b000000) == 0x39000000)
        return w >> 26 & 1 && w >> 23 & 1 ? 4 : (int)(w >> 30);
    return -1;
}

/* Does w write register rd, as far as is easy to tell? Loads and arithmetic with the register in the low
 * bits. */
static bool writes(uint32_t w, unsigned rd)
{
    if ((w & 31) != rd)
        return false;
    if ((w & 0x3b000000) == 0x39000000) /* load or store, unsigned offset */
        return w >> 22 & 3 && !(w >> 26 & 1);
    return (w & 0x1c000000) == 0x10000000 || (w & 0x0e000000) == 0x0a000000;
}

static void adrp(const struct window *w, size_t at, struct pages *g, site_fn *fn, void *arg)
{
    uint32_t v = word_at(w, at);
    unsigned rd = v & 31;
    uint64_t page = ((w->va + at) & ~(uint64_t)0xfff) +
                    (uint64_t)(sign((v >> 5 & 0x7ffff) << 2 | (v >> 29 & 3), 21) * 4096);
    struct site s = {.at = (uint32_t)at, .field = FIELD_A64_PAGE, .target = page};

    for (size_t i = at + 4; i + 4 <= w->len && i <= at + 4 * AHEAD; i += 4) {
        uint32_t u = word_at(w, i);
        int scale = low_of(u, rd);
        if (scale >= 0) {
            s.target = page + ((uint64_t)(u >> 10 & 0xfff) << scale);
            break;
        }
        if (writes(u, rd))
            break;
    }
    g->at[rd] = (uint32_t)at + 1;
    g->page[rd] = page;
    fn(arg, &s);
}

static void branch(const struct window *w, size_t at, enum field field, int64_t distance, site_fn *fn,
                   void *arg)
{
    struct site s = {.at = (uint32_t)at, .field = (uint8_t)field};

    s.target = w->va + at + (uint64_t)distance;
    fn(arg, &s);
}

void predict_sites_a64(const struct window *w, site_fn *fn, void *arg)
{
    struct pages g = {{0}, {0}};

    for (size_t at = (size_t)(-w->va & 3); at + 4 <= w->len; at += 4) {
        uint32_t v = word_at(w, at);
        unsigned rn = v >> 5 & 31;
        int scale;
        if ((v & 0x7c000000) == 0x14000000) {
            branch(w, at, FIELD_A64_26, sign(v, 26) * 4, fn, arg);
        } else if ((v & 0xff000000) == 0x54000000 || (v & 0x7e000000) == 0x34000000 ||
                   (v & 0x3b000000) == 0x18000000) {
            branch(w, at, FIELD_A64_19, sign(v >> 5, 19) * 4, fn, arg);
        } else if ((v & 0x7e000000) == 0x36000000) {
            branch(w, at, FIELD_A64_14, sign(v >> 5, 14) * 4, fn, arg);
        } else if ((v & 0x9f000000) == 0x10000000) {
            branch(w, at, FIELD_A64_ADR, sign((v >> 5 & 0x7ffff) << 2 | (v >> 29 & 3), 21), fn, arg);
        } else if (is_adrp(v)) {
            adrp(w, at, &g, fn, arg);
            continue;
        } else if (g.at[rn] > 0 && (scale = low_of(v, rn)) >= 0) {
            struct site s = {.at = (uint32_t)at,
                             .field = FIELD_A64_LOW,
                             .extra = scale,
                             .back = (uint16_t)(at + 1 - g.at[rn])};
            s.target = g.page[rn] + ((uint64_t)(v >> 10 & 0xfff) << scale);
            fn(arg, &s);
        }
        if (writes(v, v & 31))
            g.at[v & 31] = 0;
    }
}
