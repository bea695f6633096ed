/* schema_explain.c - the rules of a manifest, for people and as JSON Schema (draft 2020-12). See schema.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/doc/schema.h"
#include "platform/limits.h"
#include "platform/term.h"

static void explain_type(const struct rule *r, char *dst, size_t size)
{
    static const char *const names[RULE_TYPE_COUNT_] = {
        [RULE_TEXT] = "text",           [RULE_NAME] = "name",          [RULE_PATH] = "path",
        [RULE_SOURCE] = "source",       [RULE_DIGEST] = "digest",      [RULE_ADDRESS] = "IP address",
        [RULE_NUMBER] = "number",       [RULE_BOOL] = "true|false",    [RULE_TRUE] = "true",
        [RULE_WORD] = "word",           [RULE_OBJECT] = "object",      [RULE_OBJECTS] = "list of objects",
        [RULE_TEXTS] = "list of texts", [RULE_MAP] = "object of texts"};
    size_t len;

    if (r->type == RULE_NUMBER) {
        (void)str_fmt(dst, size, "%" PRIu64 "..%" PRIu64, r->min, r->max);
        return;
    }
    if (r->type != RULE_WORD) {
        (void)str_copy(dst, size, names[r->type]);
        return;
    }
    dst[0] = 0;
    for (const char *const *w = r->words; *w; w++) {
        len = strlen(dst);
        (void)str_fmt(dst + len, size - len, "%s%s", len ? "|" : "", *w);
    }
}

static void explain_rules(const struct rule *rules, unsigned depth, unsigned max_depth)
{
    char type[128], left[64];

    for (const struct rule *r = rules; r->key; r++) {
        explain_type(r, type, sizeof(type));
        (void)str_fmt(left, sizeof(left), "%*s%s%s", (int)depth * 2, "", r->key,
                      r->need == JSON_REQUIRED ? "*" : "");
        term_print(stdout, "%-20s %-26s %s\n", left, type, r->help);
        if (r->members && depth + 1 < max_depth)
            explain_rules(r->members, depth + 1, max_depth);
    }
}

int schema_explain(const char *path, struct err *err)
{
    const struct rule *rules = schema_root.members, *r = NULL;
    char type[128];

    while (path && *path) {
        size_t len = strcspn(path, ".");
        for (r = rules; r && r->key && !(strlen(r->key) == len && strncmp(r->key, path, len) == 0); r++)
            ;
        if (!r || !r->key)
            return err_set(err, ERR_NOTFOUND, "a manifest has no field '%s' there: see fleetctl explain",
                           path);
        rules = r->members;
        path += len + (path[len] == '.');
    }
    if (r) {
        explain_type(r, type, sizeof(type));
        term_print(stdout, "%s%s  %s\n%s\n", r->key, r->need == JSON_REQUIRED ? "*" : "", type, r->help);
    }
    if (rules)
        explain_rules(rules, r ? 1 : 0, r ? 2 : 8);
    return 0;
}

/* What JSON Schema says of a type beside its bounds. */
#define NAME_SHAPE "[a-z0-9][a-z0-9._-]{0,62}$\""
static const char *const shapes[RULE_TYPE_COUNT_] = {
    [RULE_TEXT] = "{\"type\":\"string\"}",
    [RULE_NAME] = "{\"type\":\"string\",\"pattern\":\"^" NAME_SHAPE "}",
    [RULE_PATH] = "{\"type\":\"string\",\"pattern\":\"^/\",\"maxLength\":255,\"not\":{\"pattern\":\"/"
                  "\\\\.\\\\.(/|$)\"}}",
    [RULE_SOURCE] = "{\"type\":\"string\",\"maxLength\":512,"
                    "\"pattern\":\"^((layout\\\\+)?https?://|coaps?://|dir:/|file:/|usb:[^/]+/)\"}",
    [RULE_DIGEST] = "{\"type\":\"string\",\"pattern\":\"^sha256:[0-9a-f]{64}$\"}",
    [RULE_ADDRESS] = "{\"type\":\"string\",\"anyOf\":[{\"format\":\"ipv4\"},{\"format\":\"ipv6\"}],"
                     "\"not\":{\"enum\":[\"0.0.0.0\",\"::\"]}}",
    [RULE_NUMBER] = "{\"type\":\"integer\"}",
    [RULE_BOOL] = "{\"type\":\"boolean\"}",
    [RULE_TRUE] = "{\"const\":true}",
    [RULE_WORD] = "{}",
    [RULE_OBJECT] = "{\"type\":\"object\",\"additionalProperties\":false}",
    [RULE_OBJECTS] = "{\"type\":\"array\"}",
    [RULE_TEXTS] = "{\"type\":\"array\"}",
    [RULE_MAP] = "{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^[^=]+$\"}}",
};
_Static_assert(LIM_SOURCE_BYTES == 512 && LIM_NAME_BYTES == 64, "shapes[] has these numbers");

/* The members of text, an object, into o, but for those that instead, another one or NULL, has too. */
static void put_members(struct cJSON *o, const char *text, const char *instead)
{
    struct json_cur from = {.node = NULL}, other = {.node = NULL}, same;

    if (json_parse(buf_str(text), &json_limits_config, &from, NULL) < 0 ||
        (instead && json_parse(buf_str(instead), &json_limits_config, &other, NULL) < 0))
        abort(); /* both are constants */
    for (unsigned i = 0; i < json_len(&from); i++) {
        struct json_cur m = json_member(&from, i);
        if (!instead || json_get(&other, m.key, JSON_OPTIONAL, &same, NULL) <= 0)
            json_put_copy(o, m.key, &m);
    }
    (void)json_free(from.node);
    (void)json_free(other.node);
}

/* {"enum":[...]}, or anyOf that and "app:" with a name. */
static void put_words(struct cJSON *o, const char *const *words)
{
    struct cJSON *list = json_arr(), *any = NULL;

    for (const char *const *w = words; *w; w++)
        if (strcmp(*w, "app:NAME") == 0)
            any = json_arr();
        else
            json_push_str(list, *w);
    json_put(any ? json_push(any, json_obj()) : o, "enum", list);
    if (any)
        put_members(json_push(any, json_obj()), "{\"type\":\"string\",\"pattern\":\"^app:" NAME_SHAPE "}",
                    NULL);
    if (any)
        json_put(o, "anyOf", any);
}

static struct cJSON *schema_of(const struct rule *r);

static void put_object(struct cJSON *o, const struct rule *rules)
{
    struct cJSON *required = json_arr(), *properties = json_obj(), *one_of = NULL;

    for (const struct rule *r = rules; r->key; r++) {
        if (r->need == JSON_REQUIRED)
            json_push_str(required, r->key);
        json_put(properties, r->key, schema_of(r));
        if (r->one_of)
            one_of = one_of ? one_of : json_arr();
        if (r->one_of)
            json_push_str(json_put(json_push(one_of, json_obj()), "required", json_arr()), r->key);
    }
    json_put(o, "required", required);
    json_put(o, "properties", properties);
    if (one_of)
        json_put(o, "oneOf", one_of);
}

/* Bounds and elements, after what the type says. */
static void put_bounds(struct cJSON *o, const struct rule *r)
{
    struct cJSON *text;

    switch (r->type) {
    case RULE_NUMBER:
        json_put_u64(o, "minimum", r->min);
        json_put_u64(o, "maximum", r->max);
        break;
    case RULE_TEXT:
        json_put_u64(o, "maxLength", r->max);
        break;
    case RULE_MAP:
        json_put_u64(o, "maxProperties", r->max);
        text = json_put(o, "additionalProperties", json_obj());
        put_members(text, shapes[RULE_TEXT], NULL);
        json_put_u64(text, "maxLength", LIM_TEXT_BYTES);
        break;
    case RULE_WORD:
        put_words(o, r->words);
        break;
    case RULE_OBJECT:
        put_object(o, r->members);
        break;
    case RULE_TEXTS:
    case RULE_OBJECTS:
        if (r->min)
            json_put_u64(o, "minItems", r->min);
        json_put_u64(o, "maxItems", r->max);
        json_put(o, "items",
                 schema_of(&(struct rule){.type = r->type == RULE_OBJECTS ? RULE_OBJECT : r->item,
                                          .max = LIM_TEXT_BYTES,
                                          .words = r->words,
                                          .members = r->members,
                                          .schema = r->schema}));
        break;
    default:
        break;
    }
}

static struct cJSON *schema_of(const struct rule *r)
{
    struct cJSON *o = json_obj();
    bool list = r->type == RULE_OBJECTS || r->type == RULE_TEXTS;
    const char *more = list ? NULL : r->schema; /* of a list it is the elements' */

    if (r->help)
        json_put_str(o, "description", r->help);
    put_members(o, shapes[r->type], more);
    put_bounds(o, r);
    if (more)
        put_members(o, more, NULL);
    return o;
}

struct cJSON *schema_json(void)
{
    struct cJSON *root = json_obj(), *rules = schema_of(&schema_root);
    const struct json_cur all = {.node = rules};

    json_put_str(root, "$schema", "https://json-schema.org/draft/2020-12/schema");
    json_put_str(root, "$id", "limpet:desired.schema.json");
    json_put_str(root, "title", "Desired state: what a signed manifest asks of a device");
    for (unsigned i = 0; i < json_len(&all); i++) {
        struct json_cur m = json_member(&all, i);
        json_put_copy(root, m.key, &m);
    }
    (void)json_free(rules);
    return root;
}
