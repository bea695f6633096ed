#include "ota/store/store_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "ota/doc/field.h"

#define LAYOUT      "limpet-store 1\n"
#define LAYOUT_FILE "layout"
#define META_BYTES  (16 * 1024)

static const struct {
    const char *name;
    size_t fd_at;
} directories[] = {
    {"objects", offsetof(struct store, objects_fd)}, {"images", offsetof(struct store, images_fd)},
    {"layers", offsetof(struct store, layers_fd)},   {"blobs", offsetof(struct store, blobs_fd)},
    {"partial", offsetof(struct store, partial_fd)}, {"staged", offsetof(struct store, staged_fd)},
    {"tmp", offsetof(struct store, tmp_fd)},
};

static int *folder_fd(struct store *s, size_t i)
{
    return (int *)(void *)((char *)s + directories[i].fd_at);
}

static int check_layout(int dir_fd, struct err *err)
{
    char text[64];
    ssize_t n = fs_read_text(dir_fd, LAYOUT_FILE, text, sizeof(text), NULL);

    if (n == -ERR_NOTFOUND)
        return fs_write_durable(dir_fd, LAYOUT_FILE, BUF_LIT(LAYOUT), 0600, err);
    if (n < 0 || strncmp(text, LAYOUT, strlen(LAYOUT) - 1) != 0 || strlen(text) != strlen(LAYOUT) - 1)
        return err_set(err, ERR_UNSUPPORTED, "the store has a layout that this version does not know");
    return 0;
}

static int open_folders(struct store *s, struct err *err)
{
    int rc = fs_remove_tree(s->dir_fd, "tmp", err); /* what had no name yet at a power cut */

    for (size_t i = 0; rc >= 0 && i < COUNT_OF(directories); i++)
        rc = fs_open_dir(s->dir_fd, directories[i].name, true, 0700, folder_fd(s, i), err);
    return rc < 0 ? rc : 0;
}

int store_new(int dir_fd, struct store **ret, struct err *err)
{
    AUTO_FREE(store) struct store *s = mem_need_zero(sizeof(*s));

    s->dir_fd = dir_fd;
    s->lock_fd = -1;
    for (size_t i = 0; i < COUNT_OF(directories); i++)
        *folder_fd(s, i) = -1;
    int rc = fs_lock(dir_fd, "lock", &s->lock_fd, err);
    if (rc == 0)
        rc = check_layout(dir_fd, err);
    if (rc == 0)
        rc = open_folders(s, err);
    if (rc < 0)
        return err ? err_wrap(err, "store") : rc;
    *ret = steal_ptr(&s);
    return 0;
}

struct store *store_free(struct store *s)
{
    if (!s)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(directories); i++)
        if (*folder_fd(s, i) >= 0)
            (void)close(*folder_fd(s, i));
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
    free(s);
    return NULL;
}

int store_work_lock(struct store *s, int *ret_fd, struct err *err)
{
    return fs_lock(s->dir_fd, "work", ret_fd, err);
}

int store_check_space(struct store *s, uint64_t need_bytes, uint64_t need_inodes, struct err *err)
{
    uint64_t bytes = 0, inodes = 0;
    int rc = fs_space(s->dir_fd, &bytes, &inodes, err);

    if (rc < 0)
        return rc;
    bytes = bytes > LIM_RESERVE_BYTES ? bytes - LIM_RESERVE_BYTES : 0;
    if (inodes != UINT64_MAX)
        inodes = inodes > LIM_RESERVE_INODES ? inodes - LIM_RESERVE_INODES : 0;
    if (need_bytes > bytes)
        return err_set(err, ERR_NOSPACE, "needs %" PRIu64 " bytes, there are %" PRIu64 " besides the reserve",
                       need_bytes, bytes);
    if (need_inodes > inodes)
        return err_set(err, ERR_NOSPACE,
                       "needs %" PRIu64 " inodes, there are %" PRIu64 " besides the reserve", need_inodes,
                       inodes);
    return 0;
}

#define SURE_BYTES  (1ULL << 20)
#define SURE_INODES 64

int store_take_space(struct store *s, uint64_t bytes, uint64_t inodes, struct err *err)
{
    if (bytes > s->sure_bytes || inodes > s->sure_inodes) {
        if (store_check_space(s, bytes + SURE_BYTES, inodes + SURE_INODES, NULL) < 0)
            return store_check_space(s, bytes, inodes, err);
        s->sure_bytes = bytes + SURE_BYTES;
        s->sure_inodes = inodes + SURE_INODES;
    }
    s->sure_bytes -= bytes;
    s->sure_inodes -= inodes;
    return 0;
}

static bool name_digest(const char *name, struct digest *ret)
{
    char text[SHA256_TEXT];

    return str_fmt(text, sizeof(text), "sha256:%s", name) && digest_parse(text, ret, NULL) == 0;
}

static int each_name(int dir_fd, bool hidden, int (*fn)(void *arg, const char *name, struct err *err),
                     void *arg, struct err *err)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int rc = 0;

    if (!dir) {
        rc = err_errno(err, errno, "list directory");
        if (fd >= 0)
            (void)close(fd);
        return rc;
    }
    for (struct dirent *e; rc >= 0 && (errno = 0, e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.' || (hidden && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0))
            rc = fn(arg, e->d_name, err);
    if (rc >= 0 && errno) /* an incomplete listing is an error */
        rc = err_errno(err, errno, "list directory");
    (void)closedir(dir);
    return rc < 0 ? rc : 0;
}

int store_each_file(int dir_fd, int (*fn)(void *arg, const char *name, struct err *err), void *arg,
                    struct err *err)
{
    return each_name(dir_fd, false, fn, arg, err);
}

int store_each_entry(int dir_fd, int (*fn)(void *arg, const char *name, struct err *err), void *arg,
                     struct err *err)
{
    return each_name(dir_fd, true, fn, arg, err);
}

struct each {
    int (*fn)(void *arg, const char *name, const struct digest *d, struct err *err);
    void *arg;
};

static int each_digest(void *arg, const char *name, struct err *err)
{
    const struct each *e = arg;
    struct digest d;

    return name_digest(name, &d) ? e->fn(e->arg, name, &d, err) : 0;
}

int store_each(int dir_fd, int (*fn)(void *arg, const char *name, const struct digest *d, struct err *err),
               void *arg, struct err *err)
{
    struct each e = {fn, arg};

    return store_each_file(dir_fd, each_digest, &e, err);
}

/* ---- blobs ---- */

int store_has_blob(struct store *s, const struct digest *d)
{
    char hex[SHA256_HEX];

    return faccessat(s->blobs_fd, digest_hex(d, hex), F_OK, 0) == 0;
}

int store_has_layer(struct store *s, const struct digest *d)
{
    return store_has_blob(s, d) || record_is_whole(s, d, NULL);
}

int store_read_blob(struct store *s, const struct digest *d, size_t max_bytes, uint8_t **ret, size_t *ret_len,
                    struct err *err)
{
    char hex[SHA256_HEX];
    uint8_t AUTO_MEM *bytes = NULL;
    size_t len = 0;
    struct digest got;
    int rc = fs_read(s->blobs_fd, digest_hex(d, hex), max_bytes, &bytes, &len, err);

    if (rc >= 0)
        rc = sha256(buf_of(bytes, len), &got, err);
    if (rc < 0)
        return rc;
    if (!digest_eq(&got, d))
        return err_set(err, ERR_INTEGRITY, "blob sha256:%s holds something else", hex);
    *ret = steal_ptr(&bytes);
    *ret_len = len;
    return 0;
}

uint64_t store_partial_bytes(struct store *s, const struct digest *d)
{
    struct stat st;
    char hex[SHA256_HEX];

    if (fstatat(s->partial_fd, digest_hex(d, hex), &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return 0;
    return (uint64_t)st.st_size;
}

int store_partial_open(struct store *s, const struct digest *d, uint64_t size_bytes, int *ret_fd,
                       struct err *err)
{
    uint64_t most = size_bytes ? size_bytes : LIM_ENVELOPE_BYTES;
    struct stat st;
    char hex[SHA256_HEX];
    AUTO_FD int fd =
        openat(s->partial_fd, digest_hex(d, hex), O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "open partial %s", hex);
    if ((uint64_t)st.st_size > most && ftruncate(fd, 0) < 0)
        return err_errno(err, errno, "empty partial %s", hex);
    *ret_fd = steal_fd(&fd);
    return 0;
}

/* Durable before it is named: the bytes are synced while only partial/ has them, then one rename makes them a
 * blob. A power cut before it leaves a partial that is committed again, after it a whole blob. */
static int name_blob(struct store *s, int fd, const char *hex, struct err *err)
{
    if (fsync(fd) < 0)
        return err_errno(err, errno, "fsync partial %s", hex);
    if (renameat(s->partial_fd, hex, s->blobs_fd, hex) < 0)
        return err_errno(err, errno, "name blob %s", hex);
    return fs_sync_dir(s->blobs_fd, err);
}

int store_partial_commit(struct store *s, const struct digest *d, uint64_t size_bytes, struct err *err)
{
    struct digest got;
    uint64_t len = 0;
    char hex[SHA256_HEX];
    AUTO_FD int fd = openat(s->partial_fd, digest_hex(d, hex), O_RDWR | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT && store_has_blob(s, d) ? 0 : err_errno(err, errno, "open partial %s", hex);
    int rc = sha256_fd(fd, &got, &len, err);
    if (rc < 0)
        return rc;
    if (!digest_eq(&got, d) || (size_bytes && len != size_bytes)) {
        (void)unlinkat(s->partial_fd, hex, 0);
        return err_set(err, ERR_INTEGRITY,
                       "what was fetched as sha256:%s (%" PRIu64 " bytes) is something else", hex, len);
    }
    return name_blob(s, fd, hex, err);
}

/* ---- images ---- */

static char *image_path(const struct digest *d, const char *file, char *dst, size_t size)
{
    char hex[SHA256_HEX];

    (void)str_fmt(dst, size, "%s/%s", digest_hex(d, hex), file);
    return dst;
}

int store_has_image(struct store *s, const struct digest *manifest)
{
    char hex[SHA256_HEX], path[96];

    return faccessat(s->images_fd, digest_hex(manifest, hex), F_OK, 0) == 0 &&
           faccessat(s->images_fd, image_path(manifest, DAMAGED_FILE, path, sizeof(path)), F_OK, 0) < 0;
}

int store_open_rootfs(struct store *s, const struct digest *manifest, int *ret_fd, struct err *err)
{
    char path[96];

    return fs_open_dir(s->images_fd, image_path(manifest, "rootfs", path, sizeof(path)), false, 0, ret_fd,
                       err);
}

int store_rootfs_path(struct store *s, const struct digest *manifest, char *dst, size_t size)
{
    char hex[SHA256_HEX];

    (void)s;
    return str_fmt(dst, size, "images/%s/rootfs", digest_hex(manifest, hex)) ? 0 : -ERR_INVALID;
}

int store_read_config(struct store *s, const struct digest *manifest, uint8_t **ret, size_t *ret_len,
                      struct err *err)
{
    char path[96];

    return fs_read(s->images_fd, image_path(manifest, "config", path, sizeof(path)), LIM_OCI_JSON_BYTES, ret,
                   ret_len, err);
}

static int read_meta(const struct json_cur *root, struct store_meta *m, struct err *err)
{
    struct json_cur arr;
    const char *text = NULL;
    int rc = json_get_u64(root, "bytes", JSON_REQUIRED, 0, LIM_INTEGER, &m->bytes, err);

    if (rc >= 0)
        rc = json_get_u64(root, "inodes", JSON_REQUIRED, 0, LIM_INTEGER, &m->inodes, err);
    if (rc >= 0)
        rc = json_get_array(root, "layers", JSON_REQUIRED, LIM_OCI_LAYERS, &arr, err);
    for (unsigned i = 0; rc >= 0 && i < json_len(&arr); i++) {
        struct json_cur at = json_at(&arr, i);
        rc = json_as_str(&at, SHA256_TEXT, &text, err);
        if (rc >= 0)
            rc = digest_parse(text, &m->layers[m->n_layers++], err);
    }
    return rc < 0 ? rc : 0;
}

int store_meta_read(struct store *s, const char *image_name, struct store_meta *ret, struct err *err)
{
    char path[96];
    uint8_t AUTO_MEM *text = NULL;
    size_t len = 0;
    struct json_cur root;
    struct store_meta m = {0};

    if (!str_fmt(path, sizeof(path), "%s/meta", image_name))
        return err_set(err, ERR_INVALID, "image name");
    int rc = fs_read(s->images_fd, path, META_BYTES, &text, &len, err);
    if (rc >= 0)
        rc = json_parse(buf_of(text, len), &json_limits_oci, &root, err);
    if (rc < 0)
        return rc;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    rc = read_meta(&root, &m, err);
    if (rc == 0)
        *ret = m;
    return rc;
}

char *store_meta_build(const struct store_meta *m)
{
    AUTO_JSON struct cJSON *root = json_obj();
    char text[SHA256_TEXT];

    json_put_u64(root, "bytes", m->bytes);
    json_put_u64(root, "inodes", m->inodes);
    struct cJSON *arr = json_put(root, "layers", json_arr());
    for (unsigned i = 0; i < m->n_layers; i++)
        json_push_str(arr, digest_text(&m->layers[i], text));
    return json_print(root, false);
}

struct listing {
    struct store *s;
    void (*fn)(void *arg, const struct digest *manifest, uint64_t bytes);
    void *arg;
};

static int list_one(void *arg, const char *name, const struct digest *d, struct err *err)
{
    struct listing *l = arg;
    struct store_meta m = {0};

    (void)err;
    err_ignore(store_meta_read(l->s, name, &m, NULL)); /* an unreadable meta loses only the size, not the
                                                        * image */
    l->fn(l->arg, d, m.bytes);
    return 0;
}

int store_list(struct store *s, void (*fn)(void *arg, const struct digest *manifest, uint64_t bytes),
               void *arg, struct err *err)
{
    struct listing l = {s, fn, arg};

    return store_each(s->images_fd, list_one, &l, err);
}
