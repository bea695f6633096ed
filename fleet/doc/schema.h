/* schema.h - the closed schema of a manifest as a table: the check, `explain` and the JSON schema are made
 * from the same rows, whose keys, bounds and words are the agent's (agent/manifest/manifest_fields.h).
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
    RULE_TRUE, /* true, or left out */
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
    const char
        *schema; /* what JSON Schema needs to know beside this, an object; of a list: of its elements */
};
extern const struct rule schema_root; /* an object: the document */

/* The rule of a field, NULL: there is none. */
const struct rule *schema_find(const struct rule *rules, const char *key);
/* Refuse a desired state that does not fit, with the field's path: first by the rules, then by the agent's
 * own parser. Errors: INVALID, DENIED (a capability that would open the host). */
NODISCARD int schema_check(struct buf json, struct err *err);
/* Print the rule at "apps.memory" (NULL: all). Errors: NOTFOUND. */
NODISCARD int schema_explain(const char *path, struct err *err);
/* The rules as a JSON Schema, owner: caller. configs/schemas/desired.schema.json is its text. */
struct cJSON *schema_json(void);
#endif
