#include "ota/layer/layer.h"

#include <errno.h>
#include <inttypes.h>

#include "ota/layer/gunzip.h"
#include "ota/layer/untar.h"
#include "ota/layer/unzstd.h"

#define PIECE_BYTES (64 * 1024)

struct reader {
    const struct layer_calls *calls;
    struct untar *untar;
    struct sha256 *hash;
    struct gunzip *gunzip; /* both NULL: plain tar */
    struct unzstd *unzstd;
    uint64_t tar_bytes, max_tar_bytes;
    uint8_t packed[PIECE_BYTES], plain[PIECE_BYTES];
};

static struct reader *reader_free(struct reader *r)
{
    if (r) {
        (void)untar_free(r->untar);
        (void)sha256_free(r->hash);
        (void)gunzip_free(r->gunzip);
        (void)unzstd_free(r->unzstd);
    }
    free(r);
    return NULL;
}
DEFINE_AUTO(reader)

static int take_tar(struct reader *r, struct buf in, struct err *err)
{
    r->tar_bytes += in.len;
    if (r->tar_bytes > r->max_tar_bytes)
        return err_set(err, ERR_INVALID, "the layer unpacks to more than %" PRIu64 " bytes",
                       r->max_tar_bytes);
    int rc = sha256_add(r->hash, in, err);
    while (rc >= 0) {
        struct buf bytes = {0};
        rc = untar_step(r->untar, &in, &bytes, err);
        if (rc == UNTAR_NEED)
            return 0;
        if (rc == UNTAR_ENTRY)
            rc = r->calls->on_entry(r->calls->arg, untar_entry(r->untar), err);
        else if (rc == UNTAR_BYTES)
            rc = r->calls->on_bytes(r->calls->arg, bytes, err);
    }
    return rc;
}

static int take_packed(struct reader *r, struct buf in, struct err *err)
{
    size_t len = sizeof(r->plain);
    int rc = 0;

    if (!r->gunzip && !r->unzstd)
        return take_tar(r, in, err);
    while (rc == 0 && len == sizeof(r->plain)) {
        rc = r->gunzip ? gunzip_step(r->gunzip, &in, r->plain, sizeof(r->plain), &len, err)
                       : unzstd_step(r->unzstd, &in, r->plain, sizeof(r->plain), &len, err);
        if (rc == 0 && len > 0)
            rc = take_tar(r, buf_of(r->plain, len), err);
    }
    return rc;
}

static int read_all(struct reader *r, int fd, struct err *err)
{
    for (;;) {
        ssize_t n = read(fd, r->packed, sizeof(r->packed));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "read layer");
        if (n == 0)
            return 0;
        int rc = take_packed(r, buf_of(r->packed, (size_t)n), err);
        if (rc < 0)
            return rc;
    }
}

int layer_read(int fd, enum oci_codec codec, uint64_t max_tar_bytes, const struct layer_calls *calls,
               struct digest *ret_diff_id, uint64_t *ret_tar_bytes, struct err *err)
{
    AUTO_FREE(reader) struct reader *r = mem_need_zero(sizeof(*r));
    int rc = 0;

    r->calls = calls;
    r->max_tar_bytes = max_tar_bytes;
    r->untar = untar_new();
    r->hash = sha256_new();
    if (codec == OCI_TAR_GZIP)
        rc = gunzip_new(&r->gunzip, err);
    else if (codec == OCI_TAR_ZSTD)
        rc = unzstd_new(&r->unzstd, err);
    if (rc == 0)
        rc = read_all(r, fd, err);
    if (rc == 0 && r->gunzip)
        rc = gunzip_end(r->gunzip, err);
    if (rc == 0 && r->unzstd)
        rc = unzstd_end(r->unzstd, err);
    if (rc == 0)
        rc = untar_end(r->untar, err);
    if (rc == 0)
        rc = sha256_end(r->hash, ret_diff_id, err);
    if (rc == 0)
        *ret_tar_bytes = r->tar_bytes;
    return rc;
}
