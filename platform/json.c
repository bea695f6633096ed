#include "platform/json.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define JSON_SEEN     (1 << 20) /* our mark in cJSON's type: this key was read */
#define JSON_PATH_MAX 160

int json_parse(struct buf text, const struct json_limits *lim, struct json_cur *ret, struct err *err)
{
    int rc = json_check(text, lim, err);

    if (rc < 0)
        return rc;
    cJSON *node = cJSON_ParseWithLengthOpts((const char *)text.p, text.len, NULL, 0);
    if (!node)
        return err_set(err, ERR_NOMEM, "JSON of %zu bytes: no memory", text.len);
    *ret = (struct json_cur){.node = node};
    return 0;
}

struct cJSON *json_free(struct cJSON *node)
{
    cJSON_Delete(node);
    return NULL;
}

/* "apps[0].memory.max_bytes" */
static size_t put_path(const struct json_cur *c, char *dst, size_t size)
{
    if (!c->up) {
        dst[0] = '\0';
        return 0;
    }
    size_t len = put_path(c->up, dst, size);
    int n = c->key ? snprintf(dst + len, size - len, "%s%.60s", len ? "." : "", c->key)
                   : snprintf(dst + len, size - len, "[%u]", c->index);
    return n < 0 || (size_t)n >= size - len ? size - 1 : len + (size_t)n;
}

int(json_fail)(const struct json_cur *c, struct err *err, enum err_kind kind, const char *fmt, ...)
{
    char path[JSON_PATH_MAX], msg[ERR_MSG_BYTES];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    (void)put_path(c, path, sizeof(path));
    return err_set(err, kind, "%s: %s", path[0] ? path : "document", msg);
}

int json_is_object(const struct json_cur *c, struct err *err)
{
    return cJSON_IsObject(c->node) ? 0 : json_fail(c, err, ERR_INVALID, "an object is expected");
}

int json_get(const struct json_cur *obj, const char *key, enum json_need need, struct json_cur *ret,
             struct err *err)
{
    int rc = json_is_object(obj, err);

    if (rc < 0)
        return rc;
    cJSON *node = cJSON_GetObjectItemCaseSensitive(obj->node, key);
    struct json_cur c = {.node = node, .up = obj, .key = key};
    if (!node)
        return need == JSON_REQUIRED ? json_fail(&c, err, ERR_INVALID, "missing") : 0;
    node->type |= JSON_SEEN;
    *ret = c;
    return 1;
}

int json_get_object(const struct json_cur *obj, const char *key, enum json_need need, struct json_cur *ret,
                    struct err *err)
{
    struct json_cur c;
    int rc = json_get(obj, key, need, &c, err);

    if (rc <= 0)
        return rc;
    if (json_is_object(&c, err) < 0)
        return -(int)ERR_INVALID;
    *ret = c;
    return 1;
}

int json_get_array(const struct json_cur *obj, const char *key, enum json_need need, unsigned max,
                   struct json_cur *ret, struct err *err)
{
    struct json_cur c;
    int rc = json_get(obj, key, need, &c, err);

    if (rc <= 0)
        return rc;
    if (!cJSON_IsArray(c.node))
        return json_fail(&c, err, ERR_INVALID, "an array is expected");
    if (json_len(&c) > max)
        return json_fail(&c, err, ERR_INVALID, "%u elements, at most %u are allowed", json_len(&c), max);
    *ret = c;
    return 1;
}

int json_as_str(const struct json_cur *c, size_t max_len, const char **ret, struct err *err)
{
    if (!cJSON_IsString(c->node))
        return json_fail(c, err, ERR_INVALID, "a string is expected");
    const char *s = c->node->valuestring;
    if (strlen(s) > max_len)
        return json_fail(c, err, ERR_INVALID, "longer than %zu bytes", max_len);
    *ret = s;
    return 0;
}

int json_as_u64(const struct json_cur *c, uint64_t min, uint64_t max, uint64_t *ret, struct err *err)
{
    double v = c->node->valuedouble;
    bool fits = cJSON_IsNumber(c->node) && v >= 0 && v <= (double)LIM_INTEGER;

    if (!fits || v != (double)(uint64_t)v)
        return json_fail(c, err, ERR_INVALID, "a whole number from %" PRIu64 " on is expected", min);
    uint64_t n = (uint64_t)v;
    if (n < min)
        return json_fail(c, err, ERR_INVALID, "%" PRIu64 " is below %" PRIu64, n, min);
    if (n > max)
        return json_fail(c, err, ERR_INVALID, "%" PRIu64 " is above %" PRIu64, n, max);
    *ret = n;
    return 0;
}

int json_get_str(const struct json_cur *obj, const char *key, enum json_need need, size_t max_len,
                 const char **ret, struct err *err)
{
    struct json_cur c;
    int rc = json_get(obj, key, need, &c, err);

    if (rc > 0 && json_as_str(&c, max_len, ret, err) < 0)
        return -(int)ERR_INVALID;
    return rc;
}

int json_get_u64(const struct json_cur *obj, const char *key, enum json_need need, uint64_t min, uint64_t max,
                 uint64_t *ret, struct err *err)
{
    struct json_cur c;
    int rc = json_get(obj, key, need, &c, err);

    if (rc > 0 && json_as_u64(&c, min, max, ret, err) < 0)
        return -(int)ERR_INVALID;
    return rc;
}

int json_get_copy(const struct json_cur *obj, const char *key, char *dst, size_t size, struct err *err)
{
    const char *s = NULL;
    int rc = json_get_str(obj, key, JSON_REQUIRED, size - 1, &s, err);

    if (rc > 0)
        (void)str_copy(dst, size, s);
    return rc;
}

int json_get_bool(const struct json_cur *obj, const char *key, enum json_need need, bool *ret,
                  struct err *err)
{
    struct json_cur c;
    int rc = json_get(obj, key, need, &c, err);

    if (rc <= 0)
        return rc;
    if (!cJSON_IsBool(c.node))
        return json_fail(&c, err, ERR_INVALID, "true or false is expected");
    *ret = cJSON_IsTrue(c.node);
    return 1;
}

int json_get_enum(const struct json_cur *obj, const char *key, enum json_need need, const char *const *names,
                  unsigned n, int *ret, struct err *err)
{
    struct json_cur c;
    const char *s;
    int rc = json_get(obj, key, need, &c, err);

    if (rc <= 0)
        return rc;
    if (json_as_str(&c, 64, &s, err) < 0)
        return -(int)ERR_INVALID;
    char list[120] = "";
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(names[i], s) == 0) {
            *ret = (int)i;
            return 1;
        }
        size_t len = strlen(list);
        (void)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "", names[i]);
    }
    return json_fail(&c, err, ERR_INVALID, "\"%s\" is none of %s", s, list);
}

int json_done(const struct json_cur *obj, struct err *err)
{
    for (cJSON *m = obj->node->child; m; m = m->next)
        if (!(m->type & JSON_SEEN)) {
            struct json_cur c = {.node = m, .up = obj, .key = m->string};
            return json_fail(&c, err, ERR_INVALID, "unknown field");
        }
    return 0;
}

unsigned json_len(const struct json_cur *c)
{
    return (unsigned)cJSON_GetArraySize(c->node);
}

struct json_cur json_at(const struct json_cur *arr, unsigned i)
{
    return (struct json_cur){.node = cJSON_GetArrayItem(arr->node, (int)i), .up = arr, .index = i};
}

struct json_cur json_member(const struct json_cur *obj, unsigned i)
{
    cJSON *m = cJSON_GetArrayItem(obj->node, (int)i);

    m->type |= JSON_SEEN;
    return (struct json_cur){.node = m, .up = obj, .key = m->string};
}

/* cJSON returns NULL only when out of memory: then this process exits (mem.h). */
static cJSON *need(cJSON *node)
{
    if (!node)
        abort();
    return node;
}

struct cJSON *json_obj(void)
{
    return need(cJSON_CreateObject());
}

struct cJSON *json_arr(void)
{
    return need(cJSON_CreateArray());
}

struct cJSON *json_put(struct cJSON *obj, const char *key, struct cJSON *take_child)
{
    if (!cJSON_AddItemToObject(obj, key, need(take_child)))
        abort();
    return take_child;
}

struct cJSON *json_push(struct cJSON *arr, struct cJSON *take_child)
{
    if (!cJSON_AddItemToArray(arr, need(take_child)))
        abort();
    return take_child;
}

void json_put_str(struct cJSON *obj, const char *key, const char *val)
{
    (void)json_put(obj, key, val ? cJSON_CreateString(val) : cJSON_CreateNull());
}

/* cJSON prints numbers with 15 digits, so an integer is stored as text, exactly. */
void json_put_i64(struct cJSON *obj, const char *key, int64_t val)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%lld", (long long)val);
    (void)json_put(obj, key, cJSON_CreateRaw(text));
}

void json_put_u64(struct cJSON *obj, const char *key, uint64_t val)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, val);
    if (val <= LIM_INTEGER)
        (void)json_put(obj, key, cJSON_CreateRaw(text));
    else
        json_put_str(obj, key, text);
}

void json_put_bool(struct cJSON *obj, const char *key, bool val)
{
    (void)json_put(obj, key, cJSON_CreateBool(val));
}

void json_drop_numbers(struct cJSON *node, const char *key)
{
    struct cJSON *next;

    for (struct cJSON *c = node->child; c; c = next) {
        next = c->next;
        if (c->string && cJSON_IsNumber(c) && strcmp(c->string, key) == 0)
            cJSON_Delete(cJSON_DetachItemViaPointer(node, c));
        else
            json_drop_numbers(c, key);
    }
}

void json_push_str(struct cJSON *arr, const char *val)
{
    (void)json_push(arr, cJSON_CreateString(val));
}

void json_push_u64(struct cJSON *arr, uint64_t val)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, val);
    (void)json_push(arr, cJSON_CreateRaw(text));
}

void json_put_decimal(struct cJSON *obj, const char *key, const char *text)
{
    bool good = text[0] >= '0' && text[0] <= '9' && text[strspn(text, "0123456789.")] == '\0' &&
                text[strlen(text) - 1] != '.';

    (void)json_put(obj, key, cJSON_CreateRaw(good ? text : "0"));
}

/* cJSON prints a number of more than 15 digits rounded, with an exponent. */
static void keep_digits(cJSON *node)
{
    char text[24];

    for (cJSON *c = node->child; c; c = c->next)
        keep_digits(c);
    if (!cJSON_IsNumber(node) || __builtin_fabs(node->valuedouble) < 1e15 ||
        __builtin_fabs(node->valuedouble) > LIM_INTEGER)
        return;
    (void)snprintf(text, sizeof(text), "%" PRIi64, (int64_t)node->valuedouble);
    node->valuestring = strdup(text); /* cJSON frees it with free */
    node->type = (node->type & ~0xff) | cJSON_Raw;
}

static cJSON *copy(const struct json_cur *val)
{
    cJSON *node = cJSON_Duplicate(val->node, 1);

    if (node)
        keep_digits(node);
    return node;
}

void json_put_copy(struct cJSON *obj, const char *key, const struct json_cur *val)
{
    (void)json_put(obj, key, copy(val));
}

void json_push_copy(struct cJSON *arr, const struct json_cur *val)
{
    (void)json_push(arr, copy(val));
}

char *json_print(const struct cJSON *node, bool pretty)
{
    char *text = pretty ? cJSON_Print(node) : cJSON_PrintUnformatted(node);

    if (!text)
        abort();
    return text;
}

bool json_is_null(const struct json_cur *c)
{
    return cJSON_IsNull(c->node);
}
