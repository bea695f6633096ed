#include <sys/mman.h>

#include "fleet/pack/patch_make.h"
#include "platform/crypto.h"
#include "tests/unit/check.h"
#include "tests/unit/elf_sample.h"

static struct made older, newer;

static int sink(void *arg, struct buf bytes, struct err *err)
{
    size_t *at = arg;

    if (bytes.len > newer.len - *at || memcmp(newer.b + *at, bytes.p, bytes.len) != 0)
        return err_set(err, ERR_INTEGRITY, "other bytes at %zu", *at);
    *at += bytes.len;
    return 0;
}

/* There and back; *ret_cost of making it. */
static int round_trip(bool predict, struct patch_cost *ret_cost, struct err *err)
{
    struct patch_make AUTO_FREE(patch_make) *make = NULL;
    struct patch AUTO_FREE(patch) *p = NULL;
    int AUTO_FD pack = memfd_create("pack", MFD_CLOEXEC);
    int AUTO_FD old = memfd_create("old", MFD_CLOEXEC);
    struct buf base = {older.b, older.len};
    struct patch_base from = {old, older.len};
    uint64_t bytes = 0;
    size_t at = 0;
    int r = write(old, older.b, older.len) == (ssize_t)older.len ? crypto_init(err) : -ERR_IO;

    if (r == 0)
        r = patch_make_new(PACK_LZ4, pack, &make, err);
    if (r == 0) {
        patch_make_predict(make, predict);
        r = patch_make_object(make, &base, 1, buf_of(newer.b, newer.len), ret_cost, err);
    }
    if (r == 0)
        r = patch_make_end(make, &bytes, err);
    if (r == 0)
        r = patch_new(pack, &p, err);
    if (r == 0)
        r = patch_object(p, &from, 1, newer.len, sink, &at, err);
    return r < 0 ? r : patch_end(p, err);
}

TEST(moved_code_of_each_machine_is_told)
{
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < COUNT_OF(machines); i++) {
        struct patch_cost with = {0}, without = {0};
        build(&machines[i], &older, false);
        build(&machines[i], &newer, true);
        CHECK_OK(round_trip(true, &with, &err), err);
        CHECK_OK(round_trip(false, &without, &err), err);
        printf("     %s: %llu bytes, without prediction %llu\n", machines[i].name,
               (unsigned long long)with.packed_bytes, (unsigned long long)without.packed_bytes);
        CHECK(with.predicted && !without.predicted);
        CHECK(with.packed_bytes * 3 < without.packed_bytes);
    }
}

/* Every field gives back what was put, to the end of its reach, and leaves the other bits alone. */
TEST(fields_say_what_was_put)
{
    for (unsigned i = 0; i < COUNT_OF(machines); i++) {
        const struct machine *m = &machines[i];
        for (const struct place *p = m->places; p < m->places + 8 && (p == m->places || p->at > 0); p++) {
            struct site s = {.field = p->field, .extra = p->extra, .back = p->back};
            for (int64_t d = -(1 << 21); d < 1 << 21; d += 4093 * 8) {
                uint8_t b[64] = {0};
                uint64_t va = 0x1000000, want = va + (uint64_t)d, got = 0;
                memcpy(b, m->code, m->code_len);
                if (s.field == FIELD_A64_LOW || s.field == FIELD_RV_LOW || s.field == FIELD_RV_LOW_S) {
                    struct site high = {.field = s.field == FIELD_A64_LOW ? FIELD_A64_PAGE : FIELD_RV_HIGH};
                    CHECK(predict_field_put(&high, b + p->at - p->back, va + p->at - p->back, want, 0));
                } else if (s.field == FIELD_A64_PAGE || s.field == FIELD_RV_HIGH) {
                    continue;
                }
                if (predict_field_put(&s, b + p->at, va + p->at, want, 0)) {
                    CHECK(predict_field_get(&s, b + p->at, m->code + p->at, va + p->at, 0, &got));
                    CHECK(got == want);
                } else {
                    CHECK(memcmp(b, m->code, m->code_len) == 0);
                }
            }
        }
    }
}

/* Instructions as GNU as writes them, and what they mean as objdump says. */
static const struct known {
    uint8_t machine;
    unsigned len;
    uint64_t va;
    uint8_t code[208];
    struct {
        uint8_t field;
        uint64_t target;
    } sites[24];
} known[] = {
    {ELF_A64,
     56,
     0x1000,
     {0x00, 0x08, 0x00, 0x14, 0xff, 0xfd, 0xff, 0x97, 0xc0, 0x07, 0x00, 0x54, 0xa3, 0xbf,
      0xff, 0xb4, 0x85, 0x07, 0x18, 0x36, 0x66, 0xbf, 0x1f, 0xb7, 0xc1, 0x10, 0x00, 0x70,
      0x62, 0x7f, 0x00, 0x58, 0x60, 0x00, 0x00, 0xb0, 0x00, 0x8c, 0x04, 0x91, 0x01, 0x2c,
      0x42, 0xf9, 0xe4, 0xff, 0xff, 0xd0, 0x1f, 0x20, 0x03, 0xd5, 0x85, 0x48, 0x80, 0x3d},
     {{FIELD_A64_26, 0x3000},
      {FIELD_A64_26, 0x800},
      {FIELD_A64_19, 0x1100},
      {FIELD_A64_19, 0x800},
      {FIELD_A64_14, 0x1100},
      {FIELD_A64_14, 0x800},
      {FIELD_A64_ADR, 0x1233},
      {FIELD_A64_19, 0x2008},
      {FIELD_A64_PAGE, 0xe123},
      {FIELD_A64_LOW, 0xe123},
      {FIELD_A64_PAGE, 0xfffffffffffff120},
      {FIELD_A64_LOW, 0xfffffffffffff120}}},
    {ELF_X64,
     200,
     0x1000,
     {0xe8, 0xfb, 0x1f, 0x00, 0x00, 0xe9, 0xf6, 0xf7, 0xff, 0xff, 0x0f, 0x85, 0xf0, 0x1f, 0x00, 0x00, 0x48,
      0x8d, 0x3d, 0xe9, 0x0f, 0x00, 0x00, 0x48, 0x89, 0x44, 0x24, 0x08, 0x48, 0x89, 0x05, 0xdd, 0x0f, 0x00,
      0x00, 0xc7, 0x05, 0xd3, 0x0f, 0x00, 0x00, 0x44, 0x33, 0x22, 0x11, 0xc6, 0x05, 0xcc, 0x0f, 0x00, 0x00,
      0x05, 0x66, 0x81, 0x3d, 0xc3, 0x0f, 0x00, 0x00, 0x34, 0x12, 0xf7, 0x05, 0xb9, 0x0f, 0x00, 0x00, 0x07,
      0x00, 0x00, 0x00, 0xf7, 0x15, 0xb3, 0x0f, 0x00, 0x00, 0xc5, 0xfc, 0x10, 0x1d, 0xab, 0x0f, 0x00, 0x00,
      0xc4, 0xe3, 0x71, 0x0e, 0x15, 0xa1, 0x0f, 0x00, 0x00, 0x03, 0x62, 0xf1, 0x7c, 0x48, 0x10, 0x1d, 0x97,
      0x0f, 0x00, 0x00, 0x66, 0x0f, 0x38, 0x00, 0x0d, 0x8e, 0x0f, 0x00, 0x00, 0x66, 0x0f, 0x3a, 0x0f, 0x0d,
      0x84, 0x0f, 0x00, 0x00, 0x04, 0x48, 0xb8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xa0, 0x88,
      0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xc8, 0x10, 0x00, 0x01, 0xc2, 0x08, 0x00, 0x69, 0x0d, 0x60,
      0x0f, 0x00, 0x00, 0xe8, 0x03, 0x00, 0x00, 0x48, 0x8d, 0x84, 0x24, 0x20, 0x01, 0x00, 0x00, 0x8b, 0x4c,
      0x98, 0x10, 0x66, 0xc7, 0x80, 0x00, 0x01, 0x00, 0x00, 0x34, 0x12, 0x48, 0x83, 0x3d, 0x43, 0x0f, 0x00,
      0x00, 0x00, 0xff, 0x25, 0x3d, 0x0f, 0x00, 0x00, 0xe8, 0x38, 0xf7, 0xff, 0xff},
     {{FIELD_REL32, 0x3000},
      {FIELD_REL32, 0x800},
      {FIELD_REL32, 0x3000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x2000},
      {FIELD_REL32, 0x800}}},
    {ELF_ARM,
     24,
     0x1000,
     {0x04, 0xf0, 0x02, 0xf8, 0x04, 0xf0, 0xfc, 0xef, 0x03, 0xf0, 0xfe, 0xbf,
      0x03, 0xf0, 0xfc, 0x87, 0x76, 0xe0, 0x75, 0xd1, 0xfe, 0xf7, 0xfc, 0xff},
     {{FIELD_T32_24, 0x5008},
      {FIELD_T32_24, 0x6000},
      {FIELD_T32_24, 0x5008},
      {FIELD_T32_20, 0x5008},
      {FIELD_T32_11, 0x1100},
      {FIELD_T32_8, 0x1100},
      {FIELD_T32_24, 0x10}}},
    {ELF_RISCV,
     12,
     0x1000, /* farther, so that each bit of a distance has its turn */
     {0xe3, 0x10, 0xb5, 0x10, 0x6f, 0x00, 0x10, 0x00, 0x01, 0xa1, 0x41, 0xc1},
     {{FIELD_RV_12, 0x1900}, {FIELD_RV_20, 0x1804}, {FIELD_RV_C11, 0x1408}, {FIELD_RV_C8, 0x108a}}},
    {ELF_ARM,
     8,
     0x1000,
     {0x0f, 0xf0, 0xfe, 0x8f, 0xff, 0xf3, 0xfc, 0xf7},
     {{FIELD_T32_20, 0x91000}, {FIELD_T32_24, 0x801000}}},
    {ELF_ARM, 8, 0x6000, {0x00, 0x00, 0xa0, 0xe1, 0xfd, 0xff, 0xff, 0xeb}, {{FIELD_A32_24, 0x6000}}},
    {ELF_RISCV,
     38,
     0x1000,
     {0xef, 0x70, 0x00, 0x00, 0x6f, 0xf0, 0xdf, 0xef, 0x63, 0x04, 0xb5, 0x0e, 0xe3,
      0x1a, 0xb5, 0xee, 0xc5, 0xa0, 0x79, 0xcd, 0x89, 0xe9, 0x17, 0x35, 0x00, 0x00,
      0x13, 0x05, 0x05, 0xff, 0x97, 0xe5, 0xff, 0xff, 0x23, 0xbc, 0xc5, 0x00},
     {{FIELD_RV_20, 0x8000},
      {FIELD_RV_20, 0xf00},
      {FIELD_RV_12, 0x10f0},
      {FIELD_RV_12, 0xf00},
      {FIELD_RV_C11, 0x10f0},
      {FIELD_RV_C8, 0x10f0},
      {FIELD_RV_C8, 0x1026},
      {FIELD_RV_HIGH, 0x4006},
      {FIELD_RV_LOW, 0x4006},
      {FIELD_RV_HIGH, 0xfffffffffffff036},
      {FIELD_RV_LOW_S, 0xfffffffffffff036}}},
};

struct seen {
    const struct known *k;
    unsigned n;
};

static void see(void *arg, const struct site *s)
{
    struct seen *seen = arg;
    const struct known *k = seen->k;
    uint8_t copy[sizeof(k->code)];
    uint64_t got = 0;

    if (seen->n < COUNT_OF(k->sites)) {
        CHECK(s->field == k->sites[seen->n].field);
        CHECK(s->target == k->sites[seen->n].target);
    }
    seen->n++;
    memcpy(copy, k->code, sizeof(copy)); /* the same address again changes nothing */
    CHECK(predict_field_put(s, copy + s->at, k->va + s->at, s->target, 0));
    CHECK(memcmp(copy, k->code, sizeof(copy)) == 0);
    if (s->field != FIELD_A64_PAGE && s->field != FIELD_RV_HIGH) {
        CHECK(predict_field_get(s, k->code + s->at, k->code + s->at, k->va + s->at, 0, &got));
        CHECK(got == s->target);
    }
}

TEST(addresses_are_found_where_the_assembler_put_them)
{
    for (unsigned i = 0; i < COUNT_OF(known); i++) {
        const struct known *k = &known[i];
        struct elf e = {.machine = k->machine,
                        .wide = k->machine != ELF_ARM,
                        .n_loads = 1,
                        .loads = {{0, 0, 0x1000000, 0x1000000}}};
        struct elf_section section = {.va = k->va, .len = k->len, .what = ELF_CODE};
        struct window w = {&e, &section, k->code, k->len, k->va, 0};
        struct seen seen = {k, 0};
        unsigned want = 0;
        while (want < COUNT_OF(k->sites) && k->sites[want].target > 0)
            want++;
        predict_window_sites(&w, see, &seen);
        CHECK(seen.n == want);
    }
}

TEST(what_is_no_executable_is_not_predicted)
{
    struct elf e;

    build(&machines[0], &newer, true);
    CHECK(predict_head_len(buf_of(newer.b, newer.len)) == 64 + 56);
    CHECK(predict_elf_head(buf_of(newer.b, 64 + 56), &e) && e.n_loads == 1);
    CHECK(predict_head_len(buf_of(newer.b, 64 + 55)) == 0);
    newer.b[18] = 3; /* i386 */
    CHECK(predict_head_len(buf_of(newer.b, newer.len)) == 0);
    CHECK(predict_head_len(BUF_LIT("#!/bin/sh\n")) == 0);
}

TEST_MAIN
