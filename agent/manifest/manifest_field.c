#include "agent/manifest/manifest_fields.h"
#include "agent/manifest/manifest_int.h"
#include "ota/doc/source.h"

int manifest_keep(struct manifest_reader *r, const char *text, const char **ret)
{
    const char *copy = arena_str(r->arena, text);

    if (!copy)
        return err_set(r->err, ERR_NOMEM, "manifest: its strings need more than the arena holds");
    *ret = copy;
    return 0;
}

int manifest_text(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                  const char **ret)
{
    const char *s;
    int rc = json_get_str(o, key, need, LIM_TEXT_BYTES, &s, r->err);

    if (rc > 0 && manifest_keep(r, s, ret) < 0)
        return -(int)ERR_NOMEM;
    return rc;
}

/* A string that must pass a test; what: the expected form. */
static int get_checked(struct manifest_reader *r, const struct json_cur *o, const char *key,
                       enum json_need need, size_t max_len, bool (*is_good)(const char *), const char *what,
                       const char **ret)
{
    struct json_cur c;
    const char *s;
    int rc = json_get(o, key, need, &c, r->err);

    if (rc <= 0)
        return rc;
    if (json_as_str(&c, max_len, &s, r->err) < 0)
        return -(int)ERR_INVALID;
    if (!is_good(s))
        return json_fail(&c, r->err, ERR_INVALID, "\"%.60s\" is not %s", s, what);
    return manifest_keep(r, s, ret) < 0 ? -(int)ERR_NOMEM : 1;
}

static bool is_abs_path(const char *s)
{
    size_t n = strlen(s);

    return s[0] == '/' && !strstr(s, "/../") && !(n >= 3 && strcmp(s + n - 3, "/..") == 0);
}

int manifest_name(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                  const char **ret)
{
    return get_checked(r, o, key, need, LIM_NAME_BYTES - 1, str_is_name, "a name ([a-z0-9][a-z0-9._-]*)",
                       ret);
}

int manifest_path(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                  const char **ret)
{
    return get_checked(r, o, key, need, 255, is_abs_path, "an absolute path without \"..\"", ret);
}

int manifest_digest(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                    struct digest *ret)
{
    struct json_cur c;
    const char *s;

    int rc = json_get(o, key, need, &c, r->err);
    if (rc <= 0)
        return rc;
    if (json_as_str(&c, 80, &s, r->err) < 0)
        return -(int)ERR_INVALID;
    return digest_parse(s, ret, NULL) < 0
               ? json_fail(&c, r->err, ERR_INVALID, "\"%s\" is not a sha256: digest in lower-case hex", s)
               : 1;
}

static int get_array(struct manifest_reader *r, const struct json_cur *o, const char *key,
                     enum json_need need, unsigned min, unsigned max, struct json_cur *ret)
{
    int rc = json_get_array(o, key, need, max, ret, r->err);

    return rc > 0 && json_len(ret) < min ? json_fail(ret, r->err, ERR_INVALID, "at least %u is needed", min)
                                         : rc;
}

static int get_room(struct manifest_reader *r, const struct json_cur *c, size_t size, void **ret_list)
{
    *ret_list = arena_get(r->arena, (json_len(c) + 1) * size);
    return *ret_list ? 1 : err_set(r->err, ERR_NOMEM, "manifest: its lists need more than the arena holds");
}

int manifest_array(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                   unsigned min, unsigned max, struct json_cur *ret, size_t size, void **ret_list)
{
    int rc = get_array(r, o, key, need, min, max, ret);

    return rc <= 0 ? rc : get_room(r, ret, size, ret_list);
}

int manifest_map(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                 unsigned min, unsigned max, struct json_cur *ret, size_t size, void **ret_list)
{
    int rc = json_get_object(o, key, need, ret, r->err);

    if (rc <= 0)
        return rc;
    if (json_len(ret) < min || json_len(ret) > max)
        return json_fail(ret, r->err, ERR_INVALID, "%u entries, %u to %u are allowed", json_len(ret), min,
                         max);
    return get_room(r, ret, size, ret_list);
}

int manifest_list(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                  unsigned min, unsigned max, const char *const **ret)
{
    struct json_cur a;
    void *room;
    int rc = manifest_array(r, o, key, need, min, max, &a, sizeof(**ret), &room);

    if (rc <= 0)
        return rc;
    const char **list = room;
    for (unsigned i = 0; i < json_len(&a); i++) {
        struct json_cur c = json_at(&a, i);
        const char *s;
        if (json_as_str(&c, LIM_TEXT_BYTES, &s, r->err) < 0)
            return -(int)ERR_INVALID;
        if (manifest_keep(r, s, &list[i]) < 0)
            return -(int)ERR_NOMEM;
    }
    *ret = list;
    return 1;
}

int manifest_sources(struct manifest_reader *r, const struct json_cur *from, const char **sources,
                     unsigned *ret_n)
{
    struct json_cur a;

    if (get_array(r, from, FIELD_SOURCES, &a) < 0)
        return -(int)r->err->kind;
    *ret_n = json_len(&a);
    for (unsigned i = 0; i < *ret_n; i++) {
        struct json_cur c = json_at(&a, i);
        const char *s;
        struct err why = ERR_INIT;
        if (json_as_str(&c, LIM_SOURCE_BYTES, &s, r->err) < 0)
            return -(int)ERR_INVALID;
        if (source_parse(s, NULL, &why) < 0)
            return json_fail(&c, r->err, ERR_INVALID, "%s", why.msg);
        if (manifest_keep(r, s, &sources[i]) < 0)
            return -(int)ERR_NOMEM;
    }
    return 0;
}

int manifest_release(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur o;

    if (json_get_object(app, FIELD_RELEASE, &o, r->err) < 0 ||
        manifest_name(r, &o, FIELD_RELEASE_NAME, &w->release_name) < 0 ||
        json_get_u64(&o, FIELD_RELEASE_COUNTER, &w->counter, r->err) < 0 ||
        manifest_digest(r, &o, FIELD_RELEASE_DIGEST, &w->release) < 0 ||
        json_get_u64(&o, FIELD_RELEASE_SIZE, &w->release_bytes, r->err) < 0 || json_done(&o, r->err) < 0)
        return -(int)r->err->kind;
    return manifest_sources(r, app, w->sources, &w->n_sources);
}
