/* idrange.h - 65536 host ids for each app, its own and the same at each start. Only idrange.c writes
 * struct id_ranges. */
#ifndef AGENT_IDRANGE_H
#define AGENT_IDRANGE_H
#include "platform/err.h"
#include "platform/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct core;

struct id_range {
    char app[LIM_NAME_BYTES];
    unsigned place;
};
struct id_ranges {
    unsigned n;
    struct id_range list[LIM_ID_RANGES];
};

void idrange_open(struct core *c); /* at start: what was given before */
/* The first of them; written down before it is used. Errors: NOSPACE (too many apps with volumes), those
 * of saving. */
NODISCARD int idrange_of(struct core *c, const char *app, uint32_t *ret_first, struct err *err);
/* 1: the app is new in the list; 0: it was there; -NOSPACE. Pure. */
int idrange_add(struct id_ranges *r, const char *app, unsigned *ret_place);
#endif
