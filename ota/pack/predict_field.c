#include "ota/pack/predict_int.h"

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

/* ---- fields that contain a distance ---- */

/* A distance is spread over the bits of an instruction: fields from its low bit up. */
struct bits {
    uint8_t at, n;
};
struct spread {
    uint8_t bytes, unit; /* of the instruction; the distance is in units of 1 << unit bytes */
    uint8_t ahead;       /* pc is this far ahead of the instruction */
    uint8_t n;           /* bits of the distance, 2 to 32 */
    uint32_t same;       /* bits that identify the instruction: equal in old and new */
    struct bits bits[9]; /* n 0: end */
};

static const struct spread spreads[FIELD_COUNT_] = {
    [FIELD_A64_26] = {4, 2, 0, 26, 0xfc000000, {{0, 26}}},
    [FIELD_A64_19] = {4, 2, 0, 19, 0xff000000, {{5, 19}}},
    [FIELD_A64_14] = {4, 2, 0, 14, 0xff000000, {{5, 14}}},
    [FIELD_A64_ADR] = {4, 0, 0, 21, 0x9f000000, {{29, 2}, {5, 19}}},
    [FIELD_T32_11] = {2, 1, 4, 11, 0xf800, {{0, 11}}},
    [FIELD_T32_8] = {2, 1, 4, 8, 0xff00, {{0, 8}}},
    [FIELD_T32_20] = {4, 1, 4, 20, 0xd000fbc0, {{16, 11}, {0, 6}, {29, 1}, {27, 1}, {10, 1}}},
    [FIELD_A32_24] = {4, 2, 8, 24, 0xff000000, {{0, 24}}},
    [FIELD_RV_20] = {4, 1, 0, 20, 0xfff, {{21, 10}, {20, 1}, {12, 8}, {31, 1}}},
    [FIELD_RV_12] = {4, 1, 0, 12, 0x707f, {{8, 4}, {25, 6}, {7, 1}, {31, 1}}},
    [FIELD_RV_C11] =
        {2, 1, 0, 11, 0xe003, {{3, 3}, {11, 1}, {2, 1}, {7, 1}, {6, 1}, {9, 2}, {8, 1}, {12, 1}}},
    [FIELD_RV_C8] = {2, 1, 0, 8, 0xe003, {{3, 2}, {10, 2}, {2, 1}, {5, 2}, {12, 1}}},
};

static uint32_t insn_get(const uint8_t *p, unsigned bytes)
{
    return bytes == 2 ? get16(p) : get32(p);
}

static bool spread_put(const struct spread *sp, uint8_t *p, int64_t distance)
{
    uint32_t v = insn_get(p, sp->bytes);
    int64_t left = distance >> sp->unit, reach = (int64_t)1 << (sp->n - 1);

    if (distance & ((1 << sp->unit) - 1) || left < -reach || left >= reach)
        return false;
    for (const struct bits *b = sp->bits; b->n > 0; b++) {
        uint32_t mask = (1U << b->n) - 1;
        v = (v & ~(mask << b->at)) | ((uint32_t)left & mask) << b->at;
        left >>= b->n;
    }
    if (sp->bytes == 2)
        put16(p, v);
    else
        put32(p, v);
    return true;
}

static int64_t spread_get(const struct spread *sp, const uint8_t *p)
{
    uint32_t v = insn_get(p, sp->bytes);
    uint64_t d = 0;
    unsigned n = 0;

    for (const struct bits *b = sp->bits; b->n > 0; b++) {
        d |= (uint64_t)(v >> b->at & ((1U << b->n) - 1)) << n;
        n += b->n;
    }
    if (d >> (sp->n - 1) & 1)
        d |= UINT64_MAX << sp->n;
    return (int64_t)(d << sp->unit);
}

/* ---- BL and B.W of Thumb: two bits are XORed with the sign ---- */

static bool t32_put(uint8_t *p, int64_t distance)
{
    uint32_t a = get16(p), b = get16(p + 2);

    if (distance < -(1 << 24) || distance >= 1 << 24 || distance & 1)
        return false;
    uint32_t d = (uint32_t)distance, s = d >> 24 & 1;
    uint32_t j1 = (d >> 23 & 1) ^ 1 ^ s, j2 = (d >> 22 & 1) ^ 1 ^ s;
    put16(p, (a & 0xf800) | s << 10 | (d >> 12 & 0x3ff));
    put16(p + 2, (b & 0xd000) | j1 << 13 | j2 << 11 | (d >> 1 & 0x7ff));
    return true;
}

static int64_t t32_get(const uint8_t *p)
{
    uint32_t a = get16(p), b = get16(p + 2), s = a >> 10 & 1;
    uint32_t i1 = (b >> 13 & 1) ^ 1 ^ s, i2 = (b >> 11 & 1) ^ 1 ^ s;
    uint32_t d = s << 24 | i1 << 23 | i2 << 22 | (a & 0x3ff) << 12 | (b & 0x7ff) << 1;

    return (int64_t)(int32_t)(d << 7) >> 7;
}

/* The 16-bit immediate of MOVW and MOVT. */
static bool mov_put(uint8_t *p, uint32_t v)
{
    put16(p, (get16(p) & 0xfbf0) | v >> 12 | (v >> 11 & 1) << 10);
    put16(p + 2, (get16(p + 2) & 0x8f00) | (v >> 8 & 7) << 12 | (v & 0xff));
    return true;
}

/* BLX is relative to the word that contains pc. */
static uint64_t t32_pc(const struct site *s, uint64_t va)
{
    return s->extra == 2 ? (va + 4) & ~(uint64_t)3 : va + 4;
}

/* ---- all of them ---- */

unsigned predict_field_bytes(enum field f)
{
    return f == FIELD_ABS64 || f == FIELD_FILE64 ? 8 : spreads[f].bytes == 2 ? 2 : 4;
}

static bool put_word(uint8_t *p, int64_t v)
{
    if (v < INT32_MIN || v > INT32_MAX)
        return false;
    put32(p, (uint32_t)v);
    return true;
}

static bool page_put(uint8_t *p, uint64_t va, uint64_t target)
{
    int64_t d = (int64_t)((target & ~0xfffULL) - (va & ~0xfffULL)) >> 12;
    uint32_t w = get32(p);

    if (d < -(1 << 20) || d >= 1 << 20)
        return false;
    put32(p, (w & 0x9f00001f) | ((uint32_t)d & 3) << 29 | ((uint32_t)d >> 2 & 0x7ffff) << 5);
    return true;
}

bool predict_field_put(const struct site *s, uint8_t *p, uint64_t va, uint64_t target, uint64_t base)
{
    const struct spread *sp = &spreads[s->field];
    uint64_t from = va - s->back;
    uint32_t delta = (uint32_t)(target - from), w;

    if (sp->bytes > 0)
        return spread_put(sp, p, (int64_t)(target - (va + sp->ahead)));
    switch ((enum field)s->field) {
    case FIELD_ABS64:
    case FIELD_FILE64:
        put32(p, (uint32_t)target);
        put32(p + 4, (uint32_t)(target >> 32));
        return true;
    case FIELD_ABS32:
        if (target > UINT32_MAX)
            return false;
        put32(p, (uint32_t)target);
        return true;
    case FIELD_REL32:
        return put_word(p, (int64_t)(target - (va + (uint64_t)(int64_t)s->extra)));
    case FIELD_BACK32:
        return put_word(p, (int64_t)(va - target));
    case FIELD_BASE32:
        return put_word(p, (int64_t)(target - base));
    case FIELD_INDEX32:
        if (target < base || (target - base) % (uint64_t)s->extra != 0)
            return false;
        return put_word(p, (int64_t)((target - base) / (uint64_t)s->extra));
    case FIELD_A64_PAGE:
        return page_put(p, va, target);
    case FIELD_A64_LOW:
        if (target & ((1U << s->extra) - 1))
            return false;
        put32(p, (get32(p) & ~(0xfffU << 10)) | ((uint32_t)target & 0xfff) >> s->extra << 10);
        return true;
    case FIELD_T32_24:
        return t32_put(p, (int64_t)(target - t32_pc(s, va)));
    case FIELD_T32_MOV:
        return mov_put(p, (uint32_t)(target >> s->extra & 0xffff));
    case FIELD_RV_HIGH:
        put32(p, (get32(p) & 0xfff) | ((delta + 0x800) & 0xfffff000));
        return true;
    case FIELD_RV_LOW:
        put32(p, (get32(p) & 0xfffff) | delta << 20);
        return true;
    case FIELD_RV_LOW_S:
        w = get32(p) & 0x01fff07f;
        put32(p, w | (delta >> 5 & 0x7f) << 25 | (delta & 0x1f) << 7);
        return true;
    default:
        return false;
    }
}

/* The address formed by ADRP and its partner, which is back bytes after it. */
static bool low_get(const struct site *s, const uint8_t *p, const uint8_t *like, uint64_t va, uint64_t *ret)
{
    uint32_t w = get32(p), high = get32(p - s->back);

    if ((w ^ get32(like)) & 0xffc003ff || (high ^ get32(like - s->back)) & 0x9f00001f)
        return false;
    uint32_t d = (high >> 29 & 3) | (high >> 5 & 0x7ffff) << 2;
    uint64_t page = ((va - s->back) >> 12) + (uint64_t)((int64_t)(int32_t)(d << 11) >> 11);
    *ret = (page << 12) + ((uint64_t)(w >> 10 & 0xfff) << s->extra);
    return true;
}

/* The address formed by AUIPC and its partner. */
static bool rv_get(const struct site *s, const uint8_t *p, const uint8_t *like, uint64_t va, uint64_t *ret)
{
    uint32_t w = get32(p), high = get32(p - s->back);
    uint32_t same = s->field == FIELD_RV_LOW ? 0xfffff : 0x01fff07f;
    int32_t low =
        s->field == FIELD_RV_LOW ? (int32_t)w >> 20 : ((int32_t)w >> 25) * 32 + (int32_t)(w >> 7 & 0x1f);

    if ((w ^ get32(like)) & same || (high ^ get32(like - s->back)) & 0xfff)
        return false;
    *ret = va - s->back + (uint64_t)((int64_t)(int32_t)(high & 0xfffff000) + low);
    return true;
}

bool predict_field_get(const struct site *s, const uint8_t *p, const uint8_t *like, uint64_t va,
                       uint64_t base, uint64_t *ret)
{
    const struct spread *sp = &spreads[s->field];
    uint64_t v = 0;

    if (sp->bytes > 0) {
        if ((insn_get(p, sp->bytes) ^ insn_get(like, sp->bytes)) & sp->same)
            return false;
        *ret = va + sp->ahead + (uint64_t)spread_get(sp, p);
        return true;
    }
    switch ((enum field)s->field) {
    case FIELD_ABS64:
    case FIELD_FILE64:
        v = get64(p);
        break;
    case FIELD_ABS32:
        v = get32(p);
        break;
    case FIELD_REL32:
        v = va + (uint64_t)(int64_t)s->extra + (uint64_t)(int64_t)(int32_t)get32(p);
        break;
    case FIELD_BACK32:
        v = va - (uint64_t)(int64_t)(int32_t)get32(p);
        break;
    case FIELD_BASE32:
        v = base + (uint64_t)(int64_t)(int32_t)get32(p);
        break;
    case FIELD_INDEX32:
        v = base + (uint64_t)get32(p) * (uint64_t)s->extra;
        break;
    case FIELD_A64_LOW:
        return low_get(s, p, like, va, ret);
    case FIELD_RV_LOW:
    case FIELD_RV_LOW_S:
        return rv_get(s, p, like, va, ret);
    case FIELD_T32_24:
        if ((get16(p) ^ get16(like)) & 0xf800 || (get16(p + 2) ^ get16(like + 2)) & 0xd000)
            return false;
        v = t32_pc(s, va) + (uint64_t)t32_get(p);
        break;
    default: /* halves of pairs: handled with their partner */
        return false;
    }
    *ret = v;
    return true;
}

void predict_field_fill(const struct site *s, uint8_t *p, uint64_t v)
{
    const struct spread *sp = &spreads[s->field];
    struct site as = *s;

    if (sp->bytes > 0) {
        (void)spread_put(sp, p, ((int64_t)(v << (64 - sp->n)) >> (64 - sp->n)) * (1 << sp->unit));
        return;
    }
    switch ((enum field)s->field) {
    case FIELD_ABS64:
    case FIELD_FILE64:
        put32(p + 4, 0);
        put32(p, (uint32_t)v);
        break;
    case FIELD_A64_LOW:
        (void)predict_field_put(s, p, 0, v << s->extra, 0);
        break;
    case FIELD_A64_PAGE:
        (void)page_put(p, 0, (v & 0xfffff) << 12);
        break;
    case FIELD_T32_24:
        (void)t32_put(p, (int64_t)((v & 0x7fffff) << 1));
        break;
    case FIELD_T32_MOV:
    case FIELD_RV_HIGH:
    case FIELD_RV_LOW:
    case FIELD_RV_LOW_S:
        as.back = 0;
        (void)predict_field_put(&as, p, 0, v * 0x9e3779b97f4a7c15ULL >> 32, 0);
        break;
    default:
        put32(p, (uint32_t)v);
    }
}
