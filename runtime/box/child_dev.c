/* child_dev.c - the contents of /dev: our own nodes where root is real root, the host's nodes bind-mounted
 * where a user namespace forbids mknod (and protects the host's from chmod). See child_mount.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "platform/fs.h"
#include "runtime/box/child_mount.h"

/* Every container has these (config-linux.md, "Default Devices"). */
static const struct spec_device nodes[] = {
    {"/dev/null", 'c', 1, 3, 0666, 0, 0},    {"/dev/zero", 'c', 1, 5, 0666, 0, 0},
    {"/dev/full", 'c', 1, 7, 0666, 0, 0},    {"/dev/random", 'c', 1, 8, 0666, 0, 0},
    {"/dev/urandom", 'c', 1, 9, 0666, 0, 0}, {"/dev/tty", 'c', 5, 0, 0666, 0, 0},
};

static const char *const links[][2] = {{"/proc/self/fd", "fd"},
                                       {"/proc/self/fd/0", "stdin"},
                                       {"/proc/self/fd/1", "stdout"},
                                       {"/proc/self/fd/2", "stderr"},
                                       {"pts/ptmx", "ptmx"}};

/* Engines that pass all devices of the host list /dev/ptmx too; the container's own is that of its devpts. */
static bool is_link_of_ours(const char *path)
{
    for (unsigned i = 0; i < COUNT_OF(links); i++)
        if (strncmp(path, "/dev/", 5) == 0 && strcmp(path + 5, links[i][1]) == 0)
            return true;
    return false;
}

static mode_t type_of(const struct spec_device *d)
{
    return d->type == 'b' ? S_IFBLK : d->type == 'p' ? S_IFIFO : S_IFCHR;
}

static bool is_device(const struct stat *st, const struct spec_device *d)
{
    return (st->st_mode & S_IFMT) == type_of(d) &&
           (d->type == 'p' || st->st_rdev == makedev(d->major, d->minor));
}

/* The host has it at the same path: bind-mount that over an empty file. */
static int bind_node(int dir_fd, const char *name, const struct spec_device *d, struct err *err)
{
    char from[CHILD_FD_TEXT], to[CHILD_FD_TEXT];
    AUTO_FD int host = openat(AT_FDCWD, d->path, O_PATH | O_CLOEXEC);
    AUTO_FD int place = -1;
    struct stat st;

    if (host < 0)
        return err_errno(err, errno, "%s of the host", d->path);
    if (fstat(host, &st) != 0 || !is_device(&st, d))
        return err_set(err, ERR_INVALID,
                       "%s of the host is not %c %u:%u, and a user namespace cannot make nodes", d->path,
                       d->type, d->major, d->minor);
    place = openat(dir_fd, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (place < 0 && errno == EEXIST)
        return 0;
    if (place < 0 || mount(child_fd_text(host, from), child_fd_text(place, to), NULL, MS_BIND, NULL) != 0)
        return err_errno(err, errno, "%s", d->path);
    return 0;
}

static int make_node(struct child *c, int dir_fd, const char *name, const struct spec_device *d,
                     struct err *err)
{
    struct stat st;

    if (mknodat(dir_fd, name, type_of(d) | (mode_t)d->mode, makedev(d->major, d->minor)) == 0)
        return (d->uid == 0 && d->gid == 0) ||
                       fchownat(dir_fd, name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) == 0
                   ? 0
                   : err_errno(err, errno, "owner of %s", d->path);
    if (errno == EPERM && (c->spec->ns[SPEC_NS_USER].own || c->spec->ns[SPEC_NS_USER].join))
        return bind_node(dir_fd, name, d, err);
    if (errno == EEXIST && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return is_device(&st, d)
                   ? 0
                   : err_set(err, ERR_EXISTS, "%s already exists and is something else", d->path);
    return err_errno(err, errno, "%s", d->path);
}

int child_op_devices(struct child *c, const struct op *op, struct err *err)
{
    AUTO_FD int dev = -1;
    struct stat st;
    int rc = fs_open_below(c->root_fd, "dev", O_PATH | O_DIRECTORY, 0, &dev, err);

    (void)op;
    if (rc == -ERR_NOTFOUND)
        return 0; /* an image without /dev, and no mount there: nowhere to put them */
    for (unsigned i = 0; rc >= 0 && i < COUNT_OF(nodes); i++)
        rc = make_node(c, dev, nodes[i].path + 5, &nodes[i], err);
    for (unsigned i = 0; rc >= 0 && i < COUNT_OF(links); i++)
        if (symlinkat(links[i][0], dev, links[i][1]) != 0 && errno != EEXIST)
            rc = err_errno(err, errno, "/dev/%s", links[i][1]);
    if (rc < 0)
        return rc;
    c->null_fd = openat(dev, "null", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (c->null_fd < 0 || fstat(c->null_fd, &st) != 0 || !is_device(&st, &nodes[0]))
        return err_set(err, ERR_IO, "/dev/null is not the null device");
    return 0;
}

int child_op_device(struct child *c, const struct op *op, struct err *err)
{
    const struct spec_device *d = &c->spec->devices[op->index];
    AUTO_FD int parent = -1;
    const char *last = d->path;
    int rc;

    if (is_link_of_ours(d->path))
        return 0;
    rc = child_make_parents(c->root_fd, d->path, &parent, &last, err);
    if (rc < 0)
        return rc;
    if (*last == '\0' || strchr(last, '/'))
        return err_set(err, ERR_INVALID, "linux.devices[%u].path: %s is not a valid file name", op->index,
                       d->path);
    return make_node(c, parent, last, d, err);
}
