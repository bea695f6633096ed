/* patch_tool.c - a test-only program that makes and applies patch packs between two directories.
 *   patch-tool make CODEC OLD NEW PACK [-v] [--plain]   CODEC: raw, lz4, lzma. Writes PACK, PACK.plan and
 *                                                       PACK.tree; prints
 *                                              bytes. -v: a line per file; --plain: without prediction
 *   patch-tool apply PACK OLD OUT [--no-check]   unpacks by PACK.plan into OUT/0, OUT/1 ..., checks each
 *                                                file's hash; prints
 *                                              the memory told and used
 * A plan line: size, sha256, then the bases' paths below OLD ("=" is the old tree's document, "=N" the N-th
 * object of the pack), tab separated. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fleet/pack/patch_make.h"
#include "fleet/pack/similar.h"
#include "ota/doc/entry.h"
#include "ota/pack/patch.h"
#include "platform/crypto.h"
#include "platform/fs.h"

struct file {
    char *path; /* below the directory */
    struct buf bytes;
    struct digest digest;
    struct similar_features features;
};

struct tree {
    const char *top;
    struct file *files; /* with content, each content once, in order of path */
    size_t n, room;
    uint8_t *doc;
    size_t doc_len, doc_room;
    uint64_t total;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void fail(struct err *err)
{
    fprintf(stderr, "%s: %s\n", err_kind_name(err->kind), err->msg);
    exit(1);
}

static struct buf map_file(const char *path)
{
    struct stat st;
    int AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) != 0)
        die(path);
    if (st.st_size == 0)
        return buf_of("", 0);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        die(path);
    return buf_of(p, (size_t)st.st_size);
}

static void doc_add(struct tree *t, const void *p, size_t len)
{
    if (t->doc_len + len > t->doc_room) {
        t->doc_room = (t->doc_len + len) * 2 + 65536;
        t->doc = realloc(t->doc, t->doc_room);
        if (!t->doc)
            die("memory");
    }
    memcpy(t->doc + t->doc_len, p, len);
    t->doc_len += len;
}

static void add_entry(struct tree *t, const char *path, const char *full, const struct stat *st)
{
    struct entry e = {.kind = ENTRY_FILE, .mode = st->st_mode & ENTRY_MODE_MASK};
    uint8_t wire[ENTRY_WIRE_BYTES];
    struct err err = ERR_INIT;

    if (!str_copy(e.path, sizeof(e.path), path))
        return;
    if (S_ISDIR(st->st_mode))
        e.kind = ENTRY_DIR;
    if (S_ISLNK(st->st_mode)) {
        e.kind = ENTRY_SYMLINK;
        if (readlink(full, e.link, sizeof(e.link) - 1) < 0)
            die(full);
    }
    if (S_ISREG(st->st_mode))
        e.size = (uint64_t)st->st_size;
    doc_add(t, wire, entry_encode(&e, wire));
    if (e.kind != ENTRY_FILE || e.size == 0)
        return;
    if (t->n == t->room) {
        t->room = t->room * 2 + 256;
        t->files = realloc(t->files, t->room * sizeof(*t->files));
        if (!t->files)
            die("memory");
    }
    struct file *f = &t->files[t->n++];
    *f = (struct file){.path = strdup(path), .bytes = map_file(full)};
    if (sha256(f->bytes, &f->digest, &err) < 0)
        fail(&err);
    doc_add(t, f->digest.b, sizeof(f->digest.b));
    t->total += f->bytes.len;
}

static void walk(struct tree *t, const char *sub)
{
    char full[4096], path[4096];
    struct dirent **names;

    (void)str_fmt(full, sizeof(full), "%s/%s", t->top, sub);
    int n = scandir(full, &names, NULL, alphasort);
    if (n < 0)
        die(full);
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        struct stat st;
        (void)str_fmt(path, sizeof(path), "%s%s%s", sub, *sub ? "/" : "", name);
        (void)str_fmt(full, sizeof(full), "%s/%s", t->top, path);
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && lstat(full, &st) == 0) {
            add_entry(t, path, full, &st);
            if (S_ISDIR(st.st_mode))
                walk(t, path);
        }
        free(names[i]);
    }
    free(names);
}

static int by_digest(const void *a, const void *b)
{
    return memcmp((*(struct file *const *)a)->digest.b, (*(struct file *const *)b)->digest.b, SHA256_BYTES);
}

/* Each content once, in the order in which it first occurs. */
static void once(struct tree *t)
{
    struct file **sorted = mem_need((t->n + 1) * sizeof(struct file *));
    size_t kept = 0;

    for (size_t i = 0; i < t->n; i++)
        sorted[i] = &t->files[i];
    qsort(sorted, t->n, sizeof(struct file *), by_digest);
    bool *drop = mem_need_zero(t->n + 1);
    for (size_t i = 0, first = 0; i < t->n; i++) {
        if (i > 0 && digest_eq(&sorted[i]->digest, &sorted[first]->digest)) {
            if (sorted[i] < sorted[first]) {
                drop[sorted[first] - t->files] = true;
                first = i;
            } else {
                drop[sorted[i] - t->files] = true;
            }
        } else {
            first = i;
        }
    }
    for (size_t i = 0; i < t->n; i++) {
        if (!drop[i])
            t->files[kept++] = t->files[i];
    }
    t->n = kept;
    free(sorted);
    free(drop);
}

static struct tree read_tree(const char *top)
{
    struct tree t = {.top = top};

    walk(&t, "");
    once(&t);
    return t;
}

static const struct file *with_digest(const struct tree *t, const struct digest *d)
{
    for (size_t i = 0; i < t->n; i++) {
        if (digest_eq(&t->files[i].digest, d))
            return &t->files[i];
    }
    return NULL;
}

static void plan_line(FILE *plan, struct buf bytes)
{
    struct digest d;
    struct err err = ERR_INIT;
    char hex[65];

    if (sha256(bytes, &d, &err) < 0)
        fail(&err);
    fprintf(plan, "%zu\t%s", bytes.len, digest_hex(&d, hex));
}

static FILE *side_file(const char *pack, const char *end, const char *mode)
{
    char path[4096];
    FILE *f = str_fmt(path, sizeof(path), "%s.%s", pack, end) ? fopen(path, mode) : NULL;

    if (!f)
        die(path);
    return f;
}

struct chosen {
    struct file *file;
    size_t base[PATCH_BASES];
    unsigned n;
};

/* An index of the old files, then of the new ones that they lack, c[n]. */
static struct similar *index_all(struct tree *old, struct chosen *c, size_t n, struct similar_file **ret)
{
    struct similar_file *files = mem_need((old->n + n + 1) * sizeof(*files));

    for (size_t i = 0; i < old->n + n; i++) {
        struct file *f = i < old->n ? &old->files[i] : c[i - old->n].file;
        similar_features(f->bytes, &f->features);
        files[i] = (struct similar_file){f->path, f->bytes, &f->features};
    }
    *ret = files;
    return similar_new(files, old->n + n);
}

static void put_number(uint8_t *table, size_t *len, int64_t v)
{
    uint64_t z = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);

    for (; z >= 0x80; z >>= 7)
        table[(*len)++] = (uint8_t)(z | 0x80);
    table[(*len)++] = (uint8_t)z;
}

struct making {
    struct tree old, fresh;
    struct similar *similar;
    struct patch_make *m;
    FILE *plan;
    bool verbose;
};

static void object(struct making *k, const char *name, const struct buf *bases, unsigned n, struct buf bytes)
{
    struct patch_cost cost = {0};
    struct err err = ERR_INIT;

    if (patch_make_object(k->m, bases, n, bytes, &cost, &err) < 0)
        fail(&err);
    if (k->verbose)
        printf("%8zu %7llu %7llu %5u covers %4u anchors %u bases%s %s\n", bytes.len,
               (unsigned long long)cost.raw_bytes, (unsigned long long)cost.packed_bytes, cost.covers,
               cost.anchors, n, cost.predicted ? " predicted" : "", name);
}

static void make_objects(struct making *k, struct chosen *c, size_t n)
{
    uint8_t *table = mem_need(n * (1 + PATCH_BASES * 10) + 1);
    struct buf old_doc = buf_of(k->old.doc, k->old.doc_len);
    size_t len = 0;
    int64_t guess = 0;

    for (size_t i = 0; i < n; i++) {
        table[len++] = (uint8_t)c[i].n;
        for (unsigned b = 0; b < c[i].n; b++) {
            put_number(table, &len, (int64_t)c[i].base[b] - guess);
            guess = (int64_t)c[i].base[b] + 1;
        }
        guess = c[i].n > 0 ? (int64_t)c[i].base[0] + 1 : guess;
    }
    object(k, "(tree)", &old_doc, 1, buf_of(k->fresh.doc, k->fresh.doc_len));
    plan_line(k->plan, buf_of(k->fresh.doc, k->fresh.doc_len));
    fputs("\t=\n", k->plan);
    object(k, "(table)", NULL, 0, buf_of(table, len));
    plan_line(k->plan, buf_of(table, len));
    fputs("\n", k->plan);
    for (size_t i = 0; i < n; i++) {
        struct buf bases[PATCH_BASES];
        plan_line(k->plan, c[i].file->bytes);
        for (unsigned b = 0; b < c[i].n; b++) {
            size_t at = c[i].base[b];
            bases[b] = at < k->old.n ? k->old.files[at].bytes : c[at - k->old.n].file->bytes;
            if (at < k->old.n)
                fprintf(k->plan, "\t%s", k->old.files[at].path);
            else
                fprintf(k->plan, "\t=%zu", at - k->old.n + 2);
        }
        fputs("\n", k->plan);
        object(k, c[i].file->path, bases, c[i].n, c[i].file->bytes);
    }
    free(table);
}

static int make(char **argv, bool verbose, bool plain)
{
    struct making k = {.old = read_tree(argv[1]), .fresh = read_tree(argv[2]), .verbose = verbose};
    int AUTO_FD fd = open(argv[3], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    struct similar_file *files;
    struct err err = ERR_INIT;
    uint64_t changed = 0, bytes = 0;
    size_t n = 0;

    if (fd < 0)
        die(argv[3]);
    if (patch_make_new((enum pack_codec)pack_codec_parse(argv[0]), fd, &k.m, &err) < 0)
        fail(&err);
    patch_make_predict(k.m, !plain);
    k.plan = side_file(argv[3], "plan", "w");
    FILE *tree = side_file(argv[3], "tree", "w");
    if (fwrite(k.old.doc, 1, k.old.doc_len, tree) != k.old.doc_len || fclose(tree) != 0)
        die("tree");
    struct chosen *c = mem_need((k.fresh.n + 1) * sizeof(*c));
    for (size_t i = 0; i < k.fresh.n; i++) {
        struct file *f = &k.fresh.files[i];
        if (with_digest(&k.old, &f->digest))
            continue;
        c[n++].file = f;
        changed += f->bytes.len;
    }
    k.similar = index_all(&k.old, c, n, &files);
    for (size_t i = 0; i < n; i++)
        c[i].n = similar_bases(k.similar, &files[k.old.n + i], k.old.n + i, c[i].base);
    make_objects(&k, c, n);
    if (patch_make_end(k.m, &bytes, &err) < 0)
        fail(&err);
    fclose(k.plan);
    printf("bytes %llu files %zu of %zu changed %llu of %llu\n", (unsigned long long)bytes, n, k.fresh.n,
           (unsigned long long)changed, (unsigned long long)k.fresh.total);
    patch_make_free(k.m);
    similar_free(k.similar);
    free(files);
    free(c);
    return 0;
}

/* ---- apply ---- */

struct out {
    struct sha256 *hash; /* NULL: not checked */
    int fd;
};

static int sink(void *arg, struct buf bytes, struct err *err)
{
    struct out *o = arg;
    int r = o->hash ? sha256_add(o->hash, bytes, err) : 0;

    return r < 0 ? r : fs_write_full(o->fd, bytes, err);
}

struct applying {
    struct patch *p;
    const char *pack, *old, *out;
    bool check;
};

static void open_base(const struct applying *a, const char *name, struct patch_base *ret)
{
    char path[4096];
    struct stat st;

    if (strcmp(name, "=") == 0)
        (void)str_fmt(path, sizeof(path), "%s.tree", a->pack);
    else if (*name == '=')
        (void)str_fmt(path, sizeof(path), "%s/%s", a->out, name + 1);
    else
        (void)str_fmt(path, sizeof(path), "%s/%s", a->old, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        die(path);
    *ret = (struct patch_base){fd, (uint64_t)st.st_size};
}

static void apply_line(const struct applying *a, char *line, unsigned i)
{
    struct patch_base bases[PATCH_BASES];
    unsigned n = 0;
    char *save = NULL, *size = strtok_r(line, "\t\n", &save), *want = strtok_r(NULL, "\t\n", &save),
         path[4096], hex[65];
    struct err err = ERR_INIT;
    struct digest d;

    for (char *base; n < PATCH_BASES && (base = strtok_r(NULL, "\t\n", &save)); n++)
        open_base(a, base, &bases[n]);
    (void)str_fmt(path, sizeof(path), "%s/%u", a->out, i);
    struct out o = {a->check ? sha256_new() : NULL,
                    open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (o.fd < 0)
        die(path);
    if (patch_object(a->p, bases, n, strtoull(size, NULL, 10), sink, &o, &err) < 0)
        fail(&err);
    if (o.hash && (sha256_end(o.hash, &d, &err) < 0 || strcmp(digest_hex(&d, hex), want) != 0)) {
        fprintf(stderr, "object %u: other bytes\n", i);
        exit(1);
    }
    sha256_free(o.hash);
    (void)close(o.fd);
    for (unsigned b = 0; b < n; b++)
        (void)close(bases[b].fd);
}

/* Memory of this process that is no file's. */
static long anon_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[128];
    long kib = -1;

    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "RssAnon:", 8) == 0)
            kib = strtol(line + 8, NULL, 10);
    }
    if (f)
        fclose(f);
    return kib;
}

static int apply(char **argv, bool check)
{
    struct applying a = {.pack = argv[0], .old = argv[1], .out = argv[2], .check = check};
    struct err err = ERR_INIT;
    int AUTO_FD fd = open(a.pack, O_RDONLY | O_CLOEXEC);
    FILE *plan = side_file(a.pack, "plan", "r");
    size_t room = 65536;
    char *line = mem_need(room);
    unsigned n = 0;

    if (fd < 0 || patch_new(fd, &a.p, &err) < 0)
        fail(&err);
    while (getline(&line, &room, plan) > 0)
        apply_line(&a, line, n++);
    if (patch_end(a.p, &err) < 0)
        fail(&err);
    printf("objects %u memory %u anon_kib %ld\n", n, patch_head(a.p)->memory, anon_kib());
    patch_free(a.p);
    free(line);
    fclose(plan);
    return 0;
}

int main(int argc, char **argv)
{
    bool verbose = false, plain = false, fast = false;
    struct err err = ERR_INIT;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (crypto_init(&err) < 0)
        fail(&err);
    for (; argc > 2 && argv[argc - 1][0] == '-'; argc--) {
        verbose |= strcmp(argv[argc - 1], "-v") == 0;
        plain |= strcmp(argv[argc - 1], "--plain") == 0;
        fast |= strcmp(argv[argc - 1], "--no-check") == 0;
    }
    if (argc == 6 && strcmp(argv[1], "make") == 0 && pack_codec_parse(argv[2]) >= 0)
        return make(argv + 2, verbose, plain);
    if (argc == 5 && strcmp(argv[1], "apply") == 0)
        return apply(argv + 2, !fast);
    fputs("usage: patch-tool make CODEC OLD NEW PACK [-v] [--plain] | apply PACK OLD OUT [--no-check]\n",
          stderr);
    return 2;
}
