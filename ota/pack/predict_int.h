/* predict_int.h - shared by the files of prediction. Private to ota/predict*.c and
 * fleet/pack/patch_anchor.c. */
#ifndef OTA_PREDICT_INT_H
#define OTA_PREDICT_INT_H
#include "ota/pack/predict.h"

/* ---- predict_elf.c: layout of an ELF file ---- */

#define ELF_LOADS    16
#define ELF_SECTIONS 64
#define ELF_HEAD     64 /* the ELF header; that of 32 bits is shorter */

enum elf_machine { ELF_NONE, ELF_X64, ELF_A64, ELF_ARM, ELF_RISCV };
enum elf_what {
    ELF_CODE,
    ELF_POINTERS, /* words that may be addresses */
    ELF_RELA,     /* relocations, with or without addends */
    ELF_REL,
    ELF_SYMBOLS, /* .dynsym, .symtab */
    ELF_UNWIND,  /* .eh_frame */
    ELF_UNWIND_HDR,
    ELF_TABLES,  /* .rodata: may hold offsets of jump tables */
    ELF_HEADERS, /* the section header table itself */
};
struct elf_load {
    uint64_t va, at, file_len, mem_len;
};
struct elf_section {
    uint64_t va;      /* 0: not loaded */
    uint32_t at, len; /* in the file */
    uint16_t link;    /* index in sections[] of the symbols of a relocation, ELF_SECTIONS: none */
    uint8_t what;
    uint64_t link_va; /* of the symbols of relocations, of the strings of symbols */
};
struct elf {
    uint8_t machine; /* ELF_NONE: not supported; then the other fields are not valid */
    bool wide;       /* 64 bits */
    bool fixed;      /* ET_EXEC: code may hold absolute addresses */
    unsigned n_loads, n_sections;
    uint64_t code_va, code_end; /* all code lies between them */
    uint64_t bss_va, bss_len;   /* of the last segment that has one */
    struct elf_load loads[ELF_LOADS];
    struct elf_section sections[ELF_SECTIONS]; /* ordered by at */
};
/* Parse the file at [at, at + size) of the source. What cannot be understood becomes ELF_NONE, not an error.
 * Errors: those of src->read. */
NODISCARD int predict_elf_read(const struct predict_source *src, uint64_t at, uint64_t size, struct elf *ret,
                               struct err *err);
/* Only machine and segments, from the first bytes. False: unknown or incomplete. */
bool predict_elf_head(struct buf head, struct elf *ret);
/* As predict_head_len. */
uint32_t predict_elf_head_len(struct buf start);
/* predict_elf_va_to_at, elf_at_to_va: virtual address to file offset and back; false: not in any segment. */
bool predict_elf_va_to_at(const struct elf *e, uint64_t va, uint64_t *ret);
bool predict_elf_at_to_va(const struct elf *e, uint64_t at, uint64_t *ret);

/* ---- predict_field.c: addresses in instructions and words ---- */

enum field {
    FIELD_ABS64, /* the address */
    FIELD_ABS32,
    FIELD_REL32,   /* address - (place + extra) */
    FIELD_BACK32,  /* place - address */
    FIELD_BASE32,  /* address - base */
    FIELD_INDEX32, /* (address - base) / extra */
    FIELD_A64_26,  /* B, BL */
    FIELD_A64_19,  /* B.cond, CBZ, LDR literal */
    FIELD_A64_14,  /* TBZ */
    FIELD_A64_ADR,
    FIELD_A64_PAGE, /* ADRP */
    FIELD_A64_LOW,  /* ADD, LDR, STR: low 12 bits, shifted by extra */
    FIELD_T32_24,   /* BL, BLX (extra 2: to A32), B.W */
    FIELD_T32_20,   /* Bcond.W */
    FIELD_T32_11,   /* B */
    FIELD_T32_8,    /* Bcond */
    FIELD_A32_24,   /* B, BL; BLX */
    FIELD_RV_20,    /* JAL */
    FIELD_RV_12,    /* branches */
    FIELD_RV_C11,   /* C.J */
    FIELD_RV_C8,    /* C.BEQZ, C.BNEZ */
    FIELD_RV_HIGH,  /* AUIPC */
    FIELD_RV_LOW,   /* ADDI, loads, JALR: low 12 bits of (address - AUIPC) */
    FIELD_RV_LOW_S, /* stores */
    FIELD_T32_MOV,  /* MOVW (extra 0), MOVT (extra 16) */
    FIELD_FILE64,   /* an offset in the file; target is that offset, not an address */
    FIELD_COUNT_
};
struct site {
    uint32_t at; /* in the window */
    uint8_t field;
    uint16_t back; /* RV_LOW: how far before it its AUIPC is; A64_LOW: its ADRP */
    int32_t extra;
    uint64_t target; /* old address */
    uint64_t base;   /* BASE32, INDEX32: old address */
};
/* Size of the field in bytes. */
unsigned predict_field_bytes(enum field f);
/* Encode target in the field in p, whose address is va. False: not possible; p is unchanged. */
bool predict_field_put(const struct site *s, uint8_t *p, uint64_t va, uint64_t target, uint64_t base);
/* Decode the field in p. False: another kind of instruction. like: the old instruction. */
bool predict_field_get(const struct site *s, const uint8_t *p, const uint8_t *like, uint64_t va,
                       uint64_t base, uint64_t *ret);

/* For matching: put the low bits of v into the field, whatever they mean. */
void predict_field_fill(const struct site *s, uint8_t *p, uint64_t v);

/* ---- predict_a64.c, _x64.c, _arm.c, _riscv.c, _data.c: finding them ---- */

struct window {
    const struct elf *elf; /* the old file */
    const struct elf_section *section;
    const uint8_t *p;
    size_t len;
    uint64_t va;   /* of p[0]; 0 if the section is not loaded */
    size_t offset; /* of p[0] in its section */
};
typedef void site_fn(void *arg, const struct site *s);
/* sites_...: call fn for each address in the window's code for that machine; sites_data: in its data. */
void predict_sites_a64(const struct window *w, site_fn *fn, void *arg);
void predict_sites_x64(const struct window *w, site_fn *fn, void *arg);
void predict_sites_arm(const struct window *w, site_fn *fn, void *arg);
void predict_sites_riscv(const struct window *w, site_fn *fn, void *arg);
void predict_sites_data(const struct window *w, site_fn *fn, void *arg);
/* Is it an address in the old file's memory? */
bool predict_window_has(const struct window *w, uint64_t va);
/* Calls the one that fits the window's section. */
void predict_window_sites(const struct window *w, site_fn *fn, void *arg);

/* ---- predict.c: for the encoder, to find where addresses really went ---- */

/* Call fn for each address in the old piece at old_at that was moved to new_at, len at most PREDICT_PIECE:
 * its site, the old offset that it refers to (UINT64_MAX: none), the window, which of its bytes are the piece
 * (from, to), and the number of the old file. */
#define PREDICT_PIECE 4096U
struct predict_look {
    const struct window *window;
    uint64_t new_va, base_va; /* of window->p[0] after the move; of the site's base */
    uint64_t old_key;
    size_t from, to;
    uint32_t new_at; /* of window->p[from] after the move */
    unsigned image;
};
typedef void look_fn(void *arg, const struct predict_look *l, const struct site *s);
/* Call after predict_head. Errors: those of the source's read. */
NODISCARD int predict_look(struct predict *p, uint32_t old_at, uint32_t new_at, size_t len, look_fn *fn,
                           void *arg, struct err *err);
/* Old address to old offset, new address to new offset. */
bool predict_old_key(const struct predict *p, unsigned image, uint64_t va, uint64_t *ret);
/* predict_new_key: the same of the new file. */
bool predict_new_key(const struct predict *p, uint64_t va, uint64_t *ret);
/* Maps an old offset to a new one. */
bool predict_map(const struct predict *p, uint64_t old_key, uint64_t *ret);
#endif
