/* fetch_usb.c - an OCI layout on a stick. While the program is still root, in its own mount namespace: find
 * the device, mount it read-only, open the blobs, unmount lazily. The mount lives as long as these are open,
 * so the end of the program, whatever its cause, releases the stick. Nothing on it is ever executed, no link
 * on it is followed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <strings.h>
#include <sys/mount.h>

#include "ota/fetch/fetch_int.h"
#include "ota/fetch/fslabel.h"
#include "platform/fs.h"

#define DEVICES "/dev"
#define CLASS   "/sys/class/block"
#define MOUNT_POINT \
    "/sys" /* exists everywhere, and in our mount namespace nothing else sees what we mount on
                            * it */
#define DEVICES_MAX 64
#define NAME_BYTES  64
#define FLAGS       (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* Is the device removable? It is on a USB bus, or it or its disk is marked so. */
static bool can_be_removed(const char *name)
{
    char path[NAME_BYTES + 64], link[512] = "", text[8] = "";

    (void)str_fmt(path, sizeof(path), CLASS "/%s", name);
    if (readlink(path, link, sizeof(link) - 1) > 0 && strstr(link, "/usb"))
        return true;
    (void)str_fmt(path, sizeof(path), CLASS "/%s/removable", name);
    if (fs_read_text(AT_FDCWD, path, text, sizeof(text), NULL) < 0) { /* a partition: ask its disk */
        (void)str_fmt(path, sizeof(path), CLASS "/%s/../removable", name);
        err_ignore(fs_read_text(AT_FDCWD, path, text, sizeof(text), NULL));
    }
    return strcmp(text, "1") == 0;
}

static unsigned list_devices(const struct fetch_job *j, char names[DEVICES_MAX][NAME_BYTES])
{
    DIR *dir = opendir(j->usb_folder ? j->usb_folder : CLASS);
    struct dirent *e;
    unsigned n = 0;

    while (dir && n < DEVICES_MAX && (e = readdir(dir)) != NULL)
        if (e->d_name[0] != '.' && (j->usb_folder || can_be_removed(e->d_name)) &&
            str_copy(names[n], NAME_BYTES, e->d_name))
            n++;
    if (dir)
        (void)closedir(dir);
    return n;
}

static bool is_wanted(const struct source *s, const struct fslabel *fs)
{
    return s->kind == SOURCE_STICK && (strcmp(s->label, "*") == 0 || strcasecmp(s->label, fs->label) == 0);
}

static bool anybody_wants(const struct fetch_job *j, const struct fslabel *fs)
{
    bool any = false;

    for (unsigned i = 0; i < j->n_sources; i++)
        any |= is_wanted(&j->sources[i], fs);
    return any;
}

/* Open all blobs that no earlier stick had. */
static void open_blobs(struct fetch_job *j, int stick, unsigned s)
{
    const char *path = j->sources[s].at + strspn(j->sources[s].at, "/");
    AUTO_FD int dir = -1;
    char blob[96];

    if (fs_open_below(stick, path[0] ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &dir, NULL) < 0)
        return;
    for (unsigned i = 0; i < j->n_items; i++) {
        int *fd = &j->items[i].dir_fds[s];
        if (*fd < 0)
            err_ignore(fs_open_below(dir, fetch_dir_blob_path(&j->items[i], blob),
                                     O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, fd, NULL));
    }
}

static int mount_stick(const char *device, const struct fslabel *fs, struct err *err)
{
    /* without "noload" even a read-only mount would replay ext4's journal */
    if (mount(device, MOUNT_POINT, fs->type, FLAGS, strcmp(fs->type, "ext4") == 0 ? "noload" : NULL) == 0)
        return 0;
    /* already mounted for writing: the kernel only lets us share that mount, and read it */
    if (errno != EBUSY || mount(device, MOUNT_POINT, fs->type, FLAGS & ~(unsigned long)MS_RDONLY, NULL) < 0)
        return err_errno(err, errno, "mount as %s", fs->type);
    if (mount(NULL, MOUNT_POINT, NULL, MS_REMOUNT | MS_BIND | FLAGS, NULL) == 0)
        return 0;
    int mount_errno = errno;
    (void)umount2(MOUNT_POINT, MNT_DETACH);
    return err_errno(err, mount_errno, "mount read-only");
}

static int use_stick(struct fetch_job *j, const char *device, const struct fslabel *fs, struct err *err)
{
    int rc = mount_stick(device, fs, err);

    if (rc < 0)
        return rc;
    AUTO_FD int stick = open(MOUNT_POINT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int open_errno = errno;
    if (umount2(MOUNT_POINT, MNT_DETACH) < 0)
        return err_errno(err, errno, "let go");
    if (stick < 0)
        return err_errno(err, open_errno, "open");
    for (unsigned s = 0; s < j->n_sources; s++)
        if (is_wanted(&j->sources[s], fs))
            open_blobs(j, stick, s);
    return 0;
}

static int try_device(struct fetch_job *j, const char *name, struct err *err)
{
    char path[512];
    struct fslabel fs;
    struct stat st;

    if (!str_fmt(path, sizeof(path), "%s/%s", j->usb_folder ? j->usb_folder : DEVICES, name))
        return err_set(err, ERR_INVALID, "too long a name");
    AUTO_FD int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "open");
    if (!S_ISBLK(st.st_mode))
        return err_set(err, ERR_INVALID, "no block device");
    int rc = fslabel_probe(fd, &fs, err);
    return rc == 0 && anybody_wants(j, &fs) ? use_stick(j, path, &fs, err) : rc;
}

void fetch_usb_open(struct fetch_job *j)
{
    char names[DEVICES_MAX][NAME_BYTES];
    bool wanted = false;

    for (unsigned i = 0; i < j->n_sources; i++)
        wanted |= j->sources[i].kind == SOURCE_STICK;
    if (!wanted)
        return;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        (void)err_errno(&j->usb_err, errno, "mount name space");
        return;
    }
    unsigned n = list_devices(j, names);
    for (unsigned i = 0; i < n; i++) {
        struct err err = ERR_INIT;
        if (try_device(j, names[i], &err) < 0 && j->usb_err.kind == ERR_NONE)
            (void)err_set(&j->usb_err, err.kind, "%s: %s", names[i], err.msg);
    }
}

int fetch_usb_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err)
{
    int *fd = &it->dir_fds[source];

    if (*fd < 0)
        return err_set(err, ERR_IO, "on no stick that is here%s%s", j->usb_err.kind != ERR_NONE ? "; " : "",
                       j->usb_err.msg);
    int rc = fetch_dir_get(j, it, source, err);
    if (rc == -(int)ERR_IO && !j->ours) { /* removed: only a new program finds it again */
        (void)close(*fd);
        *fd = -1;
    }
    return rc;
}
