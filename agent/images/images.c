/* images.c - the chain of trust: the signed manifest names the release envelope by digest, its release key
 * signature is checked, it names the image manifest by digest, and so on down. */
#include "agent/images/images.h"

#include <inttypes.h>

#include "agent/core.h"
#include "ota/pack/codec.h"

/* ---- state ---- */

int images_release(const struct core *c, const struct want *w, bool verify, struct release *ret,
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
        return err_set(err, ERR_DENIED,
                       "release of %s: the document is %s %" PRIu64 ", the manifest asks for %s %" PRIu64,
                       w->name, ret->name, ret->counter, w->release_name, w->counter);
    return 0;
}

static int choose_platform(struct core *c, const struct want *w, const struct release *r, struct image *i,
                           const struct release_platform **ret, struct err *err)
{
    const struct release_platform *p = release_choose(r, c->arch, c->variant);

    if (!p)
        return err_set(err, ERR_UNSUPPORTED, "release of %s has no image for linux/%s%s%s", w->name, c->arch,
                       c->variant[0] ? "/" : "", c->variant);
    *ret = p;
    i->manifest = p->manifest;
    i->manifest_bytes = p->manifest_bytes;
    i->packed_bytes = p->packed_bytes;
    i->unpacked_bytes = p->unpacked_bytes;
    i->inodes = p->inodes;
    i->tree = p->tree;
    (void)str_copy(i->version, sizeof(i->version), r->version);
    return 0;
}

int images_manifest(struct core *c, const struct image *i, struct oci_manifest *ret, struct err *err)
{
    uint8_t AUTO_MEM *text = NULL;
    size_t len;
    int rc = store_read_blob(c->store, &i->manifest, LIM_OCI_JSON_BYTES, &text, &len, err);

    return rc < 0 ? rc : oci_manifest_parse(buf_of(text, len), ret, err);
}

/* ---- routes ---- */

struct image_memo *images_memo(struct core *c, const struct digest *manifest)
{
    struct image_memo *oldest = &c->images.memos[0];

    for (unsigned i = 0; i < LIM_APPS; i++) {
        struct image_memo *m = &c->images.memos[i];
        if (m->used && digest_eq(&m->manifest, manifest)) {
            m->used = ++c->images.uses;
            return m;
        }
        if (m->used < oldest->used)
            oldest = m;
    }
    *oldest = (struct image_memo){.manifest = *manifest, .used = ++c->images.uses};
    return oldest;
}

const struct image_memo *images_memo_find(const struct core *c, const struct digest *manifest)
{
    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->images.memos[i].used && digest_eq(&c->images.memos[i].manifest, manifest))
            return &c->images.memos[i];
    return NULL;
}

static uint64_t layer_bytes(struct core *c, const struct oci_manifest *m)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < m->n_layers; i++) {
        const struct oci_blob *l = &m->layers[i];
        uint64_t have = store_partial_bytes(c->store, &l->digest);
        if (store_has_layer(c->store, &l->digest) != 1)
            bytes += l->size_bytes > have ? l->size_bytes - have : 1; /* 1: present, not yet verified */
    }
    return bytes;
}

/* Choose the route, as far as it can be known now. */
static int choose_route(struct core *c, const struct release_platform *p, const struct oci_manifest *m,
                        const struct image_memo *memo, struct route *ret, struct err *err)
{
    struct route_facts f = {.platform = p,
                            .layer_bytes = layer_bytes(c, m),
                            .tree_whole = p->tree.bytes && store_tree_is_whole(c->store, &p->tree.digest),
                            .no_patch = memo->no_patch,
                            .no_chunks = memo->no_chunks,
                            .chunks_known = memo->chunks_known,
                            .chunks = memo->chunks,
                            .memory_bytes = LIM_PATCH_BYTES,
                            .full_fallback =
                                !c->sets.candidate.arena || c->sets.candidate.d.download.full_fallback};

    for (unsigned i = 0; i < p->n_packs; i++) {
        const struct release_pack *k = &p->packs[i];
        f.has_codec[i] = k->codec >= 0 && pack_codec_is_built((enum pack_codec)k->codec);
        f.has_tree[i] = k->kind == RELEASE_PACK_PATCH && store_has_tree(c->store, &k->from.digest) == 1;
        f.pack_have[i] = store_has_blob(c->store, &k->blob.digest) == 1
                             ? k->blob.bytes
                             : store_partial_bytes(c->store, &k->blob.digest);
    }
    return route_choose(&f, ret, err);
}

void images_pack(const struct image *i, struct store_pack *ret)
{
    *ret = (struct store_pack){.patch = i->route.kind == ROUTE_PATCH,
                               .held = i->route.kind == ROUTE_HELD,
                               .tree = i->tree.digest,
                               .tree_bytes = i->tree.bytes,
                               .pack = i->pack.blob.digest,
                               .write_bytes = i->pack.write_bytes,
                               .old_tree = i->pack.from.digest,
                               .data = i->pack.data.digest,
                               .data_bytes = i->pack.data.bytes,
                               .old_image = i->old_image};
}

static enum image_state state_of(struct core *c, const struct image *i, const struct oci_manifest *m)
{
    struct store_pack pack;
    bool config = store_has_blob(c->store, &m->config.digest) == 1;
    bool held = config && store_has_blob(c->store, &i->pack.blob.digest) == 1;

    switch (i->route.kind) {
    case ROUTE_PATCH:
        return held ? IMAGE_NOT_INSTALLED : IMAGE_NO_PATCH;
    case ROUTE_CHUNKS:
        images_pack(i, &pack);
        if (!held || !i->route.known || store_has_documents(c->store, &pack) != 1)
            return IMAGE_NO_TREE;
        return i->route.down_bytes ? IMAGE_NO_CHUNKS : IMAGE_NOT_INSTALLED;
    case ROUTE_HELD:
        return config ? IMAGE_NOT_INSTALLED : IMAGE_NO_LAYERS;
    default:
        return config && layer_bytes(c, m) == 0 ? IMAGE_NOT_INSTALLED : IMAGE_NO_LAYERS;
    }
}

/* The image that the same app runs now: its files may contain parts of the new one. */
static void find_old(struct core *c, const struct want *w, struct image *i)
{
    const struct desired *candidate, *good;

    sets_candidates(c, &candidate, &good);
    for (unsigned n = 0; good && n < good->n; n++)
        if (good->apps != w && &good->apps[n] != w && strcmp(good->apps[n].name, w->name) == 0 &&
            c->images.good[n].state == IMAGE_INSTALLED)
            i->old_image = c->images.good[n].manifest;
}

void images_look(struct core *c, const struct want *w, bool verify, struct image *i)
{
    struct release AUTO_MEM *r = mem_need_zero(sizeof(*r));
    struct oci_manifest AUTO_MEM *m = mem_need(sizeof(*m));

    *i = (struct image){.state = IMAGE_NO_RELEASE};
    if (store_has_blob(c->store, &w->release) != 1)
        return;
    const struct release_platform *p = NULL;
    if (images_release(c, w, verify, r, &i->fault) < 0 || choose_platform(c, w, r, i, &p, &i->fault) < 0)
        return;
    i->state = IMAGE_NO_MANIFEST;
    if (store_has_image(c->store, &i->manifest) == 1) {
        i->state = IMAGE_INSTALLED;
        return;
    }
    if (store_has_blob(c->store, &i->manifest) != 1)
        return;
    struct image_memo *memo = images_memo(c, &i->manifest);
    if (images_manifest(c, i, m, &i->fault) < 0 || choose_route(c, p, m, memo, &i->route, &i->fault) < 0)
        return;
    if (i->route.kind == ROUTE_PATCH || i->route.kind == ROUTE_CHUNKS)
        i->pack = p->packs[i->route.pack];
    find_old(c, w, i);
    i->state = state_of(c, i, m);
    if (i->route.known && (!memo->planned.known || memo->planned.kind != i->route.kind))
        memo->planned = i->route;
    memo->route = i->route;
}

void images_observe(struct core *c)
{
    struct images *all = &c->images;

    if (all->known && all->seen_store == c->changes.store && all->seen_sets == c->changes.sets)
        return;
    all->seen_store = c->changes.store;
    all->seen_sets = c->changes.sets;
    const struct desired *candidate, *good;
    sets_candidates(c, &candidate, &good);
    bool trial = candidate && c->state.ledger.candidate_verdict == VERDICT_NONE;
    for (unsigned i = 0; good && i < good->n; i++) /* first: they include the candidate's old images */
        images_look(c, &good->apps[i], false, &c->images.good[i]);
    for (unsigned i = 0; candidate && i < candidate->n; i++)
        images_look(c, &candidate->apps[i], trial, &c->images.candidate[i]);
    c->images.known = true;
    for (unsigned i = 0; trial && i < candidate->n; i++)
        if (c->images.candidate[i].fault.kind != ERR_NONE) /* a fault in what was signed or is stored; no
                                                            * fetch can fix it */
            images_fault(c, OWNER_APPS, c->sets.candidate.d.apps[i].name, &c->images.candidate[i].fault);
}

const struct image *images_of(const struct core *c, const struct want *w)
{
    const struct desired *candidate, *good;

    sets_candidates(c, &candidate, &good);
    if (candidate && w >= candidate->apps && w < candidate->apps + candidate->n)
        return &c->images.candidate[w - candidate->apps];
    if (good && w >= good->apps && w < good->apps + good->n)
        return &c->images.good[w - good->apps];
    return NULL;
}

void images_fault(struct core *c, enum owner owner, const char *app, const struct err *err)
{
    c->images.garbage |= err->kind == ERR_NOSPACE && c->images.kept_refused;
    jobs_fault(c, owner, app, err);
}

/* ---- garbage ---- */

void images_leave_garbage(struct core *c)
{
    c->images.garbage = true;
}

static void keep_set(struct core *c, const struct set *s, struct keep *k)
{
    for (unsigned i = 0; s->arena && i < s->d.n; i++) {
        struct image image;

        images_look(c, &s->d.apps[i], false, &image);
        keep_add(k, &s->d.apps[i].release);
        if (image.state > IMAGE_NO_RELEASE)
            keep_add(k, &image.manifest);
        if (image.state != IMAGE_INSTALLED && image.pack.blob.bytes)
            keep_add(k, &image.pack.blob.digest);
    }
}

void images_keep(struct core *c, struct keep *k)
{
    enum verdict v = c->state.ledger.candidate_verdict;
    bool refused = v == VERDICT_REJECTED || v == VERDICT_ROLLED_BACK;

    c->images.kept_refused = refused && jobs_fault_of(c, OWNER_APPS)->last.kind != ERR_NOSPACE;
    if (!refused || c->images.kept_refused)
        keep_set(c, &c->sets.candidate, k);
    keep_set(c, &c->sets.good, k);
    keep_set(c, &c->sets.previous, k);
}

void images_collected(struct core *c)
{
    c->images.garbage = false;
    core_store_changed(c);
}
