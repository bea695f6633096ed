/* install.c - from verified blobs to an image under its name.
 *
 * Order of steps, and why a power cut at any point is safe:
 * 1. Everything is built below tmp/<image>: rootfs, new objects (obj/), layer records, manifest, config,
 * meta. A cut here: tmp/ is emptied at the next start; objects/ and images/ are unchanged (a rootfs with
 * links to old objects is removed with them).
 * 2. One syncfs: all bytes, inodes and directories of step 1 are durable, still without a trusted name.
 * 3. New objects are renamed to objects/, records to layers/. Each is already whole, so any subset may
 * survive a cut: an object without links is removed by the next collect, or found and used by the next
 * install.
 * 4. tmp/<image> is renamed to images/<image>: the one step that makes the image exist. Its rootfs has its
 * own link to every object, so it is whole whatever became of step 3.
 * 5. A second syncfs makes the names of 3 and 4 durable; only then are the layers' blobs removed and success
 * reported. syncfs reports write errors only since Linux 5.8; on older kernels a failing disk is noticed when
 * the file is read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "ota/pull/install_int.h"

int install_write(int dir_fd, const char *name, struct buf bytes, struct err *err)
{
    AUTO_FD int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    return fd < 0 ? err_errno(err, errno, "create %s", name) : fs_write_full(fd, bytes, err);
}

static int read_documents(struct install *i, uint8_t **ret_manifest, size_t *ret_manifest_len,
                          uint8_t **ret_config, size_t *ret_config_len, struct err *err)
{
    AUTO_FREE(arena) struct arena *arena = arena_new(LIM_OCI_JSON_BYTES * 2);
    struct oci_config c = {.n_diff_ids = 0};
    int rc = store_read_blob(i->s, &i->in->manifest, LIM_OCI_JSON_BYTES, ret_manifest, ret_manifest_len, err);

    if (rc == 0)
        rc = oci_manifest_parse(buf_of(*ret_manifest, *ret_manifest_len), &i->manifest, err);
    if (rc == 0)
        rc = store_read_blob(i->s, &i->manifest.config.digest, LIM_OCI_JSON_BYTES, ret_config, ret_config_len,
                             err);
    if (rc == 0)
        rc = oci_config_parse(buf_of(*ret_config, *ret_config_len), arena, &c, err);
    if (rc < 0)
        return rc;
    if (c.n_diff_ids != i->manifest.n_layers)
        return err_set(err, ERR_INVALID, "rootfs.diff_ids: %u for %u layers", c.n_diff_ids,
                       i->manifest.n_layers);
    memcpy(i->diff_ids, c.diff_ids, sizeof(i->diff_ids));
    if (i->in->pack) { /* the image is made from one tree instead of layers */
        i->manifest.n_layers = 1;
        i->manifest.layers[0].digest = i->in->pack->tree;
    }
    return 0;
}

/* Before the first byte: what was signed, less what comes from layers already present. */
static int check_room(struct install *i, struct err *err)
{
    uint64_t bytes = i->in->max_bytes, inodes = i->in->max_inodes;
    struct record_totals t;

    if (i->in->pack)
        return 0; /* gather knows better */
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
    int rc = fs_remove_tree(i->s->tmp_fd, hex, err);

    if (rc >= 0)
        rc = fs_open_dir(i->s->tmp_fd, hex, true, 0700, &i->work_fd, err);
    if (rc >= 0 && i->in->pack) {
        rc = stage_open(i->s, &i->in->manifest, &i->stage, err);
        i->obj_fd = rc < 0 ? -1 : fcntl(i->stage.dir_fd, F_DUPFD_CLOEXEC, 3);
    } else if (rc >= 0) {
        rc = fs_open_dir(i->work_fd, "obj", true, 0700, &i->obj_fd, err);
    }
    if (rc >= 0)
        rc = fs_open_dir(i->work_fd, "rootfs", true, 0755, &i->root_fd, err);
    if (rc >= 0 && fchmod(i->root_fd, 0755) < 0)
        rc = err_errno(err, errno, "chmod rootfs");
    i->lay.root_fd = i->root_fd;
    return rc;
}

static int write_documents(struct install *i, struct buf manifest, struct buf config, struct err *err)
{
    struct store_meta m = {.bytes = i->bytes, .inodes = i->inodes, .n_layers = i->manifest.n_layers};

    for (unsigned n = 0; n < m.n_layers; n++)
        m.layers[n] = i->manifest.layers[n].digest;
    char AUTO_MEM *meta = store_meta_build(&m);
    int rc = install_write(i->work_fd, "manifest", manifest, err);
    if (rc == 0)
        rc = install_write(i->work_fd, "config", config, err);
    return rc < 0 ? rc : install_write(i->work_fd, "meta", buf_str(meta), err);
}

/* An object's bytes are durable: give it its name. */
static int name_object(void *arg, const char *name, struct err *err)
{
    struct install *i = arg;
    char path[OBJECT_NAME_BYTES + 3], directory[3] = {name[0], name[1], '\0'};

    if (strlen(name) < 64 || strncmp(name, "part~", 5) == 0) /* left by an earlier try by another route */
        return unlinkat(i->obj_fd, name, 0) < 0 ? err_errno(err, errno, "remove %s", name) : 0;
    (void)object_path(name, path);
    int rc = renameat(i->obj_fd, name, i->s->objects_fd, path);
    if (rc < 0 && errno == ENOENT) { /* most directories exist already */
        if (mkdirat(i->s->objects_fd, directory, 0700) < 0 && errno != EEXIST)
            return err_errno(err, errno, "make objects/%s", directory);
        rc = renameat(i->obj_fd, name, i->s->objects_fd, path);
    }
    if (rc < 0)
        return err_errno(err, errno, "name object");
    if (!i->no_verity) { /* a bonus: what holds on every file system is the digest in the name, and
                          * scrubbing */
        AUTO_FD int fd = openat(i->s->objects_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        i->no_verity = fd >= 0 && !fs_verity_enable(fd);
    }
    return 0;
}

static int name_records(struct install *i, struct err *err)
{
    char name[24], hex[SHA256_HEX];

    for (unsigned n = 0; n < i->manifest.n_layers; n++) {
        (void)str_fmt(name, sizeof(name), INSTALL_RECORD, n);
        if (i->recorded[n])
            continue;
        if (renameat(i->work_fd, name, i->s->layers_fd, digest_hex(&i->manifest.layers[n].digest, hex)) < 0)
            return err_errno(err, errno, "name layer record");
        (void)unlinkat(i->work_fd, name, 0); /* it stays if it is that very file under another name */
    }
    return 0;
}

/* Steps 2 to 5 at the top of this file. */
static int name_all(struct install *i, const char *hex, struct err *err)
{
    if (unlinkat(i->obj_fd, INSTALL_NEW_OBJECT, 0) < 0 && errno != ENOENT)
        return err_errno(err, errno, "remove %s", INSTALL_NEW_OBJECT);
    int rc = fs_sync_all(i->work_fd, err);
    if (rc == 0)
        rc = store_each_file(i->obj_fd, name_object, i, err);
    if (rc == 0 && (i->in->pack ? unlinkat(i->s->staged_fd, hex, AT_REMOVEDIR)
                                : unlinkat(i->work_fd, "obj", AT_REMOVEDIR)) < 0)
        rc = err_errno(err, errno, "remove the objects' directory");
    if (rc == 0)
        rc = name_records(i, err);
    if (rc == 0 && faccessat(i->s->images_fd, hex, F_OK, 0) == 0) /* it exists, but is marked as damaged */
        return mend_image(i->s, hex, err);
    if (rc == 0 && renameat(i->s->tmp_fd, hex, i->s->images_fd, hex) < 0)
        rc = err_errno(err, errno, "name image");
    return rc < 0 ? rc : fs_sync_all(i->s->images_fd, err);
}

static void drop_pack(struct install *i)
{
    uint8_t AUTO_MEM *head = NULL;
    size_t len = 0;
    struct pack_head h;
    char hex[SHA256_HEX];

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
    char hex[SHA256_HEX];

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
    int rc = read_documents(i, &manifest, &manifest_len, &config, &config_len, err);

    if (rc == 0)
        rc = check_room(i, err);
    if (rc == 0)
        rc = open_work(i, hex, err);
    if (rc == 0)
        rc = i->in->pack ? install_pack(i, err) : install_layers(i, err);
    if (rc == 0)
        rc = write_documents(i, buf_of(manifest, manifest_len), buf_of(config, config_len), err);
    return rc < 0 ? rc : name_all(i, hex, err);
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
    char hex[SHA256_HEX];
    AUTO_FD int lock_fd = -1;
    struct install AUTO_MEM *i = mem_need_zero(sizeof(*i));
    struct stream AUTO_MEM *stream = mem_need(sizeof(*stream));
    uint8_t AUTO_MEM *small = mem_need(INSTALL_SMALL_BYTES);

    in->note[0] = '\0';
    memset(in->stripped, 0, sizeof(in->stripped));
    in->fetched_bytes = in->written_bytes = 0;
    if (store_has_image(s, &in->manifest))
        return 0;
    int rc = store_work_lock(s, &lock_fd, err);
    if (rc < 0)
        return rc;
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
    rc = build(i, hex, err);
    close_all(i);
    if (rc == 0)
        drop_layers(i);
    else
        err_ignore(fs_remove_tree(s->tmp_fd, hex, NULL));
    return rc < 0 && err ? err_wrap(err, "install sha256:%.12s", hex) : rc;
}
