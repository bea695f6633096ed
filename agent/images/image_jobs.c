/* image_jobs.c - the slow steps of bringing in an image, each in a child with resource limits: download,
 * verify, install, collect. If one route fails the next is tried before it counts as a fault. */
#include <inttypes.h>
#include <stdio.h>

#include "agent/base/test_point.h"
#include "agent/core.h"
#include "agent/images/image_jobs.h"
#include "platform/clock.h"
#include "platform/log.h"

/* What a job works on; lives until its successor is started. */
struct work {
    struct core *core;
    struct fetch_blob blobs[LIM_OCI_LAYERS + 2];
    unsigned n_blobs;
    struct store_install install;
    struct store_pack pack;
    struct download download;
    char unpack[300], uid[16], gid[16];
    char *unpack_argv[5];
    struct digest manifest;
    enum owner owner;
    enum route_kind route;
    struct keep keep;
    char app[LIM_NAME_BYTES];
};

static struct work *work_new(struct core *c, enum owner owner, const char *app)
{
    static char mode[] = "unpack";
    struct work *k = mem_need_zero(sizeof(*k));

    k->core = c;
    k->owner = owner;
    (void)str_copy(k->app, sizeof(k->app), app);
    (void)str_fmt(k->unpack, sizeof(k->unpack), "%s/agentd-unpack", c->libexec);
    (void)str_fmt(k->uid, sizeof(k->uid), "%u", (unsigned)c->uid);
    (void)str_fmt(k->gid, sizeof(k->gid), "%u", (unsigned)c->gid);
    char *const argv[] = {k->unpack, mode, k->uid, k->gid, NULL};
    memcpy(k->unpack_argv, argv, sizeof(argv));
    return k;
}

#define SOURCE_TRIES 3 /* of a pack, before another route is taken */

/* ---- costs and limits ---- */

/* For the report. */
static void took(struct work *k, uint64_t fetched)
{
    if (k->manifest.b[0] || k->manifest.b[1])
        images_memo(k->core, &k->manifest)->fetched_bytes += fetched;
}

/* The lower of the limits of the device and the manifest; 0: no limit. */
static uint64_t rate_of(const struct core *c)
{
    uint64_t own = c->config.fetch_rate,
             asked = c->sets.candidate.arena ? c->sets.candidate.d.download.rate_bytes_s : 0;

    return own && (asked == 0 || own < asked) ? own : asked;
}

static void request(struct work *k, const struct want *w)
{
    download_init(k->core, w, k->blobs, k->n_blobs, rate_of(k->core), &k->download);
}

/* ---- how jobs end ---- */

static void progress(void *arg, const char *line)
{
    struct work *k = arg;
    unsigned long long a, b, d;
    char kind[16];
    int text = 0;

    if (sscanf(line, "trouble %llu %15s %n", &a, kind, &text) == 2 && text > 0) {
        if (jobs_trouble(k->core, a, err_kind_parse(kind), line + text))
            log_warn("%s %s: %s; asked again", plan_step_kind_name(k->core->jobs.step), k->app,
                     k->core->jobs.trouble.msg);
    } else if (strncmp(line, "progress ", 9) == 0) {
        (void)budget_line(k->core, &k->download.told, line);
    } else if (sscanf(line, "cost %llu %llu %llu", &a, &b, &d) == 3) {
        struct image_memo *m = images_memo(k->core, &k->manifest);
        m->chunks = (struct store_cost){a, b, d};
        m->chunks_known = true;
    } else if (sscanf(line, "took %llu %llu", &a, &b) == 2) {
        took(k, a);
        budget_told(k->core, &k->download.told, a);
        images_memo(k->core, &k->manifest)->written_bytes = b;
    } else if (strncmp(line, "note ", 5) == 0) {
        events_add(k->core, "stripped", k->app, "image: %s", line + 5);
    }
}

/* Can another route succeed where this one failed? Then the failure is reported and not counted. */
static bool other_way(struct work *k, const struct err *why)
{
    static const bool hopeless[ERR_KIND_COUNT_] = {
        [ERR_INVALID] = true, [ERR_INTEGRITY] = true,   [ERR_NOTFOUND] = true,
        [ERR_SOURCE] = true,  [ERR_UNSUPPORTED] = true, [ERR_NOMEM] = true};
    struct image_memo *m = images_memo(k->core, &k->manifest);

    if (k->route == ROUTE_LAYERS || k->route == ROUTE_HELD || !hopeless[why->kind])
        return false;
    const struct core *c = k->core;
    bool consent = !c->sets.candidate.arena || c->sets.candidate.d.download.full_fallback;
    const struct fault *last = &jobs_fault_of(c, k->owner)->last;
    bool tried = last->kind == ERR_SOURCE && last->in_row >= SOURCE_TRIES;
    if (why->kind == ERR_SOURCE && (!consent || !tried))
        return false; /* the source may be repaired, and the other route costs more */
    *(k->route == ROUTE_PATCH ? &m->no_patch : &m->no_chunks) = true;
    events_add(k->core, "fallback", k->app, "%s did not do: %s", route_name(k->route), why->msg);
    return true;
}

static void job_over(struct work *take_k, const struct job_verdict *v)
{
    struct work AUTO_MEM *k = take_k;
    struct core *c = k->core;

    budget_close(c);
    if (v->cancelled)
        ; /* for something newer: not a fault */
    else if (v->err.kind == ERR_NONE || other_way(k, &v->err))
        jobs_fault_clear(c, k->owner);
    else {
        log_warn("%s %s: %s", plan_step_kind_name(c->jobs.step), k->app, v->err.msg);
        images_fault(c, k->owner, k->app, &v->err);
    }
    core_store_changed(c);
}

static void work_done(void *arg, const struct job_verdict *v)
{
    struct work *k = arg;
    struct core *c = k->core;

    test_point(c, c->jobs.step == STEP_INSTALL ? "installed" : "verified");
    job_over(k, v);
}

/* What it could not remove is not the candidate's fault; the disk counts as full until the next try. */
static void collected(void *arg, const struct job_verdict *v)
{
    struct work AUTO_MEM *k = arg;
    struct core *c = k->core;

    test_point(c, "collected");
    if (v->err.kind != ERR_NONE)
        log_warn("collect: %s", v->err.msg);
    jobs_fault_clear(c, OWNER_STORE);
    images_collected(c);
}

/* k is freed by the job's end, or by the caller if it does not start. */
static int run_job(struct work *k, const char *name, int (*fn)(void *, int, struct err *), uint64_t memory,
                   struct err *err)
{
    const struct job_calls calls = {progress, work_done, k};

    return jobs_run(k->core, name, fn, memory, &calls, err);
}

/* The work made from w is to be started; rc: of making it. */
static int begun(struct work *take_k, int rc)
{
    if (rc < 0)
        free(take_k);
    return rc;
}

/* ---- download ---- */

static int commit_job(void *arg, int line_fd, struct err *err)
{
    struct work *k = arg;

    (void)line_fd;
    int rc = crypto_init(err);
    for (unsigned i = 0; rc == 0 && i < k->n_blobs; i++)
        rc = download_commit(k->core->store, &k->blobs[i].digest, k->blobs[i].size_bytes, err);
    return rc;
}

/* All bytes are there; whether they are the right ones is checked by a job that parses nothing. */
static void fetched(void *arg, const struct job_verdict *v)
{
    struct work *k = arg;
    struct core *c = k->core;
    struct job_verdict failed = *v;
    uint64_t bytes = 0;

    test_point(c, "fetched");
    if (v->err.kind == ERR_NONE && str_u64(v->result, 0, UINT64_MAX, &bytes))
        took(k, bytes);
    if (v->err.kind == ERR_NONE && run_job(k, "verify", commit_job, LIM_INSTALL_BYTES, &failed.err) == 0)
        return;
    job_over(k, &failed);
}

static void add_blob(struct work *k, const struct digest *d, uint64_t bytes, bool manifest)
{
    for (unsigned i = 0; i < k->n_blobs; i++)
        if (digest_eq(&k->blobs[i].digest, d))
            return;
    if (store_has_blob(k->core->store, d) != 1)
        k->blobs[k->n_blobs++] = (struct fetch_blob){*d, bytes, manifest};
}

/* What the route needs before anything can be installed. */
static int list_parts(struct core *c, const struct image *i, struct work *k, struct err *err)
{
    struct oci_manifest AUTO_MEM *m = mem_need(sizeof(*m));
    uint64_t need = i->route.kind == ROUTE_CHUNKS ? 0 : i->route.write_bytes;
    int rc = images_manifest(c, i, m, err);

    if (rc < 0)
        return rc;
    k->route = i->route.kind;
    add_blob(k, &m->config.digest, m->config.size_bytes, false);
    if (i->route.kind == ROUTE_PATCH || i->route.kind == ROUTE_CHUNKS)
        add_blob(k, &i->pack.blob.digest, i->pack.blob.bytes, false);
    for (unsigned n = 0; i->route.kind == ROUTE_LAYERS && n < m->n_layers; n++)
        if (store_has_layer(c->store, &m->layers[n].digest) != 1)
            add_blob(k, &m->layers[n].digest, m->layers[n].size_bytes, false);
    rc = budget_check(c, i->route.kind == ROUTE_CHUNKS ? i->pack.blob.bytes : i->route.down_bytes, err);
    return rc < 0 ? rc : store_check_space(c->store, need, i->inodes, err);
}

/* What the image lacks next: its release document, its manifest, or what its route needs. */
static int list_missing(struct core *c, const struct want *w, const struct image *i, struct work *k,
                        struct err *err)
{
    if (i->state == IMAGE_NO_RELEASE)
        k->blobs[k->n_blobs++] = (struct fetch_blob){w->release, w->release_bytes, false};
    else if (i->state == IMAGE_NO_MANIFEST)
        k->blobs[k->n_blobs++] = (struct fetch_blob){i->manifest, i->manifest_bytes, true};
    else
        return list_parts(c, i, k, err);
    return 0;
}

/* Read tree and table of a full pack, and compute what its chunks would cost. */
static int documents_job(void *arg, int line_fd, struct err *err)
{
    struct work *k = arg;
    struct store_cost cost;
    uint64_t got = 0;
    int rc = crypto_init(err);

    if (rc == 0)
        rc = store_pull_documents(k->core->store, &k->pack, &got, err);
    job_line(line_fd, "took %" PRIu64 " 0", got);
    if (rc == 0)
        rc = store_pack_cost(k->core->store, &k->manifest, &k->pack, &cost, err);
    if (rc == 0)
        job_line(line_fd, "cost %" PRIu64 " %" PRIu64 " %" PRIu64, cost.fetch_bytes, cost.write_bytes,
                 cost.objects);
    return rc;
}

static void use_pack(struct work *k, const struct want *w, const struct image *i)
{
    k->route = i->route.kind;
    images_pack(i, &k->pack);
    request(k, w);
    k->pack.fetch = &k->download.request;
    k->pack.unpack_argv = k->unpack_argv;
}

static int start_fetch(struct work *k, const struct want *w, const struct image *i, struct err *err)
{
    const struct job_calls calls = {progress, fetched, k};
    int rc = list_missing(k->core, w, i, k, err);

    if (rc < 0)
        return rc;
    if (k->n_blobs == 0 && i->state == IMAGE_NO_TREE) {
        use_pack(k, w, i);
        return run_job(k, "documents", documents_job, LIM_PULL_BYTES, err);
    }
    request(k, w);
    return jobs_fetch(k->core, &k->download.request, &calls, err);
}

int image_jobs_fetch(struct core *c, enum owner owner, const struct want *w, const struct image *i,
                     struct err *err)
{
    struct work *k = work_new(c, owner, w->name);

    if (i->state > IMAGE_NO_RELEASE)
        k->manifest = i->manifest;
    jobs_begin(c, &(struct jobs_about){owner, STEP_FETCH, w->name, false});
    return begun(k, start_fetch(k, w, i, err));
}

/* ---- install, collect ---- */

/* One line in total: any plain distribution image has some. */
static void tell_stripped(const struct store_install *in, int line_fd)
{
    static const char *const names[STORE_STRIPPED_COUNT_] = {"device nodes and the like", "set-uid bits",
                                                             "set-gid bits", "extended attributes of files"};
    char text[200] = "";

    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        size_t at = strlen(text);
        if (in->stripped[i])
            (void)str_fmt(text + at, sizeof(text) - at, "%s%u %s", at ? ", " : "", in->stripped[i], names[i]);
    }
    if (text[0])
        job_line(line_fd, "note %s left out (image_privileges)", text);
}

static int install_job(void *arg, int line_fd, struct err *err)
{
    struct work *k = arg;
    char program[300], mode[] = "untar";
    char *argv[] = {program, mode, k->uid, k->gid, NULL};

    (void)str_fmt(program, sizeof(program), "%s/agentd-untar", k->core->libexec);
    k->install.untar_argv = argv;
    int rc = crypto_init(err);
    if (rc == 0)
        rc = store_install(k->core->store, &k->install, line_fd, err);
    job_line(line_fd, "took %" PRIu64 " %" PRIu64, k->install.fetched_bytes, k->install.written_bytes);
    if (rc == 0)
        tell_stripped(&k->install, line_fd);
    return rc;
}

/* zstd layers need its window in addition. */
static uint64_t install_bytes(struct core *c, const struct image *i)
{
    struct oci_manifest AUTO_MEM *m = mem_need(sizeof(*m));

    if (i->route.kind != ROUTE_LAYERS || images_manifest(c, i, m, NULL) < 0)
        return LIM_INSTALL_BYTES;
    for (unsigned n = 0; n < m->n_layers; n++)
        if (m->layers[n].codec == OCI_TAR_ZSTD)
            return LIM_INSTALL_BYTES + LIM_ZSTD_BYTES;
    return LIM_INSTALL_BYTES;
}

int image_jobs_install(struct core *c, enum owner owner, const struct want *w, const struct image *i,
                       struct err *err)
{
    bool chunks = i->state == IMAGE_NO_CHUNKS;

    jobs_begin(c, &(struct jobs_about){owner, STEP_INSTALL, w->name, chunks});
    if (chunks && budget_check(c, i->route.down_bytes, err) < 0)
        return -(int)err->kind;
    struct work *k = work_new(c, owner, w->name);
    k->manifest = i->manifest;
    k->install.manifest = i->manifest;
    k->install.max_bytes = i->unpacked_bytes;
    k->install.refuse_privileges = w->refuse_privileges;
    k->install.max_inodes = i->inodes;
    if (i->route.kind != ROUTE_LAYERS) {
        use_pack(k, w, i);
        k->install.pack = &k->pack;
    }
    return begun(k, run_job(k, "install", install_job, chunks ? LIM_PULL_BYTES : install_bytes(c, i), err));
}

static int collect_job(void *arg, int line_fd, struct err *err)
{
    struct work *k = arg;
    uint64_t freed = 0;
    struct store_keep keep = {.digests = k->keep.list, .n = k->keep.n};
    int rc = store_collect(k->core->store, &keep, &freed, err);

    if (rc == 0)
        job_line(line_fd, "freed %" PRIu64, freed);
    return rc;
}

int image_jobs_collect(struct core *c, const struct keep *keep, struct err *err)
{
    struct work *k = work_new(c, OWNER_STORE, "");
    const struct job_calls calls = {NULL, collected, k};

    k->keep = *keep;
    jobs_begin(c, &(struct jobs_about){OWNER_STORE, STEP_COLLECT, "", false});
    return begun(k, jobs_run(c, "collect", collect_job, LIM_INSTALL_BYTES, &calls, err));
}
