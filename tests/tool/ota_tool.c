/* ota_tool.c - a test-only program that drives the store and the fetch program from shell tests.
 *   ota-tool STORE put FILE...                    each file becomes a blob; prints its digest
 *   ota-tool STORE install DIGEST [BYTES INODES]  lays the image from blobs that are held
 *   ota-tool STORE fetch DIGEST SIZE [BLOB] -- SOURCE...   DIGEST and, unless BLOB is given, all that its
 * image needs
 *   ota-tool STORE chunks DIGEST SIZE LIST -- SOURCE...    chunks by a list file, bytes to standard output
 *   ota-tool STORE scrub                          reads all, marks what is bad
 *   ota-tool STORE collect DIGEST...              keeps only these
 *   ota-tool STORE list | rootfs DIGEST | has-layer DIGEST
 * Settings: UNTAR (the untar program), FETCH (the fetch program), CA, AUTH,
 * DEADLINE_MS, STALL_S, JOB_UID, USB_FOLDER, RATE, BUDGET. Errors go to stderr as "KIND: message", exit
 * status is the kind. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "ota/fetch/fetch.h"
#include "ota/store/store.h"
#include "platform/fs.h"

static char *env_or(const char *name, char *otherwise)
{
    char *v = getenv(name);

    return v ? v : otherwise;
}

static int put(struct store *s, const char *path, struct err *err)
{
    struct digest d;
    uint64_t len = 0;
    char text[SHA256_TEXT], buf[65536];
    int AUTO_FD from = open(path, O_RDONLY | O_CLOEXEC);
    int AUTO_FD to = -1;

    if (from < 0)
        return err_errno(err, errno, "open %s", path);
    int r = sha256_fd(from, &d, &len, err);
    if (r == 0 && !store_has_blob(s, &d)) {
        r = store_partial_open(s, &d, len, &to, err);
        if (r == 0 && ftruncate(to, 0) < 0)
            r = err_errno(err, errno, "truncate");
        for (ssize_t n = 1; r == 0 && n > 0;) {
            n = fs_read_full(from, buf, sizeof(buf), err);
            r = n < 0 ? (int)n : fs_write_full(to, buf_of(buf, (size_t)n), err);
        }
        if (r == 0)
            r = store_partial_commit(s, &d, len, err);
    }
    if (r == 0)
        printf("%s\n", digest_text(&d, text));
    return r;
}

static int install(struct store *s, const struct digest *d, uint64_t bytes, uint64_t inodes, struct err *err)
{
    static char uid[16], mode[] = "untar", nobody[] = "65534", untar[] = "agentd-untar";

    (void)str_fmt(uid, sizeof(uid), "%s", env_or("JOB_UID", nobody));
    char *argv[] = {env_or("UNTAR", untar), mode, uid, uid, NULL};
    struct store_install in = {.refuse_privileges = getenv("REFUSE") != NULL,
                               .manifest = *d,
                               .max_bytes = bytes,
                               .max_inodes = inodes,
                               .untar_argv = argv};
    int r = store_install(s, &in, getenv("PROGRESS") ? 1 : -1, err);

    printf("%s", in.note);
    return r;
}

static void print_image(void *arg, const struct digest *d, uint64_t bytes)
{
    char text[SHA256_TEXT];

    (void)arg;
    printf("%s %llu\n", digest_text(d, text), (unsigned long long)bytes);
}

static int collect(struct store *s, int argc, char **argv, struct err *err)
{
    struct digest keep[64];
    uint64_t freed = 0;
    unsigned n = 0;

    for (; (int)n < argc && n < COUNT_OF(keep); n++)
        if (digest_parse(argv[n], &keep[n], err) < 0)
            return -(int)err->kind;
    int r = store_collect(s, &(struct store_keep){keep, n, getenv("PRESSED") != NULL}, &freed, err);
    if (r == 0)
        printf("%llu\n", (unsigned long long)freed);
    return r;
}

static void print_bad(void *arg, const char *name, const char *why)
{
    (void)arg;
    printf("%s: %s\n", name, why);
}

static int scrub(struct store *s, struct err *err)
{
    struct store_scrub sc = {.max_bytes = UINT64_MAX, .on_bad = print_bad};

    return store_scrub(s, &sc, err);
}

static int rootfs(struct store *s, const struct digest *d, const char *dir, struct err *err)
{
    char path[256];

    if (!store_has_image(s, d))
        return err_set(err, ERR_NOTFOUND, "no such image");
    (void)store_rootfs_path(s, d, path, sizeof(path));
    printf("%s/%s\n", dir, path);
    return 0;
}

/* ---- fetch: what the agent does, without its plan ---- */

struct wait {
    bool done;
    struct err err;
};

static void on_line(void *arg, const char *line)
{
    (void)arg;
    if (getenv("PROGRESS"))
        printf("%s\n", line);
}

static void on_done(void *arg, const struct job_verdict *v)
{
    struct wait *w = arg;

    w->done = true;
    w->err = v->err;
    if (getenv("PROGRESS"))
        printf("verdict %s %s\n", err_kind_name(v->err.kind), v->result);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    uint64_t n = otherwise;

    if (getenv(name))
        (void)str_u64(getenv(name), 0, UINT64_MAX, &n);
    return n;
}

static struct fetch_request request_of(const struct fetch_blob *blobs, unsigned n, const char *const *sources,
                                       unsigned n_sources)
{
    static char program[] = "agentd-fetch";

    return (struct fetch_request){.sources = sources,
                                  .n_sources = n_sources,
                                  .blobs = blobs,
                                  .n_blobs = n,
                                  .ca_file = getenv("CA"),
                                  .auth_file = getenv("AUTH"),
                                  .usb_folder = getenv("USB_FOLDER"),
                                  .program = env_or("FETCH", program),
                                  .uid = (uid_t)number("JOB_UID", 65534),
                                  .gid = (gid_t)number("JOB_UID", 65534),
                                  .stall_s = number("STALL_S", 0),
                                  .rate_bytes_s = number("RATE", 0),
                                  .budget_bytes = number("BUDGET", 0),
                                  .deadline_ms = number("DEADLINE_MS", 60000)};
}

static int fetch_blobs(struct store *s, struct loop *l, const struct fetch_blob *blobs, unsigned n,
                       const char *const *sources, unsigned n_sources, struct err *err)
{
    struct wait w = {0};
    struct job *job = NULL;
    struct fetch_request req = request_of(blobs, n, sources, n_sources);
    struct job_calls calls = {on_line, on_done, &w};

    int r = fetch_start(l, NULL, s, &req, &calls, &job, err);
    while (r == 0 && !w.done)
        r = loop_turn(l, -1, err);
    if (r < 0)
        return r;
    if (w.err.kind != ERR_NONE)
        return err_set(err, w.err.kind, "%s", w.err.msg);
    for (unsigned i = 0; r == 0 && i < n; i++)
        r = store_partial_commit(s, &blobs[i].digest, blobs[i].size_bytes, err);
    return r;
}

static int fetch_image(struct store *s, struct loop *l, const struct fetch_blob *manifest,
                       const char *const *sources, unsigned n_sources, struct err *err)
{
    static struct oci_manifest m;
    static struct fetch_blob blobs[LIM_OCI_LAYERS + 1];
    uint8_t AUTO_MEM *text = NULL;
    size_t len = 0;
    unsigned n = 0;
    int r =
        store_has_blob(s, &manifest->digest) ? 0 : fetch_blobs(s, l, manifest, 1, sources, n_sources, err);

    if (r == 0)
        r = store_read_blob(s, &manifest->digest, LIM_OCI_JSON_BYTES, &text, &len, err);
    if (r == 0)
        r = oci_manifest_parse(buf_of(text, len), &m, err);
    if (r < 0)
        return r;
    if (!store_has_blob(s, &m.config.digest))
        blobs[n++] = (struct fetch_blob){.digest = m.config.digest, .size_bytes = m.config.size_bytes};
    for (unsigned i = 0; i < m.n_layers; i++)
        if (!store_has_layer(s, &m.layers[i].digest))
            blobs[n++] =
                (struct fetch_blob){.digest = m.layers[i].digest, .size_bytes = m.layers[i].size_bytes};
    return n ? fetch_blobs(s, l, blobs, n, sources, n_sources, err) : 0;
}

static int fetch(struct store *s, int argc, char **argv, struct err *err)
{
    struct fetch_blob b = {.manifest = true};
    struct loop *l = NULL;
    int at = 2;

    if (argc < 4 || digest_parse(argv[0], &b.digest, err) < 0 ||
        !str_u64(argv[1], 0, UINT64_MAX, &b.size_bytes))
        return err_set(err, ERR_INVALID, "fetch DIGEST SIZE [BLOB] -- SOURCE...");
    if (strcmp(argv[at], "BLOB") == 0) {
        b.manifest = false;
        at++;
    }
    at++; /* -- */
    int r = loop_new(&l, err);
    if (r == 0)
        r = loop_signals(l, NULL, 0, NULL, NULL, err); /* finds children on kernels without pidfds */
    const char *const *sources = (const char *const *)(void *)(argv + at);
    if (r == 0)
        r = b.manifest ? fetch_image(s, l, &b, sources, (unsigned)(argc - at), err)
                       : fetch_blobs(s, l, &b, 1, sources, (unsigned)(argc - at), err);
    (void)loop_free(l);
    return r;
}

/* What came is written even when it ends badly: each chunk was checked. */
static int stream(struct fetch_stream *f, struct err *err)
{
    uint64_t fetched = 0;
    char buf[65536];
    ssize_t n;
    int r = 0;

    while (r == 0 && (n = read(f->fd, buf, sizeof(buf))) > 0) {
        r = fs_write_full(1, buf_of(buf, (size_t)n), err);
        if (getenv("PAUSE_AFTER_FIRST"))
            (void)sleep(1);
    }
    int said = fetch_stream_end(f, &fetched, err);
    fprintf(stderr, "fetched %llu\n", (unsigned long long)fetched);
    return r < 0 ? r : said;
}

static int chunks(int argc, char **argv, struct err *err)
{
    struct fetch_blob b = {0};
    struct fetch_stream f = FETCH_STREAM_NONE;
    struct stat st;

    if (argc < 5 || digest_parse(argv[0], &b.digest, err) < 0 ||
        !str_u64(argv[1], 0, UINT64_MAX, &b.size_bytes))
        return err_set(err, ERR_INVALID, "chunks DIGEST SIZE LIST -- SOURCE...");
    int AUTO_FD list = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (list < 0 || fstat(list, &st) < 0)
        return err_errno(err, errno, "open %s", argv[2]);
    const char *const *sources = (const char *const *)(void *)(argv + 4);
    struct fetch_request r = request_of(&b, 1, sources, (unsigned)argc - 4);
    int rc = fetch_stream_start(&r, list, (uint64_t)st.st_size / FETCH_CHUNK_RECORD, &f, err);
    if (rc == 0)
        rc = stream(&f, err);
    fetch_stream_done(&f);
    return rc;
}

static int run(struct store *s, int argc, char **argv, struct err *err)
{
    const char *verb = argv[2];
    struct digest d;
    uint64_t bytes = 0, inodes = 0;
    int r = 0;

    for (int i = 3; r == 0 && strcmp(verb, "put") == 0 && i < argc; i++)
        r = put(s, argv[i], err);
    if (strcmp(verb, "put") == 0)
        return r;
    if (strcmp(verb, "collect") == 0)
        return collect(s, argc - 3, argv + 3, err);
    if (strcmp(verb, "scrub") == 0)
        return scrub(s, err);
    if (strcmp(verb, "list") == 0)
        return store_list(s, print_image, NULL, err);
    if (strcmp(verb, "fetch") == 0)
        return fetch(s, argc - 3, argv + 3, err);
    if (strcmp(verb, "chunks") == 0)
        return chunks(argc - 3, argv + 3, err);
    if (argc < 4 || digest_parse(argv[3], &d, err) < 0)
        return err_set(err, ERR_INVALID, "a verb and a digest are needed");
    if (strcmp(verb, "rootfs") == 0)
        return rootfs(s, &d, argv[1], err);
    if (strcmp(verb, "has-layer") == 0)
        return printf("%d\n", store_has_layer(s, &d)) < 0;
    if (argc > 5 && (!str_u64(argv[4], 0, UINT64_MAX, &bytes) || !str_u64(argv[5], 0, UINT64_MAX, &inodes)))
        return err_set(err, ERR_INVALID, "bytes and inodes are numbers");
    return install(s, &d, bytes, inodes, err);
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    AUTO_FREE(store) struct store *s = NULL;

    if (argc < 3)
        return 2;
    if (mkdir(argv[1], 0700) < 0 && errno != EEXIST)
        return 2;
    int AUTO_FD dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = crypto_init(&err);
    if (r == 0)
        r = store_new(dir, &s, &err);
    if (r == 0)
        r = run(s, argc, argv, &err);
    (void)fflush(stdout);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", err_kind_name(err.kind), err.msg);
    return r < 0 ? -r : 0;
}
