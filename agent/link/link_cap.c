#include "agent/link/link_cap.h"

#include <inttypes.h>

int link_cap_pass(struct link_cap *c, struct buf bytes, uint64_t max_bytes, struct err *err)
{
    while (bytes.len) {
        if (c->in_length) {
            c->length |= (uint32_t)(bytes.p[0] & 0x7f) << c->shift;
            c->shift += 7;
            bool more = bytes.p[0] & 0x80;
            if (more && c->shift == 28)
                return err_set(err, ERR_INVALID, "MQTT: packet length of more than four bytes");
            if (c->length > max_bytes)
                return err_set(err, ERR_INVALID,
                               "MQTT: packet of at least %u bytes, at most %" PRIu64 " are taken", c->length,
                               max_bytes);
            c->in_length = more;
            c->left = more ? 0 : c->length;
            bytes.p++;
            bytes.len--;
        } else if (c->left) {
            size_t n = c->left < bytes.len ? (size_t)c->left : bytes.len;
            c->left -= n;
            bytes.p += n;
            bytes.len -= n;
        } else { /* the packet type */
            *c = (struct link_cap){.in_length = true};
            bytes.p++;
            bytes.len--;
        }
    }
    return 0;
}
