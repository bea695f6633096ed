/* cert.h - does a certificate match a host? For a DTLS library that checks the chain but leaves the name to
 * us. Private to agentd-fetch. Pure. */
#ifndef OTA_CERT_H
#define OTA_CERT_H
#include "platform/err.h"
#include "platform/mem.h"

/* der: one X.509 certificate. host: a name or an IP address as text. Only subject alternative names count;
 * "*." matches one label. Errors: DENIED (no name matches host), INVALID (not a certificate). */
NODISCARD int cert_is_for(struct buf der, const char *host, struct err *err);
#endif
