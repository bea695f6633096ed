/* stage.c - objects before they enter the store; see pull.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

#include "ota/pull/pull.h"

#define PART "part~"

int stage_map_fd(int fd, uint64_t max, struct buf *ret, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "look at a file");
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
        return err_set(err, ERR_INVALID, "no file of at most %" PRIu64 " bytes", max);
    if (st.st_size == 0) {
        *ret = buf_of(NULL, 0);
        return 0;
    }
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_errno(err, errno, "map a file");
    *ret = buf_of(p, (size_t)st.st_size);
    return 0;
}

int stage_map(int dir_fd, const char *name, uint64_t max, struct buf *ret, struct err *err)
{
    AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? err_errno(err, errno, "open %s", name) : stage_map_fd(fd, max, ret, err);
}

void stage_unmap(struct buf *b)
{
    if (b->len)
        (void)munmap((void *)(uintptr_t)b->p, b->len);
    *b = buf_of(NULL, 0);
}

/* ---- the directory ---- */

static int check_one(void *arg, const char *name, struct err *err)
{
    struct stage *g = arg;
    char text[SHA256_TEXT];
    struct digest want, got;
    uint64_t len;

    if (strncmp(name, PART, sizeof(PART) - 1) == 0) {
        g->has_parts = true; /* checked chunk by chunk */
        return 0;
    }
    if (str_fmt(text, sizeof(text), "sha256:%.64s", name) && digest_parse(text, &want, NULL) == 0) {
        AUTO_FD int fd = openat(g->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && object_is_finished(fd, &want, name) && sha256_fd(fd, &got, &len, NULL) == 0 &&
            digest_eq(&got, &want))
            return 0;
    }
    return fs_remove_tree(g->dir_fd, name, err);
}

int stage_open(struct store *s, const struct digest *image, struct stage *ret, struct err *err)
{
    char hex[SHA256_HEX];
    int rc;

    *ret = (struct stage){.s = s, .dir_fd = -1, .fd = -1};
    rc = fs_open_dir(s->staged_fd, digest_hex(image, hex), true, 0700, &ret->dir_fd, err);
    if (rc == 0)
        rc = store_each_file(ret->dir_fd, check_one, ret, err);
    return rc < 0 ? rc : 0;
}

static void forget(struct stage *g)
{
    mem_auto_close_(&g->fd);
    g->fd = -1;
    g->hash = sha256_free(g->hash);
}

void stage_close(struct stage *g)
{
    forget(g);
    free(g->maybe);
    g->maybe = NULL;
    mem_auto_close_(&g->dir_fd);
    g->dir_fd = -1;
}

/* ---- what is certainly missing ---- */

/* One bit for the first two bytes of each digest present. */
#define MAYBE_BYTES ((1U << 16) / 8)

static void note(struct stage *g, const struct digest *d)
{
    if (g->maybe)
        g->maybe[d->b[0] * 32 + d->b[1] / 8] |= (uint8_t)(1U << d->b[1] % 8);
}

static bool maybe_here(const struct stage *g, const struct digest *d)
{
    return !g->maybe || g->maybe[d->b[0] * 32 + d->b[1] / 8] >> d->b[1] % 8 & 1;
}

static int note_name(void *arg, const char *name, struct err *err)
{
    struct digest d;
    char start[5];

    (void)err;
    (void)str_fmt(start, sizeof(start), "%.4s", name);
    if (hex_decode(start, d.b, 2))
        note(arg, &d);
    return 0;
}

static int note_folder(void *arg, const char *name, struct err *err)
{
    struct stage *g = arg;
    AUTO_FD int fd = -1;
    int rc = fs_open_dir(g->s->objects_fd, name, false, 0, &fd, err);

    return rc == 0 ? store_each_file(fd, note_name, g, err) : rc;
}

void stage_learn(struct stage *g)
{
    if (g->maybe)
        return;
    g->maybe = mem_need_zero(MAYBE_BYTES);
    if (store_each_file(g->s->objects_fd, note_folder, g, NULL) < 0 ||
        store_each_file(g->dir_fd, note_name, g, NULL) < 0)
        memset(g->maybe, 0xff, MAYBE_BYTES);
}

/* ---- objects ---- */

static char *name_of(const struct entry *e, const struct digest *d, char dst[OBJECT_NAME_BYTES])
{
    return object_name(d, object_mode(e), e->uid, e->gid, dst);
}

/* Temporary name. A small object has its own name from the start: it is written at once, and if a cut leaves
 * it incomplete the next try removes it (check_one). */
static void part_of(const struct entry *e, const struct digest *d, char dst[OBJECT_NAME_BYTES + 8])
{
    char name[OBJECT_NAME_BYTES];

    (void)str_fmt(dst, OBJECT_NAME_BYTES + 8, "%s%s", e->size > PACK_WHOLE_BYTES ? PART : "",
                  name_of(e, d, name));
}

bool stage_find(const struct stage *g, const struct entry *e, const struct digest *d, struct object_at *at)
{
    char name[OBJECT_NAME_BYTES];

    if (!maybe_here(g, d))
        return false;
    (void)object_path(name_of(e, d, name), at->path);
    at->dir_fd = g->s->objects_fd;
    if (object_exists(at->dir_fd, at->path, e->size))
        return true;
    at->dir_fd = g->dir_fd;
    (void)str_copy(at->path, sizeof(at->path), name);
    return object_exists(at->dir_fd, at->path, e->size);
}

int stage_part_fd(const struct stage *g, const struct entry *e, const struct digest *d)
{
    char part[OBJECT_NAME_BYTES + 8];

    if (!g->has_parts)
        return -1;
    part_of(e, d, part);
    return openat(g->dir_fd, part, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

static int hash_kept(struct stage *g, uint64_t kept, struct err *err)
{
    uint8_t bytes[4096];
    int rc = 0;

    for (uint64_t at = 0; rc == 0 && at < kept;) {
        size_t want = kept - at < sizeof(bytes) ? (size_t)(kept - at) : sizeof(bytes);
        ssize_t n = pread(g->fd, bytes, want, (off_t)at);
        if (n <= 0)
            return err_errno(err, n < 0 ? errno : EIO, "read a part");
        rc = sha256_add(g->hash, buf_of(bytes, (size_t)n), err);
        at += (uint64_t)n;
    }
    return rc;
}

/* Never reuse the file that a cut left there: it may have another, trusted name. Nor truncate one, which
 * makes ext4 write it out as soon as it is closed. */
int stage_create(const struct stage *g, const char *name, mode_t mode, int *ret_fd, struct err *err)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(g->dir_fd, name, flags, mode);

    if (fd < 0 && errno == EEXIST && unlinkat(g->dir_fd, name, 0) == 0)
        fd = openat(g->dir_fd, name, flags, mode);
    if (fd < 0)
        return err_errno(err, errno, "create %s", name);
    *ret_fd = fd;
    return 0;
}

int stage_begin(struct stage *g, const struct entry *e, const struct digest *d, uint64_t kept,
                struct err *err)
{
    char part[OBJECT_NAME_BYTES + 8];

    /* a tree may name one content for many owners, each of which is another file */
    if (kept > e->size || e->size - kept > g->max_bytes - g->written)
        return err_set(err, ERR_INVALID,
                       "the image's files are more than the %" PRIu64 " bytes that were signed",
                       g->max_bytes);
    int rc = store_take_space(g->s, e->size - kept, 1, err);
    if (rc < 0)
        return rc;
    forget(g);
    part_of(e, d, part);
    if (kept == 0)
        rc = stage_create(g, part, object_mode(e) | 0600, &g->fd, err);
    else if ((g->fd = openat(g->dir_fd, part, O_RDWR | O_NOFOLLOW | O_CLOEXEC)) < 0 ||
             ftruncate(g->fd, (off_t)kept) < 0 || lseek(g->fd, (off_t)kept, SEEK_SET) < 0)
        rc = err_errno(err, errno, "resume an object");
    if (rc < 0)
        return rc;
    g->entry = *e;
    g->digest = *d;
    g->left = e->size - kept;
    g->hash = sha256_new();
    return hash_kept(g, kept, err);
}

int stage_add(struct stage *g, struct buf bytes, struct err *err)
{
    if (bytes.len > g->left)
        return err_set(err, ERR_INVALID, "more bytes than the tree says");
    g->left -= bytes.len;
    g->written += bytes.len;
    int rc = sha256_add(g->hash, bytes, err);
    return rc < 0 ? rc : fs_write_full(g->fd, bytes, err);
}

int stage_end(struct stage *g, struct err *err)
{
    char part[OBJECT_NAME_BYTES + 8], name[OBJECT_NAME_BYTES], shown[120];
    struct digest got;
    int rc = g->left ? err_set(err, ERR_INVALID, "fewer bytes than the tree says")
                     : sha256_end(g->hash, &got, err);

    part_of(&g->entry, &g->digest, part);
    if (rc == 0 && !digest_eq(&got, &g->digest)) {
        (void)unlinkat(g->dir_fd, part, 0);
        rc = err_set(err, ERR_INTEGRITY, "%s: the bytes are not what the tree says",
                     entry_printable(g->entry.path, shown, sizeof(shown)));
    }
    if (rc == 0)
        rc = object_finish(g->fd, &g->entry, err);
    (void)name_of(&g->entry, &g->digest, name);
    if (rc == 0 && strcmp(part, name) != 0 && renameat(g->dir_fd, part, g->dir_fd, name) < 0)
        rc = err_errno(err, errno, "keep object");
    if (rc == 0)
        note(g, &g->digest);
    forget(g);
    return rc;
}

/* ---- the same content under another mode or owner ---- */

struct search {
    const char *hex;
    char found[OBJECT_NAME_BYTES];
};

static int match(void *arg, const char *name, struct err *err)
{
    struct search *s = arg;

    (void)err;
    if (strncmp(name, s->hex, 64) == 0)
        (void)str_copy(s->found, sizeof(s->found), name);
    return 0;
}

/* Find any object with this content. */
static int find_content(struct stage *g, const struct digest *d, int *ret_fd, struct err *err)
{
    char hex[SHA256_HEX], directory[3];
    struct search s = {.hex = digest_hex(d, hex), .found = ""};
    AUTO_FD int dir = -1;
    int rc = store_each_file(g->dir_fd, match, &s, err);

    if (rc == 0 && s.found[0]) {
        *ret_fd = openat(g->dir_fd, s.found, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        return *ret_fd < 0 ? err_errno(err, errno, "open object") : 0;
    }
    (void)str_fmt(directory, sizeof(directory), "%.2s", hex);
    if (rc == 0 && fs_open_dir(g->s->objects_fd, directory, false, 0, &dir, NULL) == 0)
        rc = store_each_file(dir, match, &s, err);
    if (rc == 0 && !s.found[0])
        rc = err_set(err, ERR_NOTFOUND, "object %.12s is missing", hex);
    if (rc == 0)
        *ret_fd = openat(dir, s.found, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return rc < 0 ? rc : *ret_fd < 0 ? err_errno(err, errno, "open object") : 0;
}

bool stage_has_content(const struct stage *g, const struct digest *d)
{
    char hex[SHA256_HEX], directory[3];
    struct search s = {.hex = digest_hex(d, hex), .found = ""};
    AUTO_FD int dir = -1;

    (void)str_fmt(directory, sizeof(directory), "%.2s", hex);
    return maybe_here(g, d) && fs_open_dir(g->s->objects_fd, directory, false, 0, &dir, NULL) == 0 &&
           store_each_file(dir, match, &s, NULL) == 0 && s.found[0];
}

int stage_variant(struct stage *g, const struct entry *e, const struct digest *d, struct err *err)
{
    uint8_t bytes[8192];
    AUTO_FD int from = -1;
    ssize_t n = 1;
    int rc = find_content(g, d, &from, err);

    if (rc == 0)
        rc = stage_begin(g, e, d, 0, err);
    while (rc == 0 && n > 0) {
        n = fs_read_full(from, bytes, sizeof(bytes), err);
        rc = n < 0 ? (int)n : stage_add(g, buf_of(bytes, (size_t)n), err);
    }
    return rc < 0 ? rc : stage_end(g, err);
}
