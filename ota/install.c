/* install.c - from verified blobs to an image that has its name.
 *
 * Order, and why a cut at any point is safe:
 *  1. Everything is built below tmp/<image>: rootfs, new objects (obj/), layer records, manifest, config,
 * meta. A cut here: tmp/ is emptied at the next start; objects/ and images/ were not touched (a rootfs that
 * links to old objects gives its links back).
 *  2. One syncfs: all bytes, inodes and folders of step 1 are durable, still without a name that anybody
 * trusts.
 *  3. New objects are renamed to objects/, records to layers/. Each is whole already, so any subset may
 * survive a cut: an object that nothing links to goes at the next collect, or is found and used by the next
 * install.
 *  4. tmp/<image> is renamed to images/<image>: the one step that makes the image exist. Its rootfs has links
 * of its own to every object, so it is whole whatever became of step 3.
 *  5. A second syncfs makes the names of 3 and 4 durable; only then are the layers' blobs dropped and success
 * told. syncfs tells of write errors since Linux 5.8 only; on older kernels a failing disk shows when the
 * file is read. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "ota/layer.h"
#include "ota/pull.h"
#include "platform/clock.h"
#include "platform/job.h"

#define SMALL_BYTES (256 * 1024) /* files up to this are hashed before anything is written */
#define PROGRESS_MS 200
#define NEW_OBJECT  "new~"
#define RECORD_NAME "record%u"

struct install {
    struct store *s;
    struct store_install *in;
    int line_fd, work_fd, obj_fd, root_fd, record_fd;
    struct lay lay;
    struct stream *stream;
    uint8_t *small; /* SMALL_BYTES */
    struct oci_manifest manifest;
    struct digest diff_ids[LIM_OCI_LAYERS];
    uint64_t bytes, inodes, max_bytes, max_inodes, told_ms;
    bool recorded[LIM_OCI_LAYERS]; /* laid from its record: nothing new to record */
    struct stage stage;            /* by a pack: obj_fd is its folder */
    bool no_verity;                /* this file system has none */
};

__attribute__((format(printf, 2, 3))) static void note(struct install *i, const char *fmt, ...)
{
    char text[256];
    size_t used = strlen(i->in->note);
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (used + strlen(text) + 2 > sizeof(i->in->note))
        return; /* enough is told */
    (void)snprintf(i->in->note + used, sizeof(i->in->note) - used, "%s\n", text);
    if (i->line_fd >= 0)
        job_line(i->line_fd, "note %s", text);
}

static void tell_progress(struct install *i)
{
    uint64_t now = clock_boot_ms();

    if (i->line_fd < 0 || now - i->told_ms < PROGRESS_MS)
        return;
    i->told_ms = now;
    job_line(i->line_fd, "progress %llu %llu", (unsigned long long)i->bytes,
             (unsigned long long)i->max_bytes);
}

/* ---- files ---- */

static int write_new(struct install *i, struct buf bytes, int *ret_fd, struct err *err)
{
    int r = store_check_space(i->s, bytes.len, 1, err);
    int AUTO_FD fd = -1;

    if (r < 0)
        return r;
    fd = openat(i->obj_fd, NEW_OBJECT, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, errno, "create object");
    r = fs_write_full(fd, bytes, err);
    if (r == 0)
        *ret_fd = steal_fd(&fd);
    return r;
}

/* All bytes of a large file from the stream into NEW_OBJECT. */
static int spool(struct install *i, uint64_t left, struct digest *ret, int *ret_fd, struct err *err)
{
    AUTO_FREE(sha256) struct sha256 *hash = sha256_new();
    int AUTO_FD fd = -1;
    struct buf got;
    int r = store_check_space(i->s, left, 1, err);

    if (r == 0)
        r = write_new(i, buf_of(NULL, 0), &fd, err);
    while (r == 0 && left > 0) {
        r = stream_some(i->stream, left, &got, err);
        if (r == 0)
            r = sha256_add(hash, got, err);
        if (r == 0)
            r = fs_write_full(fd, got, err);
        left -= r == 0 ? got.len : 0;
    }
    if (r == 0)
        r = sha256_end(hash, ret, err);
    if (r == 0)
        *ret_fd = steal_fd(&fd);
    return r;
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
    static const struct timespec epoch[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

    /* owner first: a change of owner may clear mode bits */
    if (fchown(fd, e->uid, e->gid) < 0 || fchmod(fd, object_mode(e)) < 0 || futimens(fd, epoch) < 0)
        return err_errno(err, errno, "owner and mode of an object");
    if (renameat(i->obj_fd, NEW_OBJECT, i->obj_fd, obj->path) < 0)
        return err_errno(err, errno, "keep object");
    return 0;
}

/* Content from the stream becomes an object, unless it is one already. */
static int take_content(struct install *i, const struct entry *e, struct object_at *ret, struct digest *ret_d,
                        struct err *err)
{
    char name[OBJECT_NAME_BYTES];
    bool small = e->size <= SMALL_BYTES;
    int AUTO_FD fd = -1;
    int r = small ? stream_get(i->stream, i->small, (size_t)e->size, err) : 0;

    if (r == 0)
        r = small ? sha256(buf_of(i->small, (size_t)e->size), ret_d, err)
                  : spool(i, e->size, ret_d, &fd, err);
    if (r < 0)
        return r;
    (void)object_name(ret_d, object_mode(e), e->uid, e->gid, name);
    if (find_object(i, name, e->size, ret))
        return 0; /* a spooled twin is overwritten by the next file and goes with tmp */
    if (small)
        r = write_new(i, buf_of(i->small, (size_t)e->size), &fd, err);
    return r < 0 ? r : keep_new(i, fd, e, ret, err);
}

/* The digest from the record; the object must be there: record_is_whole said so. */
static int take_recorded(struct install *i, const struct entry *e, struct object_at *ret, struct err *err)
{
    char name[OBJECT_NAME_BYTES];
    struct digest d;
    int r = stream_get(i->stream, d.b, sizeof(d.b), err);

    if (r < 0)
        return r;
    if (!find_object(i, object_name(&d, object_mode(e), e->uid, e->gid, name), e->size, ret))
        return err_set(err, ERR_NOTFOUND, "object %s is gone", name);
    return 0;
}

/* ---- entries ---- */

static int count(struct install *i, const struct entry *e, struct err *err)
{
    uint64_t size = e->flags & ENTRY_AGAIN ? 0 : e->size; /* in a tree, a hard link is a file once more */

    if (size > i->max_bytes - i->bytes)
        return err_set(err, ERR_INVALID, "the image holds more than the %llu bytes that were signed",
                       (unsigned long long)i->max_bytes);
    if (i->inodes == i->max_inodes)
        return err_set(err, ERR_INVALID, "the image holds more than the %llu entries that were signed",
                       (unsigned long long)i->max_inodes);
    i->bytes += size;
    i->inodes++;
    return 0;
}

/* What an image may not bring with it is left out and told, or is a reason to refuse the image. */
static int strip(struct install *i, const struct entry *e, struct err *err)
{
    static const char *const what[] = {"left out (not a file, folder or link)", "set-uid bit taken away",
                                       "set-gid bit taken away", "extended attributes left out"};
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
        note(i, "%s: %s", shown, what[n]);
    }
    return 0;
}

static bool deletes(const struct entry *e)
{
    return e->kind == ENTRY_WHITEOUT || e->kind == ENTRY_OPAQUE;
}

/* One entry of the pass that lays files (deletions had their own pass before). */
static int lay_one(struct install *i, const struct entry *e, bool from_record, struct err *err)
{
    struct object_at obj;
    struct digest d = {{0}};
    bool content = e->kind == ENTRY_FILE && e->size > 0;
    int r = count(i, e, err);

    if (r == 0)
        r = strip(i, e, err);
    if (r == 0 && content)
        r = from_record ? take_recorded(i, e, &obj, err) : take_content(i, e, &obj, &d, err);
    else if (r == 0 && (e->kind == ENTRY_DIR || e->kind == ENTRY_SYMLINK || e->kind == ENTRY_FILE))
        r = store_check_space(i->s, 0, 1, err);
    if (r == 0 && !deletes(e))
        r = lay_entry(&i->lay, e, content ? &obj : NULL, err);
    if (r == 0 && !from_record)
        r = record_add(i->record_fd, e, &d, err);
    tell_progress(i);
    return r;
}

static int read_pass(struct install *i, int fd, bool whiteouts, bool from_record, struct err *err)
{
    struct entry e;
    uint64_t n = 0;
    uint8_t digest[SHA256_BYTES];

    i->stream->fd = fd;
    i->stream->at = i->stream->len = 0;
    i->stream->ended = false;
    for (;;) {
        int r = stream_entry(i->stream, &e, err);
        if (r < 0 || e.kind == ENTRY_END)
            return r < 0 || whiteouts || from_record ? r : record_add(i->record_fd, &e, NULL, err);
        if (!whiteouts)
            r = lay_one(i, &e, from_record, err);
        else if (deletes(&e))
            r = lay_entry(&i->lay, &e, NULL, err);
        else if (from_record && e.kind == ENTRY_FILE && e.size > 0)
            r = stream_get(i->stream, digest, sizeof(digest), err);
        else if (!from_record)
            r = err_set(err, ERR_INVALID, "the untar program sent what was not asked for");
        if (r == 0 && ++n > i->max_inodes)
            r = err_set(err, ERR_INVALID, "more entries than were signed");
        if (r < 0)
            return r;
    }
}

/* ---- layers ---- */

static int pass_from_blob(struct install *i, unsigned layer, int blob_fd, bool whiteouts, struct err *err)
{
    struct untar_run run = {.entry_fd = -1, .line_fd = -1};
    struct err own = ERR_INIT, said = ERR_INIT;

    if (lseek(blob_fd, 0, SEEK_SET) < 0)
        return err_errno(err, errno, "layer");
    int r = untar_run_start(i->in->untar_argv, blob_fd, i->manifest.layers[layer].codec, &i->diff_ids[layer],
                            layer_max_tar(i->max_bytes, i->max_inodes), whiteouts, &run, err);
    if (r < 0)
        return r;
    r = read_pass(i, run.entry_fd, whiteouts, false, &own);
    bool cut = r < 0 && i->stream->ended;
    if (r == 0 || cut) { /* it knows best why it stopped */
        int verdict = untar_run_end(&run, &said);
        if (verdict < 0)
            r = err_set(err, said.kind, "layer %u: %s", layer, said.msg);
        else if (cut)
            r = err_set(err, own.kind, "layer %u: %s", layer, own.msg);
    } else {
        r = err_set(err, own.kind, "layer %u: %s", layer, own.msg);
    }
    untar_run_done(&run);
    return r;
}

/* What runs through the untar program is what was just hashed: the same open file, and nobody else may write
 * it any more. */
static int open_layer(struct install *i, const struct digest *d, int *ret_fd, struct err *err)
{
    struct digest got;
    uint64_t len = 0;
    char hex[65];
    int AUTO_FD fd = openat(i->s->blobs_fd, digest_hex(d, hex), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "open layer %s", hex);
    int r = sha256_fd(fd, &got, &len, err);
    if (r < 0)
        return r;
    if (!digest_eq(&got, d)) {
        (void)unlinkat(i->s->blobs_fd, hex, 0);
        return err_set(err, ERR_INTEGRITY, "layer %s has gone bad on disk", hex);
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int from_blob(struct install *i, unsigned layer, struct err *err)
{
    char name[24];
    int AUTO_FD blob_fd = -1;
    int AUTO_FD record_fd = -1;
    int r = open_layer(i, &i->manifest.layers[layer].digest, &blob_fd, err);

    (void)str_fmt(name, sizeof(name), RECORD_NAME, layer);
    if (r == 0)
        r = record_begin(i->work_fd, name, &record_fd, err);
    if (r == 0 && layer > 0) /* deletions mean the layers below, wherever in the archive they stand */
        r = pass_from_blob(i, layer, blob_fd, true, err);
    i->record_fd = record_fd;
    return r < 0 ? r : pass_from_blob(i, layer, blob_fd, false, err);
}

static int from_record(struct install *i, unsigned layer, struct err *err)
{
    int r = 0;

    for (int whiteouts = layer > 0; r == 0 && whiteouts >= 0; whiteouts--) {
        int AUTO_FD fd = -1;
        r = record_open(i->s, &i->manifest.layers[layer].digest, &fd, err);
        if (r == 0)
            r = read_pass(i, fd, whiteouts, true, err);
    }
    i->recorded[layer] = true;
    return r;
}

static int lay_layers(struct install *i, struct err *err)
{
    int r = 0;

    for (unsigned n = 0; r == 0 && n < i->manifest.n_layers; n++) {
        const struct digest *d = &i->manifest.layers[n].digest;
        if (record_is_whole(i->s, d, NULL))
            r = from_record(i, n, err);
        else
            r = from_blob(i, n, err);
    }
    return r < 0 ? r : lay_mount_points(&i->lay, err);
}

/* ---- by a pack ---- */

static int write_file(int dir_fd, const char *name, struct buf bytes, struct err *err)
{
    int AUTO_FD fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    return fd < 0 ? err_errno(err, errno, "create %s", name) : fs_write_full(fd, bytes, err);
}

/* Bring all objects into staged/ and the tree into record0. */
static int gather(struct install *i, struct err *err)
{
    const struct store_pack *pack = i->in->pack;
    struct store_cost cost = {.write_bytes = pack->write_bytes};
    struct pull p;
    int r = pull_open(&p, i->s, pack, &i->stage, i->line_fd, err);

    p.max_bytes = i->stage.max_bytes = i->max_bytes;
    p.max_inodes = i->max_inodes;
    if (r == 0 && !pack->patch)
        r = pull_judge_tree(&p, err);
    if (r == 0 && !pack->patch && !pack->held)
        r = pull_cost(&p, &cost, err);
    if (r == 0)
        r = store_check_space(i->s, cost.write_bytes, i->max_inodes, err);
    if (r == 0 && !pack->held)
        r = pack->patch ? pull_patch(&p, err) : pull_chunks(&p, &i->in->fetched_bytes, err);
    if (r == 0)
        r = stage_variants(&i->stage, p.tree, err);
    if (r == 0)
        r = write_file(i->work_fd, "record0", p.tree, err);
    if (r == 0 && p.table.len)
        r = write_file(i->work_fd, "table", p.table, err);
    i->in->written_bytes = i->stage.written;
    pull_close(&p);
    return r;
}

static int lay_tree(struct install *i, struct err *err)
{
    int AUTO_FD fd = openat(i->work_fd, "record0", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || lseek(fd, sizeof(TREE_MAGIC) - 1, SEEK_SET) < 0)
        return err_errno(err, errno, "open the tree");
    int r = read_pass(i, fd, false, true, err);
    return r < 0 ? r : lay_mount_points(&i->lay, err);
}

static int lay_pack(struct install *i, struct err *err)
{
    int r = gather(i, err);

    return r < 0 ? r : lay_tree(i, err);
}

/* ---- the image ---- */

static int read_documents(struct install *i, uint8_t **ret_manifest, size_t *ret_manifest_len,
                          uint8_t **ret_config, size_t *ret_config_len, struct err *err)
{
    AUTO_FREE(arena) struct arena *arena = arena_new(LIM_OCI_JSON_BYTES * 2);
    struct oci_config c = {.n_diff_ids = 0};
    int r = store_read_blob(i->s, &i->in->manifest, LIM_OCI_JSON_BYTES, ret_manifest, ret_manifest_len, err);

    if (r == 0)
        r = oci_manifest_parse(buf_of(*ret_manifest, *ret_manifest_len), &i->manifest, err);
    if (r == 0)
        r = store_read_blob(i->s, &i->manifest.config.digest, LIM_OCI_JSON_BYTES, ret_config, ret_config_len,
                            err);
    if (r == 0)
        r = oci_config_parse(buf_of(*ret_config, *ret_config_len), arena, &c, err);
    if (r < 0)
        return r;
    if (c.n_diff_ids != i->manifest.n_layers)
        return err_set(err, ERR_INVALID, "rootfs.diff_ids: %u for %u layers", c.n_diff_ids,
                       i->manifest.n_layers);
    memcpy(i->diff_ids, c.diff_ids, sizeof(i->diff_ids));
    if (i->in->pack) { /* what the image is made of: one tree instead of layers */
        i->manifest.n_layers = 1;
        i->manifest.layers[0].digest = i->in->pack->tree;
    }
    return 0;
}

/* Before the first byte: what was signed, less what layers bring that are here already. */
static int check_room(struct install *i, struct err *err)
{
    uint64_t bytes = i->in->max_bytes, inodes = i->in->max_inodes;
    struct record_totals t;

    if (i->in->pack)
        return 0; /* gather knows it better */
    for (unsigned n = 0; n < i->manifest.n_layers; n++) {
        const struct digest *d = &i->manifest.layers[n].digest;
        if (record_is_whole(i->s, d, &t)) {
            bytes -= t.bytes < bytes ? t.bytes : bytes;
            inodes -= t.files < inodes ? t.files : inodes;
        } else if (!store_has_blob(i->s, d)) {
            return err_set(err, ERR_NOTFOUND, "layer %u of the image is not in the store", n);
        }
    }
    return store_check_space(i->s, bytes, inodes, err);
}

static int open_work(struct install *i, const char *hex, struct err *err)
{
    int r = fs_remove_tree(i->s->tmp_fd, hex, err);

    if (r >= 0)
        r = fs_open_dir(i->s->tmp_fd, hex, true, 0700, &i->work_fd, err);
    if (r >= 0 && i->in->pack) {
        r = stage_open(i->s, &i->in->manifest, &i->stage, err);
        i->obj_fd = r < 0 ? -1 : fcntl(i->stage.dir_fd, F_DUPFD_CLOEXEC, 3);
    } else if (r >= 0) {
        r = fs_open_dir(i->work_fd, "obj", true, 0700, &i->obj_fd, err);
    }
    if (r >= 0)
        r = fs_open_dir(i->work_fd, "rootfs", true, 0755, &i->root_fd, err);
    if (r >= 0 && fchmod(i->root_fd, 0755) < 0)
        r = err_errno(err, errno, "chmod rootfs");
    i->lay.root_fd = i->root_fd;
    return r;
}

static int write_documents(struct install *i, struct buf manifest, struct buf config, struct err *err)
{
    struct store_meta m = {.bytes = i->bytes, .inodes = i->inodes, .n_layers = i->manifest.n_layers};

    for (unsigned n = 0; n < m.n_layers; n++)
        m.layers[n] = i->manifest.layers[n].digest;
    char AUTO_MEM *meta = store_meta_build(&m);
    int r = write_file(i->work_fd, "manifest", manifest, err);
    if (r == 0)
        r = write_file(i->work_fd, "config", config, err);
    return r < 0 ? r : write_file(i->work_fd, "meta", buf_str(meta), err);
}

/* An object's bytes are durable: give it its name. */
static int name_object(void *arg, const char *name, struct err *err)
{
    struct install *i = arg;
    char path[OBJECT_NAME_BYTES + 3], folder[3] = {name[0], name[1], '\0'};

    if (strlen(name) < 64 || strncmp(name, "part~", 5) == 0) /* of an earlier try by another way */
        return unlinkat(i->obj_fd, name, 0) < 0 ? err_errno(err, errno, "remove %s", name) : 0;
    (void)object_path(name, path);
    if (mkdirat(i->s->objects_fd, folder, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "make objects/%s", folder);
    if (renameat(i->obj_fd, name, i->s->objects_fd, path) < 0)
        return err_errno(err, errno, "name object");
    if (!i->no_verity) { /* a bonus: the digest in its name and scrubbing are what holds everywhere */
        int AUTO_FD fd = openat(i->s->objects_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        i->no_verity = fd >= 0 && !fs_verity_enable(fd);
    }
    return 0;
}

static int name_records(struct install *i, struct err *err)
{
    char name[24], hex[65];

    for (unsigned n = 0; n < i->manifest.n_layers; n++) {
        (void)str_fmt(name, sizeof(name), RECORD_NAME, n);
        if (i->recorded[n])
            continue;
        if (renameat(i->work_fd, name, i->s->layers_fd, digest_hex(&i->manifest.layers[n].digest, hex)) < 0)
            return err_errno(err, errno, "name layer record");
    }
    return 0;
}

/* Steps 2 to 5 of the head of this file. */
static int name_all(struct install *i, const char *hex, struct err *err)
{
    if (unlinkat(i->obj_fd, NEW_OBJECT, 0) < 0 && errno != ENOENT)
        return err_errno(err, errno, "remove %s", NEW_OBJECT);
    int r = fs_sync_all(i->work_fd, err);
    if (r == 0)
        r = store_each_file(i->obj_fd, name_object, i, err);
    if (r == 0 && (i->in->pack ? unlinkat(i->s->staged_fd, hex, AT_REMOVEDIR)
                               : unlinkat(i->work_fd, "obj", AT_REMOVEDIR)) < 0)
        r = err_errno(err, errno, "remove the objects' folder");
    if (r == 0)
        r = name_records(i, err);
    if (r == 0 && faccessat(i->s->images_fd, hex, F_OK, 0) == 0) /* it is there, but marked as damaged */
        return mend_image(i->s, hex, err);
    if (r == 0 && renameat(i->s->tmp_fd, hex, i->s->images_fd, hex) < 0)
        r = err_errno(err, errno, "name image");
    return r < 0 ? r : fs_sync_all(i->s->images_fd, err);
}

static void drop_pack(struct install *i)
{
    uint8_t AUTO_MEM *head = NULL;
    size_t len = 0;
    struct pack_head h;
    char hex[65];

    if (i->in->pack->held)
        return;
    if (!i->in->pack->patch &&
        store_read_blob(i->s, &i->in->pack->pack, LIM_PACK_HEAD_BYTES, &head, &len, NULL) == 0 &&
        pack_head_decode(buf_of(head, len), &h, NULL) == 0) {
        (void)unlinkat(i->s->blobs_fd, digest_hex(&h.tree.digest, hex), 0);
        (void)unlinkat(i->s->blobs_fd, digest_hex(&h.table.digest, hex), 0);
    }
    (void)unlinkat(i->s->blobs_fd, digest_hex(&i->in->pack->pack, hex), 0);
}

static void drop_layers(struct install *i)
{
    char hex[65];

    if (i->in->pack)
        drop_pack(i);

    for (unsigned n = 0; n < i->manifest.n_layers; n++)
        (void)unlinkat(i->s->blobs_fd, digest_hex(&i->manifest.layers[n].digest, hex), 0);
}

static int build(struct install *i, const char *hex, struct err *err)
{
    uint8_t AUTO_MEM *manifest = NULL;
    uint8_t AUTO_MEM *config = NULL;
    size_t manifest_len = 0, config_len = 0;
    int r = read_documents(i, &manifest, &manifest_len, &config, &config_len, err);

    if (r == 0)
        r = check_room(i, err);
    if (r == 0)
        r = open_work(i, hex, err);
    if (r == 0)
        r = i->in->pack ? lay_pack(i, err) : lay_layers(i, err);
    if (r == 0)
        r = write_documents(i, buf_of(manifest, manifest_len), buf_of(config, config_len), err);
    return r < 0 ? r : name_all(i, hex, err);
}

static void close_all(struct install *i)
{
    stage_close(&i->stage);
    lay_done(&i->lay);
    int *const fds[] = {&i->work_fd, &i->obj_fd, &i->root_fd};
    for (size_t n = 0; n < COUNT_OF(fds); n++)
        if (*fds[n] >= 0)
            (void)close(*fds[n]);
}

int store_install(struct store *s, struct store_install *in, int line_fd, struct err *err)
{
    char hex[65];
    int AUTO_FD lock_fd = -1;
    struct install AUTO_MEM *i = mem_need_zero(sizeof(*i));
    struct stream AUTO_MEM *stream = mem_need(sizeof(*stream));
    uint8_t AUTO_MEM *small = mem_need(SMALL_BYTES);

    in->note[0] = '\0';
    in->fetched_bytes = in->written_bytes = 0;
    if (store_has_image(s, &in->manifest))
        return 0;
    int r = store_work_lock(s, &lock_fd, err);
    if (r < 0)
        return r;
    *i = (struct install){.s = s,
                          .in = in,
                          .line_fd = line_fd,
                          .stream = stream,
                          .small = small,
                          .work_fd = -1,
                          .obj_fd = -1,
                          .root_fd = -1,
                          .record_fd = -1,
                          .stage = {.dir_fd = -1, .fd = -1},
                          .lay = {.root_fd = -1, .parent_fd = -1},
                          .max_bytes = in->max_bytes ? in->max_bytes : LIM_IMAGE_BYTES,
                          .max_inodes = in->max_inodes ? in->max_inodes : LIM_IMAGE_INODES};
    (void)digest_hex(&in->manifest, hex);
    r = build(i, hex, err);
    close_all(i);
    if (r == 0)
        drop_layers(i);
    else
        (void)fs_remove_tree(s->tmp_fd, hex, NULL);
    return r < 0 && err ? err_wrap(err, "install sha256:%.12s", hex) : r;
}
