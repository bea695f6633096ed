/* images.c - how far each wanted image has come, and the slow steps that bring it further. The chain of
 * trust: the signed manifest names the release envelope by digest, its release key signature is checked, it
 * names the image manifest by digest, and so on down. */
#include <stdio.h>

#include "agent/core.h"
#include "platform/clock.h"
#include "platform/log.h"

/* ---- where it stands ---- */

static int read_release(struct core *c, const struct want *w, bool verify, struct release *ret,
                        struct err *err)
{
    uint8_t AUTO_MEM *text = NULL;
    size_t len;
    AUTO_FREE(envelope) struct envelope *e = NULL;
    int rc = store_read_blob(c->store, &w->release, LIM_ENVELOPE_BYTES, &text, &len, err);
    if (rc == 0)
        rc = envelope_parse(buf_of(text, len), &e, err);
    if (rc == 0 && verify)
        rc = trust_verify(&c->state.trust, TRUST_RELEASE, e, ENVELOPE_TYPE_RELEASE, err);
    if (rc == 0)
        rc = release_parse(buf_of(e->payload, e->payload_len), ret, err);
    if (rc < 0)
        return err_wrap(err, "release of %s", w->name);
    if (strcmp(ret->name, w->release_name) != 0 || ret->counter != w->counter)
        return err_set(
            err, ERR_DENIED, "release of %s: the document is %s %llu, the manifest asks for %s %llu", w->name,
            ret->name, (unsigned long long)ret->counter, w->release_name, (unsigned long long)w->counter);
    return 0;
}

static int choose_platform(struct core *c, const struct want *w, const struct release *r, struct image *i,
                           struct err *err)
{
    const struct release_platform *p = release_choose(r, c->arch, c->variant);
    if (!p)
        return err_set(err, ERR_UNSUPPORTED, "release of %s has no image for linux/%s%s%s", w->name, c->arch,
                       c->variant[0] ? "/" : "", c->variant);
    i->manifest = p->manifest;
    i->manifest_bytes = p->manifest_bytes;
    i->packed_bytes = p->packed_bytes;
    i->unpacked_bytes = p->unpacked_bytes;
    i->inodes = p->inodes;
    (void)str_copy(i->version, sizeof(i->version), r->version);
    return 0;
}

static int read_manifest(struct core *c, const struct image *i, struct oci_manifest *ret, struct err *err)
{
    uint8_t AUTO_MEM *text = NULL;
    size_t len;
    int rc = store_read_blob(c->store, &i->manifest, LIM_OCI_JSON_BYTES, &text, &len, err);
    return rc < 0 ? rc : oci_manifest_parse(buf_of(text, len), ret, err);
}

static bool layers_held(struct core *c, const struct oci_manifest *m)
{
    if (store_has_blob(c->store, &m->config.digest) != 1)
        return false;
    for (unsigned i = 0; i < m->n_layers; i++)
        if (store_has_layer(c->store, &m->layers[i].digest) != 1)
            return false;
    return true;
}

static void look(struct core *c, const struct want *w, bool verify, struct image *i)
{
    struct release r = {.counter = 0};
    struct oci_manifest AUTO_MEM *m = mem_need(sizeof(*m));
    *i = (struct image){.state = IMAGE_NO_RELEASE};
    if (store_has_blob(c->store, &w->release) != 1)
        return;
    if (read_release(c, w, verify, &r, &i->fault) < 0 || choose_platform(c, w, &r, i, &i->fault) < 0)
        return;
    i->state = IMAGE_NO_MANIFEST;
    if (store_has_image(c->store, &i->manifest) == 1) {
        i->state = IMAGE_INSTALLED;
        return;
    }
    if (store_has_blob(c->store, &i->manifest) != 1)
        return;
    if (read_manifest(c, i, m, &i->fault) < 0)
        return;
    i->state = layers_held(c, m) ? IMAGE_NOT_INSTALLED : IMAGE_NO_LAYERS;
}

void images_forget(struct core *c)
{
    c->images_known = false;
    core_touch(c);
}

void images_observe(struct core *c)
{
    if (c->images_known)
        return;
    const struct desired *candidate, *good;
    act_candidates(c, &candidate, &good);
    bool trial = candidate && c->state.ledger.candidate_verdict == VERDICT_NONE;
    for (unsigned i = 0; candidate && i < candidate->n; i++)
        look(c, &candidate->apps[i], trial, &c->candidate_image[i]);
    for (unsigned i = 0; good && i < good->n; i++)
        look(c, &good->apps[i], false, &c->good_image[i]);
    c->images_known = true;
    for (unsigned i = 0; trial && i < candidate->n; i++)
        if (c->candidate_image[i].fault.kind != ERR_NONE) /* no fetch can cure what was signed or is held */
            images_fault(c, c->candidate.d.apps[i].name, &c->candidate_image[i].fault);
}

const struct image *images_of(const struct core *c, const struct want *w)
{
    const struct desired *candidate, *good;
    act_candidates(c, &candidate, &good);
    if (candidate && w >= candidate->apps && w < candidate->apps + candidate->n)
        return &c->candidate_image[w - candidate->apps];
    if (good && w >= good->apps && w < good->apps + good->n)
        return &c->good_image[w - good->apps];
    return NULL;
}

void images_fault(struct core *c, const char *app, const struct err *err)
{
    c->fault.in_row = c->fault.kind == err->kind ? c->fault.in_row + 1 : 1;
    c->fault.kind = err->kind;
    c->fault.at_ms = clock_boot_ms();
    c->fault_err = *err;
    (void)str_clean(c->fault_err.msg);
    (void)str_copy(c->fault_app, sizeof(c->fault_app), app);
    core_touch(c);
}

/* ---- jobs ---- */

/* What a job works on; lives until its successor is started. */
struct work {
    struct core *core;
    struct fetch_blob blobs[LIM_OCI_LAYERS + 1];
    unsigned n_blobs;
    struct store_install install;
    struct digest keep[7 * LIM_APPS];
    unsigned n_keep;
    char app[LIM_NAME_BYTES];
};

static struct work *work_new(struct core *c, const char *app)
{
    struct work *k = mem_need_zero(sizeof(*k));
    k->core = c;
    (void)str_copy(k->app, sizeof(k->app), app);
    return k;
}

static void progress(void *arg, const char *line)
{
    struct work *k = arg;
    unsigned long long done, total;
    if (sscanf(line, "progress %llu %llu", &done, &total) == 2) {
        k->core->job_done = done;
        k->core->job_total = total;
        core_progress(k->core);
    } else if (strncmp(line, "note ", 5) == 0) {
        event_add(k->core, "denied", k->app, "image: %s", line + 5);
    }
}

static void job_over(struct core *c, const char *app, const struct job_verdict *v)
{
    c->job = NULL;
    c->job_done = c->job_total = 0;
    if (v->err.kind == ERR_NONE)
        c->fault = (struct fault){0};
    else {
        log_warn("%s %s: %s", step_kind_name(c->job_step), app, v->err.msg);
        images_fault(c, app, &v->err);
    }
    images_forget(c);
}

static void work_done(void *arg, const struct job_verdict *v)
{
    struct work *k = arg;
    struct core *c = k->core;
    core_point(c, c->job_step == STEP_INSTALL ? "installed"
                  : c->job_step == STEP_FETCH ? "verified"
                                              : "collected");
    if (c->job_step != STEP_COLLECT) {
        job_over(c, k->app, v);
    } else { /* what it could not remove is no fault of the candidate; a full disk stays one until the next
                try tells */
        if (v->err.kind != ERR_NONE)
            log_warn("collect: %s", v->err.msg);
        c->has_garbage = false;
        c->job = NULL;
        images_forget(c);
    }
    free(k);
}

static int run_job(struct core *c, struct work *take_k, const char *name,
                   int (*fn)(void *, int, struct err *), uint64_t memory, struct err *err)
{
    char path[128];
    (void)str_fmt(path, sizeof(path), "%s/agent/%s", c->cgroup_root, name);
    struct job_spec spec = {.name = name,
                            .fn = fn,
                            .arg = take_k,
                            .cgroups = &c->cgroups,
                            .cgroup_path = path,
                            .memory_max_bytes = memory,
                            .deadline_ms = LIM_JOB_MS};
    struct job_calls calls = {progress, work_done, take_k};
    int rc = job_start(c->loop, &spec, &calls, &c->job, err);
    if (rc < 0)
        free(take_k);
    return rc;
}

static int commit_job(void *arg, int line_fd, struct err *err)
{
    struct work *k = arg;
    (void)line_fd;
    int rc = crypto_init(err);
    for (unsigned i = 0; rc == 0 && i < k->n_blobs; i++)
        rc = store_partial_commit(k->core->store, &k->blobs[i].digest, k->blobs[i].size_bytes, err);
    return rc;
}

/* The bytes are there; whether they are the right ones is asked by a job that parses nothing. */
static void fetched(void *arg, const struct job_verdict *v)
{
    struct work *k = arg;
    struct core *c = k->core;
    struct job_verdict failed = *v;
    core_point(c, "fetched");
    if (v->err.kind == ERR_NONE && run_job(c, k, "verify", commit_job, LIM_INSTALL_BYTES, &failed.err) == 0)
        return;
    if (v->err.kind != ERR_NONE) {
        job_over(c, k->app, v);
        free(k);
        return;
    }
    job_over(c, c->job_app, &failed); /* run_job freed k */
}

static int list_layers(struct core *c, const struct image *i, struct work *k, struct err *err)
{
    struct oci_manifest AUTO_MEM *m = mem_need(sizeof(*m));
    uint64_t need = i->unpacked_bytes;
    int rc = read_manifest(c, i, m, err);
    if (rc < 0)
        return rc;
    if (store_has_blob(c->store, &m->config.digest) != 1)
        k->blobs[k->n_blobs++] = (struct fetch_blob){m->config.digest, m->config.size_bytes, false};
    for (unsigned n = 0; n < m->n_layers; n++) {
        bool again = false;
        for (unsigned b = 0; b < k->n_blobs; b++)
            again |= digest_eq(&k->blobs[b].digest, &m->layers[n].digest);
        if (again || store_has_layer(c->store, &m->layers[n].digest) == 1)
            continue;
        k->blobs[k->n_blobs++] = (struct fetch_blob){m->layers[n].digest, m->layers[n].size_bytes, false};
        uint64_t have = store_partial_bytes(c->store, &m->layers[n].digest);
        need += m->layers[n].size_bytes > have ? m->layers[n].size_bytes - have : 0;
    }
    return store_check_space(c->store, need, i->inodes, err);
}

/* What the image lacks next: its release document, its manifest, or config and layers. */
static int list_missing(struct core *c, const struct want *w, struct work *k, struct err *err)
{
    const struct image *i = images_of(c, w);
    if (!i)
        return err_set(err, ERR_NOTFOUND, "%s is in no set", w->name);
    if (i->state == IMAGE_NO_RELEASE)
        k->blobs[k->n_blobs++] = (struct fetch_blob){w->release, w->release_bytes, false};
    else if (i->state == IMAGE_NO_MANIFEST)
        k->blobs[k->n_blobs++] = (struct fetch_blob){i->manifest, i->manifest_bytes, true};
    else
        return list_layers(c, i, k, err);
    return 0;
}

static int start_fetch(struct core *c, const struct want *w, struct work *k, struct err *err)
{
    char program[300], path[128];
    const struct config *config = &c->config;
    (void)str_fmt(program, sizeof(program), "%s/agentd-fetch", c->libexec);
    (void)str_fmt(path, sizeof(path), "%s/agent/fetch", c->cgroup_root);
    struct fetch_request r = {.sources = w->sources,
                              .n_sources = w->n_sources,
                              .blobs = k->blobs,
                              .n_blobs = k->n_blobs,
                              .ca_file = config->fetch_ca[0] ? config->fetch_ca : NULL,
                              .auth_file = config->fetch_auth[0] ? config->fetch_auth : NULL,
                              .rate_bytes_s = config->fetch_rate,
                              .program = program,
                              .cgroup_path = path,
                              .uid = c->uid,
                              .gid = c->gid,
                              .deadline_ms = LIM_JOB_MS};
    struct job_calls calls = {progress, fetched, k};
    return fetch_start(c->loop, &c->cgroups, c->store, &r, &calls, &c->job, err);
}

int images_fetch(struct core *c, const struct want *w, struct err *err)
{
    struct work *k = work_new(c, w->name);
    int rc = list_missing(c, w, k, err);
    if (rc == 0)
        rc = start_fetch(c, w, k, err);
    if (rc < 0)
        free(k);
    return rc;
}

static int install_job(void *arg, int line_fd, struct err *err)
{
    struct work *k = arg;
    char program[300], mode[] = "untar", uid[16], gid[16];
    char *argv[] = {program, mode, uid, gid, NULL};
    (void)str_fmt(program, sizeof(program), "%s/agentd-untar", k->core->libexec);
    (void)str_fmt(uid, sizeof(uid), "%u", (unsigned)k->core->uid);
    (void)str_fmt(gid, sizeof(gid), "%u", (unsigned)k->core->gid);
    k->install.untar_argv = argv;
    int rc = crypto_init(err);
    if (rc == 0)
        rc = store_install(k->core->store, &k->install, line_fd, err);
    if (rc == 0 && k->install.note[0])
        job_line(line_fd, "note %s", k->install.note);
    return rc;
}

int images_install(struct core *c, const struct want *w, struct err *err)
{
    const struct image *i = images_of(c, w);
    struct work *k = work_new(c, w->name);
    if (!i) {
        free(k);
        return err_set(err, ERR_NOTFOUND, "%s is in no set", w->name);
    }
    k->install.manifest = i->manifest;
    k->install.max_bytes = i->unpacked_bytes;
    k->install.max_inodes = i->inodes;
    return run_job(c, k, "install", install_job, LIM_INSTALL_BYTES, err);
}

static int collect_job(void *arg, int line_fd, struct err *err)
{
    struct work *k = arg;
    uint64_t freed = 0;
    struct store_keep keep = {k->keep, k->n_keep};
    int rc = store_collect(k->core->store, &keep, &freed, err);
    if (rc == 0)
        job_line(line_fd, "freed %llu", (unsigned long long)freed);
    return rc;
}

static void keep_set(struct core *c, struct work *k, const struct set *s)
{
    for (unsigned i = 0; s->arena && i < s->d.n; i++) {
        struct image image;
        look(c, &s->d.apps[i], false, &image);
        k->keep[k->n_keep++] = s->d.apps[i].release;
        if (image.state > IMAGE_NO_RELEASE)
            k->keep[k->n_keep++] = image.manifest;
    }
}

/* Keep what the candidate, the last two good sets and every box need; the rest goes. */
int images_collect(struct core *c, struct err *err)
{
    struct work *k = work_new(c, "");
    bool refused = c->state.ledger.candidate_verdict == VERDICT_REJECTED ||
                   c->state.ledger.candidate_verdict == VERDICT_ROLLED_BACK;
    if (!refused)
        keep_set(c, k, &c->candidate);
    keep_set(c, k, &c->good);
    keep_set(c, k, &c->previous);
    for (unsigned i = 0; i < LIM_APPS && k->n_keep < COUNT_OF(k->keep); i++)
        if (c->apps[i].used && c->apps[i].seen.box != BOX_NONE)
            k->keep[k->n_keep++] = c->apps[i].manifest;
    return run_job(c, k, "collect", collect_job, LIM_INSTALL_BYTES, err);
}
