/* object.c - the name of an image's file in the store. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "ota/store/store_int.h"

char *object_name(const struct digest *d, uint32_t mode, uint32_t uid, uint32_t gid,
                  char dst[OBJECT_NAME_BYTES])
{
    char hex[SHA256_HEX];

    (void)str_fmt(dst, OBJECT_NAME_BYTES, "%s.%o.%x.%x", digest_hex(d, hex), mode, uid, gid);
    return dst;
}

char *object_path(const char *name, char dst[OBJECT_NAME_BYTES + 3])
{
    (void)str_fmt(dst, OBJECT_NAME_BYTES + 3, "%.2s/%s", name, name);
    return dst;
}

uint32_t object_mode(const struct entry *e)
{
    return e->mode & (e->kind == ENTRY_DIR ? 01777u : 0777u);
}

/* One check is cheaper than two changes. Owner first: changing it may clear mode bits. */
int object_dress(int fd, const struct entry *e, struct err *err)
{
    struct stat st;
    bool ours = false;
    int rc = fstat(fd, &st);

    if (rc == 0)
        ours = st.st_uid == e->uid && st.st_gid == e->gid;
    if (rc == 0 && !ours)
        rc = fchown(fd, e->uid, e->gid);
    if (rc == 0 && (!ours || (st.st_mode & 07777) != object_mode(e)))
        rc = fchmod(fd, object_mode(e));
    return rc < 0 ? err_errno(err, errno, "owner and mode of %s", e->path) : 0;
}

#define OBJECT_TIME_S 1

int object_finish(int fd, const struct entry *e, struct err *err)
{
    static const struct timespec epoch[2] = {{.tv_sec = OBJECT_TIME_S}, {.tv_sec = OBJECT_TIME_S}};
    int rc = object_dress(fd, e, err);

    return rc == 0 && futimens(fd, epoch) < 0 ? err_errno(err, errno, "time of %s", e->path) : rc;
}

bool object_is_finished(int fd, const struct digest *d, const char *name)
{
    char want[OBJECT_NAME_BYTES];
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_mtim.tv_sec == OBJECT_TIME_S &&
           strcmp(object_name(d, st.st_mode & 07777, st.st_uid, st.st_gid, want), name) == 0;
}

bool object_exists(int dir_fd, const char *path, uint64_t size)
{
    struct stat st;

    return fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == size;
}
