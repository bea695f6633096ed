#include <sys/mman.h>

#include "fleet/patch_make.h"
#include "ota/patch.h"
#include "platform/crypto.h"
#include "tests/unit/check.h"

#define MOST ((size_t)3 << 20)

static uint8_t old_bytes[PATCH_BASES][MOST], new_bytes[MOST];

struct got {
    struct buf want;
    size_t at;
    bool wrong;
};

static int sink(void *arg, struct buf bytes, struct err *err)
{
    struct got *g = arg;

    if (bytes.len > PATCH_BLOCK || bytes.len > g->want.len - g->at ||
        memcmp(g->want.p + g->at, bytes.p, bytes.len) != 0)
        g->wrong = true;
    if (g->wrong)
        return err_set(err, ERR_INTEGRITY, "other bytes at %zu", g->at);
    g->at += bytes.len;
    return 0;
}

static int file_of(struct buf b)
{
    int fd = memfd_create("patch", MFD_CLOEXEC);

    if (fd < 0 || write(fd, b.p, b.len) != (ssize_t)b.len)
        abort();
    return fd;
}

struct object {
    unsigned n_bases;
    struct buf bases[PATCH_BASES], fresh;
};

static int make(enum pack_codec codec, const struct object *o, unsigned n, uint64_t *ret_bytes,
                struct err *err)
{
    struct patch_make AUTO_FREE(patch_make) *m = NULL;
    int fd = memfd_create("pack", MFD_CLOEXEC);
    int r = patch_make_new(codec, fd, &m, err);

    for (unsigned i = 0; r == 0 && i < n; i++)
        r = patch_make_object(m, o[i].bases, o[i].n_bases, o[i].fresh, NULL, err);
    if (r == 0)
        r = patch_make_end(m, ret_bytes, err);
    return r < 0 ? r : fd;
}

static int apply(int pack_fd, const struct object *o, unsigned n, struct err *err)
{
    struct patch AUTO_FREE(patch) *p = NULL;
    int r = patch_new(pack_fd, &p, err);

    for (unsigned i = 0; r == 0 && i < n; i++) {
        struct patch_base bases[PATCH_BASES] = {{-1, 0}};
        struct got g = {.want = o[i].fresh};
        for (unsigned k = 0; k < o[i].n_bases; k++)
            bases[k] = (struct patch_base){file_of(o[i].bases[k]), o[i].bases[k].len};
        r = patch_object(p, bases, o[i].n_bases, o[i].fresh.len, sink, &g, err);
        for (unsigned k = 0; k < o[i].n_bases; k++)
            (void)close(bases[k].fd);
        if (r == 0 && g.at != o[i].fresh.len)
            r = err_set(err, ERR_INTEGRITY, "too few bytes");
    }
    return r < 0 ? r : patch_end(p, err);
}

/* Make and apply with each codec; returns the bytes of the last pack. */
static uint64_t there_and_back(const struct object *o, unsigned n)
{
    const enum pack_codec codecs[] = {PACK_RAW, PACK_LZ4, PACK_LZMA};
    struct err err = ERR_INIT;
    uint64_t bytes = 0, again = 0;

    CHECK_OK(crypto_init(&err), err);
    for (unsigned i = 0; i < COUNT_OF(codecs); i++) {
        if (!codec_known(codecs[i]))
            continue;
        int AUTO_FD fd = make(codecs[i], o, n, &bytes, &err);
        CHECK_OK(fd, err);
        CHECK_OK(apply(fd, o, n, &err), err);
        int AUTO_FD twice = make(codecs[i], o, n, &again, &err);
        CHECK(bytes == again);
    }
    return bytes;
}

static void fill(uint8_t *p, size_t len, uint32_t seed)
{
    uint32_t x = seed * 2654435761U + 1;

    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (uint8_t)(x >> 24);
    }
}

TEST(empty_and_tiny_files)
{
    const struct object o[] = {
        {0, {{NULL, 0}}, {NULL, 0}},
        {0, {{NULL, 0}}, BUF_LIT("x")},
        {1, {BUF_LIT("")}, BUF_LIT("x")},
        {1, {BUF_LIT("x")}, {NULL, 0}},
        {1, {BUF_LIT("x")}, BUF_LIT("x")},
        {1, {BUF_LIT("x")}, BUF_LIT("y")},
        {2, {BUF_LIT("xy"), BUF_LIT("z")}, BUF_LIT("xyz")},
    };
    CHECK(there_and_back(o, COUNT_OF(o)) < 300);
    CHECK(there_and_back(o, 0) == PATCH_HEAD_BYTES);
}

TEST(changed_moved_and_joined_files)
{
    fill(old_bytes[0], 300000, 1);
    fill(old_bytes[1], 200000, 2);
    memcpy(new_bytes, old_bytes[1] + 1000, 150000); /* moved */
    memcpy(new_bytes + 150000, old_bytes[0], 300000);
    fill(new_bytes + 200000, 100, 3);
    for (unsigned i = 0; i < 40; i++)
        new_bytes[250000 + i * 1000] ^= 0x55;
    const struct object o[] = {
        {2, {{old_bytes[0], 300000}, {old_bytes[1], 200000}}, {new_bytes, 450000}},
        {1, {{old_bytes[0], 300000}}, {new_bytes, 150000}},
    };
    CHECK(there_and_back(o, 1) < 1000);
    CHECK(there_and_back(o, 2) > 150000);
}

TEST(more_than_one_segment)
{
    fill(old_bytes[0], 5000, 1);
    fill(new_bytes, MOST, 2);
    memcpy(new_bytes + 1234567, old_bytes[0], 5000);
    const struct object o[] = {{1, {{old_bytes[0], 5000}}, {new_bytes, MOST}},
                               {0, {{NULL, 0}}, BUF_LIT("end")}};
    CHECK(there_and_back(o, 2) > MOST - 5000);
}

TEST_MAIN
