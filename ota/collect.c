/* collect.c - garbage: whatever no kept image is made of. A sweep from the roots; nothing here trusts a count
 * of its own. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "ota/store_int.h"

struct collect {
    struct store *s;
    struct digest *keep;
    size_t n, room;
    uint64_t freed;
};

static void keep_add(struct collect *c, const struct digest *d)
{
    if (c->n == c->room) {
        c->room = c->room ? 2 * c->room : 64;
        struct digest *more = mem_need(c->room * sizeof(*more));
        if (c->n > 0)
            memcpy(more, c->keep, c->n * sizeof(*more));
        free(c->keep);
        c->keep = more;
    }
    c->keep[c->n++] = *d;
}

static bool is_kept(const struct collect *c, const struct digest *d)
{
    for (size_t i = 0; i < c->n; i++)
        if (digest_eq(&c->keep[i], d))
            return true;
    return false;
}

/* A kept manifest that is not installed yet keeps what it will be made of. */
static void keep_parts(struct collect *c, const struct digest *d)
{
    uint8_t AUTO_MEM *text = NULL;
    struct oci_manifest AUTO_MEM *m = mem_need(sizeof(*m));
    size_t len = 0;

    if (store_has_image(c->s, d) || store_read_blob(c->s, d, LIM_OCI_JSON_BYTES, &text, &len, NULL) < 0 ||
        oci_manifest_parse(buf_of(text, len), m, NULL) < 0)
        return;
    keep_add(c, &m->config.digest);
    for (unsigned i = 0; i < m->n_layers; i++)
        keep_add(c, &m->layers[i].digest);
}

static int remove_file(struct collect *c, int dir_fd, const char *name, struct err *err)
{
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || unlinkat(dir_fd, name, 0) < 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "remove %s", name);
    c->freed += (uint64_t)st.st_size;
    return 0;
}

/* Its name goes first, whole; what is being taken apart stands in tmp/, where nobody trusts it. */
static int sweep_image(void *arg, const char *name, const struct digest *d, struct err *err)
{
    struct collect *c = arg;
    struct store_meta m;

    if (is_kept(c, d)) {
        if (store_meta_read(c->s, name, &m, NULL) == 0)
            for (unsigned i = 0; i < m.n_layers; i++)
                keep_add(c, &m.layers[i]);
        return 0;
    }
    int r = fs_remove_tree(c->s->tmp_fd, name, err);
    if (r >= 0 && renameat(c->s->images_fd, name, c->s->tmp_fd, name) < 0)
        r = err_errno(err, errno, "remove image %s", name);
    return r < 0 ? r : fs_remove_tree(c->s->tmp_fd, name, err);
}

static int sweep_blob(void *arg, const char *name, const struct digest *d, struct err *err)
{
    struct collect *c = arg;

    return is_kept(c, d) ? 0 : remove_file(c, c->s->blobs_fd, name, err);
}

static int sweep_partial(void *arg, const char *name, const struct digest *d, struct err *err)
{
    struct collect *c = arg;

    return is_kept(c, d) ? 0 : remove_file(c, c->s->partial_fd, name, err);
}

static int sweep_layer(void *arg, const char *name, const struct digest *d, struct err *err)
{
    struct collect *c = arg;

    return is_kept(c, d) ? 0 : remove_file(c, c->s->layers_fd, name, err);
}

struct folder {
    struct collect *c;
    int fd;
};

static int sweep_object(void *arg, const char *name, struct err *err)
{
    struct folder *f = arg;
    struct stat st;

    if (fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) || st.st_nlink > 1)
        return 0;
    return remove_file(f->c, f->fd, name, err);
}

static int sweep_folder(void *arg, const char *name, struct err *err)
{
    struct collect *c = arg;
    int AUTO_FD fd = -1;
    int r = fs_open_dir(c->s->objects_fd, name, false, 0, &fd, err);

    if (r < 0)
        return r;
    r = store_each_file(fd, sweep_object, &(struct folder){c, fd}, err);
    (void)unlinkat(c->s->objects_fd, name, AT_REMOVEDIR); /* it goes when it is empty */
    return r;
}

int store_collect(struct store *s, const struct store_keep *keep, uint64_t *ret_freed_bytes, struct err *err)
{
    struct collect c = {.s = s};
    int AUTO_FD lock_fd = -1;
    int r = store_work_lock(s, &lock_fd, err);

    for (unsigned i = 0; r == 0 && i < keep->n; i++) {
        keep_add(&c, &keep->digests[i]);
        keep_parts(&c, &keep->digests[i]);
    }
    if (r == 0)
        r = store_each(s->images_fd, sweep_image, &c, err);
    if (r == 0)
        r = store_each(s->blobs_fd, sweep_blob, &c, err);
    if (r == 0)
        r = store_each(s->partial_fd, sweep_partial, &c, err);
    if (r == 0)
        r = store_each(s->layers_fd, sweep_layer, &c, err);
    if (r == 0)
        r = store_each_file(s->objects_fd, sweep_folder, &c, err);
    free(c.keep);
    if (r == 0)
        *ret_freed_bytes = c.freed;
    return r;
}
