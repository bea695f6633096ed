#include "fleet/pack/flat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "fleet/base/bytes.h"
#include "ota/pack/tree.h"
#include "platform/fnv.h"
#include "platform/fs.h"

#define NEW_OBJECT "new~"
#define HELD_BYTES (1024 * 1024) /* a content up to this is hashed before it is written */

struct node {
    char *path, *link; /* heap, one block */
    enum entry_kind kind;
    unsigned flags;
    bool gone;
    uint32_t mode, uid, gid;
    uint64_t size;
    struct digest digest;
    uint32_t parent, child,
        next; /* index + 1: the directory, its newest name, the name before this one in it */
};
struct nodes {
    struct node *list;
    size_t n, room;
};
struct flat {
    int objects_fd;
    struct nodes tree, layer; /* what was laid; the entries of the layer under way, in its order */
    uint32_t *slots;          /* open addressing over the tree's paths: index + 1 */
    size_t n_slots;
    uint32_t roots; /* names at the top that came before the root directory had an entry: index + 1 */
    /* the content under way */
    size_t file; /* its place in the layer + 1; 0: none */
    uint64_t left;
    struct sha256 *hash;
    int fd;
    uint8_t *held;
    size_t held_len;
};

struct flat *flat_new(int objects_fd)
{
    struct flat *f = mem_need_zero(sizeof(*f));

    f->objects_fd = objects_fd;
    f->fd = -1;
    f->held = mem_need(HELD_BYTES);
    f->n_slots = 1024;
    f->slots = mem_need_zero(f->n_slots * sizeof(*f->slots));
    return f;
}

static void nodes_clear(struct nodes *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->list[i].path);
    l->n = 0;
}

/* One more, all zero. */
static struct node *nodes_more(struct nodes *l)
{
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 1024;
        struct node *more = mem_need(l->room * sizeof(*more));
        if (l->n)
            memcpy(more, l->list, l->n * sizeof(*more));
        free(l->list);
        l->list = more;
    }
    l->list[l->n] = (struct node){.path = NULL};
    return &l->list[l->n++];
}

struct flat *flat_free(struct flat *f)
{
    if (!f)
        return NULL;
    nodes_clear(&f->tree);
    nodes_clear(&f->layer);
    free(f->tree.list);
    free(f->layer.list);
    free(f->slots);
    free(f->held);
    (void)sha256_free(f->hash);
    mem_auto_close_(&f->fd);
    free(f);
    return NULL;
}

/* ---- nodes by path ---- */

static size_t slot_of(const struct flat *f, const char *path)
{
    size_t i = fnv64(buf_str(path)) & (f->n_slots - 1);

    while (f->slots[i] && strcmp(f->tree.list[f->slots[i] - 1].path, path) != 0)
        i = (i + 1) & (f->n_slots - 1);
    return i;
}

static struct node *find(const struct flat *f, const char *path)
{
    uint32_t slot = f->slots[slot_of(f, path)];

    return slot && !f->tree.list[slot - 1].gone ? &f->tree.list[slot - 1] : NULL;
}

static void grow_slots(struct flat *f)
{
    if (2 * (f->tree.n + 1) < f->n_slots)
        return;
    free(f->slots);
    f->n_slots *= 2;
    f->slots = mem_need_zero(f->n_slots * sizeof(*f->slots));
    for (size_t i = 0; i < f->tree.n; i++)
        f->slots[slot_of(f, f->tree.list[i].path)] = (uint32_t)i + 1;
}

/* The directory's place; 0: there is none (the root directory may have no entry). */
static uint32_t parent_of(const struct flat *f, const char *path)
{
    char dir[LIM_PATH_BYTES + 1];
    const char *slash = strrchr(path, '/');

    if (path[0] == '\0')
        return 0;
    (void)str_fmt(dir, sizeof(dir), "%.*s", (int)(slash ? slash - path : 0), path);
    return f->slots[slot_of(f, dir)];
}

/* The place of this path, made when it is new; what is gone keeps its place. */
static struct node *place(struct flat *f, const char *path)
{
    grow_slots(f);
    size_t slot = slot_of(f, path);
    if (f->slots[slot])
        return &f->tree.list[f->slots[slot] - 1];
    uint32_t parent = parent_of(f, path);
    struct node *n = nodes_more(&f->tree);
    n->parent = parent;
    f->slots[slot] = (uint32_t)f->tree.n;
    if (path[0] != '\0') {
        uint32_t *first = parent ? &f->tree.list[parent - 1].child : &f->roots;
        n->next = *first;
        *first = f->slots[slot];
    }
    return n;
}

static void set_texts(struct node *n, const char *path, const char *link)
{
    size_t path_len = strlen(path) + 1, link_len = strlen(link) + 1;

    n->path = mem_need(path_len + link_len);
    n->link = n->path + path_len;
    memcpy(n->path, path, path_len);
    memcpy(n->link, link, link_len);
}

/* What stands at path now: as `like`, whose texts stay its own. */
static void put(struct flat *f, const char *path, const struct node *like)
{
    struct node *n = place(f, path), was = *n;

    *n = *like;
    set_texts(n, path, like->link);
    n->gone = false;
    n->parent = was.parent;
    n->child = was.child;
    n->next = was.next;
    free(was.path);
}

/* All below the directory whose names begin at first. Directories are at most LIM_PATH_DEPTH deep. */
static void drop_names(struct flat *f, uint32_t first)
{
    for (uint32_t at = first; at; at = f->tree.list[at - 1].next) {
        f->tree.list[at - 1].gone = true;
        drop_names(f, f->tree.list[at - 1].child);
    }
}

/* All below path; the path itself too when self. */
static void drop(struct flat *f, const char *path, bool self)
{
    uint32_t at = f->slots[slot_of(f, path)];

    if (at && self)
        f->tree.list[at - 1].gone = true;
    if (at)
        drop_names(f, f->tree.list[at - 1].child);
    if (path[0] == '\0')
        drop_names(f, f->roots);
}

/* ---- entries ---- */

static int refuse(struct err *err, const char *path, const char *why)
{
    char shown[120];

    return err_set(err, ERR_INVALID, "%s: %s", entry_printable(path, shown, sizeof(shown)), why);
}

static void to_entry(const struct node *n, struct entry *ret)
{
    *ret = (struct entry){
        .kind = n->kind, .flags = n->flags, .mode = n->mode, .uid = n->uid, .gid = n->gid, .size = n->size};
    (void)str_copy(ret->path, sizeof(ret->path), n->path);
    (void)str_copy(ret->link, sizeof(ret->link), n->link);
}

/* Each directory on the way to path: a directory, or absent, and then made if that is wanted. */
static int walk_parents(struct flat *f, const char *path, bool make, struct err *err)
{
    static char none[] = "";
    const struct node directory = {.kind = ENTRY_DIR, .mode = 0755, .link = none};
    char dir[LIM_PATH_BYTES];

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        (void)str_fmt(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
        const struct node *n = find(f, dir);
        if (n && n->kind != ENTRY_DIR)
            return refuse(err, dir, "a link or file is in the way");
        if (!n && make)
            put(f, dir, &directory);
    }
    return 0;
}

/* A hard link is one more name for what stands at its target now. */
static int hard_link(struct flat *f, const struct node *e, struct err *err)
{
    const struct node *to = find(f, e->link);

    if (walk_parents(f, e->link, false, err) < 0)
        return -(int)err->kind;
    if (!to)
        return refuse(err, e->path, "a hard link to what the image does not have");
    if (to->kind == ENTRY_DIR)
        return refuse(err, e->path, "a hard link to a directory");
    struct node copy = *to;
    char link[LIM_PATH_BYTES]; /* the tree may move */
    (void)str_copy(link, sizeof(link), to->link);
    copy.link = link;
    drop(f, e->path, true);
    put(f, e->path, &copy);
    return 0;
}

static int take_away(struct flat *f, const struct node *e, struct err *err)
{
    int rc = walk_parents(f, e->path, false, err);

    if (rc == 0)
        drop(f, e->path, e->kind == ENTRY_WHITEOUT);
    return rc;
}

/* By now it is a directory, made by its own layer if the ones below have something else. */
static int check_opaque(struct flat *f, const struct node *e, struct err *err)
{
    const struct node *n = find(f, e->path);

    if (walk_parents(f, e->path, false, err) < 0)
        return -(int)err->kind;
    return n && n->kind != ENTRY_DIR ? refuse(err, e->path, "a link or file is in the way") : 0;
}

static int lay(struct flat *f, const struct node *e, struct err *err)
{
    if (e->kind == ENTRY_OPAQUE)
        return check_opaque(f, e, err);
    if (e->kind == ENTRY_WHITEOUT)
        return 0;
    int rc = walk_parents(f, e->path, true, err);

    if (rc < 0 || e->kind == ENTRY_HARDLINK)
        return rc < 0 ? rc : hard_link(f, e, err);
    const struct node *was = find(f, e->path);
    if (was && !(was->kind == ENTRY_DIR && e->kind == ENTRY_DIR))
        drop(f, e->path, true);
    put(f, e->path, e);
    return 0;
}

int flat_layer(struct flat *f, struct err *err)
{
    int rc = f->file ? err_set(err, ERR_INVALID, "a file ends early") : 0;

    for (int deletions = 1; deletions >= 0; deletions--) /* they mean the layers below, wherever they stand */
        for (size_t i = 0; rc == 0 && i < f->layer.n; i++) {
            const struct node *e = &f->layer.list[i];
            if (!deletions)
                rc = lay(f, e, err);
            else if (e->kind == ENTRY_WHITEOUT || e->kind == ENTRY_OPAQUE)
                rc = take_away(f, e, err);
        }
    nodes_clear(&f->layer);
    return rc;
}

void flat_entry(struct flat *f, const struct entry *e)
{
    if (e->kind == ENTRY_SKIPPED || e->kind == ENTRY_END)
        return;
    struct node *n = nodes_more(&f->layer);
    *n = (struct node){
        .kind = e->kind, .flags = e->flags, .mode = e->mode, .uid = e->uid, .gid = e->gid, .size = e->size};
    set_texts(n, e->path, e->link);
    if (e->kind != ENTRY_FILE || e->size == 0 || f->objects_fd < 0)
        return;
    f->file = f->layer.n;
    f->left = e->size;
    f->hash = sha256_new();
    f->held_len = 0;
}

/* ---- contents ---- */

static int spill(struct flat *f, struct buf bytes, struct err *err)
{
    if (f->fd < 0) {
        f->fd = openat(f->objects_fd, NEW_OBJECT, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (f->fd < 0)
            return err_errno(err, errno, "create an object");
    }
    return fs_write_full(f->fd, bytes, err);
}

static int end_file(struct flat *f, struct err *err)
{
    struct node *n = &f->layer.list[f->file - 1];
    char hex[SHA256_HEX];
    int rc = sha256_end(f->hash, &n->digest, err);

    f->hash = sha256_free(f->hash);
    f->file = 0;
    if (rc < 0 || faccessat(f->objects_fd, digest_hex(&n->digest, hex), F_OK, 0) == 0)
        return rc; /* a spilled twin is overwritten by the next */
    rc = spill(f, buf_of(f->held, f->held_len), err);
    if (rc == 0 && renameat(f->objects_fd, NEW_OBJECT, f->objects_fd, hex) < 0)
        rc = err_errno(err, errno, "name an object");
    return rc;
}

int flat_bytes(struct flat *f, struct buf bytes, struct err *err)
{
    if (f->objects_fd < 0)
        return 0;
    if (f->file == 0 || bytes.len > f->left)
        return err_set(err, ERR_INVALID, "content without a file");
    int rc = sha256_add(f->hash, bytes, err);
    f->left -= bytes.len;
    if (rc == 0 && f->held_len + bytes.len > HELD_BYTES) {
        rc = spill(f, buf_of(f->held, f->held_len), err);
        f->held_len = 0;
    }
    if (rc == 0 && bytes.len > HELD_BYTES)
        rc = spill(f, bytes, err);
    else if (rc == 0) {
        memcpy(f->held + f->held_len, bytes.p, bytes.len);
        f->held_len += bytes.len;
    }
    if (rc == 0 && f->left == 0)
        rc = end_file(f, err);
    if (f->file == 0)
        mem_auto_close_(&f->fd), f->fd = -1;
    return rc;
}

/* ---- the tree ---- */

static int by_path(const void *a, const void *b)
{
    const struct node *x = a, *y = b;

    return strcmp(x->path, y->path);
}

/* Was this content there before? The set of digests seen, open addressing by their own bytes. */
struct seen {
    struct digest *list;
    size_t room;
};

static bool see(struct seen *s, const struct digest *d)
{
    static const struct digest none;
    size_t i;

    memcpy(&i, d->b, sizeof(i));
    for (i &= s->room - 1; !digest_eq(&s->list[i], &none); i = (i + 1) & (s->room - 1))
        if (digest_eq(&s->list[i], d))
            return true;
    s->list[i] = *d;
    return false;
}

static void put_node(struct bytes *o, const struct node *n, struct seen *seen)
{
    uint8_t wire[ENTRY_WIRE_BYTES];
    struct entry e;

    to_entry(n, &e);
    bool content = e.kind == ENTRY_FILE && e.size > 0;

    e.flags &= ENTRY_HAD_XATTR;
    if (content && see(seen, &n->digest))
        e.flags |= ENTRY_AGAIN;
    if (e.path[0] == '\0')
        (void)str_copy(e.path, sizeof(e.path), "./");
    bytes_add(o, wire, entry_encode(&e, wire));
    if (content)
        bytes_add(o, n->digest.b, SHA256_BYTES);
}

int flat_end(struct flat *f, struct buf *ret_own, struct err *err)
{
    struct entry end = {.kind = ENTRY_END};
    struct seen seen = {.room = 1024};
    struct bytes o = {0};
    uint8_t wire[ENTRY_WIRE_BYTES];

    while (seen.room < 2 * f->tree.n)
        seen.room *= 2;
    seen.list = mem_need_zero(seen.room * sizeof(*seen.list));
    if (f->tree.n)
        qsort(f->tree.list, f->tree.n, sizeof(*f->tree.list), by_path); /* the slots are of no use after it */
    bytes_add(&o, TREE_MAGIC, sizeof(TREE_MAGIC) - 1);
    for (size_t i = 0; i < f->tree.n; i++)
        if (!f->tree.list[i].gone)
            put_node(&o, &f->tree.list[i], &seen);
    bytes_add(&o, wire, entry_encode(&end, wire));
    free(seen.list);
    if (o.len > LIM_TREE_BYTES) {
        free(o.p);
        return err_set(err, ERR_NOSPACE, "the image's tree has more than %llu bytes", LIM_TREE_BYTES);
    }
    *ret_own = buf_of(o.p, o.len);
    return 0;
}

/* ---- reading ---- */

int flat_list(struct buf tree, struct flat_objects *ret, struct err *err)
{
    struct tree_at AUTO_MEM *t = mem_need_zero(sizeof(*t));
    struct flat_objects o = {0};
    struct bytes paths = {0}, list = {0};
    struct entry e;
    struct digest d;
    int rc;

    while ((rc = tree_next(tree, t, &e, &d, err)) > 0) {
        if (!tree_is_object(&e))
            continue;
        struct flat_object one = {.digest = d, .size = e.size, .at = t->entry_at};
        bytes_add(&list, &one, sizeof(one));
        bytes_add(&paths, e.path, strlen(e.path) + 1);
        o.bytes += e.size;
        o.n++;
    }
    o.list = (struct flat_object *)(void *)list.p;
    o.paths = (char *)paths.p;
    if (rc < 0) {
        flat_list_done(&o);
        return rc;
    }
    const char *p = o.paths;
    for (size_t i = 0; i < o.n; i++, p += strlen(p) + 1)
        o.list[i].path = p;
    *ret = o;
    return 0;
}

void flat_list_done(struct flat_objects *o)
{
    free(o->list);
    free(o->paths);
    *o = (struct flat_objects){0};
}

#define HEAP_BYTES \
    ((uint64_t)64 * 1024) /* below it on the heap: the number of maps of a process has a bound */

int flat_map(int objects_fd, const struct digest *d, uint64_t size, struct buf *ret, struct err *err)
{
    char hex[SHA256_HEX];
    AUTO_FD int fd = openat(objects_fd, digest_hex(d, hex), O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "open object %.12s", hex);
    void *p = size < HEAP_BYTES ? mem_need((size_t)size + 1)
                                : mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_errno(err, errno, "map object %.12s", hex);
    if (size < HEAP_BYTES && fs_read_full(fd, p, (size_t)size, err) != (ssize_t)size) {
        free(p);
        return err_set(err, ERR_IO, "object %.12s is shorter than its tree says", hex);
    }
    *ret = buf_of(p, (size_t)size);
    return 0;
}

bool flat_is_gzip(struct buf bytes)
{
    static const uint8_t magic[] = {0x1f, 0x8b, 8};

    return bytes.len > 18 && memcmp(bytes.p, magic, sizeof(magic)) == 0;
}

void flat_unmap(struct buf bytes)
{
    if (bytes.len < HEAP_BYTES)
        free((void *)(uintptr_t)bytes.p);
    else
        (void)munmap((void *)(uintptr_t)bytes.p, bytes.len);
}
