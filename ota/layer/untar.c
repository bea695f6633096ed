#include "ota/layer/untar.h"

#include <inttypes.h>

#define BLOCK     512
#define SIZE_MAX_ ((uint64_t)1 << 62)

/* Fields of a tar header (POSIX.1-2017, pax, "ustar Interchange Format"). */
enum {
    AT_NAME = 0,
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_SUM = 148,
    AT_TYPE = 156,
    AT_LINK = 157,
    AT_MAGIC = 257,
    AT_PREFIX = 345
};
enum { N_NAME = 100, N_ID = 8, N_SIZE = 12, N_PREFIX = 155 };

/* What extension headers set for the next entry. */
struct pending {
    bool has_path, has_link, has_size, has_uid, has_gid, had_xattr;
    char path[LIM_PATH_BYTES], link[LIM_PATH_BYTES];
    uint64_t size, uid, gid;
};

enum state { HEAD, META, DATA, PAD, ZEROS };

struct untar {
    enum state state;
    uint8_t block[BLOCK];
    size_t have; /* bytes of block */
    uint8_t *meta;
    size_t meta_len, meta_have;
    char meta_type;
    uint64_t left; /* bytes of content */
    unsigned pad;  /* bytes to the next block */
    struct pending next;
    struct entry entry;
};

struct untar *untar_new(void)
{
    return mem_need_zero(sizeof(struct untar));
}

struct untar *untar_free(struct untar *u)
{
    if (u)
        free(u->meta);
    free(u);
    return NULL;
}

const struct entry *untar_entry(const struct untar *u)
{
    return &u->entry;
}

static struct buf take(struct buf *in, uint64_t max)
{
    struct buf out = buf_of(in->p, in->len < max ? in->len : (size_t)max);

    in->p += out.len;
    in->len -= out.len;
    return out;
}

static int refuse(const struct untar *u, struct err *err, enum err_kind kind, const char *why)
{
    char shown[120];

    return err_set(err, kind, "%s: %s", entry_printable(u->entry.path, shown, sizeof(shown)), why);
}

/* ---- numbers ---- */

/* Octal text, or base-256 if the high bit of the first byte is set. False: neither, or negative, or too
 * large. */
static bool number(const uint8_t *p, unsigned n, uint64_t *ret)
{
    uint64_t v = 0;
    unsigned i = 0;

    if (p[0] & 0x80) {
        for (v = p[0] & 0x7f, i = 1; i < n; i++) {
            if (v >> 54)
                return false;
            v = v << 8 | p[i];
        }
        *ret = v;
        return p[0] == 0x80;
    }
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++) /* 12 digits are 36 bits */
        v = v << 3 | (uint64_t)(p[i] - '0');
    for (; i < n; i++)
        if (p[i] != ' ' && p[i] != '\0')
            return false;
    *ret = v;
    return true;
}

static bool sum_is_right(const uint8_t *b)
{
    uint64_t want = 0;
    uint32_t plain = 0;
    int32_t with_sign = 0; /* as written by some old tars */

    for (unsigned i = 0; i < BLOCK; i++) {
        uint8_t c = i >= AT_SUM && i < AT_SUM + 8 ? ' ' : b[i];
        plain += c;
        with_sign += (int8_t)c;
    }
    return number(b + AT_SUM, 8, &want) && (want == plain || (with_sign >= 0 && want == (uint64_t)with_sign));
}

/* ---- extension headers ---- */

/* Decimal text of a pax record. */
static bool decimal(struct buf v, uint64_t *ret)
{
    char text[24];

    if (v.len == 0 || v.len >= sizeof(text))
        return false;
    memcpy(text, v.p, v.len);
    text[v.len] = '\0';
    return strlen(text) == v.len && str_u64(text, 0, SIZE_MAX_, ret);
}

static bool pax_text(struct buf v, char *dst, bool *has)
{
    if (v.len >= LIM_PATH_BYTES || (v.len > 0 && memchr(v.p, 0, v.len)))
        return false;
    if (v.len > 0)
        memcpy(dst, v.p, v.len);
    dst[v.len] = '\0';
    *has = v.len > 0; /* an empty value deletes the record */
    return true;
}

static bool pax_number(struct buf v, uint64_t *dst, bool *has)
{
    *has = v.len > 0;
    return v.len == 0 || decimal(v, dst);
}

static bool starts(struct buf key, const char *with)
{
    size_t n = strlen(with);

    return key.len >= n && memcmp(key.p, with, n) == 0;
}

/* One "key=value". Unknown keys are only descriptive (times, names, comments): ignored. */
static int pax_record(struct pending *x, struct buf key, struct buf value, struct err *err)
{
    bool fine = true;

    if (starts(key, "GNU.sparse."))
        return err_set(err, ERR_UNSUPPORTED, "pax header: sparse file");
    if (starts(key, "SCHILY.xattr.") || starts(key, "LIBARCHIVE.xattr."))
        x->had_xattr = true;
    else if (buf_eq(key, BUF_LIT("path")))
        fine = pax_text(value, x->path, &x->has_path);
    else if (buf_eq(key, BUF_LIT("linkpath")))
        fine = pax_text(value, x->link, &x->has_link);
    else if (buf_eq(key, BUF_LIT("size")))
        fine = pax_number(value, &x->size, &x->has_size);
    else if (buf_eq(key, BUF_LIT("uid")))
        fine = pax_number(value, &x->uid, &x->has_uid);
    else if (buf_eq(key, BUF_LIT("gid")))
        fine = pax_number(value, &x->gid, &x->has_gid);
    if (!fine && (buf_eq(key, BUF_LIT("path")) || buf_eq(key, BUF_LIT("linkpath"))))
        return err_set(err, ERR_INVALID,
                       "pax header: a %.*s of %zu bytes, or with a NUL; at most %d are taken", (int)key.len,
                       key.p, value.len, LIM_PATH_BYTES - 1);
    return fine ? 0
                : err_set(err, ERR_INVALID, "pax header: %.*s is not a valid number", (int)key.len, key.p);
}

/* "LEN key=value
 * ", LEN counts all of it. Takes one record from the front. */
static int pax_next(struct buf *in, struct pending *x, struct err *err)
{
    size_t len = 0, digits = 0;

    while (digits < in->len && digits < 7 && in->p[digits] >= '0' && in->p[digits] <= '9')
        len = len * 10 + (size_t)(in->p[digits++] - '0');
    if (digits == 0 || digits >= in->len || in->p[digits] != ' ' || len > in->len || len < digits + 4 ||
        in->p[len - 1] != '\n')
        return err_set(err, ERR_INVALID, "pax header: a record's length is wrong");
    struct buf body = buf_of(in->p + digits + 1, len - digits - 2);
    const uint8_t *eq = memchr(body.p, '=', body.len);
    if (!eq || eq == body.p)
        return err_set(err, ERR_INVALID, "pax header: missing key");
    size_t key_len = (size_t)(eq - body.p);
    (void)take(in, len);
    return pax_record(x, buf_of(body.p, key_len), buf_of(eq + 1, body.len - key_len - 1), err);
}

static int pax_read(struct buf in, struct pending *x, struct err *err)
{
    while (in.len > 0) {
        int rc = pax_next(&in, x, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* A global header would change every later entry: only descriptive keys are accepted. */
static int pax_read_global(struct buf in, struct err *err)
{
    struct pending x = {0};
    int rc = pax_read(in, &x, err);

    if (rc == 0 && (x.has_path || x.has_link || x.has_size || x.has_uid || x.has_gid))
        return err_set(err, ERR_UNSUPPORTED, "global pax header that renames or resizes");
    return rc;
}

static int gnu_long(struct buf in, char *dst, bool *has, struct err *err)
{
    while (in.len > 0 && in.p[in.len - 1] == '\0')
        in.len--;
    if (!pax_text(in, dst, has) || !*has)
        return err_set(err, ERR_INVALID, "GNU long name: empty, too long, or NUL in it");
    return 0;
}

static int meta_done(struct untar *u, struct err *err)
{
    struct buf all = buf_of(u->meta, u->meta_len);

    switch (u->meta_type) {
    case 'x':
        return pax_read(all, &u->next, err);
    case 'g':
        return pax_read_global(all, err);
    case 'L':
        return gnu_long(all, u->next.path, &u->next.has_path, err);
    default:
        return gnu_long(all, u->next.link, &u->next.has_link, err);
    }
}

/* ---- headers ---- */

static void copy_field(const uint8_t *p, size_t n, char *dst)
{
    size_t len = strnlen((const char *)p, n);

    memcpy(dst, p, len);
    dst[len] = '\0';
}

static void header_path(const uint8_t *b, char *dst)
{
    bool posix = memcmp(b + AT_MAGIC,
                        "ustar\0"
                        "00",
                        8) == 0;
    size_t n = 0;

    if (posix && b[AT_PREFIX] != '\0') {
        copy_field(b + AT_PREFIX, N_PREFIX, dst);
        n = strlen(dst);
        dst[n++] = '/';
    }
    copy_field(b + AT_NAME, N_NAME, dst + n);
}

static int begin_meta(struct untar *u, char type, uint64_t size, struct err *err)
{
    if (size == 0 || size > UNTAR_META_BYTES)
        return err_set(err, ERR_INVALID, "extension header of %" PRIu64 " bytes, at most %d", size,
                       UNTAR_META_BYTES);
    free(u->meta);
    u->meta = mem_need((size_t)size);
    u->meta_len = (size_t)size;
    u->meta_have = 0;
    u->meta_type = type;
    u->pad = (unsigned)((BLOCK - size % BLOCK) % BLOCK);
    u->state = META;
    return 0;
}

static bool below_dev(const char *path)
{
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    return strncmp(path, "dev/", 4) == 0;
}

static int kind_of(const struct untar *u, char type, struct err *err)
{
    size_t len = strlen(u->entry.path);

    switch (type) {
    case '\0':
        return len > 0 && u->entry.path[len - 1] == '/' ? ENTRY_DIR : ENTRY_FILE;
    case '0':
    case '7':
        return ENTRY_FILE;
    case '1':
        return ENTRY_HARDLINK;
    case '2':
        return ENTRY_SYMLINK;
    case '5':
        return ENTRY_DIR;
    case '3':
    case '4':
    case '6': /* the box mounts its own /dev over these */
        if (below_dev(u->entry.path))
            return ENTRY_SKIPPED;
        return refuse(u, err, ERR_INVALID, type == '6' ? "a FIFO" : "a device node");
    case 'S':
        return refuse(u, err, ERR_UNSUPPORTED, "a sparse file");
    default:
        return err_set(err, ERR_UNSUPPORTED, "tar entry of type 0x%02x", (unsigned char)type);
    }
}

/* Names, owner and size: from the extension headers, else from the header. */
static int fill_entry(struct untar *u, uint64_t size, struct err *err)
{
    const uint8_t *b = u->block;
    const struct pending *x = &u->next;
    struct entry *e = &u->entry;
    uint64_t mode = 0, uid = x->uid, gid = x->gid;

    *e = (struct entry){.flags = x->had_xattr ? ENTRY_HAD_XATTR : 0};
    if (x->has_path)
        (void)str_copy(e->path, sizeof(e->path), x->path);
    else
        header_path(b, e->path);
    if (x->has_link)
        (void)str_copy(e->link, sizeof(e->link), x->link);
    else
        copy_field(b + AT_LINK, N_NAME, e->link);
    if (!number(b + AT_MODE, N_ID, &mode) || (!x->has_uid && !number(b + AT_UID, N_ID, &uid)) ||
        (!x->has_gid && !number(b + AT_GID, N_ID, &gid)) || uid >= UINT32_MAX || gid >= UINT32_MAX)
        return refuse(u, err, ERR_INVALID, "mode or owner is not a valid number");
    e->mode = (uint32_t)mode & ENTRY_MODE_MASK; /* some tars include the file type */
    e->uid = (uint32_t)uid;
    e->gid = (uint32_t)gid;
    e->size = x->has_size ? x->size : size;
    return 0;
}

static int begin_entry(struct untar *u, char type, uint64_t size, struct err *err)
{
    struct entry *e = &u->entry;
    int rc = fill_entry(u, size, err);

    if (rc == 0)
        rc = kind_of(u, type, err);
    if (rc < 0)
        return rc;
    e->kind = (enum entry_kind)rc;
    u->next = (struct pending){0};
    if (e->kind != ENTRY_FILE && e->size != 0)
        return refuse(u, err, ERR_INVALID, "a size on something without content");
    if (e->kind == ENTRY_FILE && e->path[0] && e->path[strlen(e->path) - 1] == '/')
        return refuse(u, err, ERR_INVALID, "a file with the name of a directory");
    if (e->kind != ENTRY_SYMLINK && e->kind != ENTRY_HARDLINK)
        e->link[0] = '\0';
    u->left = e->size;
    u->pad = (unsigned)((BLOCK - e->size % BLOCK) % BLOCK);
    u->state = DATA;
    rc = entry_classify(e, err);
    if (rc == 1) { /* its content, if any, is skipped */
        e->kind = ENTRY_SKIPPED;
        e->size = 0;
    }
    return rc < 0 ? rc : UNTAR_ENTRY;
}

static int header(struct untar *u, struct err *err)
{
    static const uint8_t zeros[BLOCK];
    uint64_t size = 0;
    char type = (char)u->block[AT_TYPE];

    u->have = 0;
    if (memcmp(u->block, zeros, BLOCK) == 0) {
        if (u->next.has_path || u->next.has_link || u->next.has_size)
            return err_set(err, ERR_INVALID, "extension header without an entry");
        u->state = ZEROS;
        return 0;
    }
    header_path(u->block, u->entry.path);
    if (!sum_is_right(u->block))
        return err_set(err, ERR_INVALID, "not a tar header (wrong checksum)");
    if (!number(u->block + AT_SIZE, N_SIZE, &size) || size > SIZE_MAX_)
        return refuse(u, err, ERR_INVALID, "size is not a valid number");
    if (type == 'x' || type == 'g' || type == 'L' || type == 'K')
        return begin_meta(u, type, size, err);
    return begin_entry(u, type, size, err);
}

/* ---- steps: each returns an event, 0 to continue, or a negative error ---- */

static int step_head(struct untar *u, struct buf *in, struct err *err)
{
    struct buf got = take(in, BLOCK - u->have);

    memcpy(u->block + u->have, got.p, got.len);
    u->have += got.len;
    return u->have == BLOCK ? header(u, err) : 0;
}

static int step_meta(struct untar *u, struct buf *in, struct err *err)
{
    struct buf got = take(in, u->meta_len - u->meta_have);

    memcpy(u->meta + u->meta_have, got.p, got.len);
    u->meta_have += got.len;
    if (u->meta_have < u->meta_len)
        return 0;
    u->state = PAD;
    return meta_done(u, err);
}

static int step_data(struct untar *u, struct buf *in, struct buf *ret_bytes)
{
    if (u->left == 0) {
        u->state = PAD;
        return 0;
    }
    struct buf got = take(in, u->left);
    u->left -= got.len;
    if (u->entry.kind != ENTRY_FILE)
        return 0;
    *ret_bytes = got;
    return UNTAR_BYTES;
}

static int step_zeros(struct buf *in, struct err *err)
{
    struct buf got = take(in, in->len);

    for (size_t i = 0; i < got.len; i++)
        if (got.p[i] != 0)
            return err_set(err, ERR_INVALID, "bytes after the end of the archive");
    return 0;
}

int untar_step(struct untar *u, struct buf *in, struct buf *ret_bytes, struct err *err)
{
    int rc = 0;

    while (rc == 0 && (in->len > 0 || (u->state == DATA && u->left == 0) || (u->state == PAD && u->pad == 0)))
        switch (u->state) {
        case HEAD:
            rc = step_head(u, in, err);
            break;
        case META:
            rc = step_meta(u, in, err);
            break;
        case DATA:
            rc = step_data(u, in, ret_bytes);
            break;
        case PAD:
            u->pad -= (unsigned)take(in, u->pad).len;
            u->state = u->pad ? PAD : HEAD;
            break;
        case ZEROS:
            rc = step_zeros(in, err);
            break;
        }
    return rc;
}

int untar_end(const struct untar *u, struct err *err)
{
    /* umoci omits the two zero blocks and the padding of the last file; the layer's diff id shows whether it
     * is complete */
    bool whole = u->state == PAD || (u->state == DATA && u->left == 0) || (u->state == HEAD && u->have == 0);
    bool between = whole && u->entry.path[0] && !u->next.has_path && !u->next.has_link && !u->next.has_size;

    return between || u->state == ZEROS ? 0 : err_set(err, ERR_INVALID, "the archive is cut off");
}
