#include "ota/pack/predict_int.h"

/* Addresses outside code. */

static uint64_t get(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

bool predict_window_has(const struct window *w, uint64_t va)
{
    for (unsigned i = 0; i < w->elf->n_loads; i++) {
        const struct elf_load *l = &w->elf->loads[i];
        if (va >= l->va && va - l->va <= l->mem_len)
            return true;
    }
    return false;
}

static bool in_code(const struct window *w, uint64_t va)
{
    if (va < w->elf->code_va || va >= w->elf->code_end)
        return false;
    for (unsigned i = 0; i < w->elf->n_sections; i++) {
        const struct elf_section *s = &w->elf->sections[i];
        if (s->what == ELF_CODE && va >= s->va && va - s->va < s->len)
            return true;
    }
    return false;
}

/* A small number is more likely just a number: relocatable files start at address 0. */
static void address(const struct window *w, size_t at, unsigned bytes, site_fn *fn, void *arg)
{
    struct site s = {
        .at = (uint32_t)at, .field = bytes == 8 ? FIELD_ABS64 : FIELD_ABS32, .target = get(w->p + at, bytes)};

    if (s.target >= 0x400 && predict_window_has(w, s.target))
        fn(arg, &s);
}

static void words(const struct window *w, site_fn *fn, void *arg)
{
    unsigned bytes = w->elf->wide ? 8 : 4;

    for (size_t at = (size_t)(-w->va & (bytes - 1)); at + bytes <= w->len; at += bytes)
        address(w, at, bytes, fn, arg);
}

/* Offset in the window of the first whole entry of a table. */
static size_t first_entry(const struct window *w, size_t bytes)
{
    return (bytes - w->offset % bytes) % bytes;
}

static void relocations(const struct window *w, bool addends, site_fn *fn, void *arg)
{
    unsigned bytes = w->elf->wide ? 8 : 4, symbol = w->elf->wide ? 24 : 16;
    size_t entry = (size_t)bytes * (addends ? 3 : 2);

    for (size_t at = first_entry(w, entry); at + entry <= w->len; at += entry) {
        address(w, at, bytes, fn, arg);
        uint32_t index = (uint32_t)get(w->p + at + 12, w->elf->wide ? 4 : 0);
        if (index > 0 && w->section->link_va > 0) {
            struct site s = {.at = (uint32_t)at + 12,
                             .field = FIELD_INDEX32,
                             .extra = (int32_t)symbol,
                             .target = w->section->link_va + (uint64_t)index * symbol,
                             .base = w->section->link_va};
            fn(arg, &s);
        } else if (addends) {
            address(w, at + 2 * (size_t)bytes, bytes, fn, arg);
        }
    }
}

static void symbols(const struct window *w, site_fn *fn, void *arg)
{
    size_t entry = w->elf->wide ? 24 : 16;

    for (size_t at = first_entry(w, entry); at + entry <= w->len; at += entry) {
        uint32_t name = (uint32_t)get(w->p + at, 4);
        if (name > 0 && w->section->link_va > 0) {
            struct site s = {.at = (uint32_t)at,
                             .field = FIELD_BASE32,
                             .target = w->section->link_va + name,
                             .base = w->section->link_va};
            fn(arg, &s);
        }
        address(w, at + (w->elf->wide ? 8 : 4), w->elf->wide ? 8 : 4, fn, arg);
    }
}

/* Is the word a distance from itself to code? Then *ret is its site. */
static bool distance(const struct window *w, size_t at, struct site *ret)
{
    int64_t d = at + 4 <= w->len ? (int32_t)get(w->p + at, 4) : 0;

    *ret = (struct site){.at = (uint32_t)at, .field = FIELD_REL32, .target = w->va + at + (uint64_t)d};
    return (d >= 0x400 || d <= -0x400) && in_code(w, ret->target);
}

/* Tables among other data: a single distance may be chance. */
static void tables(const struct window *w, site_fn *fn, void *arg)
{
    struct site s, next;
    bool before = false;

    for (size_t at = (size_t)(-w->va & 3); at + 4 <= w->len; at += 4) {
        before = distance(w, at, &s) && (before || distance(w, at + 4, &next));
        if (before)
            fn(arg, &s);
    }
}

/* .eh_frame: each entry has its length, the distance back to its common entry, then the distance to its
 * code. */
static void unwind(const struct window *w, site_fn *fn, void *arg)
{
    struct site s;

    for (size_t at = (size_t)(-w->va & 3); at + 4 <= w->len; at += 4) {
        if (!distance(w, at, &s))
            continue;
        fn(arg, &s);
        uint32_t back = at >= 4 ? (uint32_t)get(w->p + at - 4, 4) : 0;
        if (back < 4 || back % 4 != 0 || back > w->offset + at)
            continue;
        s = (struct site){.at = (uint32_t)at - 4, .field = FIELD_BACK32, .target = w->va + at - 4 - back};
        fn(arg, &s);
    }
}

/* .eh_frame_hdr: address of .eh_frame, number of rows, then rows of (code, its frame), relative to the
 * section. */
static void unwind_index(const struct window *w, site_fn *fn, void *arg)
{
    for (size_t at = (size_t)(-w->va & 3); at + 4 <= w->len; at += 4) {
        size_t place = w->offset + at;
        int64_t d = (int32_t)get(w->p + at, 4);
        struct site s = {.at = (uint32_t)at,
                         .field = FIELD_BASE32,
                         .target = w->section->va + (uint64_t)d,
                         .base = w->section->va};
        if (place == 4) {
            s.field = FIELD_REL32;
            s.target = w->section->va + 4 + (uint64_t)d;
        }
        if ((place == 4 || place >= 12) && predict_window_has(w, s.target))
            fn(arg, &s);
    }
}

static void headers(const struct window *w, site_fn *fn, void *arg)
{
    for (size_t at = first_entry(w, 64); w->elf->wide && at + 64 <= w->len; at += 64) {
        struct site s = {.at = (uint32_t)at + 24, .field = FIELD_FILE64, .target = get(w->p + at + 24, 8)};
        address(w, at + 16, 8, fn, arg);
        if (s.target > 0)
            fn(arg, &s);
    }
}

void predict_sites_data(const struct window *w, site_fn *fn, void *arg)
{
    switch ((enum elf_what)w->section->what) {
    case ELF_POINTERS:
        words(w, fn, arg);
        break;
    case ELF_RELA:
    case ELF_REL:
        relocations(w, w->section->what == ELF_RELA, fn, arg);
        break;
    case ELF_SYMBOLS:
        symbols(w, fn, arg);
        break;
    case ELF_UNWIND:
        unwind(w, fn, arg);
        break;
    case ELF_UNWIND_HDR:
        unwind_index(w, fn, arg);
        break;
    case ELF_TABLES:
        if (w->elf->fixed)
            words(w, fn, arg);
        tables(w, fn, arg);
        break;
    case ELF_HEADERS:
        headers(w, fn, arg);
        break;
    case ELF_CODE:
        break;
    }
}

void predict_window_sites(const struct window *w, site_fn *fn, void *arg)
{
    if (w->section->what != ELF_CODE)
        predict_sites_data(w, fn, arg);
    else if (w->elf->machine == ELF_A64)
        predict_sites_a64(w, fn, arg);
    else if (w->elf->machine == ELF_X64)
        predict_sites_x64(w, fn, arg);
    else if (w->elf->machine == ELF_ARM)
        predict_sites_arm(w, fn, arg);
    else if (w->elf->machine == ELF_RISCV)
        predict_sites_riscv(w, fn, arg);
}
