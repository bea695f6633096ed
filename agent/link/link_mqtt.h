/* link_mqtt.h - one MQTT session over the pump's local socket; the only place in the agent that uses
 * libmosquitto. MQTT 5 with a session that outlives the connection, or after a broker refuses it 3.1.1 with a
 * clean one (which could not expire there). No thread and no automatic reconnect: link_main decides when. */
#ifndef AGENT_LINK_MQTT_H
#define AGENT_LINK_MQTT_H
#include "platform/loop.h"
#include "platform/mem.h"

struct mqtt;
struct mqtt_calls {
    /* subscribed: the broker kept the session of the last connection, with all subscriptions granted: nothing
     * needs to be subscribed again */
    void (*on_up)(void *arg, int protocol, bool subscribed);
    void (*on_down)(void *arg, const char *why,
                    bool taken_over); /* refused, closed, keep-alive timeout; not after link_mqtt_stop */
    void (*on_message)(void *arg, const char *topic, struct buf payload, bool retained);
    void (*on_ack)(void *arg, uint32_t id, int reason);
    void *arg;
};
struct link_mqtt_publish {
    uint32_t id; /* 0: no ack needed */
    const char *topic;
    struct buf payload;
    unsigned qos;
    bool retain;
    uint32_t expiry_s; /* 0: none; omitted on 3.1.1 */
};
NODISCARD int link_mqtt_new(struct loop *l, const char *client_id, const struct mqtt_calls *calls,
                            struct mqtt **ret, struct err *err);
/* Connect to the local socket with this will (retained, QoS 1). on_up or on_down follows. */
NODISCARD int link_mqtt_start(struct mqtt *m, const char *path, unsigned keepalive_s, const char *will_topic,
                              const char *will, struct err *err);
/* QoS 1. no_local (MQTT 5): not what we publish there ourselves, nor our own will. */
NODISCARD int link_mqtt_subscribe(struct mqtt *m, const char *topic, bool no_local, struct err *err);
NODISCARD int link_mqtt_publish(struct mqtt *m, const struct link_mqtt_publish *p, struct err *err);
/* Stop reading for now, which holds up the broker. Beyond the keep-alive the connection ends, as on a dead
 * line. */
void link_mqtt_pause(struct mqtt *m, bool paused);
/* Disconnect cleanly (the broker drops will and session); false: not connected. */
bool link_mqtt_goodbye(struct mqtt *m);
void link_mqtt_stop(struct mqtt *m);          /* the connection is gone: drop its state */
bool link_mqtt_is_idle(const struct mqtt *m); /* nothing left to send or to be acknowledged */
#endif
