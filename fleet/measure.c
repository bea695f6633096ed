#include "fleet/measure.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "platform/limits.h"

#define BLOCK 512
#define CHUNK 32768

struct measure {
    bool gzip, ended; /* ended: two zero blocks or gzip's trailer came */
    z_stream z;
    bool z_ready, z_end;
    struct sha256 *hash;
    uint8_t block[BLOCK]; /* the header being filled */
    size_t filled;
    uint64_t skip;     /* bytes of the entry's body and padding still to pass */
    uint64_t pax_size; /* "size" of a pax header for the next entry */
    bool has_pax_size;
    char *pax; /* body of a pax header being gathered */
    size_t pax_len, pax_left;
    struct measure_sum sum;
};

int measure_new(enum oci_codec codec, struct measure **ret, struct err *err)
{
    struct measure *m;

    if (codec == OCI_TAR_ZSTD)
        return err_set(err, ERR_UNSUPPORTED, "zstd layers: push the image with gzip layers");
    m = mem_need_zero(sizeof(*m));
    m->gzip = codec == OCI_TAR_GZIP;
    m->hash = sha256_new();
    if (m->gzip && inflateInit2(&m->z, 15 + 16) != Z_OK) {
        measure_free(m);
        return err_set(err, ERR_NOMEM, "no memory to unpack");
    }
    m->z_ready = m->gzip;
    *ret = m;
    return 0;
}

struct measure *measure_free(struct measure *m)
{
    if (!m)
        return NULL;
    if (m->z_ready)
        inflateEnd(&m->z);
    sha256_free(m->hash);
    free(m->pax);
    free(m);
    return NULL;
}

/* Octal with blanks or NULs around it, or base-256 when the top bit is set. */
static bool number(const uint8_t *p, size_t len, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;

    if (p[0] & 0x80) {
        for (i = len - 8; i < len; i++)
            v = v << 8 | p[i];
        *ret = v;
        return true;
    }
    while (i < len && p[i] == ' ')
        i++;
    for (; i < len && p[i] >= '0' && p[i] <= '7'; i++)
        v = v << 3 | (uint64_t)(p[i] - '0');
    *ret = v;
    return i == len || p[i] == 0 || p[i] == ' ';
}

static bool sum_is_right(const uint8_t *h)
{
    uint64_t want = 0, got = 0;

    for (unsigned i = 0; i < BLOCK; i++)
        got += i >= 148 && i < 156 ? ' ' : h[i];
    return number(h + 148, 8, &want) && want == got;
}

static bool all_zero(const uint8_t *h)
{
    for (unsigned i = 0; i < BLOCK; i++)
        if (h[i])
            return false;
    return true;
}

static uint64_t padded(uint64_t size)
{
    return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static int count_entry(struct measure *m, char type, uint64_t size, struct err *err)
{
    bool is_file = type == '0' || type == 0 || type == '7';

    m->sum.inodes++;
    if (is_file)
        m->sum.bytes += size;
    if (m->sum.bytes > LIM_IMAGE_BYTES || m->sum.inodes > LIM_IMAGE_INODES)
        return err_set(err, ERR_NOSPACE, "layer unpacks to more than %llu bytes or %llu entries",
                       LIM_IMAGE_BYTES, LIM_IMAGE_INODES);
    return 0;
}

/* A whole header stands in m->block. */
static int read_header(struct measure *m, struct err *err)
{
    uint64_t size = 0;
    char type = (char)m->block[156];

    if (all_zero(m->block)) {
        m->ended = true;
        return 0;
    }
    if (m->ended || !sum_is_right(m->block) || !number(m->block + 124, 12, &size))
        return err_set(err, ERR_INVALID, "damaged tar");
    if (size > LIM_IMAGE_BYTES)
        return err_set(err, ERR_NOSPACE, "entry of %llu bytes", (unsigned long long)size);
    if (type == 'x') {
        if (size > 65536)
            return err_set(err, ERR_INVALID, "pax header of %llu bytes", (unsigned long long)size);
        free(m->pax);
        m->pax = mem_need((size_t)size + 1);
        m->pax_len = 0;
        m->pax_left = (size_t)size;
        m->skip = padded(size);
        return 0;
    }
    if (type == 'g' || type == 'L' || type == 'K') {
        m->skip = padded(size);
        return 0;
    }
    if (m->has_pax_size)
        size = m->pax_size;
    m->has_pax_size = false;
    /* links, devices and folders have no body, whatever their size field says */
    m->skip = type >= '1' && type <= '6' ? 0 : padded(size);
    return count_entry(m, type, size, err);
}

/* "LEN key=value\n" records: only size matters here. */
static void read_pax(struct measure *m)
{
    char *p = m->pax;

    m->pax[m->pax_len] = 0;
    while (*p) {
        char *end, *line = p, *key;
        unsigned long len = strtoul(p, &end, 10);
        if (*end != ' ' || len == 0 || len > m->pax_len - (size_t)(line - m->pax))
            break;
        key = end + 1;
        p = line + len;
        if (strncmp(key, "size=", 5) == 0) {
            p[-1] = 0;
            m->has_pax_size = str_u64(key + 5, 0, LIM_IMAGE_BYTES, &m->pax_size);
        }
    }
    free(m->pax);
    m->pax = NULL;
}

static void pass_body(struct measure *m, const uint8_t *p, size_t n)
{
    m->skip -= n;
    if (!m->pax)
        return;
    n = n < m->pax_left ? n : m->pax_left;
    if (n)
        memcpy(m->pax + m->pax_len, p, n);
    m->pax_len += n;
    m->pax_left -= n;
    if (m->pax_left == 0)
        read_pax(m);
}

/* Bytes of the tar itself. */
static int add_tar(struct measure *m, const uint8_t *p, size_t len, struct err *err)
{
    if (sha256_add(m->hash, buf_of(p, len), err) < 0)
        return -(int)err->kind;
    while (len) {
        size_t n = len;
        if (m->skip) {
            n = m->skip < n ? (size_t)m->skip : n;
            pass_body(m, p, n);
        } else {
            n = BLOCK - m->filled < n ? BLOCK - m->filled : n;
            memcpy(m->block + m->filled, p, n);
            m->filled += n;
            if (m->filled == BLOCK) {
                m->filled = 0;
                if (read_header(m, err) < 0)
                    return -(int)err->kind;
            }
        }
        p += n;
        len -= n;
    }
    return 0;
}

int measure_add(struct measure *m, struct buf bytes, struct err *err)
{
    uint8_t out[CHUNK];
    int rc = Z_OK;

    if (!m->gzip)
        return add_tar(m, bytes.p, bytes.len, err);
    m->z.next_in = (Bytef *)bytes.p;
    m->z.avail_in = (uInt)bytes.len;
    while (m->z.avail_in > 0 || m->z.avail_out == 0) {
        if (m->z_end && m->z.avail_in > 0) { /* gzip files may be several members */
            if (inflateReset(&m->z) != Z_OK)
                return err_set(err, ERR_INVALID, "damaged gzip");
            m->z_end = false;
        }
        m->z.next_out = out;
        m->z.avail_out = CHUNK;
        rc = inflate(&m->z, Z_NO_FLUSH);
        if (rc == Z_BUF_ERROR && m->z.avail_in == 0)
            break;
        if (rc != Z_OK && rc != Z_STREAM_END)
            return err_set(err, ERR_INVALID, "damaged gzip");
        if (add_tar(m, out, CHUNK - m->z.avail_out, err) < 0)
            return -(int)err->kind;
        m->z_end = rc == Z_STREAM_END;
        if (m->z_end && m->z.avail_in == 0)
            break;
    }
    return 0;
}

int measure_end(struct measure *m, struct measure_sum *ret, struct err *err)
{
    if ((m->gzip && !m->z_end) || m->skip || m->filled)
        return err_set(err, ERR_INVALID, "the layer ends too early");
    if (sha256_end(m->hash, &m->sum.diff_id, err) < 0)
        return -(int)err->kind;
    *ret = m->sum;
    return 0;
}
