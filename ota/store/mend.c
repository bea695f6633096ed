/* mend.c - repairs an image marked as damaged, in place: boxes may be running from it, and what they have
 * open stays valid. The image was built again below tmp/ from whole objects; here each file that differs
 * replaces the damaged one by a single rename. A power cut at any point leaves the mark, and the next install
 * starts over. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "ota/store/store_int.h"

struct mend {
    int from_fd, to_fd; /* the same directory in the tree under tmp/ and in the image */
    unsigned depth;
};

static int move_over(const struct mend *m, const char *name, struct err *err)
{
    if (renameat(m->from_fd, name, m->to_fd, name) < 0)
        return err_errno(err, errno, "repair %s", name);
    return 0;
}

static int mend_entry(void *arg, const char *name, struct err *err);

static int mend_folder(const struct mend *m, const char *name, struct err *err)
{
    AUTO_FD int from = openat(m->from_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_FD int to = openat(m->to_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (from < 0 || to < 0)
        return err_errno(err, errno, "open directory %s", name);
    if (m->depth > LIM_PATH_DEPTH)
        return err_set(err, ERR_INVALID, "repair %s: too deep", name);
    return store_each_entry(from, mend_entry, &(struct mend){from, to, m->depth + 1}, err);
}

/* Empty files are mount points of running boxes and contain nothing that could be damaged: they stay. */
static int mend_entry(void *arg, const char *name, struct err *err)
{
    const struct mend *m = arg;
    struct stat now, had;

    if (fstatat(m->from_fd, name, &now, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "look at %s", name);
    if (fstatat(m->to_fd, name, &had, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? move_over(m, name, err) : err_errno(err, errno, "look at %s", name);
    if (S_ISDIR(now.st_mode) && S_ISDIR(had.st_mode))
        return mend_folder(m, name, err);
    if (S_ISREG(now.st_mode) && now.st_size > 0 && now.st_ino != had.st_ino)
        return move_over(m, name, err);
    return 0;
}

int mend_image(struct store *s, const char *image_name, struct err *err)
{
    AUTO_FD int from = -1;
    AUTO_FD int to = -1;
    int rc = fs_open_dir(s->tmp_fd, image_name, false, 0, &from, err);

    if (rc == 0)
        rc = fs_open_dir(s->images_fd, image_name, false, 0, &to, err);
    if (rc == 0)
        rc = store_each_entry(from, mend_entry, &(struct mend){from, to, 0}, err);
    if (rc == 0)
        rc = fs_sync_all(to, err);
    if (rc == 0 && unlinkat(to, DAMAGED_FILE, 0) < 0)
        rc = err_errno(err, errno, "remove the damage mark");
    if (rc == 0)
        rc = fs_sync_dir(to, err);
    return rc < 0 ? rc : fs_remove_tree(s->tmp_fd, image_name, err);
}
