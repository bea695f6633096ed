#include "agent/link/link_mqtt.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <stdio.h>

#include "platform/clock.h"
#include "platform/limits.h"

#define IN_FLIGHT        8
#define SESSION_EXPIRY_S 14400 /* covers outages of hours; after that the broker forgets the client */
#define WILL_DELAY_S     10    /* a short outage is no news; the session survives it (MQTT 5, 3.1.3.2.2) */
#define ACK_SLOTS        64

#define CONNACK_SESSION_PRESENT 1
#define SUBACK_FAILED           0x80

struct mqtt {
    struct loop *loop;
    struct mqtt_calls calls;
    struct mosquitto *mosq;
    const char *client_id;
    struct loop_fd watch;
    struct loop_timer keep_alive;
    uint64_t keepalive_ms, in_ms, out_ms; /* when bytes were last received and sent */
    int protocol, made_for;               /* for the next connection; of mosq */
    unsigned asked, granted;              /* subscriptions in the session kept by the broker */
    bool up, started, answered, paused;
    struct { /* mid -> id of messages whose ack is wanted */
        int mid;
        uint32_t id;
    } waiting[ACK_SLOTS];
    unsigned in_flight;
};

static int fail(struct err *err, const char *what, int rc)
{
    return err_set(err, rc == MOSQ_ERR_NOMEM ? ERR_NOMEM : ERR_NET, "MQTT %s: %s", what,
                   mosquitto_strerror(rc));
}

/* The library pings, or gives up on the broker, when nothing was received or sent for the keep-alive; its
 * clock counts whole seconds. No other timer wakes an idle link. */
static void arm_keep_alive(struct mqtt *m)
{
    uint64_t since_ms = m->in_ms < m->out_ms ? m->in_ms : m->out_ms;

    loop_timer_set(m->loop, &m->keep_alive, since_ms + m->keepalive_ms + 1000);
}

static void watch_socket(struct mqtt *m)
{
    if (m->watch.fd < 0)
        return;
    err_ignore(loop_fd_mod(m->loop, &m->watch,
                           (m->paused ? 0U : EPOLLIN) | (mosquitto_want_write(m->mosq) ? EPOLLOUT : 0U),
                           NULL));
    arm_keep_alive(m);
}

void link_mqtt_pause(struct mqtt *m, bool paused)
{
    if (paused == m->paused)
        return;
    m->paused = paused;
    watch_socket(m);
}

static void gone(struct mqtt *m, const char *why, bool taken_over)
{
    bool told = m->watch.fd < 0;

    link_mqtt_stop(m);
    if (!told)
        m->calls.on_down(m->calls.arg, why, taken_over);
}

static void on_connect(struct mosquitto *mosq, void *arg, int rc, int flags, const mosquitto_property *props)
{
    struct mqtt *m = arg;

    (void)mosq;
    (void)props;
    if (rc == 0) {
        bool subscribed = (flags & CONNACK_SESSION_PRESENT) && m->asked > 0 && m->asked == m->granted;
        m->up = m->answered = true;
        if (!subscribed)
            m->asked = m->granted = 0;
        m->calls.on_up(m->calls.arg, m->protocol, subscribed);
        return;
    }
    char why[96];
    (void)str_fmt(why, sizeof(why), "the broker refused: %s",
                  rc < 6 ? mosquitto_connack_string(rc) : mosquitto_reason_string(rc));
    gone(m, why, false);
}

static void on_disconnect(struct mosquitto *mosq, void *arg, int rc, const mosquitto_property *props)
{
    (void)mosq;
    (void)props;
    gone(arg,
         rc == 0     ? "disconnected"
         : rc < 0x80 ? mosquitto_strerror(rc)
                     : mosquitto_reason_string(rc),
         rc == MQTT_RC_SESSION_TAKEN_OVER);
}

static void on_message(struct mosquitto *mosq, void *arg, const struct mosquitto_message *msg,
                       const mosquitto_property *props)
{
    struct mqtt *m = arg;

    (void)mosq;
    (void)props;
    m->calls.on_message(m->calls.arg, msg->topic, buf_of(msg->payload, (size_t)msg->payloadlen), msg->retain);
}

static void on_publish(struct mosquitto *mosq, void *arg, int mid, int reason,
                       const mosquitto_property *props)
{
    struct mqtt *m = arg;

    (void)mosq;
    (void)props;
    m->in_flight -= m->in_flight > 0;
    for (unsigned i = 0; i < ACK_SLOTS; i++)
        if (m->waiting[i].id && m->waiting[i].mid == mid) {
            uint32_t id = m->waiting[i].id;
            m->waiting[i].id = 0;
            m->calls.on_ack(m->calls.arg, id, reason);
        }
}

static void on_subscribe(struct mosquitto *mosq, void *arg, int mid, int n, const int *granted,
                         const mosquitto_property *props)
{
    struct mqtt *m = arg;

    (void)mosq;
    (void)mid;
    (void)props;
    for (int i = 0; i < n; i++)
        m->granted += granted[i] < SUBACK_FAILED;
}

static void socket_ready(struct loop_fd *w, uint32_t events)
{
    struct mqtt *m = container_of(w, struct mqtt, watch);
    int rc = MOSQ_ERR_SUCCESS;

    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        rc = mosquitto_loop_read(m->mosq, 1);
        m->in_ms = clock_boot_ms();
    }
    if (rc == MOSQ_ERR_SUCCESS && (events & EPOLLOUT)) {
        rc = mosquitto_loop_write(m->mosq, 1);
        m->out_ms = clock_boot_ms();
    }
    if (rc != MOSQ_ERR_SUCCESS)
        gone(m, mosquitto_strerror(rc), false);
    else
        watch_socket(m);
}

static void keep_alive_fired(struct loop_timer *t)
{
    struct mqtt *m = container_of(t, struct mqtt, keep_alive);
    int rc = mosquitto_loop_misc(m->mosq);

    if (rc != MOSQ_ERR_SUCCESS) {
        gone(m, mosquitto_strerror(rc), false);
        return;
    }
    m->in_ms = m->out_ms = clock_boot_ms(); /* as in the library after a ping */
    watch_socket(m);
}

/* A libmosquitto client for the current version: clean or not is fixed at creation. */
static int make_client(struct mqtt *m, struct err *err)
{
    if (m->mosq)
        mosquitto_destroy(m->mosq);
    m->mosq = mosquitto_new(m->client_id, m->protocol == MQTT_PROTOCOL_V311, m);
    if (!m->mosq)
        return err_set(err, ERR_NOMEM, "MQTT client");
    mosquitto_connect_v5_callback_set(m->mosq, on_connect);
    mosquitto_disconnect_v5_callback_set(m->mosq, on_disconnect);
    mosquitto_message_v5_callback_set(m->mosq, on_message);
    mosquitto_publish_v5_callback_set(m->mosq, on_publish);
    mosquitto_subscribe_v5_callback_set(m->mosq, on_subscribe);
    (void)mosquitto_max_inflight_messages_set(m->mosq, IN_FLIGHT);
    (void)mosquitto_int_option(m->mosq, MOSQ_OPT_PROTOCOL_VERSION, m->protocol);
    return 0;
}

int link_mqtt_new(struct loop *l, const char *client_id, const struct mqtt_calls *calls, struct mqtt **ret,
                  struct err *err)
{
    (void)mosquitto_lib_init();
    struct mqtt *m = mem_need_zero(sizeof(*m));
    m->loop = l;
    m->calls = *calls;
    m->protocol = MQTT_PROTOCOL_V5;
    m->watch.fd = -1;
    m->watch.on_ready = socket_ready;
    m->keep_alive.on_fire = keep_alive_fired;
    m->client_id = client_id;
    m->made_for = m->protocol;
    int rc = make_client(m, err);
    if (rc < 0) {
        free(m);
        return rc;
    }
    *ret = m;
    return 0;
}

static int set_will(struct mqtt *m, const char *topic, const char *will)
{
    mosquitto_property *props = NULL;
    (void)mosquitto_will_clear(m->mosq);
    if (m->protocol == MQTT_PROTOCOL_V5)
        (void)mosquitto_property_add_int32(&props, MQTT_PROP_WILL_DELAY_INTERVAL, WILL_DELAY_S);
    return mosquitto_will_set_v5(m->mosq, topic, (int)strlen(will), will, 1, true, props); /* takes props */
}

int link_mqtt_start(struct mqtt *m, const char *path, unsigned keepalive_s, const char *will_topic,
                    const char *will, struct err *err)
{
    mosquitto_property *props = NULL;
    m->up = m->answered = false;
    m->started = true;
    m->in_flight = 0;
    memset(m->waiting, 0, sizeof(m->waiting));
    if (m->made_for != m->protocol && make_client(m, err) < 0)
        return -(int)ERR_NOMEM;
    m->made_for = m->protocol;
    int rc = set_will(m, will_topic, will);
    if (rc == MOSQ_ERR_SUCCESS && m->protocol == MQTT_PROTOCOL_V5) {
        (void)mosquitto_property_add_int32(&props, MQTT_PROP_SESSION_EXPIRY_INTERVAL, SESSION_EXPIRY_S);
        (void)mosquitto_property_add_int16(&props, MQTT_PROP_RECEIVE_MAXIMUM, IN_FLIGHT);
        (void)mosquitto_property_add_int32(&props, MQTT_PROP_MAXIMUM_PACKET_SIZE, LIM_MQTT_PACKET_BYTES);
    }
    if (rc == MOSQ_ERR_SUCCESS)
        rc = mosquitto_connect_bind_v5(m->mosq, path, 0, (int)keepalive_s, NULL,
                                       props); /* port 0: a unix socket */
    mosquitto_property_free_all(&props);
    if (rc != MOSQ_ERR_SUCCESS)
        return fail(err, "connect", rc);
    rc = loop_fd_add(m->loop, &m->watch, mosquitto_socket(m->mosq), EPOLLIN | EPOLLOUT, err);
    m->keepalive_ms = keepalive_s * UINT64_C(1000);
    m->in_ms = m->out_ms = clock_boot_ms();
    if (rc == 0)
        arm_keep_alive(m);
    return rc;
}

void link_mqtt_stop(struct mqtt *m)
{
    loop_fd_del(m->loop, &m->watch);
    loop_timer_del(m->loop, &m->keep_alive);
    /* A broker without MQTT 5 refuses or just hangs up: try the other version next, and start with 5 again
     * after that */
    if (m->started)
        m->protocol =
            m->answered || m->protocol == MQTT_PROTOCOL_V311 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311;
    m->up = m->started = false;
}

int link_mqtt_subscribe(struct mqtt *m, const char *topic, bool no_local, struct err *err)
{
    int options = no_local && m->protocol == MQTT_PROTOCOL_V5 ? MQTT_SUB_OPT_NO_LOCAL : 0;
    int rc = mosquitto_subscribe_v5(m->mosq, NULL, topic, 1, options, NULL);

    m->asked++;
    m->out_ms = clock_boot_ms();
    watch_socket(m);
    return rc == MOSQ_ERR_SUCCESS ? 0 : fail(err, "subscribe", rc);
}

int link_mqtt_publish(struct mqtt *m, const struct link_mqtt_publish *p, struct err *err)
{
    mosquitto_property *props = NULL;
    int mid = 0;
    if (!m->up)
        return err_set(err, ERR_NET, "not connected");
    if (m->protocol == MQTT_PROTOCOL_V5) {
        (void)mosquitto_property_add_string(&props, MQTT_PROP_CONTENT_TYPE, "application/json");
        if (p->expiry_s)
            (void)mosquitto_property_add_int32(&props, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, p->expiry_s);
    }
    m->in_flight++; /* first: with QoS 0 on_publish may be called from within */
    int rc = mosquitto_publish_v5(m->mosq, &mid, p->topic, (int)p->payload.len, p->payload.p, (int)p->qos,
                                  p->retain, props);
    mosquitto_property_free_all(&props);
    if (rc != MOSQ_ERR_SUCCESS) {
        m->in_flight--;
        return fail(err, "publish", rc);
    }
    for (unsigned i = 0; p->id && i < ACK_SLOTS; i++)
        if (m->waiting[i].id == 0) {
            m->waiting[i].mid = mid;
            m->waiting[i].id = p->id;
            break;
        }
    m->out_ms = clock_boot_ms();
    watch_socket(m);
    return 0;
}

bool link_mqtt_goodbye(struct mqtt *m)
{
    if (!m->up)
        return false;
    mosquitto_property *props = NULL;
    if (m->protocol == MQTT_PROTOCOL_V5) /* the next process has another client id: this session is never
                                          * resumed */
        (void)mosquitto_property_add_int32(&props, MQTT_PROP_SESSION_EXPIRY_INTERVAL, 0);
    bool said = mosquitto_disconnect_v5(m->mosq, 0, props) == MOSQ_ERR_SUCCESS;
    mosquitto_property_free_all(&props);
    (void)mosquitto_loop_write(m->mosq, 1);
    return said;
}

bool link_mqtt_is_idle(const struct mqtt *m)
{
    return m->in_flight == 0 && !mosquitto_want_write(m->mosq);
}
