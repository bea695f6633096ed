/* spec_parse.c - see spec_parse.h. Pure. */
#include "runtime/spec/spec_parse.h"

#include <stdlib.h>
#include <string.h>

const char *spec_keep(struct spec_ctx *x, const char *text)
{
    return arena_str(x->arena, text);
}

int spec_get_text(struct spec_ctx *x, const struct json_cur *obj, const char *key, size_t max,
                  const char **ret)
{
    const char *text = NULL;
    int rc = json_get_str(obj, key, JSON_OPTIONAL, max, &text, x->err);

    if (rc != 1 || text[0] == '\0')
        return rc < 0 ? rc : 0;
    text = spec_keep(x, text);
    if (!text)
        return err_set(x->err, ERR_NOMEM, "%s: too large", key);
    *ret = text;
    return 1;
}

int spec_get_range(struct spec_ctx *x, const struct json_cur *obj, const char *key, int64_t min, int64_t max,
                   int64_t *ret)
{
    struct json_cur c;
    int rc = json_get(obj, key, JSON_OPTIONAL, &c, x->err);
    AUTO_MEM char *text = NULL;
    char *end;
    long long v;

    if (rc != 1)
        return rc;
    text = json_print(c.node, false);
    v = strtoll(text, &end, 10);
    if (*end != '\0' || end == text)
        return json_fail(&c, x->err, ERR_INVALID, "not an integer");
    if (v < min || v > max)
        return json_fail(&c, x->err, ERR_INVALID, "%lld is not within %lld..%lld", v, (long long)min,
                         (long long)max);
    *ret = v;
    return 1;
}

int spec_get_i64(struct spec_ctx *x, const struct json_cur *obj, const char *key, int64_t *ret)
{
    return spec_get_range(x, obj, key, INT64_MIN, INT64_MAX, ret);
}

int spec_get_limit(struct spec_ctx *x, const struct json_cur *obj, const char *key, uint64_t *ret)
{
    struct json_cur c;
    AUTO_MEM char *text = NULL;
    int rc = json_get(obj, key, JSON_REQUIRED, &c, x->err);

    if (rc < 0)
        return rc;
    text = json_print(c.node, false);
    if (text[0] != '"' && strtod(text, NULL) == 18446744073709551616.0) {
        *ret = UINT64_MAX;
        return 1;
    }
    return json_as_u64(&c, 0, UINT64_MAX, ret, x->err);
}

int spec_get_strings(struct spec_ctx *x, const struct json_cur *obj, const char *key, unsigned max,
                     const char *const **ret)
{
    struct json_cur arr;
    int rc = json_get_array(obj, key, JSON_OPTIONAL, max, &arr, x->err);
    const char **list;

    if (rc != 1)
        return rc;
    list = arena_get(x->arena, (json_len(&arr) + 1) * sizeof(*list));
    for (unsigned i = 0; list && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        const char *text;
        if ((rc = json_as_str(&c, LIM_CONFIG_STRING, &text, x->err)) < 0)
            return rc;
        if (!(list[i] = spec_keep(x, text)))
            list = NULL;
    }
    if (!list)
        return err_set(x->err, ERR_NOMEM, "%s: too large", key);
    *ret = list;
    return 1;
}

int spec_get_list(struct spec_ctx *x, const struct json_cur *obj, const char *key, size_t size,
                  int (*one)(struct spec_ctx *, const struct json_cur *, void *), const void **ret,
                  unsigned *ret_n)
{
    struct json_cur arr;
    char *list;
    int rc = json_get_array(obj, key, JSON_OPTIONAL, LIM_CONFIG_LIST, &arr, x->err);

    if (rc != 1 || json_len(&arr) == 0)
        return rc < 0 ? rc : 0;
    if (!(list = arena_get(x->arena, json_len(&arr) * size)))
        return err_set(x->err, ERR_NOMEM, "%s: too large", key);
    for (unsigned i = 0; i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        if ((rc = one(x, &c, list + i * size)) < 0)
            return rc;
    }
    *ret = list;
    *ret_n = json_len(&arr);
    return 0;
}

int spec_get_flags(struct spec_ctx *x, const struct json_cur *obj, const char *key, const char *const *names,
                   const uint64_t *values, unsigned n, uint64_t *ret)
{
    const char *const *list = NULL;
    uint64_t mask = 0;
    int rc = spec_get_strings(x, obj, key, 64, &list);

    for (; rc >= 0 && list && *list; list++) {
        unsigned i = 0;
        while (i < n && (!names[i] || strcmp(*list, names[i]) != 0))
            i++;
        if (i == n) {
            struct json_cur c;
            err_ignore(json_get(obj, key, JSON_REQUIRED, &c, NULL));
            return json_fail(&c, x->err, ERR_INVALID, "unknown %.40s", *list);
        }
        mask |= values ? values[i] : 1ULL << i;
    }
    if (rc >= 0)
        *ret = mask;
    return rc;
}

void spec_note(struct spec_ctx *x, const char *text)
{
    if (x->oci && x->oci->n_notes < COUNT_OF(x->oci->notes) - 1)
        x->oci->notes[x->oci->n_notes++] = text;
}
