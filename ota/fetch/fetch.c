#include "ota/fetch/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "ota/doc/field.h"
#include "ota/layer/sandboxed.h"
#include "platform/fs.h"

/* The program gives up this long before the job is killed, so that its last error is reported instead of
 * "deadline". */
#define LAST_WORDS_MS 1000

static int check_sources(const struct fetch_request *r, struct err *err)
{
    int rc = 0;

    if (r->n_sources == 0 || r->n_sources > LIM_SOURCES || r->n_blobs == 0 || r->n_blobs > FETCH_BLOBS_MAX)
        return err_set(err, ERR_INVALID, "fetch: %u sources, %u blobs", r->n_sources, r->n_blobs);
    for (unsigned i = 0; rc == 0 && i < r->n_sources; i++)
        rc = source_parse(r->sources[i], NULL, err);
    return rc;
}

/* s NULL: nothing of it is present */
static void put_blob(struct cJSON *arr, struct store *s, const struct fetch_blob *b)
{
    struct cJSON *obj = json_push(arr, json_obj());
    char text[SHA256_TEXT];

    json_put_str(obj, "digest", digest_text(&b->digest, text));
    json_put_u64(obj, "size", b->size_bytes);
    json_put_u64(obj, "have", s ? store_partial_bytes(s, &b->digest) : 0);
    json_put_bool(obj, "manifest", b->manifest);
}

static char *build_request(struct store *s, const struct fetch_request *r, uint64_t n_chunks)
{
    AUTO_JSON struct cJSON *root = json_obj();
    uint64_t deadline = r->deadline_ms > 2 * LAST_WORDS_MS ? r->deadline_ms - LAST_WORDS_MS : r->deadline_ms;

    struct cJSON *sources = json_put(root, "sources", json_arr());
    for (unsigned i = 0; i < r->n_sources; i++)
        json_push_str(sources, r->sources[i]);
    struct cJSON *blobs = json_put(root, "blobs", json_arr());
    for (unsigned i = 0; i < r->n_blobs; i++)
        put_blob(blobs, s, &r->blobs[i]);
    if (r->ca_file)
        json_put_str(root, "ca", r->ca_file);
    if (r->auth_file)
        json_put_str(root, "auth", r->auth_file);
    if (r->usb_folder)
        json_put_str(root, "usb", r->usb_folder);
    json_put_u64(root, "chunks", n_chunks);
    json_put_u64(root, "min_rate", r->min_rate ? r->min_rate : FETCH_MIN_RATE);
    json_put_u64(root, "stall_s", r->stall_s ? r->stall_s : FETCH_STALL_S);
    json_put_u64(root, "rate", r->rate_bytes_s);
    json_put_u64(root, "budget", r->budget_bytes);
    json_put_u64(root, "deadline_ms", deadline);
    json_put_u64(root, "uid", r->uid);
    json_put_u64(root, "gid", r->gid);
    return json_print(root, false);
}

static int request_fd(struct store *s, const struct fetch_request *r, uint64_t n_chunks, int *ret_fd,
                      struct err *err)
{
    char AUTO_MEM *text = build_request(s, r, n_chunks);
    AUTO_FD int fd = memfd_create("fetch-request", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return err_errno(err, errno, "memfd");
    int rc = fs_write_full(fd, buf_str(text), err);
    if (rc == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        rc = err_errno(err, errno, "seal request");
    if (rc == 0)
        *ret_fd = steal_fd(&fd);
    return rc;
}

static int start(struct loop *l, const struct cgroup_host *cg, const struct fetch_request *r, const int *fds,
                 const struct job_calls *calls, struct job **ret, struct err *err)
{
    char program[256], mode[] = "fetch";
    char *argv[] = {program, mode, NULL};
    struct job_spec spec = {.name = "fetch",
                            .argv = argv,
                            .fds = fds,
                            .n_fds = r->n_blobs + 1,
                            .cgroups = cg,
                            .cgroup_path = r->cgroup_path,
                            .memory_max_bytes = LIM_FETCH_BYTES,
                            .deadline_ms = r->deadline_ms};

    if (!str_copy(program, sizeof(program), r->program))
        return err_set(err, ERR_INVALID, "path of the fetch program is too long");
    return job_start(l, &spec, calls, ret, err);
}

int fetch_start(struct loop *l, const struct cgroup_host *cg, struct store *s, const struct fetch_request *r,
                const struct job_calls *calls, struct job **ret, struct err *err)
{
    int fds[FETCH_BLOBS_MAX + 1];
    unsigned n = 1;
    int rc = check_sources(r, err);

    if (rc < 0)
        return rc;
    fds[0] = -1;
    for (unsigned i = 0; rc >= 0 && i < r->n_blobs; i++) { /* first: empties a partial that is garbage */
        fds[n] = -1;
        rc = store_partial_open(s, &r->blobs[i].digest, r->blobs[i].size_bytes, &fds[n], err);
        n++;
    }
    if (rc >= 0)
        rc = request_fd(s, r, 0, &fds[0], err);
    if (rc >= 0)
        rc = start(l, cg, r, fds, calls, ret, err);
    for (unsigned i = 0; i < n; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    return rc < 0 ? rc : 0;
}

/* ---- chunks ---- */

int fetch_stream_start(const struct fetch_request *r, int chunks_fd, uint64_t n_chunks,
                       struct fetch_stream *ret, struct err *err)
{
    char program[256], mode[] = "fetch";
    char *argv[] = {program, mode, NULL};
    AUTO_FD int request = -1;
    struct sandboxed c;
    int rc = check_sources(r, err);

    if (rc == 0 && (r->n_blobs != 1 || r->blobs[0].size_bytes == 0 || n_chunks == 0 || n_chunks > LIM_CHUNKS))
        rc = err_set(err, ERR_INVALID, "fetch: %" PRIu64 " chunks of %u blobs", n_chunks, r->n_blobs);
    if (rc == 0 && !str_copy(program, sizeof(program), r->program))
        rc = err_set(err, ERR_INVALID, "path of the fetch program is too long");
    if (rc == 0)
        rc = request_fd(NULL, r, n_chunks, &request, err);
    if (rc == 0)
        rc = sandboxed_start(argv, (const int[]){request, chunks_fd}, 2, &c, err);
    if (rc == 0)
        *ret = (struct fetch_stream){.pid = c.pid, .fd = c.out_fd, .line_fd = c.line_fd};
    return rc;
}

int fetch_stream_end(struct fetch_stream *s, uint64_t *ret_fetched, struct err *err)
{
    struct sandboxed c = {.pid = s->pid, .out_fd = s->fd, .line_fd = s->line_fd};
    char said[24] = "";
    uint64_t fetched = 0;

    *s = FETCH_STREAM_NONE;
    int rc = sandboxed_end(&c, "fetch", said, sizeof(said), err);
    if (rc == 0 && !str_u64(said, 0, UINT64_MAX, &fetched))
        fetched = 0; /* only used in reports */
    if (ret_fetched)
        *ret_fetched = fetched;
    return rc;
}

void fetch_stream_done(struct fetch_stream *s)
{
    struct sandboxed c = {.pid = s->pid, .out_fd = s->fd, .line_fd = s->line_fd};

    sandboxed_done(&c);
    *s = FETCH_STREAM_NONE;
}
