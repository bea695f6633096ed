#include "ota/doc/field.h"

int field_digest(const struct json_cur *obj, const char *key, struct digest *ret, struct err *err)
{
    struct json_cur at;
    const char *text = NULL;
    int rc = json_get(obj, key, JSON_REQUIRED, &at, err);

    if (rc < 0)
        return rc;
    rc = json_as_str(&at, SHA256_TEXT, &text, err);
    if (rc < 0)
        return rc;
    if (digest_parse(text, ret, NULL) < 0)
        return json_fail(&at, err, ERR_INVALID, "not \"sha256:\" and 64 lower-case hex digits");
    return 1;
}

static bool is_word(const char *s)
{
    return s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_.-")] == '\0';
}

int field_word(const struct json_cur *obj, const char *key, bool empty, char *dst, size_t size,
               struct err *err)
{
    const char *text = "";
    int rc = json_get_str(obj, key, empty ? JSON_OPTIONAL : JSON_REQUIRED, size - 1, &text, err);

    if (rc < 0)
        return rc;
    struct json_cur at = {.node = NULL, .up = obj, .key = key};
    if (!is_word(text))
        return json_fail(&at, err, ERR_INVALID, "only a-z, 0-9, '_', '.' and '-' make a word");
    if (!empty && text[0] == '\0')
        return json_fail(&at, err, ERR_INVALID, "empty");
    if (!str_copy(dst, size, text))
        return json_fail(&at, err, ERR_INVALID, "longer than %zu bytes", size - 1);
    return rc;
}

bool field_is_null(const struct json_cur *obj, const char *key)
{
    struct json_cur at;

    if (json_get(obj, key, JSON_OPTIONAL, &at, NULL) != 1)
        return false;
    char AUTO_MEM *text = json_print(at.node, false);
    return strcmp(text, "null") == 0;
}

int field_schema(const struct json_cur *root, const char *want, struct err *err)
{
    const char *schema = NULL;
    int rc = json_get_str(root, "schema", JSON_REQUIRED, LIM_NAME_BYTES, &schema, err);

    if (rc < 0)
        return rc;
    if (strcmp(schema, want) != 0)
        return err_set(err, ERR_INVALID, "schema: not \"%s\"", want);
    return 0;
}

int field_name(const struct json_cur *obj, const char *key, char dst[LIM_NAME_BYTES], struct err *err)
{
    const char *text = NULL;
    int rc = json_get_str(obj, key, JSON_REQUIRED, LIM_NAME_BYTES - 1, &text, err);
    struct json_cur at = {.up = obj, .key = key};

    if (rc < 0)
        return rc;
    if (!str_is_name(text) || !str_copy(dst, LIM_NAME_BYTES, text))
        return json_fail(&at, err, ERR_INVALID, "not a name ([a-z0-9][a-z0-9._-]{0,62})");
    return 0;
}
