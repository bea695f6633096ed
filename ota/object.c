/* object.c - what a file of an image is called in the store. */
#include <fcntl.h>
#include <sys/stat.h>

#include "ota/store_int.h"

char *object_name(const struct digest *d, uint32_t mode, uint32_t uid, uint32_t gid,
                  char dst[OBJECT_NAME_BYTES])
{
    char hex[65];

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

bool object_exists(int dir_fd, const char *path, uint64_t size)
{
    struct stat st;

    return fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == size;
}
