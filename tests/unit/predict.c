#include <sys/mman.h>

#include "fleet/patch_make.h"
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
                    CHECK(field_put(&high, b + p->at - p->back, va + p->at - p->back, want, 0));
                } else if (s.field == FIELD_A64_PAGE || s.field == FIELD_RV_HIGH) {
                    continue;
                }
                if (field_put(&s, b + p->at, va + p->at, want, 0)) {
                    CHECK(field_get(&s, b + p->at, m->code + p->at, va + p->at, 0, &got));
                    CHECK(got == want);
                } else {
                    CHECK(memcmp(b, m->code, m->code_len) == 0);
                }
            }
        }
    }
}

TEST(what_is_no_executable_is_not_predicted)
{
    struct elf e;

    build(&machines[0], &newer, true);
    CHECK(predict_head_len(buf_of(newer.b, newer.len)) == 64 + 56);
    CHECK(elf_head(buf_of(newer.b, 64 + 56), &e) && e.n_loads == 1);
    CHECK(predict_head_len(buf_of(newer.b, 64 + 55)) == 0);
    newer.b[18] = 3; /* i386 */
    CHECK(predict_head_len(buf_of(newer.b, newer.len)) == 0);
    CHECK(predict_head_len(BUF_LIT("#!/bin/sh\n")) == 0);
}

TEST_MAIN
