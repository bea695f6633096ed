/* schema.h - the closed schema of a manifest as a table: what the check refuses and what `explain` prints are
 * the same lines. The agent reads manifests with code of its own (agent/manifest/manifest.c) and has the last word.
 * Pure. */
#ifndef FLEET_SCHEMA_H
#define FLEET_SCHEMA_H
#include "platform/json.h"

enum rule_type {
    RULE_TEXT,    /* at most max bytes */
    RULE_NAME,    /* [a-z0-9][a-z0-9._-]{0,62} */
    RULE_PATH,    /* absolute, no ".." */
    RULE_SOURCE,  /* http://, https://, dir:/ */
    RULE_DIGEST,  /* sha256:<hex> */
    RULE_ADDRESS, /* IPv4 or IPv6 */
    RULE_NUMBER,  /* min..max */
    RULE_BOOL,
    RULE_WORD, /* one of words; "app:NAME" among them: that with any name */
    RULE_OBJECT,
    RULE_OBJECTS, /* array of objects, at most max */
    RULE_TEXTS,   /* array of texts of RULE item, at most max */
    RULE_MAP,     /* object of texts, at most max */
    RULE_TYPE_COUNT_
};
struct rule {
    const char *key, *help;
    enum rule_type type, item;
    enum json_need need;
    unsigned one_of; /* exactly one member with this number (not 0) is there */
    uint64_t min, max;
    const char *const *words;   /* RULE_WORD and RULE_TEXTS of words, NULL-terminated */
    const struct rule *members; /* of objects; ends with a NULL key */
};
extern const struct rule schema_desired[];

/* The rule of a field, NULL: there is none. */
const struct rule *schema_find(const struct rule *rules, const char *key);
/* Refuse what does not fit, with the field's path. Errors: INVALID. */
NODISCARD int schema_check(const struct json_cur *root, const struct rule *rules, struct err *err);
/* Rules that only the whole document shows: names and host ports are unique, ports need a bridge, rollout a
 * group. Errors: INVALID. */
NODISCARD int schema_check_whole(const struct json_cur *root, struct err *err);
/* Print the rule at "apps.memory" (NULL: all). Errors: NOTFOUND. */
NODISCARD int schema_explain(const char *path, struct err *err);
#endif
