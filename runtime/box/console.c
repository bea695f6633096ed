/* console.c - a terminal for the container: created in its devpts, the master sent to the caller
 * (runtime-spec config.md "process.terminal", and the --console-socket that engines pass). */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "platform/fs.h"
#include "platform/sys.h"
#include "runtime/box/child.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/* The image may have anything there: only the multiplexer of a devpts is accepted. */
static int open_master(struct child *c, int *ret_fd, struct err *err)
{
    AUTO_FD int fd = -1;
    struct statfs fs;
    struct stat st;
    int rc = c->root_fd >= 0 ? fs_open_below(c->root_fd, "dev/pts/ptmx", O_RDWR | O_NOCTTY, 0, &fd, err) : 0;

    if (c->root_fd < 0 &&
        (fd = openat(AT_FDCWD, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        rc = err_errno(err, errno, "open");
    if (rc < 0)
        return err_wrap(err, "process.terminal: /dev/pts/ptmx (mounts: a devpts at /dev/pts?)");
    if (fstatfs(fd, &fs) != 0 || fs.f_type != DEVPTS_SUPER_MAGIC || fstat(fd, &st) != 0 ||
        !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
        return err_set(err, ERR_DENIED, "process.terminal: /dev/pts/ptmx is not that of a devpts");
    *ret_fd = steal_fd(&fd);
    return 0;
}

/* By descriptor since 4.13; earlier, by its number in the same devpts. */
static int open_peer(struct child *c, int master, int *ret_fd, struct err *err)
{
    int unlock = 0, n = -1, fd;
    char name[32];

    if (ioctl(master, TIOCSPTLCK, &unlock) != 0)
        return err_errno(err, errno, "unlock terminal");
    fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && ioctl(master, TIOCGPTN, &n) == 0) {
        (void)snprintf(name, sizeof(name), "dev/pts/%d", n);
        if (c->root_fd >= 0)
            err_ignore(fs_open_below(c->root_fd, name, O_RDWR | O_NOCTTY, 0, &fd, NULL));
        else {
            (void)snprintf(name, sizeof(name), "/dev/pts/%d", n);
            fd = openat(AT_FDCWD, name, O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
        }
    }
    if (fd < 0)
        return err_errno(err, errno, "open terminal");
    *ret_fd = fd > 2 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (*ret_fd != fd)
        (void)close(fd);
    return 0;
}

/* /dev/console is this terminal, bind-mounted, as the specification requires. Only in a /dev that we made. */
static int bind_console(struct child *c, int peer, struct err *err)
{
    AUTO_FD int dev = -1;
    AUTO_FD int place = -1;
    char from[32], to[32];
    struct statfs fs;

    if (fs_open_below(c->root_fd, "dev", O_PATH | O_DIRECTORY, 0, &dev, NULL) < 0 || fstatfs(dev, &fs) != 0 ||
        fs.f_type != TMPFS_MAGIC)
        return 0;
    place = openat(dev, "console", O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (place < 0)
        return errno == EEXIST ? 0 : err_errno(err, errno, "/dev/console");
    (void)snprintf(from, sizeof(from), "self/fd/%d", peer);
    (void)snprintf(to, sizeof(to), "self/fd/%d", place);
    return mount(from, to, NULL, MS_BIND, NULL) == 0 ? 0 : err_errno(err, errno, "/dev/console");
}

int child_op_console(struct child *c, const struct op *op, struct err *err)
{
    const struct spec_process *p = &c->spec->process;
    struct winsize size = {.ws_row = p->rows, .ws_col = p->columns};
    AUTO_FD int master = -1;
    int peer = -1, rc;

    (void)op;
    if ((rc = open_master(c, &master, err)) < 0 || (rc = open_peer(c, master, &peer, err)) < 0)
        return rc;
    if ((p->rows || p->columns) && ioctl(master, TIOCSWINSZ, &size) != 0)
        return err_errno(err, errno, "process.consoleSize");
    if (fchown(peer, p->uid, (gid_t)-1) != 0 && errno != EPERM) /* its group remains the devpts's "gid=" */
        return err_errno(err, errno, "give the terminal to user %u", p->uid);
    if (c->root_fd >= 0 && (rc = bind_console(c, peer, err)) < 0)
        return rc;
    if (sys_send_fd(c->console_fd, master, "/dev/ptmx", 9) != 0)
        return err_errno(err, errno, "send the terminal to the console socket");
    for (int i = 0; i < 3; i++)
        c->stdio[i] = peer;
    return 0;
}
