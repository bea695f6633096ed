/* box_fields.h - which settings of a box are in force, as JSON:
 * {"memory":{"state":"enforced","value":N},...}. Pure. */
#ifndef AGENT_BOX_FIELDS_H
#define AGENT_BOX_FIELDS_H
#include "platform/json.h"
#include "runtime/box/box.h"

/* Owner: caller. */
struct cJSON *box_fields_build(const struct box_report *r);
/* Put one field into o, unless it was not requested. */
void box_fields_put(struct cJSON *o, const char *name, const struct cgroup_field *f);
/* Parse them; what is missing or unknown is "not asked". */
void box_fields_read(const struct json_cur *o, struct box_report *ret);
#endif
