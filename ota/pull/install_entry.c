/* install_entry.c - entries of an image become its rootfs: what is not allowed is stripped, content becomes
 * an object of the store unless it is one already, the object is linked. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "ota/pull/install_int.h"
#include "platform/clock.h"
#include "platform/job.h"

#define PROGRESS_MS 200

__attribute__((format(printf, 2, 3))) static void note(struct install *i, const char *fmt, ...)
{
    char text[256];
    size_t used = strlen(i->in->note);
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (used + strlen(text) + 2 > sizeof(i->in->note))
        return; /* enough were reported */
    (void)snprintf(i->in->note + used, sizeof(i->in->note) - used, "%s\n", text);
}

static void tell_progress(struct install *i)
{
    uint64_t now = clock_boot_ms();

    if (i->line_fd < 0 || now - i->told_ms < PROGRESS_MS)
        return;
    i->told_ms = now;
    job_line(i->line_fd, "progress %" PRIu64 " %" PRIu64, i->bytes, i->max_bytes);
}

/* ---- files ---- */

static int write_new(struct install *i, struct buf bytes, int *ret_fd, struct err *err)
{
    int rc = store_take_space(i->s, bytes.len, 1, err);
    AUTO_FD int fd = -1;

    if (rc < 0)
        return rc;
    fd = openat(i->obj_fd, INSTALL_NEW_OBJECT, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, errno, "create object");
    rc = fs_write_full(fd, bytes, err);
    if (rc == 0)
        *ret_fd = steal_fd(&fd);
    return rc;
}

/* Write all bytes of a large file from the stream to INSTALL_NEW_OBJECT. */
static int spool(struct install *i, uint64_t left, struct digest *ret, int *ret_fd, struct err *err)
{
    AUTO_FREE(sha256) struct sha256 *hash = sha256_new();
    AUTO_FD int fd = -1;
    struct buf got;
    int rc = store_check_space(i->s, left, 1, err);

    if (rc == 0)
        rc = write_new(i, buf_of(NULL, 0), &fd, err);
    while (rc == 0 && left > 0) {
        rc = stream_some(i->stream, left, &got, err);
        if (rc == 0)
            rc = sha256_add(hash, got, err);
        if (rc == 0)
            rc = fs_write_full(fd, got, err);
        left -= rc == 0 ? got.len : 0;
    }
    if (rc == 0)
        rc = sha256_end(hash, ret, err);
    if (rc == 0)
        *ret_fd = steal_fd(&fd);
    return rc;
}

/* Is this object in the store, or new in this image? */
static bool find_object(struct install *i, const char *name, uint64_t size, struct object_at *ret)
{
    (void)object_path(name, ret->path);
    ret->dir_fd = i->s->objects_fd;
    if (object_exists(ret->dir_fd, ret->path, size))
        return true;
    ret->dir_fd = i->obj_fd;
    (void)str_copy(ret->path, sizeof(ret->path), name);
    return object_exists(ret->dir_fd, ret->path, size);
}

static int keep_new(struct install *i, int fd, const struct entry *e, const struct object_at *obj,
                    struct err *err)
{
    int rc = object_finish(fd, e, err);

    if (rc == 0 && renameat(i->obj_fd, INSTALL_NEW_OBJECT, i->obj_fd, obj->path) < 0)
        rc = err_errno(err, errno, "keep object");
    return rc;
}

/* Content from the stream becomes an object, unless it exists already. */
static int take_content(struct install *i, const struct entry *e, struct object_at *ret, struct digest *ret_d,
                        struct err *err)
{
    char name[OBJECT_NAME_BYTES];
    bool small = e->size <= INSTALL_SMALL_BYTES;
    AUTO_FD int fd = -1;
    int rc = small ? stream_get(i->stream, i->small, (size_t)e->size, err) : 0;

    if (rc == 0)
        rc = small ? sha256(buf_of(i->small, (size_t)e->size), ret_d, err)
                   : spool(i, e->size, ret_d, &fd, err);
    if (rc < 0)
        return rc;
    (void)object_name(ret_d, object_mode(e), e->uid, e->gid, name);
    if (find_object(i, name, e->size, ret))
        return 0; /* a spooled duplicate is overwritten by the next file and removed with tmp */
    if (small)
        rc = write_new(i, buf_of(i->small, (size_t)e->size), &fd, err);
    return rc < 0 ? rc : keep_new(i, fd, e, ret, err);
}

/* The digest from the record; the object must exist, as record_is_whole has checked. With a pack each content
 * exists, but perhaps under another mode or owner. */
static int take_recorded(struct install *i, const struct entry *e, struct object_at *ret, struct err *err)
{
    char name[OBJECT_NAME_BYTES];
    struct digest d;
    int rc = stream_get(i->stream, d.b, sizeof(d.b), err);

    if (rc < 0)
        return rc;
    (void)object_name(&d, object_mode(e), e->uid, e->gid, name);
    if (find_object(i, name, e->size, ret))
        return 0;
    if (i->in->pack)
        rc = stage_variant(&i->stage, e, &d, err);
    if (rc == 0 && !find_object(i, name, e->size, ret))
        rc = err_set(err, ERR_NOTFOUND, "object %s is gone", name);
    return rc;
}

/* ---- entries ---- */

static int count(struct install *i, const struct entry *e, struct err *err)
{
    uint64_t size = e->flags & ENTRY_AGAIN ? 0 : e->size; /* in a tree, a hard link is another file entry */

    if (size > i->max_bytes - i->bytes)
        return err_set(err, ERR_INVALID, "the image holds more than the %" PRIu64 " bytes that were signed",
                       i->max_bytes);
    if (i->inodes == i->max_inodes)
        return err_set(err, ERR_INVALID, "the image holds more than the %" PRIu64 " entries that were signed",
                       i->max_inodes);
    i->bytes += size;
    i->inodes++;
    return 0;
}

/* What an image must not contain is stripped and reported, or the image is refused. */
static int strip(struct install *i, const struct entry *e, struct err *err)
{
    static const char *const what[STORE_STRIPPED_COUNT_] = {
        "left out (not a file, directory or link)", "set-uid bit taken away", "set-gid bit taken away",
        "extended attributes left out"};
    char shown[120];
    bool set_id = e->mode & 06000 && (e->kind == ENTRY_FILE || e->kind == ENTRY_DIR);
    bool has[] = {e->kind == ENTRY_SKIPPED, set_id && e->mode & 04000, set_id && !(e->mode & 04000),
                  e->flags & ENTRY_HAD_XATTR};

    for (unsigned n = 0; n < COUNT_OF(what); n++) {
        if (!has[n])
            continue;
        (void)entry_printable(e->path, shown, sizeof(shown));
        if (i->in->refuse_privileges)
            return err_set(err, ERR_INVALID, "%s: %s otherwise, and image_privileges is \"refuse\"", shown,
                           what[n]);
        i->in->stripped[n]++;
        note(i, "%s: %s", shown, what[n]);
    }
    return 0;
}

static bool deletes(const struct entry *e)
{
    return e->kind == ENTRY_WHITEOUT || e->kind == ENTRY_OPAQUE;
}

/* One entry in the pass that adds files (deletions had their own pass before). */
static int lay_one(struct install *i, const struct entry *e, bool from_record, struct err *err)
{
    struct object_at obj;
    struct digest d = {{0}};
    bool content = e->kind == ENTRY_FILE && e->size > 0;
    int rc = count(i, e, err);

    if (rc == 0)
        rc = strip(i, e, err);
    if (rc == 0 && content)
        rc = from_record ? take_recorded(i, e, &obj, err) : take_content(i, e, &obj, &d, err);
    else if (rc == 0 && (e->kind == ENTRY_DIR || e->kind == ENTRY_SYMLINK || e->kind == ENTRY_FILE))
        rc = store_take_space(i->s, 0, 1, err);
    if (rc == 0 && e->kind == ENTRY_OPAQUE)
        rc = lay_check_opaque(&i->lay, e->path, err);
    else if (rc == 0 && !deletes(e))
        rc = lay_entry(&i->lay, e, content ? &obj : NULL, err);
    if (rc == 0 && !from_record)
        rc = record_add(i->record_fd, e, &d, err);
    tell_progress(i);
    return rc;
}

int install_entries(struct install *i, int fd, bool whiteouts, bool from_record, struct err *err)
{
    struct entry e;
    uint64_t n = 0;
    uint8_t digest[SHA256_BYTES];

    i->stream->fd = fd;
    i->stream->at = i->stream->len = 0;
    i->stream->ended = false;
    for (;;) {
        int rc = stream_entry(i->stream, &e, err);
        if (rc < 0 || e.kind == ENTRY_END)
            return rc < 0 || whiteouts || from_record ? rc : record_add(i->record_fd, &e, NULL, err);
        if (!whiteouts)
            rc = lay_one(i, &e, from_record, err);
        else if (deletes(&e))
            rc = lay_entry(&i->lay, &e, NULL, err);
        else if (from_record && e.kind == ENTRY_FILE && e.size > 0)
            rc = stream_get(i->stream, digest, sizeof(digest), err);
        else if (!from_record)
            rc = err_set(err, ERR_INVALID, "the untar program sent what was not asked for");
        if (rc == 0 && ++n > i->max_inodes)
            rc = err_set(err, ERR_INVALID, "more entries than were signed");
        if (rc < 0)
            return rc;
    }
}
