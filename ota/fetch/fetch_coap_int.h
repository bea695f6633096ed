/* fetch_coap_int.h - libcoap's context, and the session with the current source. Private to fetch_coap*.c,
 * the only files that use libcoap. */
#ifndef OTA_FETCH_COAP_INT_H
#define OTA_FETCH_COAP_INT_H
#include <coap3/coap.h>

#include "ota/fetch/fetch_coap_blocks.h"
#include "ota/fetch/fetch_int.h"

#define FETCH_COAP_HOST 256

struct coap_get;
struct coap {
    coap_context_t *ctx;
    coap_session_t *session;
    const struct source *session_of;
    /* in this session; libcoap's server responds in sets from then on, whatever the request */
    bool spoke_sets;
    enum blocks_peer peers[LIM_SOURCES];
    char host[FETCH_COAP_HOST];
    struct err tls; /* why a certificate was refused */
    struct coap_get *get;
};

/* fetch_coap_session.c: connect c->session to source s. Errors: INVALID (host), NET. A refused certificate is
 * reported later, in c->tls. */
NODISCARD int fetch_coap_session(struct fetch_job *j, const struct source *s, struct err *err);
/* End the session, if any. */
void fetch_coap_forget(struct coap *c);
#endif
