/* repo_archive.c - an image in one tar file, as `docker save` and `skopeo copy` write it, laid out in a
 * directory of ours as an OCI layout: docker-archive:FILE[:TAG] and oci-archive:FILE[:TAG]. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fleet/base/ctx.h"
#include "fleet/base/doc.h"
#include "fleet/repo/repo_int.h"
#include "ota/doc/oci.h"
#include "ota/layer/untar.h"
#include "platform/fs.h"

#define PIECE     65536
#define TYPE_TAR  "application/vnd.oci.image.layer.v1.tar"
#define TYPE_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define TYPE_CONF "application/vnd.oci.image.config.v1+json"

/* ---- the tar, below a directory ---- */

struct unpacking {
    struct untar *tar;
    int dir_fd, fd;
};

/* The directory of a member, made step by step, never through a link. */
static int make_folder(int from_fd, const char *path, int *ret_fd, struct err *err)
{
    AUTO_FD int at = fcntl(from_fd, F_DUPFD_CLOEXEC, 3);
    char part[LIM_PATH_BYTES];

    for (const char *p = path; *p; p += *p == '/') {
        size_t len = strcspn(p, "/");
        (void)str_fmt(part, sizeof(part), "%.*s", (int)len, p);
        if (mkdirat(at, part, 0700) < 0 && errno != EEXIST)
            return err_errno(err, errno, "create directory %s", part);
        int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return err_errno(err, errno, "open directory %s", path);
        (void)close(at);
        at = next;
        p += len;
    }
    *ret_fd = steal_fd(&at);
    return 0;
}

/* Members of such archives are files, directories and links between files. */
static int take_entry(struct unpacking *u, struct err *err)
{
    struct entry AUTO_MEM *e = mem_need(sizeof(*e));
    AUTO_FD int dir = -1;
    char directory[LIM_PATH_BYTES];
    char *slash;

    *e = *untar_entry(u->tar);
    mem_auto_close_(&u->fd);
    u->fd = -1;
    if (entry_check(e, err) < 0)
        return -(int)err->kind;
    if (e->kind == ENTRY_DIR || e->path[0] == '\0')
        return 0;
    (void)str_copy(directory, sizeof(directory), e->path);
    slash = strrchr(directory, '/');
    const char *base = slash ? e->path + (slash - directory) + 1 : e->path;
    *(slash ? slash : directory) = '\0';
    if (make_folder(u->dir_fd, directory, &dir, err) < 0)
        return -(int)err->kind;
    if (e->kind == ENTRY_SYMLINK || e->kind == ENTRY_HARDLINK) { /* docker links layers that are the same */
        char text[LIM_PATH_BYTES + 1];
        (void)str_fmt(text, sizeof(text), "%s%s", e->kind == ENTRY_HARDLINK ? "/" : "", e->link);
        return symlinkat(text, dir, base) < 0 ? err_errno(err, errno, "link %s", e->path) : 0;
    }
    if (e->kind != ENTRY_FILE)
        return err_set(err, ERR_INVALID, "%s: no place for it in an image archive", e->path);
    return fs_open_below(dir, base, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, &u->fd, err);
}

static int take_tar(struct unpacking *u, struct buf in, struct err *err)
{
    struct buf bytes;
    int event, rc = 0;

    while (rc >= 0 && (event = untar_step(u->tar, &in, &bytes, err)) != UNTAR_NEED)
        rc = event < 0 ? event : event == UNTAR_ENTRY ? take_entry(u, err) : fs_write_full(u->fd, bytes, err);
    return rc;
}

static int unpack(const char *file, int dir_fd, struct err *err)
{
    AUTO_FREE(untar) struct untar *tar = untar_new();
    struct unpacking u = {.tar = tar, .dir_fd = dir_fd, .fd = -1};
    uint8_t AUTO_MEM *piece = mem_need(PIECE);
    AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? err_errno(err, errno, "open %s", file) : 0;

    while (rc == 0) {
        ssize_t n = fs_read_full(fd, piece, PIECE, err);
        if (n <= 0) {
            rc = n < 0 ? (int)n : untar_end(tar, err);
            break;
        }
        rc = take_tar(&u, buf_of(piece, (size_t)n), err);
    }
    mem_auto_close_(&u.fd);
    return rc < 0 ? err_wrap(err, "%s", file) : 0;
}

/* ---- docker's own form into OCI's ---- */

static int move_blob(int dir_fd, const char *path, const char *type, struct cJSON *to, struct err *err)
{
    AUTO_FD int blobs = -1;
    char text[SHA256_TEXT], hex[SHA256_HEX];
    uint8_t magic[2] = {0, 0};
    struct digest d;
    uint64_t len = 0;
    AUTO_FD int fd = -1;
    int rc = fs_open_in_root(dir_fd, path, O_RDONLY, 0, &fd, err);

    if (rc == 0)
        rc = sha256_fd(fd, &d, &len, err);
    if (rc == 0)
        rc = fs_open_dir(dir_fd, "blobs/sha256", true, 0700, &blobs, err);
    if (rc < 0)
        return err_wrap(err, "%s", path);
    bool gzip = !type && pread(fd, magic, sizeof(magic), 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
    json_put_str(to, "mediaType", type ? type : gzip ? TYPE_GZIP : TYPE_TAR);
    json_put_str(to, "digest", digest_text(&d, text));
    json_put_u64(to, "size", len);
    char target[LIM_PATH_BYTES];
    (void)str_fmt(target, sizeof(target), "../../%s", path);
    if (faccessat(blobs, digest_hex(&d, hex), F_OK, 0) != 0 && symlinkat(target, blobs, hex) < 0)
        return err_errno(err, errno, "name %s", hex);
    return 0;
}

static int convert(int dir_fd, const struct json_cur *image, struct cJSON *manifest, struct err *err)
{
    struct json_cur layers;
    const char *path;
    int rc = json_get_str(image, "Config", JSON_REQUIRED, 512, &path, err);

    json_put_u64(manifest, "schemaVersion", 2);
    json_put_str(manifest, "mediaType", REPO_TYPE_MANIFEST);
    if (rc >= 0)
        rc = move_blob(dir_fd, path, TYPE_CONF, json_put(manifest, "config", json_obj()), err);
    if (rc >= 0)
        rc = json_get_array(image, "Layers", JSON_REQUIRED, LIM_OCI_LAYERS, &layers, err);
    struct cJSON *list = json_put(manifest, "layers", json_arr());
    for (unsigned i = 0; rc >= 0 && i < json_len(&layers); i++) {
        struct json_cur at = json_at(&layers, i);
        rc = json_as_str(&at, 512, &path, err);
        if (rc >= 0)
            rc = move_blob(dir_fd, path, NULL, json_push(list, json_obj()), err);
    }
    return rc < 0 ? rc : 0;
}

/* "docker.io/library/web:1" is "web:1", "library/web:1" and, when no name is asked for, "1". */
static bool is_called(const char *full, const char *name, const char *tag)
{
    const char *colon = strrchr(full, ':');
    size_t len = strlen(name), all = colon ? (size_t)(colon - full) : 0;

    if (!colon || strcmp(colon + 1, tag) != 0 || len > all)
        return false;
    return len == 0 || (memcmp(colon - len, name, len) == 0 && (len == all || colon[-1 - (long)len] == '/'));
}

/* Does this image of a docker archive carry the tag? Without a tag the first one is it. */
static bool is_wanted(const struct json_cur *image, const char *wanted, const char *tag)
{
    struct json_cur tags;
    const char *name;

    if (!tag[0])
        return true;
    if (json_get_array(image, "RepoTags", JSON_OPTIONAL, 64, &tags, NULL) != 1)
        return false;
    for (unsigned i = 0; i < json_len(&tags); i++) {
        struct json_cur at = json_at(&tags, i);
        if (json_as_str(&at, 512, &name, NULL) >= 0 && is_called(name, wanted, tag))
            return true;
    }
    return false;
}

static int from_docker(struct repo *r, struct err *err)
{
    AUTO_DOC *manifest = json_obj();
    uint8_t AUTO_MEM *text = NULL;
    size_t len = 0;
    struct json_cur root;
    int rc = fs_read(r->dir_fd, "manifest.json", LIM_OCI_JSON_BYTES, &text, &len, err);

    if (rc >= 0)
        rc = json_parse(buf_of(text, len), &json_limits_oci, &root, err);
    if (rc < 0)
        return err_wrap(err, "manifest.json");
    AUTO_DOC *doc = root.node;
    (void)doc;
    for (unsigned i = 0; i < json_len(&root); i++) {
        struct json_cur image = json_at(&root, i);
        if (!is_wanted(&image, r->name, r->tag))
            continue;
        if (convert(r->dir_fd, &image, manifest, err) < 0 || repo_layout_make(r->dir_fd, err) < 0)
            return -(int)err->kind;
        char AUTO_MEM *made = json_print(manifest, false);
        if (!r->tag[0])
            (void)str_copy(r->tag, sizeof(r->tag), "latest");
        return repo_layout.put_manifest(r, r->tag, buf_str(made), err);
    }
    return err_set(err, ERR_NOTFOUND, "the archive names no '%s%s%s'", r->name, r->name[0] ? ":" : "",
                   r->tag);
}

int repo_open_archive(const char *file, struct repo *r, struct err *err)
{
    const char *tmp = getenv("TMPDIR");

    if (!str_fmt(r->temporary, sizeof(r->temporary), "%s/fleetctl.XXXXXX", tmp && *tmp ? tmp : "/tmp") ||
        !mkdtemp(r->temporary)) {
        r->temporary[0] = '\0';
        return err_errno(err, errno, "create a directory for the archive");
    }
    r->kind = &repo_layout;
    r->dir_fd = open(r->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->dir_fd < 0)
        return err_errno(err, errno, "open %s", r->temporary);
    int rc = unpack(file, r->dir_fd, err);
    if (rc == 0 && faccessat(r->dir_fd, "index.json", F_OK, 0) != 0)
        rc = from_docker(r, err);
    return rc;
}
