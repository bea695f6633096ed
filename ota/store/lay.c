/* lay.c - adds entries to a rootfs under construction. Every path is opened below the rootfs' fd without
 * following any link (fs_open_below), so an image cannot name anything outside itself. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>

#include "ota/store/store_int.h"

static const struct timespec epoch[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

static void forget_parent(struct lay *l)
{
    if (l->parent_fd >= 0)
        (void)close(l->parent_fd);
    l->parent_fd = -1;
}

void lay_done(struct lay *l)
{
    forget_parent(l);
}

static int bad(struct err *err, const char *path, const char *why)
{
    char shown[120];

    return err_set(err, ERR_INVALID, "%s: %s", entry_printable(path, shown, sizeof(shown)), why);
}

/* Split "a/b/c" into its directory and its last part. */
static const char *split(const char *path, char dir[LIM_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');

    if (!slash) {
        dir[0] = '\0';
        return path;
    }
    (void)str_fmt(dir, LIM_PATH_BYTES, "%.*s", (int)(slash - path), path);
    return slash + 1;
}

/* Is it missing, or is something other than a directory in its place or on the way? The kernel's errno
 * depends on its version and on how it is opened. */
static bool is_absent(struct lay *l, const char *dir)
{
    char part[LIM_PATH_BYTES];
    struct stat st;

    for (const char *end = dir; *end; end += *end == '/') {
        AUTO_FD int fd = -1;
        end += strcspn(end, "/");
        (void)str_fmt(part, sizeof(part), "%.*s", (int)(end - dir), dir);
        int rc = fs_open_below(l->root_fd, part, O_PATH | O_NOFOLLOW, 0, &fd, NULL);
        if (rc < 0)
            return rc == -ERR_NOTFOUND;
        if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
            return false;
    }
    return false;
}

static int open_dir(struct lay *l, const char *dir, int *ret_fd, struct err *err)
{
    struct err e = ERR_INIT;
    int rc = fs_open_below(l->root_fd, dir[0] ? dir : ".", O_RDONLY | O_DIRECTORY, 0, ret_fd, &e);

    if (rc == -ERR_DENIED || (rc == -ERR_NOTFOUND && !is_absent(l, dir)))
        return bad(err, dir, "a link or file is in the way");
    if (rc < 0)
        return err_set(err, e.kind, "%s", e.msg);
    return 0;
}

/* Create parent directories that the layer does not list. */
static int make_parents(struct lay *l, const char *dir, struct err *err)
{
    char part[LIM_PATH_BYTES];
    int at = -1;

    for (const char *end = dir; *end; end += *end == '/') {
        AUTO_FD int up = steal_fd(&at);
        const char *name = end;
        end += strcspn(end, "/");
        (void)str_fmt(part, sizeof(part), "%.*s", (int)(end - name), name);
        int from = up < 0 ? l->root_fd : up;
        if (mkdirat(from, part, 0755) == 0) {
            if (fchmodat(from, part, 0755, 0) < 0) /* regardless of umask */
                return err_errno(err, errno, "chmod %s", part);
        } else if (errno != EEXIST) {
            return err_errno(err, errno, "create directory %s", part);
        }
        at = openat(from, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (at < 0)
            return bad(err, dir, "a link or file is in the way");
    }
    if (at >= 0)
        (void)close(at);
    return 0;
}

/* Open the parent directory of path; borrowed until the next call. base: the last component. */
static int parent_of(struct lay *l, const char *path, bool make, int *ret_fd, const char **ret_base,
                     struct err *err)
{
    char dir[LIM_PATH_BYTES];
    int fd = -1;

    *ret_base = split(path, dir);
    if (l->parent_fd < 0 || strcmp(l->parent, dir) != 0) {
        forget_parent(l);
        int rc = open_dir(l, dir, &fd, err);
        if (rc == -ERR_NOTFOUND && make) {
            rc = make_parents(l, dir, err);
            if (rc >= 0)
                rc = open_dir(l, dir, &fd, err);
        }
        if (rc < 0)
            return rc;
        l->parent_fd = fd;
        memcpy(l->parent, dir, strlen(dir) + 1); /* both are LIM_PATH_BYTES long */
    }
    *ret_fd = l->parent_fd;
    return 0;
}

/* Remove what is at base. keep_dir: a directory may stay. Returns 1 if one stayed. */
static int clear(int dir_fd, const char *base, bool keep_dir, struct err *err)
{
    struct stat st;

    if (fstatat(dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "look at %s", base);
    if (!S_ISDIR(st.st_mode))
        return unlinkat(dir_fd, base, 0) < 0 ? err_errno(err, errno, "replace %s", base) : 0;
    if (keep_dir)
        return 1;
    return fs_remove_tree(dir_fd, base, err);
}

static int lay_dir(struct lay *l, int dir_fd, const char *base, const struct entry *e, struct err *err)
{
    mode_t mode = object_mode(e) | 0700;
    int rc = 0;

    if (mkdirat(dir_fd, base, mode) < 0) { /* nearly always it is new, so try that first */
        rc = errno == EEXIST ? clear(dir_fd, base, true, err)
                             : err_errno(err, errno, "create directory %s", e->path);
        if (rc == 0 && mkdirat(dir_fd, base, mode) < 0)
            rc = err_errno(err, errno, "create directory %s", e->path);
    }
    if (rc < 0)
        return rc;
    AUTO_FD int fd = openat(dir_fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "open directory %s", e->path);
    rc = object_dress(fd, e, err);
    if (rc == 0 && str_copy(l->parent, sizeof(l->parent), e->path)) { /* the next entries are mostly in it */
        forget_parent(l);
        l->parent_fd = steal_fd(&fd);
    }
    return rc;
}

static int create(int dir_fd, const char *base, int *ret_fd, struct err *err)
{
    int fd = openat(dir_fd, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_errno(err, errno, "create %s", base);
    *ret_fd = fd;
    return 0;
}

static int lay_empty(int dir_fd, const char *base, const struct entry *e, struct err *err)
{
    AUTO_FD int fd = -1;
    int rc = create(dir_fd, base, &fd, err);

    return rc == 0 ? object_finish(fd, e, err) : rc;
}

static int copy_bytes(int from, int to, off_t left, struct err *err)
{
    while (left > 0) {
        ssize_t n = sendfile(to, from, NULL, (size_t)left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(err, n < 0 ? errno : EIO, "copy");
        left -= n;
    }
    return 0;
}

/* File systems limit the links of an inode (ext4: 65000). The file beyond the limit is a copy: correct, only
 * not shared. */
static int copy_file(int from_dir, const char *from, int dir_fd, const char *base, struct err *err)
{
    struct stat st;
    AUTO_FD int to = -1;
    AUTO_FD int in = openat(from_dir, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (in < 0 || fstat(in, &st) < 0)
        return err_errno(err, errno, "open %s", from);
    int rc = create(dir_fd, base, &to, err);
    if (rc == 0)
        rc = copy_bytes(in, to, st.st_size, err);
    if (rc == 0 && (fchown(to, st.st_uid, st.st_gid) < 0 || fchmod(to, st.st_mode & 0777) < 0 ||
                    futimens(to, epoch) < 0))
        rc = err_errno(err, errno, "owner and mode of %s", base);
    return rc;
}

/* Replaces whatever is there; nearly always nothing is, so that is tried first. */
static int link_file(int from_dir, const char *from, int dir_fd, const char *base, struct err *err)
{
    int no = linkat(from_dir, from, dir_fd, base, 0) == 0 ? 0 : errno;

    if (no == EEXIST || no == EMLINK) { /* which of the two the kernel returns is not defined */
        int rc = clear(dir_fd, base, false, err);
        if (rc < 0)
            return rc;
        no = linkat(from_dir, from, dir_fd, base, 0) == 0 ? 0 : errno;
    }
    if (no == EMLINK)
        return copy_file(from_dir, from, dir_fd, base, err);
    return no ? err_errno(err, no, "link %s", base) : 0;
}

static int lay_symlink(int dir_fd, const char *base, const struct entry *e, struct err *err)
{
    if (symlinkat(e->link, dir_fd, base) < 0)
        return err_errno(err, errno, "make link %s", e->path);
    if (fchownat(dir_fd, base, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_errno(err, errno, "owner of %s", e->path);
    return 0;
}

/* The target is looked up before anything is removed; it must be a file or link of this tree. */
static int lay_hardlink(struct lay *l, int dir_fd, const char *base, const struct entry *e, struct err *err)
{
    char dir[LIM_PATH_BYTES];
    const char *from = split(e->link, dir);
    AUTO_FD int from_fd = -1;
    struct stat st = {.st_mode = 0};

    int rc = open_dir(l, dir, &from_fd, err);
    if (rc == -ERR_NOTFOUND || (rc == 0 && fstatat(from_fd, from, &st, AT_SYMLINK_NOFOLLOW) < 0))
        return bad(err, e->path, "a hard link to what the image does not have");
    if (rc < 0)
        return rc;
    if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        return bad(err, e->path, "a hard link to a directory");
    return link_file(from_fd, from, dir_fd, base, err);
}

/* In the layers below the directory's place may be taken by a file or link, which hides nothing: see
 * lay_check_opaque. */
static int open_opaque(struct lay *l, const char *path, int *ret_fd, struct err *err)
{
    const char *base;
    int dir_fd = -1;
    int rc = parent_of(l, path, false, &dir_fd, &base, err);

    if (rc < 0)
        return rc;
    int fd = openat(dir_fd, base[0] ? base : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
                   ? -ERR_NOTFOUND
                   : err_errno(err, errno, "open directory %s", path);
    *ret_fd = fd;
    return 0;
}

static int empty_folder(struct lay *l, const char *path, struct err *err)
{
    int fd = -1;
    int rc = open_opaque(l, path, &fd, err);

    forget_parent(l);
    if (rc == -ERR_NOTFOUND)
        return 0; /* nothing below, so nothing to hide */
    if (rc < 0)
        return rc;
    DIR *d = fdopendir(fd);
    if (!d) {
        (void)close(fd);
        return err_set(err, ERR_NOMEM, "list %s", path);
    }
    for (struct dirent *e; rc >= 0 && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = fs_remove_tree(dirfd(d), e->d_name, err);
    (void)closedir(d);
    return rc < 0 ? rc : 0;
}

int lay_check_opaque(struct lay *l, const char *path, struct err *err)
{
    AUTO_FD int fd = -1;
    int rc = open_dir(l, path, &fd, err);

    return rc == -ERR_NOTFOUND ? 0 : rc;
}

static int white_out(struct lay *l, const char *path, struct err *err)
{
    const char *base;
    int dir_fd = -1;
    int rc = parent_of(l, path, false, &dir_fd, &base, err);

    if (rc == -ERR_NOTFOUND)
        return 0;
    if (rc >= 0)
        rc = fs_remove_tree(dir_fd, base, err);
    forget_parent(l); /* it may have been removed */
    return rc < 0 ? rc : 0;
}

static int lay_below(struct lay *l, const struct entry *e, const struct object_at *obj, struct err *err)
{
    const char *base;
    int dir_fd = -1;
    int rc = parent_of(l, e->path, true, &dir_fd, &base, err);

    if (rc < 0)
        return rc;
    if (e->kind == ENTRY_DIR)
        return lay_dir(l, dir_fd, base, e, err);
    if (e->kind == ENTRY_HARDLINK)
        return lay_hardlink(l, dir_fd, base, e, err);
    if (e->kind == ENTRY_FILE && obj)
        return link_file(obj->dir_fd, obj->path, dir_fd, base, err);
    rc = clear(dir_fd, base, false, err);
    if (rc < 0)
        return rc;
    return e->kind == ENTRY_SYMLINK ? lay_symlink(dir_fd, base, e, err) : lay_empty(dir_fd, base, e, err);
}

int lay_entry(struct lay *l, const struct entry *e, const struct object_at *obj, struct err *err)
{
    switch (e->kind) {
    case ENTRY_WHITEOUT:
        return white_out(l, e->path, err);
    case ENTRY_OPAQUE:
        return empty_folder(l, e->path, err);
    case ENTRY_FILE:
    case ENTRY_DIR:
    case ENTRY_SYMLINK:
    case ENTRY_HARDLINK:
        if (e->path[0] == '\0')
            return object_dress(l->root_fd, e, err);
        return lay_below(l, e, obj, err);
    default:
        return 0;
    }
}

int lay_mount_points(struct lay *l, struct err *err)
{
    static const struct {
        const char *path;
        enum entry_kind kind;
        uint32_t mode;
    } points[] = {
        {"proc", ENTRY_DIR, 0555},          {"sys", ENTRY_DIR, 0555},
        {"dev", ENTRY_DIR, 0755},           {"tmp", ENTRY_DIR, 01777},
        {"run", ENTRY_DIR, 0755},           {"etc", ENTRY_DIR, 0755},
        {"etc/hosts", ENTRY_FILE, 0644},    {"etc/resolv.conf", ENTRY_FILE, 0644},
        {"etc/hostname", ENTRY_FILE, 0644},
    };

    for (size_t i = 0; i < COUNT_OF(points); i++) {
        struct entry e = {.kind = points[i].kind, .mode = points[i].mode};
        AUTO_FD int there = -1;
        if (fs_open_below(l->root_fd, points[i].path, O_PATH | O_NOFOLLOW, 0, &there, NULL) != -ERR_NOTFOUND)
            continue; /* something is there, or a link is on the way */
        (void)str_copy(e.path, sizeof(e.path), points[i].path);
        struct err why = ERR_INIT;
        int rc = lay_entry(l, &e, NULL, &why);
        if (rc < 0 && rc != -ERR_INVALID) /* /etc may be a link or a file: then the image does not want it */
            return err_set(err, why.kind, "%s", why.msg);
    }
    return 0;
}
