/* rollout.h - which devices of a group act on its document now: a device's slot is the agent's sum
 * (manifest_slot). Pure. */
#ifndef FLEET_ROLLOUT_H
#define FLEET_ROLLOUT_H
#include "platform/json.h"

/* The desired document lets this device act: it has no rollout clause, or the device's slot is open. */
bool rollout_open(const struct json_cur *doc, const char *device);
/* The same, with the device's slot; untouched without a clause. */
bool rollout_open_at(const struct json_cur *doc, const char *device, unsigned *ret_slot);
#endif
