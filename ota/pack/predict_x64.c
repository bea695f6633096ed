#include "ota/pack/predict_int.h"

/* x86-64: the length of each instruction, its displacement and its immediate (Intel SDM 2, appendix A).
 * Reading from anywhere falls into step with the instructions after a few of them.
 * One letter an opcode:  n nothing follows  m modrm  b modrm, imm8  d modrm, imm32  i imm8  j imm32  r rel32
 *      w imm16
 * e imm16, imm8  a address of 8 bytes  q imm32 or with REX.W imm64  f g modrm, imm8 or imm32 only for TEST
 * p prefix  R REX  0 8 A escapes  v V E VEX and EVEX  x none */
static const char one_byte[] = "mmmmijxxmmmmijx0mmmmijxxmmmmijxx"
                               "mmmmijpxmmmmijpxmmmmijpxmmmmijpx"
                               "RRRRRRRRRRRRRRRRnnnnnnnnnnnnnnnn"
                               "xxEmppppjdibnnnniiiiiiiiiiiiiiii"
                               "bdxbmmmmmmmmmmmmnnnnnnnnnnxnnnnn"
                               "aaaannnnijnnnnnniiiiiiiiqqqqqqqq"
                               "bbwnVvbdenwnnixnmmmmxxxnmmmmmmmm"
                               "iiiiiiiirrxinnnnpnppnnfgnnnnnnmm";
static const char two_byte[] = "mmmmxnnnnnxnxmnbmmmmmmmmmmmmmmmm"
                               "mmmmxxxxmmmmmmmmnnnnnnnn8xAxxxxx"
                               "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm"
                               "mmmmmmmmmmmmmmmmbbbbmmmnmmxxmmmm"
                               "rrrrrrrrrrrrrrrrmmmmmmmmmmmmmmmm"
                               "nnnmbmxxnnnmbmmmmmmmmmmmmmbmmmmm"
                               "mmbmbbbmnnnnnnnnmmmmmmmmmmmmmmmm"
                               "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm";
_Static_assert(sizeof(one_byte) == 257 && sizeof(two_byte) == 257, "a letter for each opcode");

struct insn {
    char form;
    bool rex_w, half; /* half: the 66 prefix, immediates of 16 bits */
    bool relative;    /* the displacement counts from the instruction's end */
    uint32_t end;     /* end of what was read so far */
    uint32_t disp;    /* offset of a 32-bit displacement, 0: none */
    uint32_t imm, imm_bytes;
};

/* Skip an escape to another opcode map at *at. False: unknown map. */
static bool escape(const uint8_t *p, size_t len, size_t *at, const char **map, char c)
{
    static const char three_byte[] = "mb"; /* maps 2 and 3: one letter for all */
    unsigned to = c == '8' ? 2 : c == 'A' ? 3 : 1, step = 1;

    if (c == 'v' || c == 'V' || c == 'E') {
        if (*map != one_byte || len - *at < 5)
            return false;
        to = c == 'v' ? 1 : p[*at + 1] & (c == 'V' ? 31 : 7);
        step = c == 'v' ? 2 : c == 'V' ? 3 : 4;
    }
    if (to < 1 || to > 3)
        return false;
    *at += step;
    *map = to == 1 ? two_byte : three_byte + (to - 2);
    return true;
}

/* Prefixes and opcode from at: where modrm or immediate begins. False: not an instruction. */
static bool opcode(const uint8_t *p, size_t len, size_t at, struct insn *n)
{
    const char *map = one_byte;

    for (unsigned i = 0; i < 15 && at < len; i++) {
        char c = map == one_byte || map == two_byte ? map[p[at]] : *map;
        if (c == 'R') {
            n->rex_w = p[at++] & 8;
        } else if (c == 'p') {
            n->half |= p[at++] == 0x66;
        } else if (c >= 'a' && c != 'v') {
            n->form = c;
            n->end = (uint32_t)at + 1;
            return c != 'x';
        } else if (!escape(p, len, &at, &map, c)) {
            return false;
        }
    }
    return false;
}

/* What follows modrm, by mod and rm: size of the displacement, and whether a SIB byte precedes it. */
enum { SIB = 8, RELATIVE = 16 };
static const uint8_t tails[4][8] = {
    {0, 0, 0, 0, SIB, 4 | RELATIVE, 0, 0},
    {1, 1, 1, 1, 1 | SIB, 1, 1, 1},
    {4, 4, 4, 4, 4 | SIB, 4, 4, 4},
    {0},
};

/* Parse modrm, SIB and displacement at n->end. */
static bool modrm(const uint8_t *p, size_t len, struct insn *n)
{
    if (n->end + 2 > len)
        return n->end++ < len && p[n->end - 1] >> 6 == 3;
    uint8_t m = p[n->end++], tail = tails[m >> 6][m & 7], disp = tail & 7;
    if (tail & SIB)
        disp = m >> 6 == 0 && (p[n->end] & 7) == 5 ? 4 : disp;
    n->end += tail / SIB & 1;
    n->relative = tail & RELATIVE;
    n->disp = disp == 4 ? n->end : 0;
    n->end += disp;
    return n->end <= len;
}

/* Size of the immediate by letter; where prefixes or modrm decide, imm_bytes does. */
static const uint8_t imm_of[32] = {['b' & 31] = 1, ['i' & 31] = 1, ['r' & 31] = 4,
                                   ['w' & 31] = 2, ['e' & 31] = 3, ['a' & 31] = 8};

static uint32_t imm_bytes(const struct insn *n, uint8_t modrm_byte)
{
    switch (n->form) {
    case 'd':
    case 'j':
        return n->half ? 2 : 4;
    case 'q':
        return n->rex_w ? 8 : n->half ? 2 : 4;
    case 'f':
        return modrm_byte & 0x30 ? 0 : 1;
    case 'g':
        return modrm_byte & 0x30 ? 0 : n->half ? 2 : 4;
    default:
        return 0;
    }
}

/* Letters a to z as bits 1 to 26. */
#define LETTER(c) (1U << ((c)&31))
#define MODRM     (LETTER('m') | LETTER('b') | LETTER('d') | LETTER('f') | LETTER('g'))
#define DECIDED   (LETTER('d') | LETTER('j') | LETTER('q') | LETTER('f') | LETTER('g'))

/* Parse the instruction at `at`: its length, 0: not an instruction. */
static size_t read_insn(const uint8_t *p, size_t len, size_t at, struct insn *n)
{
    *n = (struct insn){0};
    if (!opcode(p, len, at, n))
        return 0;
    size_t m = n->end;
    if (LETTER(n->form) & MODRM && !modrm(p, len, n))
        return 0;
    n->imm = n->end;
    n->imm_bytes = LETTER(n->form) & DECIDED ? imm_bytes(n, m < len ? p[m] : 0) : imm_of[n->form & 31];
    n->end += n->imm_bytes;
    return n->end <= len ? n->end - at : 0;
}

static int32_t get32(const uint8_t *p)
{
    return (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
}

static void relative(const struct window *w, size_t at, size_t end, site_fn *fn, void *arg)
{
    struct site s = {.at = (uint32_t)at, .field = FIELD_REL32, .extra = (int32_t)(end - at)};

    s.target = w->va + end + (uint64_t)(int64_t)get32(w->p + at);
    if (predict_window_has(w, s.target))
        fn(arg, &s);
}

static void absolute(const struct window *w, size_t at, site_fn *fn, void *arg)
{
    struct site s = {.at = (uint32_t)at, .field = FIELD_ABS32, .target = (uint32_t)get32(w->p + at)};

    if (w->elf->fixed && predict_window_has(w, s.target))
        fn(arg, &s);
}

void predict_sites_x64(const struct window *w, site_fn *fn, void *arg)
{
    struct insn n;

    for (size_t at = 0, len; at < w->len; at += len) {
        len = read_insn(w->p, w->len, at, &n);
        if (len == 0) {
            len = 1;
            continue;
        }
        if (n.disp && n.relative)
            relative(w, n.disp, n.end, fn, arg);
        else if (n.disp)
            absolute(w, n.disp, fn, arg);
        if (n.form == 'r')
            relative(w, n.imm, n.end, fn, arg);
        else if (n.imm_bytes == 4)
            absolute(w, n.imm, fn, arg);
    }
}
