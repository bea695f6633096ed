/* spec_parse.h - shared by the parsers of config.json. Private to runtime/. */
#ifndef RUNTIME_SPEC_PARSE_H
#define RUNTIME_SPEC_PARSE_H
#include "platform/json.h"
#include "runtime/spec/spec.h"

struct spec_ctx {
    struct arena *arena;
    struct spec *s;
    struct spec_oci *oci;
    struct err *err;
};
/* A copy in the arena; NULL if it is full: spec_from_oci checks once at the end (spec_ctx is then marked). */
const char *spec_keep(struct spec_ctx *x, const char *text);
/* Optional text member, copied. 1 found, 0 missing (*ret untouched), or -kind. "" counts as missing. */
NODISCARD int spec_get_text(struct spec_ctx *x, const struct json_cur *obj, const char *key, size_t max,
                            const char **ret);
/* Integers that may be negative. 1 found, 0 missing, or -kind. */
NODISCARD int spec_get_i64(struct spec_ctx *x, const struct json_cur *obj, const char *key, int64_t *ret);
/* The same within [min, max]; else INVALID. */
NODISCARD int spec_get_range(struct spec_ctx *x, const struct json_cur *obj, const char *key, int64_t min,
                             int64_t max, int64_t *ret);
/* A number up to 2^64-1, which means "none": a double cannot hold it exactly. */
NODISCARD int spec_get_limit(struct spec_ctx *x, const struct json_cur *obj, const char *key, uint64_t *ret);
/* A list of strings, NULL-terminated, in the arena. 1 found, 0 missing, or -kind. */
NODISCARD int spec_get_strings(struct spec_ctx *x, const struct json_cur *obj, const char *key, unsigned max,
                               const char *const **ret);
/* A list of objects: each is read by one() into its element of an array in the arena. *ret is untouched if
 * there is none. 0 or -kind. */
NODISCARD int spec_get_list(struct spec_ctx *x, const struct json_cur *obj, const char *key, size_t size,
                            int (*one)(struct spec_ctx *, const struct json_cur *, void *), const void **ret,
                            unsigned *ret_n);
/* Flags by name from a list of strings: names[i] stands for 1 << i or, with values, values[i]. Unknown:
 * INVALID. */
NODISCARD int spec_get_flags(struct spec_ctx *x, const struct json_cur *obj, const char *key,
                             const char *const *names, const uint64_t *values, unsigned n, uint64_t *ret);
/* Tell the user that something was read and ignored. */
void spec_note(struct spec_ctx *x, const char *text);

/* spec_read_...: the parts (runtime-spec config.md, config-linux.md), into x->s or *ret. 0 or -kind. */
NODISCARD int spec_read_process(struct spec_ctx *x, const struct json_cur *process, struct spec_process *ret);
NODISCARD int spec_read_mounts(struct spec_ctx *x, const struct json_cur *root);
NODISCARD int spec_read_linux(struct spec_ctx *x, const struct json_cur *root);
NODISCARD int spec_read_net_devices(struct spec_ctx *x, const struct json_cur *lin);
NODISCARD int spec_read_id_maps(struct spec_ctx *x, const struct json_cur *obj, const char *key,
                                struct spec_id_maps *ret);
/* The object linux.resources (runtime-spec 1.3, config-linux.md, "Control groups") as settings and device
 * rules; the document of `update --resources` has the same format. *ret: from cgroup_list_init, partly filled
 * on failure. -1 means no limit; wrong values are INVALID with the field's path. Pure. */
NODISCARD int spec_resources(const struct json_cur *res, struct cgroup_list *ret, struct err *err);
/* Parser for linux.resources; its error if the list is full. */
struct spec_list {
    struct cgroup_list *l;
    struct err *err;
};
/* INVALID at this place: the list is full. */
NODISCARD int spec_list_full(const struct spec_list *x, const struct json_cur *at);
/* spec_resources_...: its parts, blockIO and devices. Errors: INVALID. */
NODISCARD int spec_resources_io(const struct json_cur *res, struct cgroup_list *ret, struct err *err);
NODISCARD int spec_resources_devices(const struct json_cur *res, struct cgroup_list *ret, struct err *err);
/* Default devices stay usable whatever the rules say (config-linux.md, "Default Devices"), and a container
 * may make nodes that it then cannot open: this many rules, for which lists reserve room. */
#define SPEC_DEFAULT_DEVICES 10
void spec_default_devices(struct cgroup_list *l); /* append them */
/* Parse linux.resources of lin into x->s->resources, with the default devices. */
NODISCARD int spec_read_resources(struct spec_ctx *x, const struct json_cur *lin);
/* "private", "rslave" ... as mount(2) flags; 0: unknown. */
unsigned long spec_propagation(const char *word);
#endif
