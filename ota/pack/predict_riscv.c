#include "ota/pack/predict_int.h"

/* RISC-V, 32 and 64 bits, with compressed instructions ("The RISC-V Instruction Set Manual", volume 1). AUIPC
 * gives the high part of a distance, a later ADDI, load, store or JALR of the same register the low one. */

#define AHEAD 32 /* maximum bytes between AUIPC and its first partner */

struct highs {
    uint32_t at[32]; /* where the register got it, plus 1; 0: nowhere */
    uint64_t value[32];
};

static uint32_t half(const struct window *w, size_t at)
{
    return (uint32_t)w->p[at] | (uint32_t)w->p[at + 1] << 8;
}

static uint32_t word(const struct window *w, size_t at)
{
    return half(w, at) | half(w, at + 2) << 16;
}

static int64_t sign(uint32_t v, unsigned bits)
{
    return (int64_t)((uint64_t)v << (64 - bits)) >> (64 - bits);
}

/* Is v a partner of register rd? Returns its field and low 12 bits. */
static enum field partner(uint32_t v, unsigned rd, int64_t *ret)
{
    uint32_t op = v & 0x7f, funct = v >> 12 & 7;

    if ((v >> 15 & 31) != rd)
        return FIELD_COUNT_;
    if ((op == 0x13 && funct == 0) || op == 0x03 || op == 0x07 || (op == 0x67 && funct == 0)) {
        *ret = sign(v >> 20, 12);
        return FIELD_RV_LOW;
    }
    if (op == 0x23 || op == 0x27) {
        *ret = sign((v >> 25) << 5 | (v >> 7 & 31), 12);
        return FIELD_RV_LOW_S;
    }
    return FIELD_COUNT_;
}

static void auipc(const struct window *w, size_t at, struct highs *h, site_fn *fn, void *arg)
{
    uint32_t v = word(w, at), rd = v >> 7 & 31;
    int64_t low = 0;

    h->at[rd] = rd > 0 ? (uint32_t)at + 1 : 0;
    h->value[rd] = w->va + at + (uint64_t)sign(v & 0xfffff000, 32);
    for (size_t i = at + 4; i + 4 <= w->len && i <= at + AHEAD;) {
        if ((half(w, i) & 3) != 3) {
            i += 2;
            continue;
        }
        if (partner(word(w, i), rd, &low) != FIELD_COUNT_) {
            struct site s = {
                .at = (uint32_t)at, .field = FIELD_RV_HIGH, .target = h->value[rd] + (uint64_t)low};
            fn(arg, &s);
            return;
        }
        i += 4;
    }
}

static void branch(const struct window *w, size_t at, enum field field, int64_t distance, site_fn *fn,
                   void *arg)
{
    struct site s = {.at = (uint32_t)at, .field = (uint8_t)field, .target = w->va + at + (uint64_t)distance};

    fn(arg, &s);
}

static void one_wide(const struct window *w, size_t at, struct highs *h, site_fn *fn, void *arg)
{
    uint32_t v = word(w, at), op = v & 0x7f, rd = v >> 7 & 31, rs = v >> 15 & 31;
    int64_t low = 0;

    if (op == 0x17) {
        auipc(w, at, h, fn, arg);
        return;
    }
    if (op == 0x6f) {
        uint32_t d = (v >> 31) << 20 | (v >> 12 & 0xff) << 12 | (v >> 20 & 1) << 11 | (v >> 21 & 0x3ff) << 1;
        branch(w, at, FIELD_RV_20, sign(d, 21), fn, arg);
    } else if (op == 0x63) {
        uint32_t d = (v >> 31) << 12 | (v >> 7 & 1) << 11 | (v >> 25 & 0x3f) << 5 | (v >> 8 & 15) << 1;
        branch(w, at, FIELD_RV_12, sign(d, 13), fn, arg);
    } else if (h->at[rs] > 0) {
        enum field f = partner(v, rs, &low);
        struct site s = {.at = (uint32_t)at,
                         .field = (uint8_t)f,
                         .back = (uint16_t)(at + 1 - h->at[rs]),
                         .target = h->value[rs] + (uint64_t)low};
        if (f != FIELD_COUNT_)
            fn(arg, &s);
    }
    if (op != 0x63 && op != 0x23 && op != 0x27)
        h->at[rd] = 0;
}

static void one_short(const struct window *w, size_t at, struct highs *h, site_fn *fn, void *arg)
{
    uint32_t v = half(w, at), kind = v & 0xe003;

    if (kind == 0xa001 || (kind == 0x2001 && !w->elf->wide)) {
        uint32_t d = (v >> 12 & 1) << 11 | (v >> 8 & 1) << 10 | (v >> 9 & 3) << 8 | (v >> 6 & 1) << 7 |
                     (v >> 7 & 1) << 6 | (v >> 2 & 1) << 5 | (v >> 11 & 1) << 4 | (v >> 3 & 7) << 1;
        branch(w, at, FIELD_RV_C11, sign(d, 12), fn, arg);
    } else if (kind == 0xc001 || kind == 0xe001) {
        uint32_t d = (v >> 12 & 1) << 8 | (v >> 5 & 3) << 6 | (v >> 2 & 1) << 5 | (v >> 10 & 3) << 3 |
                     (v >> 3 & 3) << 1;
        branch(w, at, FIELD_RV_C8, sign(d, 9), fn, arg);
    } else if (v & 3) { /* the others in these quadrants write the register in bits 7 to 11 */
        h->at[v >> 7 & 31] = 0;
    }
}

void predict_sites_riscv(const struct window *w, site_fn *fn, void *arg)
{
    struct highs h = {{0}, {0}};

    for (size_t at = (size_t)(w->va & 1); at + 2 <= w->len; at += 2) {
        if ((half(w, at) & 3) != 3) {
            one_short(w, at, &h, fn, arg);
        } else if (at + 4 <= w->len) {
            one_wide(w, at, &h, fn, arg);
            at += 2;
        }
    }
}
