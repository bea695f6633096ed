#include "fleet/doc/schema.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/manifest/manifest.h"
#include "ota/doc/source.h"
#include "platform/crypto.h"
#include "platform/limits.h"

#define AGENT_ARENA_BYTES 524288 /* more than any document of LIM_ENVELOPE_BYTES needs */

static bool is_path(const char *s)
{
    size_t n = strlen(s);

    return s[0] == '/' && n <= 255 && !strstr(s, "/../") && !(n >= 3 && strcmp(s + n - 3, "/..") == 0);
}

static int check_word(const struct json_cur *c, const char *s, const struct rule *r, struct err *err)
{
    char list[400] = "";

    for (const char *const *w = r->words; *w; w++) {
        size_t len = strlen(list);
        if (strcmp(*w, s) == 0 ||
            (strcmp(*w, "app:NAME") == 0 && strncmp(s, "app:", 4) == 0 && str_is_name(s + 4)))
            return 0;
        (void)str_fmt(list + len, sizeof(list) - len, "%s%s", len ? ", " : "", *w);
    }
    return json_fail(c, err, ERR_INVALID, "\"%.40s\" is none of %s", s, list);
}

/* max: of a text's bytes, 0: what any text may have. */
static int check_text(const struct json_cur *c, enum rule_type type, const struct rule *r, uint64_t max,
                      struct err *err)
{
    static const struct in6_addr any;
    struct in6_addr ip = any; /* an IPv4 one is smaller */
    struct digest d;
    struct err why = ERR_INIT;
    const char *s;

    if (json_as_str(c, LIM_TEXT_BYTES, &s, err) < 0)
        return -(int)err->kind;
    if (type == RULE_WORD)
        return check_word(c, s, r, err);
    if (type == RULE_NAME && !str_is_name(s))
        return json_fail(c, err, ERR_INVALID, "invalid name \"%.60s\": small letters, digits, . _ -", s);
    if (type == RULE_PATH && !is_path(s))
        return json_fail(c, err, ERR_INVALID, "\"%.60s\" is not an absolute path without \"..\"", s);
    if (type == RULE_DIGEST && digest_parse(s, &d, NULL) < 0)
        return json_fail(c, err, ERR_INVALID, "\"%.80s\" is not a sha256: digest", s);
    if (type == RULE_ADDRESS && inet_pton(AF_INET, s, &ip) != 1 && inet_pton(AF_INET6, s, &ip) != 1)
        return json_fail(c, err, ERR_INVALID, "\"%.46s\" is not an IPv4 or IPv6 address", s);
    if (type == RULE_ADDRESS && memcmp(&ip, &any, sizeof(ip)) == 0)
        return json_fail(c, err, ERR_INVALID, "leave it out for all addresses");
    if (type == RULE_SOURCE && strlen(s) > LIM_SOURCE_BYTES)
        return json_fail(c, err, ERR_INVALID, "more than %d bytes", LIM_SOURCE_BYTES);
    if (type == RULE_SOURCE && source_parse(s, NULL, &why) < 0)
        return json_fail(c, err, ERR_INVALID, "%s", why.msg);
    if (type == RULE_TEXT && max && strlen(s) > max)
        return json_fail(c, err, ERR_INVALID, "more than %" PRIu64 " bytes", max);
    return 0;
}

static int check_map(const struct json_cur *c, const struct rule *r, struct err *err)
{
    const char *s;

    if (json_is_object(c, err) < 0)
        return -(int)err->kind;
    if (json_len(c) > r->max)
        return json_fail(c, err, ERR_INVALID, "%u entries, at most %" PRIu64, json_len(c), r->max);
    for (unsigned i = 0; i < json_len(c); i++) {
        struct json_cur m = json_member(c, i);
        if (json_as_str(&m, LIM_TEXT_BYTES, &s, err) < 0)
            return -(int)err->kind;
        if (!m.key[0] || strchr(m.key, '='))
            return json_fail(&m, err, ERR_INVALID, "invalid variable name");
    }
    return 0;
}

static int check_object(const struct json_cur *root, const struct rule *rules, struct err *err);

static int check_list(const struct json_cur *c, const struct rule *r, struct err *err)
{
    if (json_len(c) < r->min)
        return json_fail(c, err, ERR_INVALID, "at least %" PRIu64, r->min);
    for (unsigned i = 0; i < json_len(c); i++) {
        struct json_cur e = json_at(c, i);
        int rc =
            r->type == RULE_OBJECTS ? check_object(&e, r->members, err) : check_text(&e, r->item, r, 0, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* One member against its rule: 1 there, 0 absent. */
static int check_member(const struct json_cur *o, const struct rule *r, struct err *err)
{
    bool b;
    uint64_t n;
    struct json_cur c;
    int rc;

    switch (r->type) {
    case RULE_NUMBER:
        return json_get_u64(o, r->key, r->need, r->min, r->max, &n, err);
    case RULE_BOOL:
        return json_get_bool(o, r->key, r->need, &b, err);
    case RULE_TRUE:
        rc = json_get(o, r->key, r->need, &c, err);
        return rc <= 0 || json_get_bool(o, r->key, r->need, &b, err) < 0 || b
                   ? rc
                   : json_fail(&c, err, ERR_INVALID, "false is not possible yet; mount a tmpfs or a volume");
    case RULE_OBJECTS:
    case RULE_TEXTS:
        rc = json_get_array(o, r->key, r->need, (unsigned)r->max, &c, err);
        return rc <= 0 ? rc : (check_list(&c, r, err) < 0 ? -(int)err->kind : 1);
    case RULE_OBJECT:
        rc = json_get_object(o, r->key, r->need, &c, err);
        return rc <= 0 ? rc : (check_object(&c, r->members, err) < 0 ? -(int)err->kind : 1);
    case RULE_MAP:
        rc = json_get(o, r->key, r->need, &c, err);
        return rc <= 0 ? rc : (check_map(&c, r, err) < 0 ? -(int)err->kind : 1);
    default:
        rc = json_get(o, r->key, r->need, &c, err);
        return rc <= 0 ? rc : (check_text(&c, r->type, r, r->max, err) < 0 ? -(int)err->kind : 1);
    }
}

const struct rule *schema_find(const struct rule *rules, const char *key)
{
    const struct rule *r = rules;

    while (r->key && strcmp(r->key, key) != 0)
        r++;
    return r->key ? r : NULL;
}

/* A field that there is none of, before one is missed that was written otherwise. */
static int check_known(const struct json_cur *o, const struct rule *rules, struct err *err)
{
    for (unsigned i = 0; i < json_len(o); i++) {
        struct json_cur m = json_member(o, i);
        const char *near = NULL;
        unsigned least = 3;
        char list[200] = "";
        if (schema_find(rules, m.key))
            continue;
        for (const struct rule *r = rules; r->key; r++) {
            size_t len = strlen(list);
            unsigned d = str_distance(m.key, r->key);
            if (d < least && d < strlen(r->key)) {
                least = d;
                near = r->key;
            }
            (void)str_fmt(list + len, sizeof(list) - len, "%s%s", len ? ", " : "", r->key);
        }
        return near ? json_fail(&m, err, ERR_INVALID, "unknown field; did you mean \"%s\"?", near)
                    : json_fail(&m, err, ERR_INVALID, "unknown field; known: %s", list);
    }
    return 0;
}

static int check_object(const struct json_cur *root, const struct rule *rules, struct err *err)
{
    unsigned chosen = 0;
    bool choice = false;

    if (json_is_object(root, err) < 0 || check_known(root, rules, err) < 0)
        return -(int)err->kind;
    for (const struct rule *r = rules; r->key; r++) {
        int rc = check_member(root, r, err);
        if (rc < 0)
            return rc;
        choice = choice || r->one_of;
        chosen += r->one_of && rc;
    }
    if (choice && chosen != 1) {
        char list[120] = "";
        for (const struct rule *r = rules; r->key; r++)
            if (r->one_of) {
                size_t len = strlen(list);
                (void)str_fmt(list + len, sizeof(list) - len, "%s%s", len ? ", " : "", r->key);
            }
        return json_fail(root, err, ERR_INVALID, "exactly one of %s is expected", list);
    }
    return 0;
}

/* What no field says alone (names and host ports are unique, ports need a bridge ...) is judged by the
 * agent's own parser. */
static int check_as_agent(struct buf json, struct err *err)
{
    AUTO_FREE(arena) struct arena *arena = arena_new(AGENT_ARENA_BYTES);
    struct desired d;

    return manifest_parse(json, arena, &d, err);
}

int schema_check(struct buf json, struct err *err)
{
    struct json_cur root;
    int rc = json_parse(json, &json_limits_signed, &root, err);

    if (rc == 0) {
        rc = check_object(&root, schema_root.members, err);
        (void)json_free(root.node);
    }
    return rc < 0 ? rc : check_as_agent(json, err);
}
