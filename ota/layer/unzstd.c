#include "ota/layer/unzstd.h"

#include "platform/limits.h"

#ifdef WITH_ZSTD
#include <zstd.h>
#include <zstd_errors.h>

#define MAGIC_BYTES 4

_Static_assert(LIM_ZSTD_WINDOW == 1 << LIM_ZSTD_WINDOW_LOG, "the same limit, as the library wants it");

struct unzstd {
    ZSTD_DStream *z;
    unsigned n_magic; /* bytes of the next frame's magic number read so far; MAGIC_BYTES: inside a frame */
    uint8_t magic[MAGIC_BYTES];
    bool any; /* at least one frame has ended */
};

int unzstd_new(struct unzstd **ret, struct err *err)
{
    struct unzstd *z = mem_need_zero(sizeof(*z));

    z->z = ZSTD_createDStream();
    if (!z->z || ZSTD_isError(ZSTD_DCtx_setParameter(z->z, ZSTD_d_windowLogMax, LIM_ZSTD_WINDOW_LOG))) {
        (void)unzstd_free(z);
        return err_set(err, ERR_NOMEM, "no memory for zstd");
    }
    *ret = z;
    return 0;
}

struct unzstd *unzstd_free(struct unzstd *z)
{
    if (z)
        (void)ZSTD_freeDStream(z->z);
    free(z);
    return NULL;
}

static int decode(struct unzstd *z, ZSTD_inBuffer *in, ZSTD_outBuffer *out, struct err *err)
{
    size_t r = ZSTD_decompressStream(z->z, out, in);

    if (!ZSTD_isError(r)) {
        if (r == 0) {
            z->n_magic = 0;
            z->any = true;
        }
        return 0;
    }
    switch (ZSTD_getErrorCode(r)) {
    case ZSTD_error_frameParameter_windowTooLarge:
        return err_set(err, ERR_UNSUPPORTED, "zstd: a window above %d MiB: pack the image at a lower level",
                       LIM_ZSTD_WINDOW >> 20);
    case ZSTD_error_memory_allocation:
        return err_set(err, ERR_NOMEM, "no memory for zstd");
    default:
        return err_set(err, ERR_INVALID, "zstd: %s", ZSTD_getErrorName(r));
    }
}

/* The library may support older formats, whose decoders are no longer maintained: we decide which frames may
 * begin. */
static int begin_frame(struct unzstd *z, struct buf *in, ZSTD_outBuffer *out, struct err *err)
{
    while (z->n_magic < MAGIC_BYTES && in->len > 0) {
        z->magic[z->n_magic++] = in->p[0];
        in->p++;
        in->len--;
    }
    if (z->n_magic < MAGIC_BYTES)
        return 0;
    uint32_t magic = (uint32_t)z->magic[0] | (uint32_t)z->magic[1] << 8 | (uint32_t)z->magic[2] << 16 |
                     (uint32_t)z->magic[3] << 24;
    if (magic != ZSTD_MAGICNUMBER && (magic & ZSTD_MAGIC_SKIPPABLE_MASK) != ZSTD_MAGIC_SKIPPABLE_START)
        return err_set(err, ERR_INVALID, z->any ? "zstd: garbage behind the end" : "zstd: not this format");
    ZSTD_inBuffer first = {z->magic, MAGIC_BYTES, 0};
    return decode(z, &first, out, err);
}

int unzstd_step(struct unzstd *z, struct buf *in, void *dst, size_t size, size_t *ret_len, struct err *err)
{
    ZSTD_outBuffer out = {dst, size, 0};
    int rc = 0;

    while (rc == 0 && out.pos < size) {
        size_t had = in->len, room = out.pos;
        if (z->n_magic < MAGIC_BYTES) {
            rc = begin_frame(z, in, &out, err);
        } else {
            ZSTD_inBuffer some = {in->p, in->len, 0};
            rc = decode(z, &some, &out, err);
            in->p += some.pos;
            in->len -= some.pos;
        }
        if (in->len == had && out.pos == room)
            break; /* no progress: more input is needed */
    }
    if (rc == 0)
        *ret_len = out.pos;
    return rc;
}

int unzstd_end(const struct unzstd *z, struct err *err)
{
    return z->any && z->n_magic == 0 ? 0 : err_set(err, ERR_INVALID, "zstd: cut off");
}
#else
int unzstd_new(struct unzstd **ret, struct err *err)
{
    (void)ret;
    return err_set(err, ERR_UNSUPPORTED,
                   "a zstd layer: built without libzstd, push the image with gzip layers");
}

struct unzstd *unzstd_free(struct unzstd *z)
{
    (void)z; /* there is none */
    return NULL;
}

int unzstd_step(struct unzstd *z, struct buf *in, void *dst, size_t size, size_t *ret_len, struct err *err)
{
    (void)z, (void)in, (void)dst, (void)size, (void)ret_len;
    return err_set(err, ERR_UNSUPPORTED, "built without libzstd");
}

int unzstd_end(const struct unzstd *z, struct err *err)
{
    return unzstd_step((struct unzstd *)(uintptr_t)z, NULL, NULL, 0, NULL, err);
}
#endif
