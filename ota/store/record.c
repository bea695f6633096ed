/* record.c - layers/<digest>: the entries of a layer with the digests of its files, written during the
 * install and named after its objects are durable. With it the layer can be used for another image without
 * its blob. */
#include <errno.h>
#include <fcntl.h>

#include "ota/pack/tree.h"
#include "ota/store/store_int.h"

#define RECORD_MAGIC TREE_MAGIC

int record_begin(int dir_fd, const char *name, int *ret_fd, struct err *err)
{
    AUTO_FD int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_errno(err, errno, "create layer record");
    int rc = fs_write_full(fd, BUF_LIT(RECORD_MAGIC), err);
    if (rc == 0)
        *ret_fd = steal_fd(&fd);
    return rc;
}

int record_add(int fd, const struct entry *e, const struct digest *d, struct err *err)
{
    uint8_t wire[ENTRY_WIRE_BYTES + SHA256_BYTES];
    size_t len = entry_encode(e, wire);

    if (e->kind == ENTRY_FILE && e->size > 0) {
        memcpy(wire + len, d->b, SHA256_BYTES);
        len += SHA256_BYTES;
    }
    return fs_write_full(fd, buf_of(wire, len), err);
}

int record_open(struct store *s, const struct digest *d, int *ret_fd, struct err *err)
{
    char hex[SHA256_HEX], magic[sizeof(RECORD_MAGIC) - 1];
    AUTO_FD int fd = openat(s->layers_fd, digest_hex(d, hex), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "open layer record %s", hex);
    ssize_t n = fs_read_full(fd, magic, sizeof(magic), err);
    if (n < 0)
        return (int)n;
    if (n != (ssize_t)sizeof(magic) || memcmp(magic, RECORD_MAGIC, sizeof(magic)) != 0)
        return err_set(err, ERR_NOTFOUND, "no layer record %s", hex);
    *ret_fd = steal_fd(&fd);
    return 0;
}

/* The object that one file in a record needs. */
static int next_object(struct stream *st, const struct entry *e, struct digest *ret_d,
                       char path[OBJECT_NAME_BYTES + 3], struct err *err)
{
    char name[OBJECT_NAME_BYTES];
    int rc = stream_get(st, ret_d->b, sizeof(ret_d->b), err);

    if (rc == 0)
        (void)object_path(object_name(ret_d, object_mode(e), e->uid, e->gid, name), path);
    return rc;
}

int record_walk(struct store *s, const struct digest *d,
                bool (*fn)(void *arg, const struct digest *d, const char *path, uint64_t size), void *arg,
                struct err *err)
{
    char path[OBJECT_NAME_BYTES + 3];
    struct entry e;
    struct digest object;
    AUTO_FD int fd = -1;
    int rc = record_open(s, d, &fd, err);

    if (rc < 0)
        return rc;
    struct stream AUTO_MEM *st = mem_need_zero(sizeof(*st));
    st->fd = fd;
    do {
        bool content = (rc = stream_entry(st, &e, err)) == 0 && e.kind == ENTRY_FILE && e.size > 0;
        if (content)
            rc = next_object(st, &e, &object, path, err);
        if (rc < 0)
            return rc;
        if (content && !fn(arg, &object, path, e.size))
            return err_set(err, ERR_CONFLICT, "stopped");
    } while (e.kind != ENTRY_END);
    return 0;
}

bool record_each(struct store *s, const struct digest *d,
                 bool (*fn)(void *arg, const struct digest *d, const char *path, uint64_t size), void *arg)
{
    return record_walk(s, d, fn, arg, NULL) == 0;
}

struct whole {
    struct store *s;
    struct record_totals totals;
};

static bool is_here(void *arg, const struct digest *d, const char *path, uint64_t size)
{
    struct whole *w = arg;

    (void)d;
    w->totals.bytes += size;
    w->totals.files++;
    return object_exists(w->s->objects_fd, path, size);
}

bool record_is_whole(struct store *s, const struct digest *d, struct record_totals *ret)
{
    struct whole w = {.s = s};

    if (!record_each(s, d, is_here, &w))
        return false;
    if (ret)
        *ret = w.totals;
    return true;
}
