/* spec_parse.c - see spec_parse.h. Pure. */
#include "runtime/spec_parse.h"

#include <stdlib.h>
#include <string.h>

const char *spec_keep(struct spec_ctx *x, const char *text)
{
    return arena_str(x->arena, text);
}

int spec_refuse(struct spec_ctx *x, const struct json_cur *obj, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct json_cur c;
        const char *text;
        int r = json_get(obj, keys[i], JSON_OPTIONAL, &c, NULL);
        if (r != 1 || (json_as_str(&c, LIM_TEXT_BYTES, &text, NULL) == 0 && text[0] == '\0'))
            continue;
        if (json_as_str(&c, LIM_TEXT_BYTES, &text, NULL) != 0 && json_len(&c) == 0)
            continue;
        return json_fail(&c, x->err, ERR_UNSUPPORTED, "not supported");
    }
    return 0;
}

int spec_get_i64(struct spec_ctx *x, const struct json_cur *obj, const char *key, int64_t *ret)
{
    struct json_cur c;
    int r = json_get(obj, key, JSON_OPTIONAL, &c, x->err);
    AUTO_MEM char *text = NULL;
    char *end;
    long long v;

    if (r != 1)
        return r;
    text = json_print(c.node, false);
    v = strtoll(text, &end, 10);
    if (*end != '\0' || end == text)
        return json_fail(&c, x->err, ERR_INVALID, "not an integer");
    *ret = v;
    return 1;
}

int spec_get_strings(struct spec_ctx *x, const struct json_cur *obj, const char *key, unsigned max,
                     const char *const **ret)
{
    struct json_cur arr;
    int r = json_get_array(obj, key, JSON_OPTIONAL, max, &arr, x->err);
    const char **list;

    if (r != 1)
        return r;
    list = arena_get(x->arena, (json_len(&arr) + 1) * sizeof *list);
    for (unsigned i = 0; list && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        const char *text;
        if ((r = json_as_str(&c, LIM_TEXT_BYTES, &text, x->err)) < 0)
            return r;
        if (!(list[i] = spec_keep(x, text)))
            list = NULL;
    }
    if (!list)
        return err_set(x->err, ERR_NOMEM, "%s: too large", key);
    *ret = list;
    return 1;
}
