/* rollout.h - which devices of a group act on its document now. Pure; the same sum as the agent's (a test
 * holds them together). */
#ifndef FLEET_ROLLOUT_H
#define FLEET_ROLLOUT_H
#include "platform/json.h"

#define ROLLOUT_SLOTS 10000
/* First 8 bytes (big endian) of SHA-256(salt NUL device) mod 10000. */
unsigned rollout_slot(const char *salt, const char *device);
/* The desired document lets this device act: it has no rollout clause, or the device's slot is open. */
bool rollout_open(const struct json_cur *doc, const char *device);
/* The same, with the device's slot; untouched without a clause. */
bool rollout_open_at(const struct json_cur *doc, const char *device, unsigned *ret_slot);
#endif
