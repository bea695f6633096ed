#include "ota/layer/gunzip.h"

#include <limits.h>
#include <zlib.h>

#define GZIP_ONLY (16 + 15) /* zlib: gzip header required, 32 KiB window */

struct gunzip {
    z_stream z;
    bool between; /* a member has ended and the next has not begun */
    bool any;     /* at least one has ended */
};

int gunzip_new(struct gunzip **ret, struct err *err)
{
    struct gunzip *g = mem_need_zero(sizeof(*g));

    if (inflateInit2(&g->z, GZIP_ONLY) != Z_OK) {
        free(g);
        return err_set(err, ERR_NOMEM, "no memory for zlib");
    }
    *ret = g;
    return 0;
}

struct gunzip *gunzip_free(struct gunzip *g)
{
    if (g)
        (void)inflateEnd(&g->z);
    free(g);
    return NULL;
}

static int inflate_some(struct gunzip *g, struct buf *in, struct err *err)
{
    g->z.next_in = (Bytef *)(uintptr_t)in->p;
    g->z.avail_in = in->len < UINT_MAX ? (uInt)in->len : UINT_MAX;
    int z = inflate(&g->z, Z_NO_FLUSH);
    size_t used = (size_t)(g->z.next_in - in->p);
    in->p += used;
    in->len -= used;
    if (z == Z_STREAM_END) {
        g->between = g->any = true;
        return 0;
    }
    if (z == Z_OK || z == Z_BUF_ERROR)
        return 0;
    return err_set(err, z == Z_MEM_ERROR ? ERR_NOMEM : ERR_INVALID, "gzip: %s",
                   g->z.msg ? g->z.msg : "damaged");
}

int gunzip_step(struct gunzip *g, struct buf *in, void *dst, size_t size, size_t *ret_len, struct err *err)
{
    int rc = 0;

    g->z.next_out = dst;
    g->z.avail_out = (uInt)size;
    while (rc == 0 && g->z.avail_out > 0) {
        if (g->between && in->len > 0) {
            if (in->p[0] != 0x1f)
                return err_set(err, ERR_INVALID, "gzip: trailing garbage");
            (void)inflateReset(&g->z);
            g->between = false;
        }
        uInt room = g->z.avail_out;
        size_t had = in->len;
        rc = g->between ? 0 : inflate_some(g, in, err);
        if (in->len == had && g->z.avail_out == room)
            break; /* no progress: more input is needed */
    }
    if (rc == 0)
        *ret_len = size - g->z.avail_out;
    return rc;
}

int gunzip_end(const struct gunzip *g, struct err *err)
{
    return g->any && g->between ? 0 : err_set(err, ERR_INVALID, "gzip: cut off");
}
