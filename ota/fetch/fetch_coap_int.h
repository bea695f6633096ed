/* fetch_coap_int.h - libcoap's context, and the session with the source that is asked now. Private to
 * fetch_coap*.c, the only files that know libcoap. */
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
    /* in this session; libcoap's server answers in sets from then on, whatever it is asked */
    bool spoke_sets;
    enum blocks_peer peers[LIM_SOURCES];
    char host[FETCH_COAP_HOST];
    struct err tls; /* why a certificate was not liked */
    struct coap_get *get;
};

/* fetch_coap_session.c: c->session is with source s when this returns 0. Errors: INVALID (host), NET. A
 * certificate that is not liked shows later, in c->tls. */
NODISCARD int fetch_coap_session(struct fetch_job *j, const struct source *s, struct err *err);
/* End the session, if there is one. */
void fetch_coap_forget(struct coap *c);
#endif
