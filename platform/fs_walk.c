/* fs_walk.c - opens untrusted paths without ever leaving the directory they belong to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "platform/fs.h"
#include "platform/limits.h"
#include "platform/sys.h"

/* Old kernels: one component at a time. in_root: links and ".." are resolved as inside a chroot, else both
 * are refused. */
struct walk {
    int root_fd, at_fd;        /* at_fd: current directory, O_PATH; owned unless == root_fd */
    int stack[LIM_PATH_DEPTH]; /* directories above at_fd, for ".." */
    unsigned depth, links;
    bool in_root;
};

static void walk_close(struct walk *w)
{
    if (w->at_fd != w->root_fd)
        (void)close(w->at_fd);
    while (w->depth) {
        int fd = w->stack[--w->depth];
        if (fd != w->root_fd)
            (void)close(fd);
    }
}

static void walk_up(struct walk *w, bool to_root)
{
    while (w->depth) {
        if (w->at_fd != w->root_fd)
            (void)close(w->at_fd);
        w->at_fd = w->stack[--w->depth];
        if (!to_root)
            break;
    }
}

/* Enter directory `name`; a link's target is inserted before rest in *path. Returns 0 or -errno. */
static int walk_into(struct walk *w, const char *name, char *path, size_t size, const char *rest)
{
    int fd = openat(w->at_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0 || (!S_ISLNK(st.st_mode) && !S_ISDIR(st.st_mode))) {
        (void)close(fd);
        return -ENOTDIR;
    }
    if (S_ISLNK(st.st_mode)) {
        char link[LIM_PATH_BYTES], joined[LIM_PATH_BYTES];
        ssize_t n = readlinkat(fd, "", link, sizeof(link) - 1);
        (void)close(fd);
        if (!w->in_root || ++w->links > 40)
            return -ELOOP;
        if (n <= 0)
            return -ENOENT;
        link[n] = '\0';
        if (!str_fmt(joined, sizeof(joined), "%s/%s", link, rest) || !str_copy(path, size, joined))
            return -ENAMETOOLONG;
        return 1;
    }
    if (w->depth == LIM_PATH_DEPTH) {
        (void)close(fd);
        return -ENAMETOOLONG;
    }
    w->stack[w->depth++] = w->at_fd;
    w->at_fd = fd;
    return 0;
}

/* The last component: open it; a link is followed inside the root unless the caller passed O_NOFOLLOW. */
static int walk_last(struct walk *w, const char *name, int flags, mode_t mode, char *path, size_t size)
{
    int fd = openat(w->at_fd, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);

    if (fd >= 0) {
        struct stat st;
        bool is_link = (flags & O_PATH) && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode);
        if (!is_link || (flags & O_NOFOLLOW))
            return fd;
        (void)close(fd);
    } else if (errno != ELOOP || (flags & O_NOFOLLOW)) {
        return -errno;
    }
    if (!w->in_root || ++w->links > 40)
        return -ELOOP;
    char link[LIM_PATH_BYTES];
    ssize_t n = readlinkat(w->at_fd, name, link, sizeof(link) - 1);
    if (n <= 0)
        return n < 0 ? -errno : -ENOENT;
    link[n] = '\0';
    return str_copy(path, size, link) ? -EAGAIN : -ENAMETOOLONG;
}

static int walk_open(struct walk *w, const char *start, int flags, mode_t mode)
{
    char path[LIM_PATH_BYTES];

    if (!*start || !str_copy(path, sizeof(path), start))
        return *start ? -ENAMETOOLONG : -ENOENT;
    for (char *p = path;;) {
        if (*p == '/') {
            if (!w->in_root)
                return -EXDEV;
            if (p == path)
                walk_up(w, true);
            while (*p == '/')
                p++;
        }
        char *end = p + strcspn(p, "/");
        char *rest = end + strspn(end, "/");
        bool last = *rest == '\0';
        char saved = *end;
        *end = '\0';
        if (strcmp(p, "..") == 0) {
            if (!w->in_root && w->depth == 0)
                return -EXDEV;
            walk_up(w, false);
        } else if (*p && strcmp(p, ".") != 0) {
            char next[LIM_PATH_BYTES];
            int rc = last && !saved ? walk_last(w, p, flags, mode, next, sizeof(next))
                                    : walk_into(w, p, next, sizeof(next), rest);
            if (last && !saved && rc != -EAGAIN)
                return rc;
            if (rc == 1 || rc == -EAGAIN) { /* a link: its target is the new path, from here */
                memcpy(path, next, sizeof(path));
                p = path;
                continue;
            }
            if (rc < 0)
                return rc;
        }
        if (last) { /* the path ended in "." or ".." or "x/" */
            int fd = openat(w->at_fd, ".", flags | O_CLOEXEC, mode);
            return fd < 0 ? -errno : fd;
        }
        p = rest;
    }
}

static int open_resolved(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve, int *ret_fd,
                         struct err *err)
{
    bool in_root = resolve & RESOLVE_IN_ROOT;
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .mode = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0,
        .resolve = resolve,
    };
    int fd = -1;

    for (int tries = 0; tries < 16; tries++) { /* EAGAIN: something was renamed during the lookup */
        fd = sys_openat2(dir_fd, path, &how);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    if (fd < 0 && errno == ENOSYS) {
        struct walk w = {.root_fd = dir_fd, .at_fd = dir_fd, .in_root = in_root};
        fd = walk_open(&w, path, flags, mode);
        walk_close(&w);
        errno = fd < 0 ? -fd : 0;
    }
    if (fd < 0)
        return err_errno(err, errno, "open %s", path);
    *ret_fd = fd;
    return 0;
}

int fs_open_below(int dir_fd, const char *path, int flags, mode_t mode, int *ret_fd, struct err *err)
{
    return open_resolved(dir_fd, path, flags, mode,
                         RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS, ret_fd, err);
}

int fs_open_in_root(int root_fd, const char *path, int flags, mode_t mode, int *ret_fd, struct err *err)
{
    return open_resolved(root_fd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, ret_fd, err);
}
