/* What a layer holds, counted as a device will. */
#include <zlib.h>

#include "fleet/pack/measure.h"
#include "platform/mem.h"
#include "tests/unit/check.h"

#define BLOCK 512

/* A ustar entry at p; returns the bytes with its body. */
static size_t put(uint8_t *p, const char *name, char type, size_t size)
{
    unsigned sum = 0;

    memset(p, 0, BLOCK);
    (void)str_copy((char *)p, 100, name);
    memcpy(p + 100, "0000644", 8);
    memcpy(p + 108, "0000000", 8);
    memcpy(p + 116, "0000000", 8);
    (void)snprintf((char *)p + 124, 12, "%011zo", size);
    memcpy(p + 136, "00000000000", 12);
    memset(p + 148, ' ', 8);
    p[156] = (uint8_t)type;
    if (type == '2')
        memcpy(p + 157, "file", 5);
    memcpy(p + 257, "ustar", 6);
    memcpy(p + 263, "00", 2);
    for (unsigned i = 0; i < BLOCK; i++)
        sum += p[i];
    (void)snprintf((char *)p + 148, 8, "%06o", sum);
    p[155] = ' ';
    memset(p + BLOCK, 'x', (size + BLOCK - 1) / BLOCK * BLOCK);
    return BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
}

static size_t make_tar(uint8_t *p)
{
    size_t n = put(p, "a/", '5', 0);

    n += put(p + n, "a/file", '0', 700);
    n += put(p + n, "b/c/deep", '0', 3); /* b and b/c have no entries of their own */
    n += put(p + n, "a/link", '2', 0);
    memset(p + n, 0, 2 * BLOCK);
    return n + 2 * BLOCK;
}

static int feed(struct measure *m, enum oci_codec codec, struct buf bytes, size_t step, struct err *err)
{
    struct digest d;
    int rc = measure_begin(m, codec, err);

    for (size_t at = 0; rc == 0 && at < bytes.len; at += step)
        rc = measure_add(m, buf_of(bytes.p + at, bytes.len - at < step ? bytes.len - at : step), err);
    return rc < 0 ? rc : measure_end(m, &d, err);
}

TEST(counts_the_same_in_any_pieces)
{
    static const size_t steps[] = {1, 7, 511, 512, 100000};
    uint8_t tar[16 * BLOCK], gz[16 * BLOCK];
    size_t n = make_tar(tar);

    uLongf gz_n = sizeof(gz);
    z_stream z = {.next_in = tar, .avail_in = (uInt)n, .next_out = gz, .avail_out = sizeof(gz)};
    struct err err = ERR_INIT;

    CHECK(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK &&
          deflate(&z, Z_FINISH) == Z_STREAM_END);
    gz_n = z.total_out;
    deflateEnd(&z);
    for (unsigned i = 0; i < COUNT_OF(steps); i++) {
        AUTO_FREE(measure) struct measure *m = measure_new(NULL);
        CHECK_OK(feed(m, OCI_TAR, buf_of(tar, n), steps[i], &err), err);
        CHECK(measure_sum(m).bytes == 703 && measure_sum(m).inodes == 1 + 4 + 2);
        CHECK_OK(feed(m, OCI_TAR_GZIP, buf_of(gz, gz_n), steps[i], &err), err);
        CHECK(measure_sum(m).bytes == 1406); /* both layers are stored before one hides the other */
        CHECK(measure_sum(m).inodes == 1 + 8 + 2);
    }
}

#ifdef WITH_ZSTD
TEST(counts_zstd_in_any_pieces)
{
    static const uint8_t head[] = {0x28, 0xb5, 0x2f, 0xfd, 0, 0x38}; /* no size, window of 128 KiB */
    static const size_t steps[] = {1, 3, 7, 511, 100000};
    uint8_t z[17 * BLOCK];
    struct err err = ERR_INIT;
    size_t n = make_tar(z + sizeof(head) + 3), block = n << 3 | 1; /* one raw block, the last */

    memcpy(z, head, sizeof(head));
    for (unsigned i = 0; i < 3; i++)
        z[sizeof(head) + i] = (uint8_t)(block >> (8 * i));
    n += sizeof(head) + 3;
    for (unsigned i = 0; i < COUNT_OF(steps); i++) {
        AUTO_FREE(measure) struct measure *m = measure_new(NULL);
        CHECK_OK(feed(m, OCI_TAR_ZSTD, buf_of(z, n), steps[i], &err), err);
        CHECK(measure_sum(m).bytes == 703 && measure_sum(m).inodes == 1 + 4 + 2);
        CHECK_ERR(feed(m, OCI_TAR_ZSTD, buf_of(z, n - 1), steps[i], &err), ERR_INVALID, err);
    }
}
#endif

TEST(refuses_what_a_device_refuses)
{
    uint8_t tar[16 * BLOCK];
    size_t n = make_tar(tar);
    struct err err = ERR_INIT;
    AUTO_FREE(measure) struct measure *m = measure_new(NULL);

#ifdef WITH_ZSTD
    CHECK_ERR(feed(m, OCI_TAR_ZSTD, buf_of(tar, n), n, &err), ERR_INVALID, err);
#else
    CHECK_ERR(feed(m, OCI_TAR_ZSTD, buf_of(tar, n), n, &err), ERR_UNSUPPORTED, err);
#endif
    CHECK_ERR(feed(m, OCI_TAR_GZIP, buf_of(tar, n), n, &err), ERR_INVALID, err);
    CHECK_ERR(feed(m, OCI_TAR, buf_of(tar, BLOCK + 100), n, &err), ERR_INVALID, err);
    tar[0] = 'z'; /* the checksum is wrong now */
    CHECK_ERR(feed(m, OCI_TAR, buf_of(tar, n), n, &err), ERR_INVALID, err);
    n = put(tar, "../out", '0', 0);
    memset(tar + n, 0, 2 * BLOCK);
    CHECK_ERR(feed(m, OCI_TAR, buf_of(tar, n + 2 * BLOCK), n, &err), ERR_INVALID, err);
}

TEST_MAIN
