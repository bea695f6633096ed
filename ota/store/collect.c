/* collect.c - garbage collection: removes what no kept image is made of. A sweep from the roots; nothing here
 * relies on stored counts. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "ota/pack/pack.h"
#include "ota/store/store_int.h"

struct collect {
    struct store *s;
    bool pressed;
    struct digest *keep;
    size_t n, room;
    uint64_t freed;
    struct digest *hidden; /* objects that only the record of a kept layer needs */
    size_t n_hidden, hidden_room;
};

static void list_add(struct digest **list, size_t *n, size_t *room, const struct digest *d)
{
    if (*n == *room) {
        *room = *room ? 2 * *room : 64;
        struct digest *more = mem_need(*room * sizeof(*more));
        if (*n > 0)
            memcpy(more, *list, *n * sizeof(*more));
        free(*list);
        *list = more;
    }
    (*list)[(*n)++] = *d;
}

static bool list_has(const struct digest *list, size_t n, const struct digest *d)
{
    for (size_t i = 0; i < n; i++)
        if (digest_eq(&list[i], d))
            return true;
    return false;
}

static void keep_add(struct collect *c, const struct digest *d)
{
    list_add(&c->keep, &c->n, &c->room, d);
}

static bool is_kept(const struct collect *c, const struct digest *d)
{
    return list_has(c->keep, c->n, d);
}

/* A kept head of a full pack keeps its documents. */
static void keep_documents(struct collect *c, const struct digest *d)
{
    uint8_t AUTO_MEM *head = NULL;
    size_t len = 0;
    struct pack_head h;

    if (store_read_blob(c->s, d, LIM_PACK_HEAD_BYTES, &head, &len, NULL) == 0 &&
        pack_head_decode(buf_of(head, len), &h, NULL) == 0) {
        keep_add(c, &h.tree.digest);
        keep_add(c, &h.table.digest);
    }
}

/* A kept manifest that is not installed yet keeps its future parts. */
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

/* First the whole name is moved away; what is being deleted is in tmp/, which is never trusted. */
static int sweep_image(void *arg, const char *name, const struct digest *d, struct err *err)
{
    struct collect *c = arg;
    struct store_meta m = {.n_layers = 0};
    struct err why = ERR_INIT;

    if (is_kept(c, d)) {
        if (store_meta_read(c->s, name, &m, &why) < 0 && err_may_retry(why.kind))
            return err_set(err, why.kind, "%s", why.msg); /* its layers are unknown: nothing may be removed */
        for (unsigned i = 0; i < m.n_layers; i++)
            keep_add(c, &m.layers[i]);
        return 0;
    }
    int rc = fs_remove_tree(c->s->tmp_fd, name, err);
    if (rc >= 0 && renameat(c->s->images_fd, name, c->s->tmp_fd, name) < 0)
        rc = err_errno(err, errno, "remove image %s", name);
    return rc < 0 ? rc : fs_remove_tree(c->s->tmp_fd, name, err);
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

static int sweep_staged(void *arg, const char *name, const struct digest *d, struct err *err)
{
    struct collect *c = arg;

    return is_kept(c, d) ? 0 : fs_remove_tree(c->s->staged_fd, name, err);
}

/* Most objects of a layer are linked from the image; the rest are the few hidden by upper layers. */
static bool note_hidden(void *arg, const struct digest *d, const char *path, uint64_t size)
{
    struct collect *c = arg;
    struct stat st;

    (void)size;
    if (fstatat(c->s->objects_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT;
    if (st.st_nlink == 1)
        list_add(&c->hidden, &c->n_hidden, &c->hidden_room, d);
    return true;
}

static int sweep_layer(void *arg, const char *name, const struct digest *d, struct err *err)
{
    struct collect *c = arg;
    struct err why = ERR_INIT;

    if (!is_kept(c, d))
        return remove_file(c, c->s->layers_fd, name, err);
    if (c->pressed)
        return 0;
    int rc = record_walk(c->s, d, note_hidden, c, &why);
    if (rc < 0 && err_may_retry(why.kind)) /* what is hidden is unknown: nothing may be removed */
        return err_set(err, why.kind, "%s", why.msg);
    return 0;
}

struct directory {
    struct collect *c;
    int fd;
};

static int sweep_object(void *arg, const char *name, struct err *err)
{
    struct directory *f = arg;
    char text[SHA256_TEXT];
    struct digest d;
    struct stat st;

    if (fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "look at %s", name);
    if (!S_ISREG(st.st_mode) || st.st_nlink > 1)
        return 0;
    if (str_fmt(text, sizeof(text), "sha256:%.64s", name) && digest_parse(text, &d, NULL) == 0 &&
        list_has(f->c->hidden, f->c->n_hidden, &d))
        return 0;
    return remove_file(f->c, f->fd, name, err);
}

static int sweep_folder(void *arg, const char *name, struct err *err)
{
    struct collect *c = arg;
    AUTO_FD int fd = -1;
    int rc = fs_open_dir(c->s->objects_fd, name, false, 0, &fd, err);

    if (rc < 0)
        return rc;
    rc = store_each_file(fd, sweep_object, &(struct directory){c, fd}, err);
    (void)unlinkat(c->s->objects_fd, name, AT_REMOVEDIR); /* removed once it is empty */
    return rc;
}

int store_collect(struct store *s, const struct store_keep *keep, uint64_t *ret_freed_bytes, struct err *err)
{
    struct collect c = {.s = s, .pressed = keep->pressed};
    AUTO_FD int lock_fd = -1;
    int rc = store_work_lock(s, &lock_fd, err);

    for (unsigned i = 0; rc == 0 && i < keep->n; i++) {
        keep_add(&c, &keep->digests[i]);
        keep_parts(&c, &keep->digests[i]);
        keep_documents(&c, &keep->digests[i]);
    }
    if (rc == 0)
        rc = store_each(s->images_fd, sweep_image, &c, err);
    if (rc == 0)
        rc = store_each(s->blobs_fd, sweep_blob, &c, err);
    if (rc == 0)
        rc = store_each(s->partial_fd, sweep_partial, &c, err);
    if (rc == 0)
        rc = store_each(s->staged_fd, sweep_staged, &c, err);
    if (rc == 0)
        rc = store_each(s->layers_fd, sweep_layer, &c, err);
    if (rc == 0)
        rc = store_each_file(s->objects_fd, sweep_folder, &c, err);
    free(c.keep);
    free(c.hidden);
    if (rc == 0)
        *ret_freed_bytes = c.freed;
    return rc;
}
