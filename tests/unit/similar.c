#include "fleet/pack/similar.h"
#include "tests/unit/check.h"

#define FILES 6
#define MOST  ((size_t)200000)

static uint8_t bytes[FILES][MOST];
static struct similar_features features[FILES];
static struct similar_file files[FILES];

static void fill(uint8_t *p, size_t len, uint32_t seed)
{
    uint32_t x = seed * 2654435761U + 1;

    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (uint8_t)(x >> 24);
    }
}

static void file(unsigned i, const char *path, size_t len)
{
    free(features[i].h);
    similar_features(buf_of(bytes[i], len), &features[i]);
    files[i] = (struct similar_file){path, {bytes[i], len}, &features[i]};
}

/* The bases of the last file among those before it. */
static unsigned bases(unsigned n, size_t ret[PATCH_BASES])
{
    struct similar AUTO_FREE(similar) *s = similar_new(files, n);

    return similar_bases(s, &files[n - 1], n - 1, ret);
}

TEST(the_same_path_wins_over_chance)
{
    size_t at[PATCH_BASES];

    for (unsigned i = 0; i < 3; i++)
        fill(bytes[i], 30000, i);
    memcpy(bytes[2], bytes[1], 1500);
    file(0, "usr/bin/tool", 30000);
    file(1, "usr/bin/other", 30000);
    file(2, "usr/bin/tool", 30000);
    CHECK(bases(3, at) >= 1 && at[0] == 0);
}

TEST(moved_and_renamed_files_are_found)
{
    size_t at[PATCH_BASES];

    for (unsigned i = 0; i < 3; i++)
        fill(bytes[i], 30000, i);
    memcpy(bytes[3], bytes[1], 30000);
    bytes[3][15000] ^= 1;
    file(0, "a/first", 30000);
    file(1, "a/second", 30000);
    file(2, "a/third", 30000);
    file(3, "b/elsewhere", 30000);
    CHECK(bases(4, at) == 1 && at[0] == 1);
    file(1, "lib/libx.so.1.2.3", 0); /* nothing but the name */
    file(3, "lib/libx.so.1.3", 20);
    CHECK(bases(4, at) == 0);
    file(1, "lib/libx.so.1.2.3", 10);
    file(3, "lib/libx.so.1.2.4", 10);
    CHECK(bases(4, at) == 1 && at[0] == 1);
}

TEST(a_merged_file_gets_all_its_parts)
{
    size_t at[PATCH_BASES];

    for (unsigned i = 0; i < 4; i++)
        fill(bytes[i], 30000, i);
    memcpy(bytes[4], bytes[0], 30000);
    memcpy(bytes[4] + 30000, bytes[2], 30000);
    memcpy(bytes[4] + 60000, bytes[3], 3000);
    file(0, "a", 30000);
    file(1, "b", 30000);
    file(2, "c", 30000);
    file(3, "d", 30000);
    file(4, "e", 63000);
    CHECK(bases(5, at) == 3);
    CHECK((at[0] == 0 && at[1] == 2) || (at[0] == 2 && at[1] == 0));
    CHECK(at[2] == 3);
}

TEST(what_is_new_has_no_base)
{
    size_t at[PATCH_BASES];

    fill(bytes[0], 30000, 1);
    fill(bytes[1], 30000, 2);
    memset(bytes[0], 0, 10000); /* padding is no likeness */
    memset(bytes[1], 0, 10000);
    file(0, "a", 30000);
    file(1, "b", 30000);
    CHECK(bases(2, at) == 0);
    file(0, "a", 0);
    CHECK(bases(1, at) == 0);
}

TEST_MAIN
