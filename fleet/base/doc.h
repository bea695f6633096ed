/* doc.h - small helpers for JSON documents that fleetctl carries from one place to another. Pure. */
#ifndef FLEET_DOC_H
#define FLEET_DOC_H
#include "platform/json.h"

static inline void json_auto_free_(struct cJSON **p)
{
    (void)json_free(*p);
}
#define AUTO_DOC __attribute__((cleanup(json_auto_free_))) struct cJSON

/* Deep copies of all members of an object into another one. */
static inline void copy_members(struct cJSON *to, const struct json_cur *from)
{
    for (unsigned i = 0; i < json_len(from); i++) {
        struct json_cur m = json_member(from, i);
        json_put_copy(to, m.key, &m);
    }
}

/* Foreign or newer documents are read leniently: absent or of another type is the fallback. */
static inline const char *doc_str(const struct json_cur *o, const char *key, const char *otherwise)
{
    const char *v = otherwise;

    return json_get_str(o, key, JSON_OPTIONAL, LIM_ENVELOPE_BYTES, &v, NULL) == 1 ? v : otherwise;
}
static inline uint64_t doc_u64(const struct json_cur *o, const char *key)
{
    uint64_t v = 0;

    return json_get_u64(o, key, JSON_OPTIONAL, 0, LIM_INTEGER, &v, NULL) == 1 ? v : 0;
}
static inline bool doc_bool(const struct json_cur *o, const char *key)
{
    bool v = false;

    return json_get_bool(o, key, JSON_OPTIONAL, &v, NULL) == 1 && v;
}
/* An object or array member; false when there is none. */
static inline bool doc_get(const struct json_cur *o, const char *key, struct json_cur *ret)
{
    return json_get(o, key, JSON_OPTIONAL, ret, NULL) == 1;
}
#endif
