#include "agent/decide/route.h"

#include "ota/pack/codec.h"

#define LAYERS_MEMORY (1024 * 1024) /* gzip's window and the pipes of untar */

static const char *const names[ROUTE_KIND_COUNT_] = {"layers", "patch", "chunks", "held"};

const char *route_name(enum route_kind kind)
{
    return (unsigned)kind < ROUTE_KIND_COUNT_ ? names[kind] : "?";
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static bool usable(const struct route_facts *f, unsigned i, enum release_pack_kind kind)
{
    const struct release_pack *p = &f->platform->packs[i];

    return p->kind == kind && f->has_codec[i] && p->memory_bytes <= f->memory_bytes;
}

/* The smallest patch whose old tree is present. */
static bool best_patch(const struct route_facts *f, struct route *ret)
{
    bool found = false;

    for (unsigned i = 0; !f->no_patch && i < f->platform->n_packs; i++) {
        const struct release_pack *p = &f->platform->packs[i];
        if (!usable(f, i, RELEASE_PACK_PATCH) || !f->has_tree[i] ||
            (found && p->blob.bytes >= f->platform->packs[ret->pack].blob.bytes))
            continue;
        found = true;
        *ret = (struct route){.kind = ROUTE_PATCH,
                              .pack = i,
                              .known = true,
                              .down_bytes = less(p->blob.bytes, f->pack_have[i]),
                              .write_bytes = p->write_bytes + p->blob.bytes,
                              .memory_bytes = p->memory_bytes};
    }
    return found;
}

/* The smallest full pack. */
static bool best_chunks(const struct route_facts *f, struct route *ret)
{
    bool found = false;

    for (unsigned i = 0; !f->no_chunks && i < f->platform->n_packs; i++) {
        const struct release_pack *p = &f->platform->packs[i];
        if (!usable(f, i, RELEASE_PACK_FULL) ||
            (found && p->data.bytes >= f->platform->packs[ret->pack].data.bytes))
            continue;
        found = true;
        *ret =
            (struct route){.kind = ROUTE_CHUNKS,
                           .pack = i,
                           .known = f->chunks_known,
                           .down_bytes = f->chunks_known ? f->chunks.fetch_bytes : p->data.bytes,
                           .write_bytes = f->chunks_known ? f->chunks.write_bytes : f->platform->object_bytes,
                           .memory_bytes = p->memory_bytes};
    }
    return found;
}

static bool promises_patch(const struct release_platform *p)
{
    for (unsigned i = 0; i < p->n_packs; i++)
        if (p->packs[i].kind == RELEASE_PACK_PATCH)
            return true;
    return false;
}

int route_choose(const struct route_facts *f, struct route *ret, struct err *err)
{
    struct route layers = {.kind = ROUTE_LAYERS,
                           .known = true,
                           .down_bytes = f->layer_bytes,
                           .write_bytes = f->layer_bytes + f->platform->unpacked_bytes,
                           .memory_bytes = LAYERS_MEMORY};
    struct route chunks = {.kind = ROUTE_LAYERS};

    if (f->tree_whole) {
        *ret = (struct route){.kind = ROUTE_HELD, .known = true};
        return 0;
    }
    if (f->layer_bytes > 0 && best_patch(f, ret) && ret->down_bytes < layers.down_bytes)
        return 0;
    if (f->layer_bytes > 0 && !f->full_fallback && promises_patch(f->platform))
        return err_set(
            err, ERR_DENIED,
            "no patch fits what is here, and update.download.full_fallback forbids a full download");
    bool by_chunks = best_chunks(f, &chunks) && f->layer_bytes > 0;
    *ret = by_chunks && (!chunks.known || chunks.down_bytes < layers.down_bytes) ? chunks : layers;
    return 0;
}
