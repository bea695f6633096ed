#include "fleet/flat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "fleet/bytes.h"
#include "ota/tree.h"
#include "platform/fs.h"

#define NEW_OBJECT "new~"
#define HELD_BYTES (1024 * 1024) /* a content up to this is hashed before it is written */

struct node {
    char *path, *link; /* heap, one block */
    enum entry_kind kind;
    unsigned flags, layer; /* layer 0: deleted */
    uint32_t mode, uid, gid;
    uint64_t size;
    struct digest digest;
    uint32_t parent, child, next; /* index + 1: the folder, its newest name, the name before this one in it */
    unsigned linked;              /* the layer that made a hard link to it */
    unsigned replaced;            /* the layer that made a folder of something else */
};
struct flat {
    int objects_fd;
    unsigned layer;
    struct node *nodes;
    size_t n, room;
    uint32_t *slots; /* open addressing over paths: index + 1 */
    bool lost_link;  /* a layer deleted what one of its hard links stands on */
    uint32_t roots;  /* names at the top that came before the root folder had an entry: index + 1 */
    size_t n_slots;
    /* the content under way */
    size_t file; /* its node + 1; 0: none */
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

struct flat *flat_free(struct flat *f)
{
    if (!f)
        return NULL;
    for (size_t i = 0; i < f->n; i++)
        free(f->nodes[i].path);
    free(f->nodes);
    free(f->slots);
    free(f->held);
    (void)sha256_free(f->hash);
    mem_auto_close_(&f->fd);
    free(f);
    return NULL;
}

void flat_layer(struct flat *f)
{
    f->layer++;
}

/* ---- nodes by path ---- */

static uint64_t hash_path(const char *p)
{
    uint64_t h = 0xcbf29ce484222325ULL;

    for (; *p; p++)
        h = (h ^ (uint8_t)*p) * 0x100000001b3ULL;
    return h;
}

static size_t slot_of(const struct flat *f, const char *path)
{
    size_t i = hash_path(path) & (f->n_slots - 1);

    while (f->slots[i] && strcmp(f->nodes[f->slots[i] - 1].path, path) != 0)
        i = (i + 1) & (f->n_slots - 1);
    return i;
}

static struct node *find(const struct flat *f, const char *path)
{
    uint32_t slot = f->slots[slot_of(f, path)];

    return slot && f->nodes[slot - 1].layer ? &f->nodes[slot - 1] : NULL;
}

static void grow(struct flat *f)
{
    if (f->n == f->room) {
        f->room = f->room ? 2 * f->room : 1024;
        struct node *more = mem_need_zero(f->room * sizeof(*more));
        if (f->n)
            memcpy(more, f->nodes, f->n * sizeof(*more));
        free(f->nodes);
        f->nodes = more;
    }
    if (2 * (f->n + 1) < f->n_slots)
        return;
    free(f->slots);
    f->n_slots *= 2;
    f->slots = mem_need_zero(f->n_slots * sizeof(*f->slots));
    for (size_t i = 0; i < f->n; i++)
        f->slots[slot_of(f, f->nodes[i].path)] = (uint32_t)i + 1;
}

/* The folder's place; 0: there is none (the root folder may have no entry). */
static uint32_t parent_of(const struct flat *f, const char *path)
{
    char dir[LIM_PATH_BYTES + 1];
    const char *slash = strrchr(path, '/');

    if (path[0] == '\0')
        return 0;
    (void)str_fmt(dir, sizeof(dir), "%.*s", (int)(slash ? slash - path : 0), path);
    return f->slots[slot_of(f, dir)];
}

/* The place of this path, made when it is new; a deleted node keeps its place with layer 0. */
static struct node *place(struct flat *f, const char *path)
{
    grow(f);
    size_t slot = slot_of(f, path);
    if (f->slots[slot])
        return &f->nodes[f->slots[slot] - 1];
    struct node *n = &f->nodes[f->n];
    n->parent = parent_of(f, path);
    f->slots[slot] = (uint32_t)++f->n;
    if (path[0] != '\0') {
        uint32_t *first = n->parent ? &f->nodes[n->parent - 1].child : &f->roots;
        n->next = *first;
        *first = f->slots[slot];
    }
    return n;
}

static struct node *put(struct flat *f, const struct entry *e, const struct digest *d)
{
    struct node *n = place(f, e->path);
    bool other = n->layer && n->kind != ENTRY_DIR && e->kind == ENTRY_DIR;
    size_t path_len = strlen(e->path) + 1, link_len = strlen(e->link) + 1;
    char *texts = mem_need(path_len + link_len);
    memcpy(texts, e->path, path_len);
    memcpy(texts + path_len, e->link, link_len);
    free(n->path);
    *n = (struct node){.path = texts,
                       .link = texts + path_len,
                       .kind = e->kind,
                       .flags = e->flags,
                       .layer = f->layer,
                       .mode = e->mode,
                       .uid = e->uid,
                       .gid = e->gid,
                       .size = e->size,
                       .parent = n->parent,
                       .child = n->child,
                       .next = n->next,
                       .replaced = other ? f->layer : 0};
    if (d)
        n->digest = *d;
    return n;
}

static void drop_one(struct flat *f, struct node *n, unsigned before)
{
    if (!n->layer || n->layer >= before)
        return;
    f->lost_link |= before == f->layer && n->linked == f->layer;
    n->layer = 0;
}

/* All below the folder whose names begin at first, of layers before `before`. Folders are at most LIM_PATH_DEPTH deep. */
static void drop_names(struct flat *f, uint32_t first, unsigned before)
{
    for (uint32_t at = first; at; at = f->nodes[at - 1].next) {
        drop_one(f, &f->nodes[at - 1], before);
        drop_names(f, f->nodes[at - 1].child, before);
    }
}

/* All below path, of layers before `before`; the path itself too when self. */
static void drop(struct flat *f, const char *path, bool self, unsigned before)
{
    uint32_t at = f->slots[slot_of(f, path)];
    struct node *n = at ? &f->nodes[at - 1] : NULL;

    if (n && self)
        drop_one(f, n, before);
    if (n)
        drop_names(f, n->child, before);
    if (path[0] == '\0')
        drop_names(f, f->roots, before);
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

/* Each folder on the way to path: a folder, or made. */
static int need_parents(struct flat *f, const char *path, struct err *err)
{
    struct entry dir = {.kind = ENTRY_DIR, .mode = 0755};

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        memcpy(dir.path, path, (size_t)(slash - path));
        dir.path[slash - path] = '\0';
        const struct node *n = find(f, dir.path);
        if (n && n->kind != ENTRY_DIR)
            return refuse(err, dir.path, "a link or file is in the way");
        if (!n)
            (void)put(f, &dir, NULL);
    }
    return 0;
}

static int no_target(struct err *err, const char *path)
{
    return refuse(err, path, "a hard link to what is not there, or to a folder");
}

/* A hard link is one more name for what stands at its target now. */
static int hard_link(struct flat *f, const struct entry *e, struct err *err)
{
    struct node *to = find(f, e->link);
    struct entry copy;

    if (!to || to->kind == ENTRY_DIR)
        return no_target(err, e->path);
    if (strcmp(e->path, e->link) == 0)
        return refuse(err, e->path, "a hard link to itself");
    to->linked = f->layer;
    to_entry(to, &copy);
    struct digest d = to->digest;
    drop(f, e->path, true, UINT32_MAX);
    (void)str_copy(copy.path, sizeof(copy.path), e->path);
    (void)put(f, &copy, &d);
    return 0;
}

static int begin_file(struct flat *f, struct node *n, uint64_t size)
{
    if (size == 0 || f->objects_fd < 0)
        return 0;
    f->file = (size_t)(n - f->nodes) + 1;
    f->left = size;
    f->hash = sha256_new();
    f->held_len = 0;
    return 0;
}

/* Deletions mean the layers below, and a device applies them before the rest of their layer. So what they pass through must
 * be a folder there, and what this layer links to must outlive them. */
static int whiteout(struct flat *f, const struct entry *e, struct err *err)
{
    char dir[LIM_PATH_BYTES + 1];

    for (const char *slash = strchr(e->path, '/'); slash; slash = strchr(slash + 1, '/')) {
        (void)str_fmt(dir, sizeof(dir), "%.*s", (int)(slash - e->path), e->path);
        const struct node *n = find(f, dir);
        if (n && (n->kind != ENTRY_DIR || n->replaced == f->layer))
            return refuse(err, dir, "a link or file is in the way");
    }
    drop(f, e->path, e->kind == ENTRY_WHITEOUT, f->layer);
    return f->lost_link ? no_target(err, e->path) : 0;
}

int flat_entry(struct flat *f, const struct entry *e, struct err *err)
{
    if (e->kind == ENTRY_SKIPPED || e->kind == ENTRY_END)
        return 0;
    if (e->kind == ENTRY_WHITEOUT || e->kind == ENTRY_OPAQUE)
        return whiteout(f, e, err);
    int r = need_parents(f, e->path, err);
    if (r < 0 || e->kind == ENTRY_HARDLINK)
        return r < 0 ? r : hard_link(f, e, err);
    const struct node *was = find(f, e->path);
    if (was && !(was->kind == ENTRY_DIR && e->kind == ENTRY_DIR))
        drop(f, e->path, true, UINT32_MAX);
    struct node *n = put(f, e, NULL);
    return e->kind == ENTRY_FILE ? begin_file(f, n, e->size) : 0;
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
    struct node *n = &f->nodes[f->file - 1];
    char hex[65];
    int r = sha256_end(f->hash, &n->digest, err);

    f->hash = sha256_free(f->hash);
    f->file = 0;
    if (r < 0 || faccessat(f->objects_fd, digest_hex(&n->digest, hex), F_OK, 0) == 0)
        return r; /* a spilled twin is overwritten by the next */
    r = spill(f, buf_of(f->held, f->held_len), err);
    if (r == 0 && renameat(f->objects_fd, NEW_OBJECT, f->objects_fd, hex) < 0)
        r = err_errno(err, errno, "name an object");
    return r;
}

int flat_bytes(struct flat *f, struct buf bytes, struct err *err)
{
    if (f->objects_fd < 0)
        return 0;
    if (f->file == 0 || bytes.len > f->left)
        return err_set(err, ERR_INVALID, "content without a file");
    int r = sha256_add(f->hash, bytes, err);
    f->left -= bytes.len;
    if (r == 0 && f->held_len + bytes.len > HELD_BYTES) {
        r = spill(f, buf_of(f->held, f->held_len), err);
        f->held_len = 0;
    }
    if (r == 0 && bytes.len > HELD_BYTES)
        r = spill(f, bytes, err);
    else if (r == 0) {
        memcpy(f->held + f->held_len, bytes.p, bytes.len);
        f->held_len += bytes.len;
    }
    if (r == 0 && f->left == 0)
        r = end_file(f, err);
    if (f->file == 0)
        mem_auto_close_(&f->fd), f->fd = -1;
    return r;
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

    if (f->file)
        return err_set(err, ERR_INVALID, "a file ends early");
    while (seen.room < 2 * f->n)
        seen.room *= 2;
    seen.list = mem_need_zero(seen.room * sizeof(*seen.list));
    if (f->n)
        qsort(f->nodes, f->n, sizeof(*f->nodes), by_path); /* the slots are of no use after it */
    bytes_add(&o, TREE_MAGIC, sizeof(TREE_MAGIC) - 1);
    for (size_t i = 0; i < f->n; i++)
        if (f->nodes[i].layer)
            put_node(&o, &f->nodes[i], &seen);
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
    int r;

    while ((r = tree_next(tree, t, &e, &d, err)) > 0) {
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
    if (r < 0) {
        flat_list_done(&o);
        return r;
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
    char hex[65];
    int AUTO_FD fd = openat(objects_fd, digest_hex(d, hex), O_RDONLY | O_CLOEXEC);

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
