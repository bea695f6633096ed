/* field.h - reads members common to OCI and Limpet documents from strict JSON. Private to ota/. Pure. */
#ifndef OTA_FIELD_H
#define OTA_FIELD_H
#include "platform/crypto.h"
#include "platform/json.h"

/* AUTO_JSON struct cJSON *doc = root.node; released when the scope ends. */
static inline void field_auto_json_(struct cJSON **p)
{
    (void)json_free(*p);
}
#define AUTO_JSON __attribute__((cleanup(field_auto_json_)))

/* A required "sha256:<hex>" member. 1, or -INVALID with the field's path. */
NODISCARD int field_digest(const struct json_cur *obj, const char *key, struct digest *ret, struct err *err);

/* A member that must be a short word of [a-z0-9_.-], copied into dst of size. empty: "" and a missing member
 * are accepted. Errors: INVALID. */
NODISCARD int field_word(const struct json_cur *obj, const char *key, bool empty, char *dst, size_t size,
                         struct err *err);

/* Docker writes null for "none": true if the member is present and null. */
bool field_is_null(const struct json_cur *obj, const char *key);

/* Times of signed documents end with the year 9999. */
#define FIELD_SECONDS_MAX 253402300799ULL
/* The member "schema" must be exactly this. / A member that is a name (str_is_name), copied. 0, or -INVALID.
 */
NODISCARD int field_schema(const struct json_cur *root, const char *want, struct err *err);
NODISCARD int field_name(const struct json_cur *obj, const char *key, char dst[LIM_NAME_BYTES],
                         struct err *err);
#endif
