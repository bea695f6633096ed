/* elf_sample.h - ELF files of each machine, made here: functions that call and load from each other, tables
 * of addresses; then the same with bytes put behind one function, so that all after it moves. */
#ifndef TESTS_ELF_SAMPLE_H
#define TESTS_ELF_SAMPLE_H
#include <assert.h>

#include "ota/pack/predict_int.h"

#define FUNCTIONS 200U
#define SIZE      128U /* of a function */
#define INSERTED  64U
#define AT_TEXT   0x1000U
#define MOST      ((size_t)256 * 1024)

struct place { /* an address in each function: where, of what kind, which function it means */
    uint8_t at, field;
    int32_t extra;
    uint8_t back, step;
};
struct machine {
    const char *name;
    uint16_t em;
    bool wide;
    unsigned filler_bytes;
    uint32_t filler, filler_mask; /* an instruction that means no address; bits that may be anything */
    uint8_t code[48];             /* of the beginning of each function */
    uint8_t code_len;
    struct place places[8];
};

static const struct machine machines[] = {
    {"aarch64",
     183,
     true,
     4,
     0xd2800015,
     0x001fffe0,
     {0, 0, 0, 0x94, 0,    0,    0,    0x14,                       /* bl; b */
      0, 0, 0, 0x90, 0,    0,    0,    0x91,                       /* adrp x0; add x0, x0 */
      1, 0, 0, 0x90, 0x1f, 0x20, 0x03, 0xd5, 0x22, 0, 0x40, 0xf9,  /* adrp x1; nop; ldr x2, [x1] */
      0, 0, 0, 0x54, 3,    0,    0,    0xb4, 4,    0, 0,    0x10}, /* b.eq; cbz x3; adr x4 */
     40,
     {{0, FIELD_A64_26, 0, 0, 7},
      {4, FIELD_A64_26, 0, 0, 1},
      {8, FIELD_A64_PAGE, 0, 0, 90},
      {12, FIELD_A64_LOW, 0, 4, 90},
      {16, FIELD_A64_PAGE, 0, 0, 33},
      {24, FIELD_A64_LOW, 3, 8, 33},
      {28, FIELD_A64_19, 0, 0, 2},
      {36, FIELD_A64_ADR, 0, 0, 3}}},
    {"x86-64",
     62,
     true,
     5,
     0xb8,
     0, /* mov eax, imm32 */
     {0xe8, 0,    0,    0,    0,    0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0x0f, 0x84, 0,    0, 0, 0, 0x48,
      0x89, 0x44, 0x24, 0x08, 0xc7, 0x05, 0,    0,    0, 0, 1, 2, 3,    4,    0xe9, 0, 0, 0, 0},
     38,
     {{1, FIELD_REL32, 4, 0, 7},
      {8, FIELD_REL32, 4, 0, 90},
      {14, FIELD_REL32, 4, 0, 2},
      {25, FIELD_REL32, 8, 0, 33},
      {34, FIELD_REL32, 4, 0, 1}}},
    {"arm",
     40,
     false,
     2,
     0x2000,
     0xff,
     {0,    0xf0, 0,    0xd0, 0, 0xf0, 0, 0x90, 0, 0xf0, 0, 0x80, /* bl; b.w; beq.w */
      0x02, 0x4b, 0x7b, 0x44, 0, 0xe0, 0, 0xbf,                   /* ldr r3, [pc, 8]; add r3, pc; b; nop */
      0,    0xbf, 0,    0xbf, 0, 0,    0, 0},
     28,
     {{0, FIELD_T32_24, 0, 0, 7},
      {4, FIELD_T32_24, 0, 0, 90},
      {8, FIELD_T32_20, 0, 0, 2},
      {16, FIELD_T32_11, 0, 0, 1},
      {24, FIELD_REL32, -6, 0, 33}}},
    {"riscv64",
     243,
     true,
     4,
     0x00028293,
     0xfff00000,
     {0xef, 0,    0,    0, 0x17, 0x05, 0,    0,    0x13, 0x05, 0x05, 0,  /* jal; auipc a0; addi a0, a0 */
      0x97, 0x05, 0,    0, 0x01, 0,    0x23, 0xb0, 0xc5, 0,              /* auipc a1; c.nop; sd a2, (a1) */
      0x63, 0x04, 0x06, 0, 0x01, 0xa0, 0x11, 0xc2, 0x01, 0,    0x01, 0}, /* beqz a2; c.j; c.beqz */
     34,
     {{0, FIELD_RV_20, 0, 0, 7},
      {4, FIELD_RV_HIGH, 0, 0, 90},
      {8, FIELD_RV_LOW, 0, 4, 90},
      {12, FIELD_RV_HIGH, 0, 0, 33},
      {18, FIELD_RV_LOW_S, 0, 6, 33},
      {22, FIELD_RV_12, 0, 0, 2},
      {26, FIELD_RV_C11, 0, 0, 1},
      {28, FIELD_RV_C8, 0, 0, 1}}},
};

static void put(uint8_t *p, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

struct made {
    uint8_t b[MOST];
    size_t len;
    unsigned sections;
    struct {
        const char *name;
        uint32_t type, flags, link;
        uint64_t va, at, len;
    } section[12];
};

static uint64_t function_at(unsigned i, bool moved)
{
    return AT_TEXT + i % FUNCTIONS * SIZE + (moved && i % FUNCTIONS > FUNCTIONS / 2 ? INSERTED : 0);
}

static void code(const struct machine *m, struct made *f, bool moved)
{
    uint32_t x = 12345;

    for (unsigned i = 0; i < FUNCTIONS; i++) {
        uint64_t va = function_at(i, moved), end = va + SIZE;
        memcpy(f->b + va, m->code, m->code_len);
        for (const struct place *p = m->places; p < m->places + 8 && (p == m->places || p->at > 0); p++) {
            struct site s = {.field = p->field, .extra = p->extra, .back = p->back};
            bool put_it =
                predict_field_put(&s, f->b + va + p->at, va + p->at, function_at(i + p->step, moved), 0);
            assert(put_it || i + p->step >= FUNCTIONS);
            (void)put_it;
        }
        for (uint64_t at = va + m->code_len; at + m->filler_bytes <= end; at += m->filler_bytes) {
            x = x * 1664525 + 1013904223;
            put(f->b + at, m->filler | (x >> 3 & m->filler_mask), m->filler_bytes == 5 ? 1 : m->filler_bytes);
            if (m->filler_bytes == 5)
                put(f->b + at + 1, x, 4);
        }
    }
    if (moved) { /* what was put in, behind the function in the middle */
        for (uint64_t at = function_at(FUNCTIONS / 2, true) + SIZE, i = 0; i < INSERTED; i += 4) {
            x = x * 1664525 + 1013904223;
            put(f->b + at + i, m->filler_bytes == 5 ? 0x90909090 : m->filler | (x >> 3 & m->filler_mask), 4);
        }
    }
}

static void section(struct made *f, const char *name, uint32_t type, uint32_t flags, uint64_t va, uint64_t at,
                    uint64_t len)
{
    f->section[f->sections].name = name;
    f->section[f->sections].type = type;
    f->section[f->sections].flags = flags;
    f->section[f->sections].va = va;
    f->section[f->sections].at = at;
    f->section[f->sections++].len = len;
}

/* Addresses of all functions as words, relocations, symbols, an index of unwind rows. */
static void tables(const struct machine *m, struct made *f, bool moved)
{
    unsigned w = m->wide ? 8 : 4;
    uint64_t at = AT_TEXT + FUNCTIONS * SIZE + (moved ? INSERTED : 0), start = at;

    section(f, ".text", 1, 6, AT_TEXT, AT_TEXT, at - AT_TEXT);
    for (unsigned i = 0; i < FUNCTIONS; i++, at += 3 * (size_t)w) {
        put(f->b + at, function_at(i * 3, moved), w);
        put(f->b + at + w, 23, w);
        put(f->b + at + 2 * (size_t)w, function_at(i * 7, moved), w);
    }
    section(f, ".rela.dyn", 4, 2, start, start, at - start);
    start = at;
    for (unsigned i = 0; i < FUNCTIONS; i++, at += m->wide ? 24 : 16)
        put(f->b + at + (m->wide ? 8 : 4), function_at(i * 11, moved), w);
    section(f, ".dynsym", 11, 2, start, start, at - start);
    start = at;
    put(f->b + at + 8, FUNCTIONS, 4);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        put(f->b + at + 12 + i * 8, function_at(i, moved) - start, 4);
        put(f->b + at + 16 + i * 8, function_at(i * 13, moved) - start, 4);
    }
    at += 12 + FUNCTIONS * 8 + 4;
    section(f, ".eh_frame_hdr", 1, 2, start, start, at - start);
    start = at;
    for (unsigned i = 0; i < FUNCTIONS; i++, at += w)
        put(f->b + at, function_at(i * 17, moved), w);
    section(f, ".data", 1, 3, start, start, at - start);
    f->len = at;
}

static void headers(const struct machine *m, struct made *f)
{
    unsigned w = m->wide ? 8 : 4, ph = m->wide ? 64 : 52, sh_bytes = m->wide ? 64 : 40;
    uint8_t *b = f->b, *p = b + ph;
    uint64_t names = f->len, n = 1;

    memcpy(b, "\177ELF\0\1\1", 7);
    b[4] = m->wide ? 2 : 1;
    put(b + 16, 3, 2);
    put(b + 18, m->em, 2);
    put(b + (m->wide ? 32 : 28), ph, w);
    put(b + (m->wide ? 54 : 42), m->wide ? 56 : 32, 2);
    put(b + (m->wide ? 56 : 44), 1, 2);
    put(p, 1, 4);
    put(p + (m->wide ? 32 : 16), f->len, w);
    put(p + (m->wide ? 40 : 20), f->len + 0x1000, w);
    for (unsigned i = 0; i < f->sections; i++, n += strlen(f->section[i - 1].name) + 1)
        strcpy((char *)b + names + n, f->section[i].name);
    section(f, "", 3, 0, 0, names, n);
    f->len = (names + n + 7) & ~7ULL;
    put(b + (m->wide ? 40 : 32), f->len, w);
    put(b + (m->wide ? 58 : 46), sh_bytes, 2);
    put(b + (m->wide ? 60 : 48), f->sections + 1, 2);
    put(b + (m->wide ? 62 : 50), f->sections, 2);
    n = 1;
    for (unsigned i = 0; i < f->sections; i++) {
        uint8_t *s = b + f->len + (i + 1) * (size_t)sh_bytes;
        put(s, f->section[i].name[0] ? n : 0, 4);
        n += strlen(f->section[i].name) + 1;
        put(s + 4, f->section[i].type, 4);
        put(s + 8, f->section[i].flags, w);
        put(s + (m->wide ? 16 : 12), f->section[i].va, w);
        put(s + (m->wide ? 24 : 16), f->section[i].at, w);
        put(s + (m->wide ? 32 : 20), f->section[i].len, w);
    }
    f->len += (f->sections + 1) * (size_t)sh_bytes;
}

static void build(const struct machine *m, struct made *f, bool moved)
{
    memset(f, 0, sizeof(*f));
    code(m, f, moved);
    tables(m, f, moved);
    headers(m, f);
}
#endif
