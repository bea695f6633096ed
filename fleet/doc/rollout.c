#include "fleet/doc/rollout.h"

#include "agent/manifest/manifest.h"
#include "fleet/base/doc.h"

bool rollout_open_at(const struct json_cur *doc, const char *device, unsigned *ret_slot)
{
    struct json_cur clause;

    if (!doc_get(doc, "rollout", &clause))
        return true;
    *ret_slot = manifest_slot(doc_str(&clause, "salt", ""), device);
    return *ret_slot < doc_u64(&clause, "slots");
}

bool rollout_open(const struct json_cur *doc, const char *device)
{
    unsigned slot;

    return rollout_open_at(doc, device, &slot);
}
