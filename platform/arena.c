#include "platform/arena.h"

#define ARENA_BLOCK_BYTES 4096

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(max_align_t) uint8_t bytes[];
};
struct arena {
    struct arena_block *first;
    size_t given, max_bytes;
};

struct arena *arena_new(size_t max_bytes)
{
    struct arena *a = mem_need_zero(sizeof(*a));

    a->max_bytes = max_bytes;
    return a;
}

struct arena *arena_free(struct arena *a)
{
    if (!a)
        return NULL;
    for (struct arena_block *b = a->first; b;) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
    free(a);
    return NULL;
}

void *arena_get(struct arena *a, size_t bytes)
{
    const size_t align = _Alignof(max_align_t);

    if (bytes > a->max_bytes)
        return NULL;
    size_t need = (bytes + align - 1) / align * align;
    if (need > a->max_bytes - a->given)
        return NULL;
    if (!a->first || a->first->size - a->first->used < need) {
        size_t size = need > ARENA_BLOCK_BYTES ? need : ARENA_BLOCK_BYTES;
        struct arena_block *b = malloc(sizeof(*b) + size);
        if (!b)
            return NULL;
        b->next = a->first;
        b->used = 0;
        b->size = size;
        a->first = b;
    }
    void *p = a->first->bytes + a->first->used;
    a->first->used += need;
    a->given += need;
    return memset(p, 0, need);
}

char *arena_str(struct arena *a, const char *s)
{
    size_t len = strlen(s) + 1;
    char *p = arena_get(a, len);

    return p ? memcpy(p, s, len) : NULL;
}
