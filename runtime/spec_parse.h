/* spec_parse.h - what the readers of config.json share. Private to runtime/. */
#ifndef RUNTIME_SPEC_PARSE_H
#define RUNTIME_SPEC_PARSE_H
#include "platform/json.h"
#include "runtime/spec.h"

struct spec_ctx {
    struct arena *arena;
    struct spec *s;
    struct err *err;
};
/* A copy in the arena; NULL when that is full. */
const char *spec_keep(struct spec_ctx *x, const char *text);
/* Members that would change something we do not do: absent or empty is fine, anything else is UNSUPPORTED. */
int spec_refuse(struct spec_ctx *x, const struct json_cur *obj, const char *const *keys, size_t n);
/* Integers that may be negative. 1 found, 0 absent, or -kind. */
int spec_get_i64(struct spec_ctx *x, const struct json_cur *obj, const char *key, int64_t *ret);
/* A list of strings, NULL-terminated, in the arena. 1 found, 0 absent, or -kind. */
int spec_get_strings(struct spec_ctx *x, const struct json_cur *obj, const char *key, unsigned max,
                     const char *const **ret);
/* linux.resources of lin (runtime-spec, config-linux.md, "Control groups"). */
int spec_read_resources(struct spec_ctx *x, const struct json_cur *lin);
#endif
