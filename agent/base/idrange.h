/* idrange.h - 65536 host ids for each app, not shared and the same at each start. Only idrange.c writes
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

void idrange_open(struct core *c); /* at start: load the saved ranges */
/* The first id of the app's range; saved before it is used. Errors: NOSPACE (too many apps with volumes),
 * those of saving. */
NODISCARD int idrange_of(struct core *c, const char *app, uint32_t *ret_first, struct err *err);
/* 1: added to the list; 0: already in it; -NOSPACE. Pure. */
int idrange_add(struct id_ranges *r, const char *app, unsigned *ret_place);
#endif
