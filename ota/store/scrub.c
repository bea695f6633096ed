/* scrub.c - verifies the contents of the store against its names; what is damaged loses its name, and what
 * was made from it is marked to be made again (mend.c). One round covers all directories in a fixed order; a
 * cursor lets it continue where it stopped. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "ota/store/store_int.h"

struct names { /* of one directory, sorted */
    char (*at)[OBJECT_NAME_BYTES];
    size_t n, room;
};

struct round {
    struct store *s;
    struct store_scrub *sc;
    const char *directory; /* the one being read: "objects/ab" */
    int dir_fd;
};

/* ---- reporting ---- */

__attribute__((format(printf, 3, 4))) static void tell(struct round *r, const char *name, const char *fmt,
                                                       ...)
{
    char why[120], full[OBJECT_NAME_BYTES + 16];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    (void)str_fmt(full, sizeof(full), "%s/%s", r->directory, name);
    if (r->sc->on_bad)
        r->sc->on_bad(r->sc->arg, full, why);
}

/* ---- which images contain a bad object ---- */

struct search {
    dev_t dev;
    ino_t ino;
    bool found;
};

struct folder_at {
    struct search *search;
    int fd;
    unsigned depth;
};

static int search_entry(void *arg, const char *name, struct err *err)
{
    struct folder_at *f = arg;
    struct stat st;

    if (f->search->found || fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    f->search->found = st.st_ino == f->search->ino && st.st_dev == f->search->dev;
    if (!S_ISDIR(st.st_mode) || f->depth > LIM_PATH_DEPTH)
        return 0;
    AUTO_FD int fd = openat(f->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return 0;
    return store_each_entry(fd, search_entry, &(struct folder_at){f->search, fd, f->depth + 1}, err);
}

/* Intact documents next to the tree become blobs again, so that the repair need not download them. What
 * cannot be recovered this way is fetched. */
static void keep_document(struct store *s, int image_fd, const char *file, const struct digest *want)
{
    struct digest got;
    uint64_t len = 0;
    char hex[SHA256_HEX];
    AUTO_FD int fd = openat(image_fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0 && sha256_fd(fd, &got, &len, NULL) == 0 && digest_eq(&got, want) &&
        linkat(image_fd, file, s->blobs_fd, digest_hex(want, hex), 0) < 0)
        return; /* already present, or fetched when needed */
}

static void keep_documents(struct store *s, int image_fd, const char *image_name)
{
    uint8_t AUTO_MEM *text = NULL;
    struct oci_manifest AUTO_MEM *m = mem_need(sizeof(*m));
    char name[SHA256_TEXT];
    struct digest d;
    size_t len = 0;

    if (!str_fmt(name, sizeof(name), "sha256:%s", image_name) || digest_parse(name, &d, NULL) < 0)
        return;
    keep_document(s, image_fd, "manifest", &d);
    if (store_read_blob(s, &d, LIM_OCI_JSON_BYTES, &text, &len, NULL) == 0 &&
        oci_manifest_parse(buf_of(text, len), m, NULL) == 0)
        keep_document(s, image_fd, "config", &m->config.digest);
}

int store_mark_damaged(struct store *s, const char *image_name, struct err *err)
{
    AUTO_FD int fd = -1;
    int rc = fs_open_dir(s->images_fd, image_name, false, 0, &fd, err);

    if (rc < 0)
        return rc;
    keep_documents(s, fd, image_name);
    return fs_write_durable(fd, DAMAGED_FILE, BUF_LIT("1\n"), 0600, err);
}

struct marking {
    struct round *r;
    struct search search;
};

static int mark_user(void *arg, const char *name, const struct digest *d, struct err *err)
{
    struct marking *m = arg;
    AUTO_FD int fd = openat(m->r->s->images_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)d;
    m->search.found = false;
    int rc = fd < 0 ? 0 : store_each_entry(fd, search_entry, &(struct folder_at){&m->search, fd, 0}, err);
    if (rc < 0 || !m->search.found)
        return rc;
    m->r->sc->images++;
    return store_mark_damaged(m->r->s, name, err);
}

/* The images first: a power cut in between leaves too many marks, never too few. */
static int condemn_object(struct round *r, const char *name, const struct stat *st, struct err *err)
{
    struct marking m = {r, {st->st_dev, st->st_ino, false}};
    int rc = st->st_nlink > 1 ? store_each(r->s->images_fd, mark_user, &m, err) : 0;

    if (rc == 0 && unlinkat(r->dir_fd, name, 0) < 0 && errno != ENOENT)
        rc = err_errno(err, errno, "remove %s", name);
    return rc < 0 ? rc : fs_sync_dir(r->dir_fd, err);
}

/* ---- one item of each directory: 0 good, 1 damaged and reported, -kind ---- */

/* *ret_same: its bytes hash to the 64 digits at the start of its name. A file that cannot be read (a bad
 * block, fs-verity) does not. */
static int hash_file(struct round *r, const char *name, struct stat *ret_st, bool *ret_same, struct err *err)
{
    struct digest got;
    uint64_t len = 0;
    char hex[SHA256_HEX];
    struct err why = ERR_INIT;
    AUTO_FD int fd = openat(r->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 || fstat(fd, ret_st) < 0)
        return err_errno(err, errno, "scrub %s", name);
    *ret_same = S_ISREG(ret_st->st_mode) && sha256_fd(fd, &got, &len, &why) == 0 &&
                strncmp(digest_hex(&got, hex), name, 64) == 0;
    if (why.kind != ERR_NONE && why.kind != ERR_IO)
        return err_set(err, why.kind, "scrub %s: %s", name, why.msg);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* do not evict the apps' pages from the cache */
    r->sc->bytes += (uint64_t)ret_st->st_size;
    r->sc->verity += fs_verity_is_on(fd);
    return 0;
}

static int scrub_object(struct round *r, const char *name, struct err *err)
{
    struct stat st;
    bool same = false;
    unsigned mode, uid, gid;
    int rc = hash_file(r, name, &st, &same, err);

    if (rc < 0)
        return rc;
    bool named = sscanf(name, "%*64[0-9a-f].%o.%x.%x", &mode, &uid, &gid) == 3;
    bool dressed = named && (st.st_mode & 07777) == mode && st.st_uid == uid && st.st_gid == gid;
    if (same && dressed)
        return 0;
    tell(r, name, "%s",
         same ? "its mode or owner is not what its name says" : "its content does not match its name");
    if (!r->sc->look_only && (rc = condemn_object(r, name, &st, err)) < 0)
        return rc;
    return 1;
}

static int scrub_blob(struct round *r, const char *name, struct err *err)
{
    struct stat st;
    bool same = false;
    int rc = hash_file(r, name, &st, &same, err);

    if (rc < 0 || same)
        return rc;
    tell(r, name, "its content does not match its name");
    if (!r->sc->look_only && unlinkat(r->dir_fd, name, 0) < 0)
        return err_errno(err, errno, "remove %s", name);
    return 1;
}

/* A record has no digest of itself: all that can be checked is that it reads to its end. One that lacks
 * objects is fine: they are fetched when needed. */
static bool any_object(void *arg, const struct digest *d, const char *path, uint64_t size)
{
    (void)arg, (void)d, (void)path, (void)size;
    return true;
}

static int scrub_record(struct round *r, const char *name, struct err *err)
{
    struct digest d;
    struct err why = ERR_INIT;
    char text[SHA256_TEXT];

    if (str_fmt(text, sizeof(text), "sha256:%s", name) && digest_parse(text, &d, &why) == 0 &&
        record_walk(r->s, &d, any_object, NULL, &why) == 0)
        return 0;
    if (why.kind == ERR_NOMEM)
        return err_set(err, why.kind, "scrub %s: %s", name, why.msg);
    tell(r, name, "the record is incomplete");
    if (!r->sc->look_only && unlinkat(r->dir_fd, name, 0) < 0)
        return err_errno(err, errno, "remove %s", name);
    return 1;
}

/* The documents that an image was made from are next to its tree and are read at each start of an app. */
static const char *image_fault(struct round *r, const char *name)
{
    uint8_t AUTO_MEM *text = NULL;
    uint8_t AUTO_MEM *config = NULL;
    struct oci_manifest AUTO_MEM *m = mem_need(sizeof(*m));
    struct store_meta meta;
    struct digest got;
    size_t len = 0, config_len = 0;
    char path[96], hex[SHA256_HEX];

    (void)str_fmt(path, sizeof(path), "%.64s/manifest", name);
    if (fs_read(r->s->images_fd, path, LIM_OCI_JSON_BYTES, &text, &len, NULL) < 0 ||
        sha256(buf_of(text, len), &got, NULL) < 0 || strcmp(digest_hex(&got, hex), name) != 0)
        return "its manifest is not what its name says";
    (void)str_fmt(path, sizeof(path), "%.64s/config", name);
    if (oci_manifest_parse(buf_of(text, len), m, NULL) < 0 ||
        fs_read(r->s->images_fd, path, LIM_OCI_JSON_BYTES, &config, &config_len, NULL) < 0 ||
        sha256(buf_of(config, config_len), &got, NULL) < 0 || !digest_eq(&got, &m->config.digest))
        return "its config is not what its manifest says";
    return store_meta_read(r->s, name, &meta, NULL) < 0 ? "its meta cannot be read" : NULL;
}

static int scrub_image(struct round *r, const char *name, struct err *err)
{
    const char *why = image_fault(r, name);
    int rc = 0;

    if (!why)
        return 0;
    tell(r, name, "%s", why);
    r->sc->images++;
    if (!r->sc->look_only)
        rc = store_mark_damaged(r->s, name, err);
    return rc < 0 ? rc : 1;
}

/* ---- a round ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int names_add(void *arg, const char *name, struct err *err)
{
    struct names *l = arg;

    (void)err;
    if (strlen(name) >= OBJECT_NAME_BYTES)
        return 0;
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 32;
        char(*more)[OBJECT_NAME_BYTES] = mem_need(l->room * sizeof(*more));
        if (l->n > 0)
            memcpy(more, l->at, l->n * sizeof(*more));
        free(l->at);
        l->at = more;
    }
    (void)str_copy(l->at[l->n++], OBJECT_NAME_BYTES, name);
    return 0;
}

typedef int (*scrub_one)(struct round *r, const char *name, struct err *err);

/* The names of one directory after `after`, in order, until the budget is spent. */
static int scrub_folder(struct round *r, const char *after, scrub_one one, struct err *err)
{
    struct names l = {NULL, 0, 0};
    int rc = fs_open_dir(r->s->dir_fd, r->directory, false, 0, &r->dir_fd, NULL);

    if (rc < 0)
        return 0; /* no objects with this prefix */
    rc = store_each_file(r->dir_fd, names_add, &l, err);
    if (l.n > 0)
        qsort(l.at, l.n, sizeof(*l.at), by_name);
    for (size_t i = 0; rc >= 0 && i < l.n && r->sc->bytes < r->sc->max_bytes; i++) {
        if (strcmp(l.at[i], after) <= 0)
            continue;
        rc = one(r, l.at[i], err);
        r->sc->bad += rc > 0;
        r->sc->files++;
        (void)str_fmt(r->sc->cursor, sizeof(r->sc->cursor), "%s/%s", r->directory, l.at[i]);
    }
    free(l.at);
    (void)close(r->dir_fd);
    return rc < 0 ? rc : 0;
}

#define FOLDERS (3 + 256)

static scrub_one folder_of(unsigned i, char name[16])
{
    static const struct {
        const char *name;
        scrub_one one;
    } first[] = {{"blobs", scrub_blob}, {"images", scrub_image}, {"layers", scrub_record}};

    if (i < COUNT_OF(first)) {
        (void)str_copy(name, 16, first[i].name);
        return first[i].one;
    }
    (void)str_fmt(name, 16, "objects/%02x", i - (unsigned)COUNT_OF(first));
    return scrub_object;
}

/* Find the cursor's position: "objects/ab/NAME". An unknown cursor starts over. */
static unsigned cursor_folder(const char *cursor, const char **ret_after)
{
    const char *slash = strrchr(cursor, '/');
    char name[16];

    *ret_after = "";
    for (unsigned i = 0; slash && i < FOLDERS; i++) {
        (void)folder_of(i, name);
        if (strlen(name) == (size_t)(slash - cursor) && strncmp(cursor, name, strlen(name)) == 0) {
            *ret_after = slash + 1;
            return i;
        }
    }
    return 0;
}

int store_scrub(struct store *s, struct store_scrub *sc, struct err *err)
{
    struct round r = {.s = s, .sc = sc};
    char start[sizeof(sc->cursor)], directory[16];
    const char *after;
    AUTO_FD int lock_fd = -1;
    int rc = store_work_lock(s, &lock_fd, err);

    sc->bytes = sc->files = sc->bad = sc->images = 0;
    sc->ended = false;
    if (rc < 0)
        return rc;
    (void)str_copy(start, sizeof(start), sc->cursor);
    unsigned i = cursor_folder(start, &after);
    for (; rc == 0 && i < FOLDERS && sc->bytes < sc->max_bytes; i++) {
        scrub_one one = folder_of(i, directory);
        r.directory = directory;
        rc = scrub_folder(&r, after, one, err);
        after = "";
    }
    if (rc == 0 && sc->bytes < sc->max_bytes) {
        sc->ended = true;
        sc->cursor[0] = '\0';
    }
    return rc;
}
