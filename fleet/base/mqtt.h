/* mqtt.h - one connection to the fleet's broker, as the operator: MQTT 5 (or 3.1.1, where the broker knows no
 * other) over TLS, no threads, everything with a deadline. mqtt.c is the only file here that knows
 * libmosquitto. */
#ifndef FLEET_MQTT_H
#define FLEET_MQTT_H
#include "fleet/base/ctx.h"

#define MQTT_ROOT "limpet1"

struct mqtt; /* opaque */
/* Connect with pki/operator. Errors: NET (cannot reach, TLS), DENIED (the broker knows us and says no).
 * Owner: caller. */
NODISCARD int mqtt_new(const struct ctx *c, struct mqtt **ret, struct err *err);
struct mqtt *mqtt_free(struct mqtt *m);
DEFINE_AUTO(mqtt)
/* Our client id: the last level of reply topics. */
const char *mqtt_client(const struct mqtt *m);

struct mqtt_msg {
    const char *topic;
    struct buf payload;
    bool retain;
    unsigned expiry_s; /* 0: none */
};
/* Called for each message that arrives inside mqtt_subscribe, mqtt_retained, mqtt_publish and mqtt_poll;
 * borrowed for the call. */
typedef void (*mqtt_fn)(void *arg, const struct mqtt_msg *msg);
/* fn for all that arrives from now on; NULL: it is dropped. */
void mqtt_on_message(struct mqtt *m, mqtt_fn fn, void *arg);

/* QoS 1, until the broker has it. 0; or 1: it has it, and nobody is subscribed (MQTT 5 only: 3.1.1
 * does not tell that, nor a refusal by the ACL).
 * Errors: DENIED (ACL), NET, TIMEOUT. */
NODISCARD int mqtt_publish(struct mqtt *m, const struct mqtt_msg *msg, struct err *err);
/* Until the broker has granted all n filters; again after each new connection. Errors: NOSPACE (too many),
 * DENIED (ACL), NET, TIMEOUT. */
NODISCARD int mqtt_subscribe(struct mqtt *m, const char *const *filters, unsigned n, struct err *err);
/* Subscribe and take what is retained: returns 0 when all of it has come, which marks of our own that come
 * back behind it tell. Silence is an error, what came before it has come. Errors: NET, DENIED. */
NODISCARD int mqtt_retained(struct mqtt *m, const char *const *filters, unsigned n, struct err *err);
/* Let messages in for at most ms; comes back after the first batch. Reconnects and subscribes again when the
 * line is lost. Errors: NET (lost and not found again within 30 s). */
NODISCARD int mqtt_poll(struct mqtt *m, uint64_t ms, struct err *err);
#endif
