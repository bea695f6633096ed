/* arena.h - a bounded bump allocator; a parsed document lives in one arena and is freed with it. */
#ifndef PLATFORM_ARENA_H
#define PLATFORM_ARENA_H
#include "platform/mem.h"

struct arena; /* opaque; grows in blocks up to max_bytes */

/* max_bytes: limit for the sum of all allocations. Owner: caller. Never NULL. */
struct arena *arena_new(size_t max_bytes);
struct arena *arena_free(struct arena *a); /* NULL is fine; returns NULL */
DEFINE_AUTO(arena)

/* Zeroed, aligned for any type. NULL when the arena is full: report ERR_NOMEM. */
void *arena_get(struct arena *a, size_t bytes);
char *arena_str(struct arena *a, const char *s); /* a copy; NULL if full */
#endif
