/* stage.c - objects on their way into the store; see pull.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "ota/pull.h"

#define PART "part~"

int pull_map_fd(int fd, uint64_t max, struct buf *ret, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "look at a file");
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
        return err_set(err, ERR_INVALID, "no file of at most %llu bytes", (unsigned long long)max);
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

int pull_map(int dir_fd, const char *name, uint64_t max, struct buf *ret, struct err *err)
{
    int AUTO_FD fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? err_errno(err, errno, "open %s", name) : pull_map_fd(fd, max, ret, err);
}

void pull_unmap(struct buf *b)
{
    if (b->len)
        (void)munmap((void *)(uintptr_t)b->p, b->len);
    *b = buf_of(NULL, 0);
}

/* ---- the folder ---- */

static int check_one(void *arg, const char *name, struct err *err)
{
    struct stage *g = arg;
    char text[SHA256_TEXT];
    struct digest want, got;
    uint64_t len;

    if (strncmp(name, PART, sizeof(PART) - 1) == 0)
        return 0; /* judged chunk by chunk */
    if (str_fmt(text, sizeof(text), "sha256:%.64s", name) && digest_parse(text, &want, NULL) == 0) {
        int AUTO_FD fd = openat(g->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && sha256_fd(fd, &got, &len, NULL) == 0 && digest_eq(&got, &want))
            return 0;
    }
    return fs_remove_tree(g->dir_fd, name, err);
}

int stage_open(struct store *s, const struct digest *image, struct stage *ret, struct err *err)
{
    char hex[65];
    int r;

    *ret = (struct stage){.s = s, .dir_fd = -1, .fd = -1};
    r = fs_open_dir(s->staged_fd, digest_hex(image, hex), true, 0700, &ret->dir_fd, err);
    if (r == 0)
        r = store_each_file(ret->dir_fd, check_one, ret, err);
    return r < 0 ? r : 0;
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
    mem_auto_close_(&g->dir_fd);
    g->dir_fd = -1;
}

/* ---- objects ---- */

static char *name_of(const struct entry *e, const struct digest *d, char dst[OBJECT_NAME_BYTES])
{
    return object_name(d, object_mode(e), e->uid, e->gid, dst);
}

static void part_of(const struct entry *e, const struct digest *d, char dst[OBJECT_NAME_BYTES + 8])
{
    char name[OBJECT_NAME_BYTES];

    (void)str_fmt(dst, OBJECT_NAME_BYTES + 8, PART "%s", name_of(e, d, name));
}

bool stage_find(const struct stage *g, const struct entry *e, const struct digest *d, struct object_at *at)
{
    char name[OBJECT_NAME_BYTES];

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

    part_of(e, d, part);
    return openat(g->dir_fd, part, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

static int hash_kept(struct stage *g, uint64_t kept, struct err *err)
{
    uint8_t bytes[4096];
    int r = 0;

    for (uint64_t at = 0; r == 0 && at < kept;) {
        size_t want = kept - at < sizeof(bytes) ? (size_t)(kept - at) : sizeof(bytes);
        ssize_t n = pread(g->fd, bytes, want, (off_t)at);
        if (n <= 0)
            return err_errno(err, n < 0 ? errno : EIO, "read a part");
        r = sha256_add(g->hash, buf_of(bytes, (size_t)n), err);
        at += (uint64_t)n;
    }
    return r;
}

int stage_begin(struct stage *g, const struct entry *e, const struct digest *d, uint64_t kept,
                struct err *err)
{
    char part[OBJECT_NAME_BYTES + 8];

    /* a tree may name one content for many owners, each of them a file more */
    if (kept > e->size || e->size - kept > g->max_bytes - g->written)
        return err_set(err, ERR_INVALID, "the image's files are more than the %llu bytes that were signed",
                       (unsigned long long)g->max_bytes);
    int r = store_check_space(g->s, e->size - kept, 1, err);
    if (r < 0)
        return r;
    forget(g);
    part_of(e, d, part);
    g->fd = openat(g->dir_fd, part, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (g->fd < 0 || ftruncate(g->fd, (off_t)kept) < 0 || lseek(g->fd, (off_t)kept, SEEK_SET) < 0)
        return err_errno(err, errno, "create object");
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
    int r = sha256_add(g->hash, bytes, err);
    return r < 0 ? r : fs_write_full(g->fd, bytes, err);
}

static int dress(struct stage *g, struct err *err)
{
    static const struct timespec epoch[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

    /* owner first: a change of owner may clear mode bits */
    if (fchown(g->fd, g->entry.uid, g->entry.gid) < 0 || fchmod(g->fd, object_mode(&g->entry)) < 0 ||
        futimens(g->fd, epoch) < 0)
        return err_errno(err, errno, "owner and mode of an object");
    return 0;
}

int stage_end(struct stage *g, struct err *err)
{
    char part[OBJECT_NAME_BYTES + 8], name[OBJECT_NAME_BYTES], shown[120];
    struct digest got;
    int r = g->left ? err_set(err, ERR_INVALID, "fewer bytes than the tree says")
                    : sha256_end(g->hash, &got, err);

    part_of(&g->entry, &g->digest, part);
    if (r == 0 && !digest_eq(&got, &g->digest)) {
        (void)unlinkat(g->dir_fd, part, 0);
        r = err_set(err, ERR_INTEGRITY, "%s: the bytes are not what the tree says",
                    entry_printable(g->entry.path, shown, sizeof(shown)));
    }
    if (r == 0)
        r = dress(g, err);
    if (r == 0 && renameat(g->dir_fd, part, g->dir_fd, name_of(&g->entry, &g->digest, name)) < 0)
        r = err_errno(err, errno, "keep object");
    forget(g);
    return r;
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

/* Any object with this content. */
static int find_content(struct stage *g, const struct digest *d, int *ret_fd, struct err *err)
{
    char hex[65], folder[3];
    struct search s = {.hex = digest_hex(d, hex), .found = ""};
    int AUTO_FD dir = -1;
    int r = store_each_file(g->dir_fd, match, &s, err);

    if (r == 0 && s.found[0]) {
        *ret_fd = openat(g->dir_fd, s.found, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        return *ret_fd < 0 ? err_errno(err, errno, "open object") : 0;
    }
    (void)str_fmt(folder, sizeof(folder), "%.2s", hex);
    if (r == 0 && fs_open_dir(g->s->objects_fd, folder, false, 0, &dir, NULL) == 0)
        r = store_each_file(dir, match, &s, err);
    if (r == 0 && !s.found[0])
        r = err_set(err, ERR_NOTFOUND, "object %.12s is nowhere", hex);
    if (r == 0)
        *ret_fd = openat(dir, s.found, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return r < 0 ? r : *ret_fd < 0 ? err_errno(err, errno, "open object") : 0;
}

bool stage_has_content(const struct stage *g, const struct digest *d)
{
    char hex[65], folder[3];
    struct search s = {.hex = digest_hex(d, hex), .found = ""};
    int AUTO_FD dir = -1;

    (void)str_fmt(folder, sizeof(folder), "%.2s", hex);
    return fs_open_dir(g->s->objects_fd, folder, false, 0, &dir, NULL) == 0 &&
           store_each_file(dir, match, &s, NULL) == 0 && s.found[0];
}

static int copy_variant(struct stage *g, const struct entry *e, const struct digest *d, struct err *err)
{
    uint8_t bytes[8192];
    int AUTO_FD from = -1;
    ssize_t n = 1;
    int r = find_content(g, d, &from, err);

    if (r == 0)
        r = stage_begin(g, e, d, 0, err);
    while (r == 0 && n > 0) {
        n = fs_read_full(from, bytes, sizeof(bytes), err);
        r = n < 0 ? (int)n : stage_add(g, buf_of(bytes, (size_t)n), err);
    }
    return r < 0 ? r : stage_end(g, err);
}

int stage_variants(struct stage *g, struct buf tree, struct err *err)
{
    struct tree_at AUTO_MEM *t = mem_need_zero(sizeof(*t));
    struct entry AUTO_MEM *e = mem_need(sizeof(*e));
    struct object_at at;
    struct digest d;
    int r;

    while ((r = tree_next(tree, t, e, &d, err)) > 0) {
        if (e->kind != ENTRY_FILE || e->size == 0 || stage_find(g, e, &d, &at))
            continue;
        r = copy_variant(g, e, &d, err);
        if (r < 0)
            return r;
    }
    return r;
}
