/* link_cap.h - the inbound cap on MQTT packets, which libmosquitto lacks: reads only the fixed headers (MQTT
 * 5, section 2.1.1) of the bytes passing through. 5 bytes from the broker can announce 256 MB; here that ends
 * the connection before any of it is buffered. Pure. */
#ifndef AGENT_LINK_CAP_H
#define AGENT_LINK_CAP_H
#include "platform/err.h"
#include "platform/mem.h"

struct link_cap {
    uint64_t left;   /* bytes left of the current packet */
    uint32_t length; /* remaining length, as decoded so far */
    unsigned shift;  /* for the next length byte */
    bool in_length;
};
/* 0: all bytes may pass. Errors: INVALID (packet above max_bytes, malformed length). Start from a zeroed
 * struct. */
NODISCARD int link_cap_pass(struct link_cap *c, struct buf bytes, uint64_t max_bytes, struct err *err);
#endif
