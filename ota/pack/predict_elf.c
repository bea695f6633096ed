#include "ota/pack/predict_int.h"

/* Offsets of the ELF fields that are read, for 32 and 64 bits (System V ABI, "ELF Header", "Program Header",
 * "Section Header"). */
struct layout {
    uint8_t phoff, shoff, phentsize; /* in the header; each count is 2 bytes after its entry size */
    uint8_t ph_bytes, ph_flags, ph_at, ph_va, ph_file, ph_mem;
    uint8_t sh_bytes, sh_flags, sh_va, sh_at, sh_size, sh_link;
};
static const struct layout layouts[2] = {
    {28, 32, 42, 32, 24, 4, 8, 16, 20, 40, 8, 12, 16, 20, 24},
    {32, 40, 54, 56, 4, 8, 16, 32, 40, 64, 8, 16, 24, 32, 40},
};

enum { PT_LOAD = 1, SHF_WRITE = 1, SHF_ALLOC = 2, SHF_EXEC = 4, TYPE_EXEC = 2 };
enum {
    SHT_PROGBITS = 1,
    SHT_SYMTAB = 2,
    SHT_RELA = 4,
    SHT_DYNAMIC = 6,
    SHT_NOBITS = 8,
    SHT_REL = 9,
    SHT_DYNSYM = 11,
    SHT_INIT_ARRAY = 14,
    SHT_PREINIT_ARRAY = 16
};

static uint64_t get(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

static uint64_t word(const struct elf *e, const uint8_t *p)
{
    return get(p, e->wide ? 8 : 4);
}

/* Machine, class and type, from ELF_HEAD bytes. */
static bool ident(const uint8_t *h, struct elf *ret)
{
    static const struct {
        uint16_t em;
        uint8_t machine;
    } machines[] = {{62, ELF_X64}, {183, ELF_A64}, {40, ELF_ARM}, {243, ELF_RISCV}};

    memset(ret, 0, sizeof(*ret));
    if (memcmp(h, "\177ELF", 4) != 0 || (h[4] != 1 && h[4] != 2) || h[5] != 1)
        return false;
    ret->wide = h[4] == 2;
    ret->fixed = get(h + 16, 2) == TYPE_EXEC;
    for (unsigned i = 0; i < COUNT_OF(machines); i++) {
        if (machines[i].em == get(h + 18, 2))
            ret->machine = machines[i].machine;
    }
    return ret->machine != ELF_NONE && ret->wide != (ret->machine == ELF_ARM);
}

static const struct layout *layout_of(const struct elf *e)
{
    return &layouts[e->wide];
}

/* True when it has room for another. */
static bool add_load(struct elf *e, const uint8_t *ph)
{
    const struct layout *y = layout_of(e);
    struct elf_load l = {word(e, ph + y->ph_va), word(e, ph + y->ph_at), word(e, ph + y->ph_file),
                         word(e, ph + y->ph_mem)};

    if (get(ph, 4) != PT_LOAD || l.mem_len == 0)
        return true;
    if (e->n_loads == ELF_LOADS || l.file_len > l.mem_len || l.mem_len > UINT32_MAX || l.at > UINT32_MAX ||
        l.va > UINT64_MAX - l.mem_len)
        return false;
    if (l.mem_len > l.file_len) {
        e->bss_va = l.va + l.file_len;
        e->bss_len = l.mem_len - l.file_len;
    }
    e->loads[e->n_loads++] = l;
    return true;
}

uint32_t predict_elf_head_len(struct buf start)
{
    struct elf e;

    if (start.len < ELF_HEAD || !ident(start.p, &e))
        return 0;
    const struct layout *y = layout_of(&e);
    uint64_t at = word(&e, start.p + y->phoff), n = get(start.p + y->phentsize + 2, 2);
    if (get(start.p + y->phentsize, 2) != y->ph_bytes || n == 0 || at > PREDICT_HEAD_MAX ||
        at + n * y->ph_bytes > PREDICT_HEAD_MAX || at + n * y->ph_bytes > start.len)
        return 0;
    uint64_t end = at + n * y->ph_bytes;
    return end < ELF_HEAD ? ELF_HEAD : (uint32_t)end;
}

bool predict_elf_head(struct buf head, struct elf *ret)
{
    uint32_t len = predict_elf_head_len(head);

    if (len == 0 || len > head.len || !ident(head.p, ret))
        return false;
    const struct layout *y = layout_of(ret);
    uint64_t at = word(ret, head.p + y->phoff), n = get(head.p + y->phentsize + 2, 2);
    for (uint64_t i = 0; i < n; i++) {
        if (!add_load(ret, head.p + at + i * y->ph_bytes))
            return false;
    }
    return ret->n_loads > 0;
}

/* ---- sections ---- */

struct names { /* the section with the section names */
    uint64_t at, len;
};

struct reader {
    const struct predict_source *src;
    uint64_t at, size; /* of the file in the source */
    struct elf *e;
    struct err *err;
    int r;
};

static bool read_some(struct reader *rd, uint64_t at, void *dst, size_t len)
{
    if (rd->r < 0 || at > rd->size || len > rd->size - at)
        return false;
    rd->r = rd->src->read(rd->src->arg, rd->at + at, dst, len, rd->err);
    return rd->r == 0;
}

/* What kind of addresses a section contains; -1: none. */
static int what_of(uint32_t type, uint64_t flags, const char *name)
{
    if (type == SHT_NOBITS || type == 0)
        return -1;
    if (type == SHT_RELA)
        return ELF_RELA;
    if (type == SHT_REL)
        return ELF_REL;
    if (type == SHT_DYNSYM || type == SHT_SYMTAB)
        return ELF_SYMBOLS;
    if (type == SHT_DYNAMIC || (type >= SHT_INIT_ARRAY && type <= SHT_PREINIT_ARRAY))
        return ELF_POINTERS;
    if (!(flags & SHF_ALLOC) || (type & 0x60000000 && strncmp(name, ".eh_frame", 9) != 0))
        return -1;
    if (flags & SHF_EXEC)
        return ELF_CODE;
    if (strcmp(name, ".eh_frame") == 0)
        return ELF_UNWIND;
    if (strcmp(name, ".eh_frame_hdr") == 0)
        return ELF_UNWIND_HDR;
    if (flags & SHF_WRITE)
        return ELF_POINTERS;
    return strncmp(name, ".rodata", 7) == 0 || strcmp(name, ".gcc_except_table") == 0 ? ELF_TABLES : -1;
}

static void add_section(struct elf *e, struct elf_section s)
{
    unsigned i = e->n_sections;

    for (; i > 0 && e->sections[i - 1].at > s.at; i--)
        e->sections[i] = e->sections[i - 1];
    e->sections[i] = s;
    e->n_sections++;
    if (s.what != ELF_CODE)
        return;
    e->code_va = e->code_end == 0 || s.va < e->code_va ? s.va : e->code_va;
    e->code_end = s.va + s.len > e->code_end ? s.va + s.len : e->code_end;
}

/* Read section i. False: no more. */
static bool one_section(struct reader *rd, const struct names *names, uint64_t table, uint64_t i)
{
    const struct layout *y = layout_of(rd->e);
    uint8_t sh[64], other[64];
    char name[20] = "";

    if (!read_some(rd, table + i * y->sh_bytes, sh, y->sh_bytes))
        return false;
    uint64_t name_at = get(sh, 4), at = word(rd->e, sh + y->sh_at), len = word(rd->e, sh + y->sh_size);
    if (name_at < names->len) {
        size_t n =
            names->len - name_at < sizeof(name) - 1 ? (size_t)(names->len - name_at) : sizeof(name) - 1;
        if (!read_some(rd, names->at + name_at, name, n))
            return false;
        name[n] = '\0';
    }
    int what = what_of((uint32_t)get(sh + 4, 4), word(rd->e, sh + y->sh_flags), name);
    if (what < 0 || at > rd->size || len > rd->size - at || len == 0)
        return true;
    struct elf_section s = {
        word(rd->e, sh + y->sh_va), (uint32_t)at, (uint32_t)len, ELF_SECTIONS, (uint8_t)what, 0};
    uint64_t link = get(sh + y->sh_link, 4);
    if ((what == ELF_RELA || what == ELF_REL || what == ELF_SYMBOLS) && link > 0 && link < ELF_SECTIONS &&
        read_some(rd, table + link * y->sh_bytes, other, y->sh_bytes))
        s.link_va = word(rd->e, other + y->sh_va);
    add_section(rd->e, s);
    return rd->r == 0;
}

static void read_sections(struct reader *rd, const uint8_t *head)
{
    const struct layout *y = layout_of(rd->e);
    uint64_t table = word(rd->e, head + y->shoff), n = get(head + y->phentsize + 6, 2);
    uint64_t last = get(head + y->phentsize + 8, 2);
    struct names names = {0, 0};
    uint8_t sh[64];

    if (table == 0 || n == 0 || n >= ELF_SECTIONS || get(head + y->phentsize + 4, 2) != y->sh_bytes)
        return;
    if (last < n && read_some(rd, table + last * y->sh_bytes, sh, y->sh_bytes))
        names = (struct names){word(rd->e, sh + y->sh_at), word(rd->e, sh + y->sh_size)};
    for (uint64_t i = 1; i < n && one_section(rd, &names, table, i); i++)
        ;
    if (rd->r == 0 && table < rd->size && n * y->sh_bytes <= rd->size - table)
        add_section(rd->e, (struct elf_section){0, (uint32_t)table, (uint32_t)(n * y->sh_bytes), ELF_SECTIONS,
                                                ELF_HEADERS, 0});
}

int predict_elf_read(const struct predict_source *src, uint64_t at, uint64_t size, struct elf *ret,
                     struct err *err)
{
    struct reader rd = {.src = src, .at = at, .size = size, .e = ret, .err = err};
    uint8_t head[ELF_HEAD], ph[56];

    memset(ret, 0, sizeof(*ret));
    if (size > UINT32_MAX || !read_some(&rd, 0, head, sizeof(head)))
        return rd.r;
    if (!ident(head, ret)) {
        ret->machine = ELF_NONE;
        return 0;
    }
    const struct layout *y = layout_of(ret);
    uint64_t table = word(ret, head + y->phoff), n = get(head + y->phentsize + 2, 2);
    bool good = get(head + y->phentsize, 2) == y->ph_bytes && n <= 64;
    for (uint64_t i = 0; good && i < n; i++)
        good = read_some(&rd, table + i * y->ph_bytes, ph, y->ph_bytes) && add_load(ret, ph);
    if (good && rd.r == 0)
        read_sections(&rd, head);
    if (!good || ret->n_loads == 0)
        ret->machine = ELF_NONE;
    return rd.r;
}

/* ---- addresses ---- */

bool predict_elf_va_to_at(const struct elf *e, uint64_t va, uint64_t *ret)
{
    for (unsigned i = 0; i < e->n_loads; i++) {
        const struct elf_load *l = &e->loads[i];
        if (va >= l->va && va - l->va < l->file_len) {
            *ret = l->at + (va - l->va);
            return true;
        }
    }
    return false;
}

bool predict_elf_at_to_va(const struct elf *e, uint64_t at, uint64_t *ret)
{
    for (unsigned i = 0; i < e->n_loads; i++) {
        const struct elf_load *l = &e->loads[i];
        if (at >= l->at && at - l->at < l->file_len) {
            *ret = l->va + (at - l->at);
            return true;
        }
    }
    return false;
}
