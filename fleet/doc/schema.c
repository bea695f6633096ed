#include "fleet/doc/schema.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fleet/base/doc.h"
#include "ota/doc/source.h"
#include "platform/crypto.h"
#include "platform/limits.h"
#include "platform/term.h"

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

static int check_list(const struct json_cur *c, const struct rule *r, struct err *err)
{
    if (json_len(c) < r->min)
        return json_fail(c, err, ERR_INVALID, "at least %" PRIu64, r->min);
    for (unsigned i = 0; i < json_len(c); i++) {
        struct json_cur e = json_at(c, i);
        int rc =
            r->type == RULE_OBJECTS ? schema_check(&e, r->members, err) : check_text(&e, r->item, r, 0, err);
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
    case RULE_OBJECTS:
    case RULE_TEXTS:
        rc = json_get_array(o, r->key, r->need, (unsigned)r->max, &c, err);
        return rc <= 0 ? rc : (check_list(&c, r, err) < 0 ? -(int)err->kind : 1);
    case RULE_OBJECT:
        rc = json_get_object(o, r->key, r->need, &c, err);
        return rc <= 0 ? rc : (schema_check(&c, r->members, err) < 0 ? -(int)err->kind : 1);
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

int schema_check(const struct json_cur *root, const struct rule *rules, struct err *err)
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

static uint64_t last_port(const struct json_cur *p)
{
    uint64_t last = doc_u64(p, "last");

    return last ? last : doc_u64(p, "host");
}

/* Who has a name, a port range that ends before it begins, and an app whose network is used. */
static int check_network(const struct json_cur *apps, unsigned at, struct err *err)
{
    struct json_cur app = json_at(apps, at), net, name, ports;
    const char *mode;

    if (!doc_get(&app, "network", &net))
        return 0;
    mode = doc_str(&net, "mode", "");
    if (strcmp(mode, "cni") == 0 && !doc_get(&net, "name", &name))
        return json_fail(&net, err, ERR_INVALID, "mode \"cni\" needs a name");
    if (doc_get(&net, "name", &name) && strcmp(mode, "cni") != 0 && strcmp(mode, "bridge") != 0)
        return json_fail(&name, err, ERR_INVALID, "only modes \"bridge\" and \"cni\" have one");
    if (strcmp(mode, "bridge") == 0 && strlen(doc_str(&net, "name", "")) > LIM_NET_NAME)
        return json_fail(&name, err, ERR_INVALID, "more than %d bytes (an interface is named so)",
                         LIM_NET_NAME);
    for (unsigned i = 0; doc_get(&net, "ports", &ports) && i < json_len(&ports); i++) {
        struct json_cur p = json_at(&ports, i);
        uint64_t host = doc_u64(&p, "host"), last = last_port(&p);
        if (last < host || last - host >= LIM_PORT_RANGE || doc_u64(&p, "container") + last - host > 65535)
            return json_fail(&p, err, ERR_INVALID, "last: not a range of at most %d ports", LIM_PORT_RANGE);
    }
    if (strncmp(mode, "app:", 4) != 0)
        return 0;
    for (unsigned k = 0; k < json_len(apps); k++) {
        struct json_cur other = json_at(apps, k), onet;
        const char *omode = doc_get(&other, "network", &onet) ? doc_str(&onet, "mode", "") : "";
        if (k == at || strcmp(doc_str(&other, "name", ""), mode + 4) != 0)
            continue;
        if (strncmp(omode, "app:", 4) != 0 && strcmp(omode, "host") != 0)
            return 0;
        return json_fail(&net, err, ERR_INVALID, "mode: %s has no network of its own; name what it uses",
                         mode + 4);
    }
    return json_fail(&net, err, ERR_INVALID, "mode: \"%s\" is not another app of this manifest", mode);
}

/* A host port that two apps publish, or published without a bridge. */
static int check_ports(const struct json_cur *apps, unsigned at, struct err *err)
{
    struct json_cur app = json_at(apps, at), net, ports;

    if (!doc_get(&app, "network", &net) || !doc_get(&net, "ports", &ports))
        return 0;
    if (strcmp(doc_str(&net, "mode", ""), "bridge") != 0 && strcmp(doc_str(&net, "mode", ""), "cni") != 0)
        return json_fail(&ports, err, ERR_INVALID, "only modes \"bridge\" and \"cni\" publish ports");
    for (unsigned i = 0; i < json_len(&ports); i++) {
        struct json_cur p = json_at(&ports, i);
        for (unsigned k = 0; k <= at; k++) {
            struct json_cur other = json_at(apps, k), onet, oports;
            if (!doc_get(&other, "network", &onet) || !doc_get(&onet, "ports", &oports))
                continue;
            for (unsigned j = 0; j < (k < at ? json_len(&oports) : i); j++) {
                struct json_cur q = json_at(&oports, j);
                if (doc_u64(&p, "host") <= last_port(&q) && doc_u64(&q, "host") <= last_port(&p) &&
                    strcmp(doc_str(&p, "protocol", "tcp"), doc_str(&q, "protocol", "tcp")) == 0)
                    return json_fail(&p, err, ERR_INVALID, "host port %" PRIu64 " is %s's already",
                                     doc_u64(&p, "host"), doc_str(&other, "name", "?"));
            }
        }
    }
    return 0;
}

static bool is_usb(const char *s)
{
    return strlen(s) == 9 && s[4] == ':' && strspn(s, "0123456789abcdefABCDEF") == 4 &&
           strspn(s + 5, "0123456789abcdefABCDEF") == 4;
}

static bool is_link(const char *s, bool may_be_path)
{
    return s[0] && strcmp(s, ".") != 0 && strcmp(s, "..") != 0 &&
           (!strchr(s, '/') || (may_be_path && s[0] == '/'));
}

/* A volume has a name, a tmpfs has a size. */
static int check_mounts(const struct json_cur *app, struct err *err)
{
    struct json_cur list, value;

    for (unsigned i = 0; doc_get(app, "mounts", &list) && i < json_len(&list); i++) {
        struct json_cur m = json_at(&list, i);
        bool volume = strcmp(doc_str(&m, "type", ""), "volume") == 0, named = doc_get(&m, "name", &value);
        if (volume && !named)
            return json_fail(&m, err, ERR_INVALID, "name: missing (a volume is kept by its name)");
        if (!volume && named)
            return json_fail(&value, err, ERR_INVALID, "only a volume has one");
        if (volume && doc_get(&m, "size_bytes", &value))
            return json_fail(&value, err, ERR_INVALID, "only a tmpfs has one");
    }
    return 0;
}

static int check_window(const struct json_cur *root, struct err *err)
{
    struct json_cur update, download, window;
    unsigned h1, m1, h2, m2;
    int end = 0;
    const char *s;

    if (!doc_get(root, "update", &update) || !doc_get(&update, "download", &download) ||
        !doc_get(&download, "window", &window))
        return 0;
    s = doc_str(&download, "window", "");
    if (strcspn(s, " ") == 11 && sscanf(s, "%2u:%2u-%2u:%2u%n", &h1, &m1, &h2, &m2, &end) == 4 && end == 11 &&
        !s[11] && h1 < 24 && h2 < 24 && m1 < 60 && m2 < 60 && (h1 != h2 || m1 != m2))
        return 0;
    return json_fail(&window, err, ERR_INVALID, "write two times of the day in UTC, \"01:30-05:00\"");
}

/* What an app's devices say together. */
static int check_devices(const struct json_cur *app, struct err *err)
{
    struct json_cur list, match, value;

    if (!doc_get(app, "devices", &list))
        return 0;
    for (unsigned i = 0; i < json_len(&list); i++) {
        struct json_cur d = json_at(&list, i);
        const char *path = doc_str(&d, "path", "");
        for (unsigned k = 0; k < i; k++) {
            struct json_cur other = json_at(&list, k);
            if (strcmp(doc_str(&other, "path", ""), path) == 0)
                return json_fail(&d, err, ERR_INVALID, "path: duplicate \"%.60s\"", path);
        }
        if (strncmp(path, "/dev/", 5) != 0 || !path[5] || path[strlen(path) - 1] == '/')
            return json_fail(&d, err, ERR_INVALID, "path: \"%.60s\" is not below /dev", path);
        if (strcmp(doc_str(&d, "on_remove", ""), "stop") == 0 && !doc_bool(&d, "required"))
            return json_fail(&d, err, ERR_INVALID, "on_remove: \"stop\" is for a device that is required");
        if (!doc_get(&d, "match", &match))
            continue;
        if (doc_get(&match, "minor", &value) && !doc_get(&match, "major", &value))
            return json_fail(&match, err, ERR_INVALID, "minor: only with major");
        if (doc_get(&match, "usb", &value) && !is_usb(doc_str(&match, "usb", "")))
            return json_fail(&value, err, ERR_INVALID, "is not like \"0403:6001\"");
        if ((doc_get(&match, "by-id", &value) && !is_link(doc_str(&match, "by-id", ""), false)) ||
            (doc_get(&match, "by-path", &value) && !is_link(doc_str(&match, "by-path", ""), true)))
            return json_fail(&value, err, ERR_INVALID, "neither the name of a link nor a path of sysfs");
    }
    return 0;
}

/* A document that takes an opinion back has none of its own; any other one has apps. */
static int check_withdrawn(const struct json_cur *root, struct err *err)
{
    static const char *const parts[] = {"apps", "update", "os", "agent", "rollout"};
    bool withdrawn = doc_bool(root, "withdrawn");
    struct json_cur part;

    for (unsigned i = 0; withdrawn && i < COUNT_OF(parts); i++)
        if (doc_get(root, parts[i], &part))
            return json_fail(&part, err, ERR_INVALID, "not in a document that is withdrawn");
    return withdrawn || doc_get(root, "apps", &part) ? 0 : json_fail(root, err, ERR_INVALID, "apps: missing");
}

int schema_check_whole(const struct json_cur *root, struct err *err)
{
    struct json_cur apps, target, rollout, device, value;

    if (doc_get(root, "rollout", &rollout) && doc_get(root, "target", &target) &&
        doc_get(&target, "device", &device))
        return json_fail(&rollout, err, ERR_INVALID, "only a group's document has one");
    if (check_window(root, err) < 0 || check_withdrawn(root, err) < 0)
        return -(int)err->kind;
    if (!doc_get(root, "apps", &apps))
        return 0;
    for (unsigned i = 0; i < json_len(&apps); i++) {
        struct json_cur app = json_at(&apps, i);
        for (unsigned k = 0; k < i; k++) {
            struct json_cur other = json_at(&apps, k);
            if (strcmp(doc_str(&app, "name", ""), doc_str(&other, "name", "")) == 0)
                return json_fail(&app, err, ERR_INVALID, "duplicate name \"%s\"", doc_str(&app, "name", ""));
        }
        if (doc_get(&app, "read_only", &value) && !doc_bool(&app, "read_only"))
            return json_fail(&value, err, ERR_INVALID,
                             "false is not possible yet; mount a tmpfs or a volume");
        if (check_devices(&app, err) < 0 || check_mounts(&app, err) < 0 || check_network(&apps, i, err) < 0 ||
            check_ports(&apps, i, err) < 0)
            return -(int)err->kind;
    }
    return 0;
}

static void explain_type(const struct rule *r, char *dst, size_t size)
{
    static const char *const names[RULE_TYPE_COUNT_] = {[RULE_TEXT] = "text",
                                                        [RULE_NAME] = "name",
                                                        [RULE_PATH] = "path",
                                                        [RULE_SOURCE] = "source",
                                                        [RULE_DIGEST] = "digest",
                                                        [RULE_ADDRESS] = "IP address",
                                                        [RULE_NUMBER] = "number",
                                                        [RULE_BOOL] = "true|false",
                                                        [RULE_WORD] = "word",
                                                        [RULE_OBJECT] = "object",
                                                        [RULE_OBJECTS] = "list of objects",
                                                        [RULE_TEXTS] = "list of texts",
                                                        [RULE_MAP] = "object of texts"};
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
    const struct rule *rules = schema_desired, *r = NULL;
    char type[128];

    while (path && *path) {
        size_t len = strcspn(path, ".");
        for (r = rules; r && r->key && !(strlen(r->key) == len && strncmp(r->key, path, len) == 0); r++)
            ;
        if (!r || !r->key)
            return err_set(err, ERR_NOTFOUND, "a manifest has no '%s' there: fleetctl explain", path);
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
