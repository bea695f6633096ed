#include "fleet/doc/rollout.h"

#include "fleet/base/doc.h"
#include "platform/crypto.h"

unsigned rollout_slot(const char *salt, const char *device)
{
    AUTO_FREE(sha256) struct sha256 *h = sha256_new();
    struct err err = ERR_INIT;
    struct digest d;
    uint64_t v = 0;

    if (sha256_add(h, buf_of(salt, strlen(salt) + 1), &err) < 0 || sha256_add(h, buf_str(device), &err) < 0 ||
        sha256_end(h, &d, &err) < 0)
        return ROLLOUT_SLOTS - 1;
    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | d.b[i];
    return (unsigned)(v % ROLLOUT_SLOTS);
}

bool rollout_open_at(const struct json_cur *doc, const char *device, unsigned *ret_slot)
{
    struct json_cur clause;

    if (!doc_get(doc, "rollout", &clause))
        return true;
    *ret_slot = rollout_slot(doc_str(&clause, "salt", ""), device);
    return *ret_slot < doc_u64(&clause, "slots");
}

bool rollout_open(const struct json_cur *doc, const char *device)
{
    unsigned slot;

    return rollout_open_at(doc, device, &slot);
}
