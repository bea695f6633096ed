/* publish: check an image, describe it in a release, sign that, and put it beside the image. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fleet/base/doc.h"
#include "fleet/doc/keyring.h"
#include "fleet/doc/relstore.h"
#include "fleet/repo/image.h"
#include "fleet/repo/packing.h"
#include "fleet/repo/repo_copy.h"
#include "fleet/repo/repo_releases.h"
#include "fleet/verbs/verbs.h"
#include "ota/pack/codec.h"
#include "platform/clock.h"

#define TYPE_BUNDLE "application/vnd.limpet.os.bundle.v1"
#define TYPE_EMPTY  "application/vnd.oci.empty.v1+json"

static void put_descriptor(struct cJSON *to, const char *type, const struct digest *d, size_t size)
{
    char text[SHA256_TEXT];

    json_put_str(to, "mediaType", type);
    json_put_str(to, "digest", digest_text(d, text));
    json_put_u64(to, "size", size);
}

struct packs {
    struct packing_blob blobs[PACKING_BLOBS];
    unsigned n;
};

/* The artifact manifest that ties the envelope and the packs to the image (NULL: there is none, what is
 * released is a blob among packs), so that a registry's garbage collection keeps them. */
static char *print_artifact(const struct image *img, const struct digest *empty, const struct digest *env,
                            size_t env_bytes, const struct packs *packs)
{
    AUTO_DOC *root = json_obj();
    struct cJSON *layers;

    json_put_u64(root, "schemaVersion", 2);
    json_put_str(root, "mediaType", REPO_TYPE_MANIFEST);
    json_put_str(root, "artifactType", REPO_TYPE_RELEASE);
    put_descriptor(json_put(root, "config", json_obj()), TYPE_EMPTY, empty, 2);
    layers = json_put(root, "layers", json_arr());
    put_descriptor(json_push(layers, json_obj()), REPO_TYPE_RELEASE, env, env_bytes);
    for (unsigned i = 0; i < packs->n; i++)
        put_descriptor(json_push(layers, json_obj()), packs->blobs[i].type, &packs->blobs[i].digest,
                       packs->blobs[i].bytes);
    if (img)
        put_descriptor(json_put(root, "subject", json_obj()),
                       img->index ? REPO_TYPE_INDEX : REPO_TYPE_MANIFEST, &img->digest, img->bytes);
    return json_print(root, false);
}

static int push_release(struct repo *r, const struct image *img, struct buf envelope,
                        const struct packs *packs, struct digest *ret_env, struct err *err)
{
    char AUTO_MEM *artifact = NULL;
    struct digest empty;
    char tag[REPO_RELEASE_TAG_BYTES];

    if (repo_put_blob(r, envelope, ret_env, err) < 0 || repo_put_blob(r, BUF_LIT("{}"), &empty, err) < 0)
        return -(int)err->kind;
    artifact = print_artifact(img, &empty, ret_env, envelope.len, packs);
    return repo_put_manifest(r, img ? repo_release_tag(ret_env, tag) : repo_tag(r), buf_str(artifact), err);
}

/* The counter after all that this directory and the repository know, or the one that was asked for if nobody
 * has it. */
static int choose_counter(const struct ctx *c, const struct args *a, struct repo *r, struct release *rel,
                          struct err *err)
{
    struct rel AUTO_MEM *known = NULL;
    struct beside AUTO_MEM *there = mem_need_zero(sizeof(*there));
    struct err refused = ERR_INIT;
    unsigned n = 0;
    uint64_t top = 0;

    if (relstore_load(c, rel->name, &known, &n, err) < 0)
        return -(int)err->kind;
    int rc = repo_releases_look(c, r, rel->name, args_has(a, OPT_OS), known, n, there, &refused);
    if (rc == -ERR_NET)
        return err_set(err, ERR_NET, "%s", refused.msg);
    if (rc < 0)
        term_print(stderr, "fleetctl: releases of other operators are not known: %s\n", refused.msg);
    if (there->unread)
        term_print(stderr, "fleetctl: %s: %u releases could not be looked at; their counters are not known\n",
                   repo_source(r), there->unread);
    for (unsigned i = 0; i < n; i++)
        top = known[i].counter > top ? known[i].counter : top;
    for (unsigned i = 0; i < there->n; i++)
        top = there->counters[i] > top ? there->counters[i] : top;
    rel->counter = top + 1;
    if (args_u64(a, OPT_COUNTER, 1, LIM_COUNTER, &rel->counter, err) < 0)
        return -(int)err->kind;
    if (rel->counter > LIM_COUNTER)
        return err_set(err, ERR_CONFLICT, "%s has no counters left: publish under another --name", rel->name);
    for (unsigned i = 0; i < n; i++)
        if (known[i].counter == rel->counter)
            return err_set(err, ERR_EXISTS, "%s@%" PRIu64 " is already published (version %s)", rel->name,
                           rel->counter, known[i].version);
    for (unsigned i = 0; i < there->n; i++)
        if (there->counters[i] == rel->counter)
            return err_set(err, ERR_EXISTS,
                           "%s@%" PRIu64
                           " is already published, by another directory of this fleet to %s; the next free "
                           "counter is %" PRIu64,
                           rel->name, rel->counter, repo_source(r), top + 1);
    return 0;
}

/* Name, version and counter, by the options or by what the reference, the directory and the repository
 * say. */
static int fill_release(const struct ctx *c, const struct args *a, struct repo *r, struct release *rel,
                        struct err *err)
{
    const char *name = args_str(a, OPT_NAME, repo_short_name(r));
    const char *version = args_str(a, OPT_VERSION, repo_tag(r));
    char shown[LIM_NAME_BYTES];

    if (strncmp(version, "sha256:", 7) == 0) {
        (void)str_fmt(shown, sizeof(shown), "%.12s", version + 7);
        version = shown;
    }
    if (!str_is_name(name))
        return err_set(err, ERR_INVALID, "invalid release name '%s': use --name", name);
    if (!str_copy(rel->version, sizeof(rel->version), version) ||
        !str_copy(rel->name, sizeof(rel->name), name))
        return err_set(err, ERR_USAGE, "--version: at most %d letters", LIM_NAME_BYTES - 1);
    rel->issued_s = clock_wall_s();
    return choose_counter(c, a, r, rel, err);
}

static uint64_t largest(const struct release *rel)
{
    uint64_t max = rel->bundle.bytes;

    for (unsigned i = 0; i < rel->n_platforms; i++)
        if (rel->platforms[i].packed_bytes > max)
            max = rel->platforms[i].packed_bytes;
    return max;
}

static void print_summary(const struct ctx *c, const struct rel *l, const struct release *rel)
{
    char packed[16], unpacked[16], digest[SHA256_TEXT], count[24], plat[48];
    static const char *const titles[] = {"PLATFORM", "PACKED", "UNPACKED", "INODES", "MANIFEST"};
    struct table *t;

    digest_text(&l->digest, digest);
    if (c->output == OUT_JSON) {
        struct cJSON *o = json_obj();
        json_put_str(o, "name", l->name);
        json_put_u64(o, "counter", l->counter);
        json_put_str(o, "version", l->version);
        json_put_str(o, "digest", digest);
        json_put_u64(o, "size", l->bytes);
        json_put_str(o, "source", l->source);
        json_put_u64(o, "packed_bytes", l->packed_bytes);
        out_json(o);
        return;
    }
    term_print(stdout, "%s@%" PRIu64 "  version %s  release %.19s (%" PRIu64 " bytes)\n", l->name, l->counter,
               l->version, digest, l->bytes);
    if (c->output == OUT_NAME)
        return;
    if (rel->bundle.bytes) {
        term_print(stdout, "bundle of the system  %s  %.19s\n", out_size(rel->bundle.bytes, packed),
                   l->image);
        return;
    }
    t = out_table_new(COUNT_OF(titles), titles);
    for (unsigned i = 0; i < rel->n_platforms; i++) {
        const struct release_platform *p = &rel->platforms[i];
        (void)str_fmt(plat, sizeof(plat), "%s/%s%s%s", p->os, p->architecture, p->variant[0] ? "/" : "",
                      p->variant);
        (void)str_fmt(count, sizeof(count), "%" PRIu64, p->inodes);
        digest_text(&p->manifest, digest);
        digest[19] = 0;
        out_table_row(t,
                      (const char *const[]){plat, out_size(p->packed_bytes, packed),
                                            out_size(p->unpacked_bytes, unpacked), count, digest},
                      TERM_NONE);
    }
    out_table_print(t, stdout);
    out_table_free(t);
}

static int store_release(struct ctx *c, const struct args *a, struct repo *r, const struct image *img,
                         const struct release *rel, const struct packs *packs, struct err *err)
{
    char AUTO_MEM *payload = release_build(rel);
    char AUTO_MEM *envelope = NULL;
    struct rel line = {.counter = rel->counter, .issued_s = rel->issued_s, .packed_bytes = largest(rel)};

    if (keyring_sign(c, TRUST_RELEASE, ENVELOPE_TYPE_RELEASE, buf_str(payload), &envelope, err) < 0 ||
        push_release(r, img, buf_str(envelope), packs, &line.digest, err) < 0)
        return -(int)err->kind;
    line.bytes = strlen(envelope);
    digest_text(img ? &img->digest : &rel->bundle.digest, line.image);
    (void)str_copy(line.name, sizeof(line.name), rel->name);
    (void)str_copy(line.version, sizeof(line.version), rel->version);
    if (!str_copy(line.source, sizeof(line.source), args_str(a, OPT_SOURCE, repo_source(r))))
        return err_set(err, ERR_INVALID, "--source: too long");
    if (relstore_add(c, &line, buf_str(envelope), err) < 0)
        return -(int)err->kind;
    print_summary(c, &line, rel);
    return 0;
}

/* ---- packs ---- */

#define OLDS_MAX (RELEASE_PACKS / 2 - 1)

static int read_codecs(const struct args *a, bool ret[2], struct err *err)
{
    const char *list = args_str(a, OPT_CODEC, pack_codec_is_built(PACK_LZMA) ? "lz4,lzma" : "lz4");

    ret[0] = strcmp(list, "lz4") == 0 || strcmp(list, "lz4,lzma") == 0;
    ret[1] = strcmp(list, "lzma") == 0 || strcmp(list, "lz4,lzma") == 0;
    if (!ret[0] && !ret[1])
        return err_set(err, ERR_USAGE, "--codec %s: write lz4, lzma or lz4,lzma", list);
    return 0;
}

/* "1.4.1" is a tag beside the new image, anything with a colon before its tag a reference of its own. */
static int load_old(struct repo *beside, const struct repo_opts *opts, struct packing *p, const char *ref,
                    struct image *ret, struct err *err)
{
    AUTO_FREE(repo) struct repo *other = NULL;
    bool is_ref = strstr(ref, "://") || strncmp(ref, "dir:", 4) == 0 || strchr(ref, '/');

    if (is_ref && repo_open(ref, opts, &other, err) < 0)
        return -(int)err->kind;
    return image_check(is_ref ? other : beside, is_ref ? repo_tag(other) : ref, packing_objects_fd(p), ret,
                       err);
}

static void explain(void *arg, const struct pack_patch_line *l)
{
    char bytes[16], packed[16];

    out_table_row(arg,
                  (const char *const[]){l->path, out_size(l->bytes, bytes), out_size(l->packed_bytes, packed),
                                        l->how, l->base},
                  TERM_NONE);
}

static int make_packs(const struct args *a, struct repo *r, const struct repo_opts *opts, struct packing *p,
                      const struct image *img, struct release *rel, struct packs *ret, struct err *err)
{
    static const char *const titles[] = {"FILE", "SIZE", "COST", "HOW", "FROM"};
    const char *refs[OLDS_MAX + 1];
    unsigned n = args_all(a, OPT_FROM, refs, OLDS_MAX + 1), loaded = 0;
    struct image AUTO_MEM *olds = mem_need_zero((OLDS_MAX + 1) * sizeof(*olds));
    struct packing_opts o = {.olds = olds};
    int rc = n > OLDS_MAX ? err_set(err, ERR_USAGE, "--from: at most %d", OLDS_MAX)
                          : read_codecs(a, o.codecs, err);

    for (; rc == 0 && loaded < n; loaded++)
        rc = load_old(r, opts, p, refs[loaded], &olds[loaded], err);
    if (args_has(a, OPT_EXPLAIN)) {
        o.explain = explain;
        o.explain_arg = out_table_new(COUNT_OF(titles), titles);
    }
    o.n_olds = n;
    if (rc == 0)
        rc = packing_make(p, r, img, &o, rel, ret->blobs, &ret->n, err);
    if (o.explain_arg && rc == 0)
        out_table_print(o.explain_arg, stdout);
    out_table_free(o.explain_arg);
    for (unsigned i = 0; i < loaded; i++)
        image_done(&olds[i]);
    return rc;
}

static int publish(struct ctx *c, const struct args *a, struct repo *r, const struct repo_opts *opts,
                   struct image *img, struct err *err)
{
    AUTO_FREE(packing) struct packing *p = NULL;
    struct release AUTO_MEM *rel = mem_need_zero(sizeof(*rel));
    struct packs AUTO_MEM *packs = mem_need_zero(sizeof(*packs));
    bool wanted = !args_has(a, OPT_NO_PACKS);

    if (fill_release(c, a, r, rel, err) < 0 || (wanted && packing_new(&p, err) < 0) ||
        image_check(r, repo_tag(r), wanted ? packing_objects_fd(p) : -1, img, err) < 0)
        return -(int)err->kind;
    rel->n_platforms = img->n_platforms;
    memcpy(rel->platforms, img->platforms, sizeof(rel->platforms));
    if (wanted && make_packs(a, r, opts, p, img, rel, packs, err) < 0)
        return -(int)err->kind;
    return store_release(c, a, r, img, rel, packs, err);
}

/* The device's own system: the bundle is put there as a blob, and a release of it signed. */
static int publish_os(struct ctx *c, const struct args *a, const struct repo_opts *opts, const char *file,
                      struct err *err)
{
    AUTO_FREE(repo) struct repo *r = NULL;
    struct release AUTO_MEM *rel = mem_need_zero(sizeof(*rel));
    struct packs AUTO_MEM *packs = mem_need_zero(sizeof(*packs));
    struct packing_blob *blob = &packs->blobs[packs->n++];
    struct stat st;
    AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "open %s", file);
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return err_set(err, ERR_INVALID, "%s: not a file with a bundle", file);
    if (repo_open(a->pos[0], opts, &r, err) < 0 || fill_release(c, a, r, rel, err) < 0)
        return -(int)err->kind;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_errno(err, errno, "map %s", file);
    int rc = repo_put_blob(r, buf_of(p, (size_t)st.st_size), &blob->digest, err);
    (void)munmap(p, (size_t)st.st_size);
    if (rc < 0)
        return err_wrap(err, "%s", file);
    blob->type = TYPE_BUNDLE;
    blob->bytes = (uint64_t)st.st_size;
    rel->bundle = (struct release_blob){blob->digest, blob->bytes};
    return store_release(c, a, r, NULL, rel, packs, err);
}

int verb_publish(struct ctx *c, const struct args *a, struct err *err)
{
    struct repo_opts opts = {.ca_file = args_str(a, OPT_CA, c->registry_ca),
                             .auth_file = args_str(a, OPT_AUTH, c->registry_auth)};
    AUTO_FREE(repo) struct repo *from = NULL;
    AUTO_FREE(repo) struct repo *r = NULL;
    struct image AUTO_MEM *img = mem_need_zero(sizeof(*img));
    const char *to = args_str(a, OPT_TO, NULL);

    if (ctx_lock(c, err) < 0)
        return -(int)err->kind;
    if (args_has(a, OPT_OS)) {
        opts.make = true;
        return publish_os(c, a, &opts, args_str(a, OPT_OS, NULL), err);
    }
    if (repo_open(a->pos[0], &opts, &r, err) < 0)
        return -(int)err->kind;
    if (!to && strstr(repo_source(r), "-archive:"))
        return err_set(err, ERR_INVALID,
                       "devices cannot fetch from a tar file: use --to to say where to copy the image");
    if (to) {
        opts.make = true;
        from = steal_ptr(&r);
        if (repo_open(to, &opts, &r, err) < 0 || repo_copy_image(from, repo_tag(from), r, err) < 0)
            return -(int)err->kind;
    }
    int rc = publish(c, a, r, &opts, img, err);
    image_done(img);
    return rc;
}
