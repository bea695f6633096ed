#include <sys/mman.h>

#include "fleet/pack/patch_make.h"
#include "ota/pack/patch.h"
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

static bool same_bytes(int a, int b, uint64_t len)
{
    bool same = true;
    uint8_t x[4096], y[4096];

    for (uint64_t at = 0; same && at < len; at += sizeof(x)) {
        ssize_t n = pread(a, x, sizeof(x), (off_t)at);
        same = n > 0 && pread(b, y, sizeof(y), (off_t)at) == n && memcmp(x, y, (size_t)n) == 0;
    }
    return same;
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
        CHECK_OK(twice, err);
        CHECK(bytes == again && same_bytes(fd, twice, bytes));
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

/* A pack in memory that can be cut and changed. */
static size_t pack_of(enum pack_codec codec, const struct object *o, unsigned n, uint8_t *dst, size_t size)
{
    struct err err = ERR_INIT;
    uint64_t bytes = 0;

    CHECK_OK(crypto_init(&err), err);
    int AUTO_FD fd = make(codec, o, n, &bytes, &err);
    CHECK_OK(fd, err);
    CHECK(bytes <= size && pread(fd, dst, size, 0) == (ssize_t)bytes);
    return (size_t)bytes;
}

static int try_pack(struct buf pack, const struct object *o, unsigned n, struct err *err)
{
    int AUTO_FD fd = file_of(pack);

    return apply(fd, o, n, err);
}

TEST(cut_packs_are_refused)
{
    static uint8_t pack[4096];
    struct err err = ERR_INIT;

    fill(old_bytes[0], 4000, 1);
    memcpy(new_bytes, old_bytes[0], 4000);
    new_bytes[2000] ^= 1;
    fill(new_bytes + 4000, 500, 2);
    const struct object o[] = {{1, {{old_bytes[0], 4000}}, {new_bytes, 4500}}};
    for (int codec = PACK_RAW; codec <= PACK_LZMA; codec++) {
        if (!codec_known((enum pack_codec)codec))
            continue;
        size_t len = pack_of((enum pack_codec)codec, o, 1, pack, sizeof(pack) - 1);
        CHECK_OK(try_pack(buf_of(pack, len), o, 1, &err), err);
        for (size_t cut = 0; cut < len; cut++)
            CHECK(try_pack(buf_of(pack, cut), o, 1, &err) < 0);
        pack[len] = 0;
        CHECK_ERR(try_pack(buf_of(pack, len + 1), o, 1, &err), ERR_INVALID, err);
        for (size_t at = 0; at < len; at++) { /* one bit anywhere */
            pack[at] ^= 0x10;
            int r = try_pack(buf_of(pack, len), o, 1, &err);
            CHECK(r < 0 ||
                  (at >= 9 && at < 28)); /* properties that nothing uses, maxima that are large enough */
            pack[at] ^= 0x10;
        }
    }
}

TEST(heads_beyond_the_limits_are_refused)
{
    const struct object o[] = {{0, {{NULL, 0}}, BUF_LIT("some new bytes")}};
    static uint8_t pack[4096], changed[4096];
    static const struct {
        unsigned at;
        uint32_t v;
        enum err_kind kind;
    } lies[] = {
        {8, 0x05050509, ERR_UNSUPPORTED},           /* codec */
        {12, 0xffffffff, ERR_INVALID},              /* segments */
        {16, LIM_PATCH_COVERS + 1, ERR_INVALID},    /* covers */
        {20, 1, ERR_INVALID},                       /* pieces without prediction */
        {24, LIM_PATCH_BYTES + 1, ERR_NOSPACE},     /* memory */
        {28, 1, ERR_INVALID},                       /* raw bytes */
        {32, 3, ERR_INVALID},                       /* their high half */
        {36, 0, ERR_INVALID},                       /* packed bytes of the segment */
        {40, LIM_SEGMENT_LZ4_RAW + 1, ERR_INVALID}, /* its raw bytes */
    };
    struct err err = ERR_INIT;
    size_t len = pack_of(PACK_LZ4, o, 1, pack, sizeof(pack));

    for (unsigned i = 0; i < COUNT_OF(lies); i++) {
        memcpy(changed, pack, len);
        for (unsigned k = 0; k < 4; k++)
            changed[lies[i].at + k] = (uint8_t)(lies[i].v >> 8 * k);
        CHECK_ERR(try_pack(buf_of(changed, len), o, 1, &err), lies[i].kind, err);
    }
    pack[len - 1] ^= 1;
    CHECK_ERR(try_pack(buf_of(pack, len), o, 1, &err), ERR_INTEGRITY, err);
    CHECK_MSG(err, "another hash"); /* not first the file's, when it is made */
}

TEST(other_sizes_and_bases_than_told_are_refused)
{
    static uint8_t pack[4096];
    struct err err = ERR_INIT;

    fill(old_bytes[0], 4000, 1);
    memcpy(new_bytes, old_bytes[0], 4000);
    const struct object o[] = {{1, {{old_bytes[0], 4000}}, {new_bytes, 4000}}};
    size_t len = pack_of(PACK_LZ4, o, 1, pack, sizeof(pack));
    struct object other = o[0];
    other.fresh.len = 3999;
    CHECK_ERR(try_pack(buf_of(pack, len), &other, 1, &err), ERR_INVALID, err);
    other = o[0];
    other.bases[0].len = 3999;
    CHECK_ERR(try_pack(buf_of(pack, len), &other, 1, &err), ERR_INVALID, err);
    other.n_bases = 0;
    CHECK_ERR(try_pack(buf_of(pack, len), &other, 1, &err), ERR_INVALID, err);
    CHECK_ERR(try_pack(buf_of(pack, len), o, 0, &err), ERR_INVALID, err);
    const struct object twice[] = {o[0], o[0]};
    CHECK_ERR(try_pack(buf_of(pack, len), twice, 2, &err), ERR_INVALID, err);
}

/* What no cap of covers would hold is made smaller by the encoder, not refused by the decoder. */
TEST(more_covers_than_the_cap)
{
    const size_t piece = 48, n = LIM_PATCH_COVERS + 5000;

    fill(old_bytes[0], n * piece, 1);
    for (size_t i = 0; i < n; i++)
        memcpy(new_bytes + i * piece, old_bytes[0] + (i * 7919 % n) * piece, piece);
    const struct object o[] = {{1, {{old_bytes[0], n * piece}}, {new_bytes, n * piece}}};
    CHECK(there_and_back(o, 1) < n * piece);
}

TEST_MAIN
