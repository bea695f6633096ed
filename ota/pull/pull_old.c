/* pull_old.c - which chunks of a new file occur in an old one: the old one is cut by the same rules. */
#include <stdlib.h>

#include "ota/pull/pull.h"

static int by_raw(const void *a, const void *b)
{
    return memcmp(a, b, PACK_RAW_BYTES);
}

void pull_old_map_make(struct buf bytes, const struct cdc *cut, struct old_map *ret)
{
    size_t room = bytes.len / cut->min + 1;
    struct digest d;

    *ret = (struct old_map){.bytes = bytes};
    if (room > LIM_OLD_CHUNKS)
        room = LIM_OLD_CHUNKS;
    ret->list = mem_need(room * sizeof(*ret->list));
    for (size_t at = 0; at < bytes.len && ret->n < room;) {
        size_t len = cdc_cut(cut, buf_of(bytes.p + at, bytes.len - at));
        if (sha256(buf_of(bytes.p + at, len), &d, NULL) < 0)
            break;
        memcpy(ret->list[ret->n].raw, d.b, PACK_RAW_BYTES);
        ret->list[ret->n++].at = at;
        at += len;
    }
    qsort(ret->list, ret->n, sizeof(*ret->list), by_raw);
}

void pull_old_map_done(struct old_map *m)
{
    free(m->list);
    *m = (struct old_map){.n = 0};
}

bool pull_old_map_find(const struct old_map *m, const struct pack_chunk *c, uint64_t *ret_at)
{
    const struct old_chunk *found = m->n ? bsearch(c->raw, m->list, m->n, sizeof(*m->list), by_raw) : NULL;

    if (!found || c->raw_bytes > m->bytes.len - found->at)
        return false;
    *ret_at = found->at;
    return true;
}
