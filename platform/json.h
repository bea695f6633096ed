/* json.h - strict JSON, RFC 8259 and stricter; the only place that uses cJSON.
 * Parsing: our own bounded check first (size, depth, tokens, duplicate keys, UTF-8, no control characters and
 * no \u0000, integers within +-2^53 only, exact end), then cJSON. Values are read through cursors that know
 * their path; keys are consumed, and leftover ones are refused with the field's path
 * ("apps[0].memory.max_byte: unknown field"). Building: thin wrappers that cannot fail: out of memory ends
 * the process (mem_need). */
#ifndef PLATFORM_JSON_H
#define PLATFORM_JSON_H
#include <stdbool.h>
#include <stdint.h>

#include "platform/err.h"
#include "platform/limits.h"
#include "platform/mem.h"

struct cJSON; /* opaque outside json.c */

struct json_limits {
    size_t max_bytes;
    unsigned max_depth, max_tokens;
    bool floats; /* allow fractions and exponents (foreign OCI documents); refused by default */
};
extern const struct json_limits json_limits_signed; /* LIM_ENVELOPE_BYTES, LIM_JSON_* */
extern const struct json_limits json_limits_oci;    /* LIM_OCI_*, floats allowed */
extern const struct json_limits json_limits_config; /* LIM_CONFIG_*, floats allowed */

/* Only the check. Errors: INVALID with the byte offset and the reason. */
NODISCARD int json_check(struct buf text, const struct json_limits *lim, struct err *err);

/* A position in a document. Lives on the caller's stack; the parent must outlive it. */
struct json_cur {
    struct cJSON *node;
    const struct json_cur *up;
    const char *key; /* NULL: an array element, identified by index */
    unsigned index;
};

/* Check and parse. *ret: the root; end with json_free(ret.node). Errors: INVALID, NOMEM. */
NODISCARD int json_parse(struct buf text, const struct json_limits *lim, struct json_cur *ret,
                         struct err *err);
struct cJSON *json_free(struct cJSON *node); /* NULL is fine; returns NULL */

enum json_need { JSON_OPTIONAL, JSON_REQUIRED };

/* Members of an object. All return 1 found (and *ret set), 0 missing and optional (*ret untouched), -INVALID
 * with the field's path (missing and required, wrong type, out of bounds, obj is not an object). `null`
 * counts as wrong type. Strings are borrowed from the document. json_get_...: by the expected type, with its
 * bounds. */
NODISCARD int json_get(const struct json_cur *obj, const char *key, enum json_need need, struct json_cur *ret,
                       struct err *err);
NODISCARD int json_get_object(const struct json_cur *obj, const char *key, enum json_need need,
                              struct json_cur *ret, struct err *err);
NODISCARD int json_get_array(const struct json_cur *obj, const char *key, enum json_need need, unsigned max,
                             struct json_cur *ret, struct err *err);
NODISCARD int json_get_str(const struct json_cur *obj, const char *key, enum json_need need, size_t max_len,
                           const char **ret, struct err *err);
NODISCARD int json_get_u64(const struct json_cur *obj, const char *key, enum json_need need, uint64_t min,
                           uint64_t max, uint64_t *ret, struct err *err);
/* A required text, copied whole into dst[size]. INVALID if it does not fit. */
NODISCARD int json_get_copy(const struct json_cur *obj, const char *key, char *dst, size_t size,
                            struct err *err);
NODISCARD int json_get_bool(const struct json_cur *obj, const char *key, enum json_need need, bool *ret,
                            struct err *err);
/* The string's index in names[0..n): the message lists the names. */
NODISCARD int json_get_enum(const struct json_cur *obj, const char *key, enum json_need need,
                            const char *const *names, unsigned n, int *ret, struct err *err);

/* Refuse members that no json_get read: call it last on every object of a closed schema. Errors: INVALID. */
NODISCARD int json_done(const struct json_cur *obj, struct err *err);

/* Arrays and maps. json_len: number of elements or members. json_at: i < json_len. json_member: the i-th
 * member of an object, its key in ret->key, marked as consumed. */
unsigned json_len(const struct json_cur *c);
struct json_cur json_at(const struct json_cur *arr, unsigned i);
struct json_cur json_member(const struct json_cur *obj, unsigned i);
/* Is it null? */
bool json_is_null(const struct json_cur *c);
NODISCARD int json_is_object(const struct json_cur *c, struct err *err); /* 0 or -INVALID */
/* json_as_str, json_as_u64: the value at the cursor itself, with the same bounds; 0 or -INVALID. */
NODISCARD int json_as_str(const struct json_cur *c, size_t max_len, const char **ret, struct err *err);
NODISCARD int json_as_u64(const struct json_cur *c, uint64_t min, uint64_t max, uint64_t *ret,
                          struct err *err);

/* An error at this place: "<path>: message". Returns -kind. */
int json_fail(const struct json_cur *c, struct err *err, enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#define json_fail(...) err_below_zero_((json_fail)(__VA_ARGS__))

/* Build. Children passed to put/push belong to the parent from then on. */
/* json_obj, json_arr: empty ones, owner: caller. */
struct cJSON *json_obj(void);
struct cJSON *json_arr(void);
struct cJSON *json_put(struct cJSON *obj, const char *key, struct cJSON *take_child); /* returns take_child */
struct cJSON *json_push(struct cJSON *arr, struct cJSON *take_child);
/* json_put_..., json_push_...: append a member; key and text are copied. */
void json_put_str(struct cJSON *obj, const char *key, const char *val); /* val NULL: null */
void json_put_u64(struct cJSON *obj, const char *key, uint64_t val);    /* above 2^53: as a string */
void json_put_i64(struct cJSON *obj, const char *key, int64_t val);
void json_put_bool(struct cJSON *obj, const char *key, bool val);
void json_push_str(struct cJSON *arr, const char *val);
void json_push_u64(struct cJSON *arr, uint64_t val);
/* A number as the kernel writes it, "12.34"; anything else becomes 0. */
void json_put_decimal(struct cJSON *obj, const char *key, const char *text);
/* Add a deep copy of a parsed value under key. */
void json_put_copy(struct cJSON *obj, const char *key, const struct json_cur *val);
void json_push_copy(struct cJSON *arr, const struct json_cur *val);
/* Remove every number of this name, at any depth. */
void json_drop_numbers(struct cJSON *node, const char *key);
/* malloc'd text, owner: caller. */
char *json_print(const struct cJSON *node, bool pretty);
#endif
