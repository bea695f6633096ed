/* link_cap.h - the inbound cap on MQTT packets, which libmosquitto lacks: reads only the fixed headers (MQTT
 * 5, section 2.1.1) of the bytes that pass by. A stranger's 5 bytes can announce 256 MB; here that ends the
 * connection before a byte of it is kept. Pure. */
#ifndef AGENT_LINK_CAP_H
#define AGENT_LINK_CAP_H
#include "platform/err.h"
#include "platform/mem.h"

struct link_cap {
    uint64_t left;   /* bytes of the packet under way */
    uint32_t length; /* remaining length, as far as read */
    unsigned shift;  /* of the next length byte */
    bool in_length;
};
/* All bytes may pass: 0. Errors: INVALID (packet above max_bytes, bad length). Starts from a zeroed struct.
 */
NODISCARD int link_cap_pass(struct link_cap *c, struct buf bytes, uint64_t max_bytes, struct err *err);
#endif
