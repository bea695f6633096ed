#include "fleet/mqtt.h"

#include <errno.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <stdio.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/crypto.h"

#define FILTERS       8
#define ANSWER_MS     10000 /* CONNACK, SUBACK, PUBACK */
#define QUIET_MS      250   /* retained messages of one subscription come in one go */
#define QUIET_MAX_MS  60000
#define LOST_MS       30000
#define KEEPALIVE_S   30
#define REASON_NOBODY 0x10
#define REASON_DENIED 0x87

struct mqtt {
    struct mosquitto *mosq;
    char client[40], host[256];
    uint16_t port;
    mqtt_fn fn;
    void *arg;
    char *filters[FILTERS];
    unsigned n_filters;
    bool connected, answered; /* CONNACK came */
    int connack;
    int wait_mid, mid_reason; /* the PUBACK or SUBACK that we wait for; reason -1: not yet */
    uint64_t last_message_ms;
};

static void on_connect(struct mosquitto *mosq, void *arg, int reason, int flags,
                       const mosquitto_property *props)
{
    struct mqtt *m = arg;

    (void)mosq, (void)flags, (void)props;
    m->answered = true;
    m->connack = reason;
    m->connected = reason == 0;
}

static void on_disconnect(struct mosquitto *mosq, void *arg, int reason, const mosquitto_property *props)
{
    struct mqtt *m = arg;

    (void)mosq, (void)reason, (void)props;
    m->connected = false;
}

static void on_publish(struct mosquitto *mosq, void *arg, int mid, int reason,
                       const mosquitto_property *props)
{
    struct mqtt *m = arg;

    (void)mosq, (void)props;
    if (mid == m->wait_mid)
        m->mid_reason = reason;
}

static void on_subscribe(struct mosquitto *mosq, void *arg, int mid, int n, const int *granted,
                         const mosquitto_property *props)
{
    struct mqtt *m = arg;

    (void)mosq, (void)props;
    if (mid == m->wait_mid)
        m->mid_reason = n > 0 ? granted[0] : REASON_DENIED;
}

static void on_message(struct mosquitto *mosq, void *arg, const struct mosquitto_message *in,
                       const mosquitto_property *props)
{
    struct mqtt *m = arg;
    struct mqtt_msg msg = {
        .topic = in->topic, .payload = buf_of(in->payload, (size_t)in->payloadlen), .retain = in->retain};

    (void)mosq, (void)props;
    m->last_message_ms = clock_boot_ms();
    if (m->fn)
        m->fn(m->arg, &msg);
}

static int mosq_fail(struct err *err, const char *what, const struct mqtt *m, int rc)
{
    enum err_kind kind = rc == MOSQ_ERR_NOMEM ? ERR_NOMEM : ERR_NET;

    return err_set(err, kind, "%s %s:%u: %s", what, m->host, m->port,
                   rc == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(rc));
}

/* Turn the loop until *done is not `still`, at most ms. False: time is over or the line is lost. */
static int turn(struct mqtt *m, int ms)
{
    return mosquitto_loop(m->mosq, ms, 1);
}

static int wait_connack(struct mqtt *m, struct err *err)
{
    uint64_t until = clock_boot_ms() + ANSWER_MS;

    while (!m->answered) {
        int rc = turn(m, 100);
        if (rc != MOSQ_ERR_SUCCESS && !m->answered)
            return mosq_fail(err, "broker", m, rc);
        if (clock_boot_ms() > until)
            return err_set(err, ERR_NET, "broker %s:%u does not answer", m->host, m->port);
    }
    if (m->connack == REASON_DENIED || m->connack == MQTT_RC_BAD_USERNAME_OR_PASSWORD)
        return err_set(err, ERR_DENIED, "broker %s:%u: %s", m->host, m->port,
                       mosquitto_reason_string(m->connack));
    if (m->connack)
        return err_set(err, ERR_NET, "broker %s:%u: %s", m->host, m->port,
                       mosquitto_reason_string(m->connack));
    return 0;
}

static int dial(struct mqtt *m, struct err *err)
{
    int rc;

    m->answered = m->connected = false;
    rc = mosquitto_connect_bind_v5(m->mosq, m->host, m->port, KEEPALIVE_S, NULL, NULL);
    if (rc != MOSQ_ERR_SUCCESS)
        return mosq_fail(err, "broker", m, rc);
    return wait_connack(m, err);
}

static int set_up(struct mqtt *m, const struct ctx *c, struct err *err)
{
    char ca[600], cert[600], key[600];
    int rc;

    mosquitto_connect_v5_callback_set(m->mosq, on_connect);
    mosquitto_disconnect_v5_callback_set(m->mosq, on_disconnect);
    mosquitto_publish_v5_callback_set(m->mosq, on_publish);
    mosquitto_subscribe_v5_callback_set(m->mosq, on_subscribe);
    mosquitto_message_v5_callback_set(m->mosq, on_message);
    mosquitto_int_option(m->mosq, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    (void)str_fmt(ca, sizeof(ca), "%s/pki/ca.pem", c->path);
    (void)str_fmt(cert, sizeof(cert), "%s/pki/operator.pem", c->path);
    (void)str_fmt(key, sizeof(key), "%s/pki/operator.key", c->path);
    rc = mosquitto_tls_set(m->mosq, ca, NULL, cert, key, NULL);
    if (rc == MOSQ_ERR_SUCCESS)
        rc = mosquitto_tls_opts_set(m->mosq, 1, "tlsv1.2", NULL);
    return rc == MOSQ_ERR_SUCCESS ? 0 : err_set(err, ERR_INVALID, "%s: %s", cert, mosquitto_strerror(rc));
}

int mqtt_new(const struct ctx *c, struct mqtt **ret, struct err *err)
{
    AUTO_FREE(mqtt) struct mqtt *m = mem_need_zero(sizeof(*m));
    uint8_t salt[6];
    char hex[13];

    if (crypto_random(salt, sizeof(salt), err) < 0)
        return -(int)err->kind;
    mosquitto_lib_init();
    (void)str_fmt(m->client, sizeof(m->client), "operator-%s", hex_encode(buf_of(salt, sizeof(salt)), hex));
    (void)str_copy(m->host, sizeof(m->host), c->host);
    m->port = c->port;
    m->mosq = mosquitto_new(m->client, true, m);
    if (!m->mosq)
        return err_set(err, ERR_NOMEM, "no memory for a broker connection");
    if (set_up(m, c, err) < 0 || dial(m, err) < 0)
        return -(int)err->kind;
    *ret = steal_ptr(&m);
    return 0;
}

struct mqtt *mqtt_free(struct mqtt *m)
{
    if (!m)
        return NULL;
    if (m->mosq) {
        if (m->connected && mosquitto_disconnect(m->mosq) == MOSQ_ERR_SUCCESS)
            (void)turn(m, 10);
        mosquitto_destroy(m->mosq);
        mosquitto_lib_cleanup();
    }
    for (unsigned i = 0; i < m->n_filters; i++)
        free(m->filters[i]);
    free(m);
    return NULL;
}

const char *mqtt_client(const struct mqtt *m)
{
    return m->client;
}

void mqtt_on_message(struct mqtt *m, mqtt_fn fn, void *arg)
{
    m->fn = fn;
    m->arg = arg;
}

/* Wait for the acknowledgement of m->wait_mid; its reason code, or -kind. */
static int wait_ack(struct mqtt *m, struct err *err)
{
    uint64_t until = clock_boot_ms() + ANSWER_MS;

    while (m->mid_reason < 0) {
        int rc = turn(m, 100);
        if (rc != MOSQ_ERR_SUCCESS && m->mid_reason < 0)
            return mosq_fail(err, "broker", m, rc);
        if (clock_boot_ms() > until)
            return err_set(err, ERR_NET, "broker %s:%u does not acknowledge", m->host, m->port);
    }
    return m->mid_reason;
}

int mqtt_publish(struct mqtt *m, const struct mqtt_msg *msg, struct err *err)
{
    mosquitto_property *props = NULL;
    int rc = MOSQ_ERR_SUCCESS;

    m->mid_reason = -1;
    if (msg->expiry_s)
        rc = mosquitto_property_add_int32(&props, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, msg->expiry_s);
    if (rc == MOSQ_ERR_SUCCESS)
        rc = mosquitto_publish_v5(m->mosq, &m->wait_mid, msg->topic, (int)msg->payload.len, msg->payload.p, 1,
                                  msg->retain, props);
    mosquitto_property_free_all(&props);
    if (rc != MOSQ_ERR_SUCCESS)
        return mosq_fail(err, "publish at", m, rc);
    rc = wait_ack(m, err);
    if (rc < 0 || rc == 0)
        return rc;
    if (rc == REASON_NOBODY)
        return 1;
    return err_set(err, rc == REASON_DENIED ? ERR_DENIED : ERR_NET, "%s: %s", msg->topic,
                   mosquitto_reason_string(rc));
}

static int subscribe_all(struct mqtt *m, char *const *filters, unsigned n, struct err *err)
{
    int rc;

    m->mid_reason = -1;
    rc = mosquitto_subscribe_multiple(m->mosq, &m->wait_mid, (int)n, filters, 1, 0, NULL);
    if (rc != MOSQ_ERR_SUCCESS)
        return mosq_fail(err, "subscribe at", m, rc);
    rc = wait_ack(m, err);
    if (rc >= 0x80)
        return err_set(err, rc == REASON_DENIED ? ERR_DENIED : ERR_NET, "subscribe %s: %s", filters[0],
                       mosquitto_reason_string(rc));
    return rc < 0 ? rc : 0;
}

int mqtt_subscribe(struct mqtt *m, const char *const *filters, unsigned n, struct err *err)
{
    unsigned first = m->n_filters;

    if (n == 0 || n > FILTERS - m->n_filters)
        return err_set(err, ERR_NOSPACE, "more than %d subscriptions", FILTERS);
    for (unsigned i = 0; i < n; i++)
        m->filters[m->n_filters++] = mem_need_str(filters[i]);
    return subscribe_all(m, m->filters + first, n, err);
}

int mqtt_retained(struct mqtt *m, const char *const *filters, unsigned n, struct err *err)
{
    uint64_t start = clock_boot_ms();

    m->last_message_ms = start;
    if (mqtt_subscribe(m, filters, n, err) < 0)
        return -(int)err->kind;
    while (clock_boot_ms() - m->last_message_ms < QUIET_MS && clock_boot_ms() - start < QUIET_MAX_MS) {
        int rc = turn(m, 50);
        if (rc != MOSQ_ERR_SUCCESS)
            return mosq_fail(err, "broker", m, rc);
    }
    return 0;
}

static int find_again(struct mqtt *m, struct err *err)
{
    uint64_t until = clock_boot_ms() + LOST_MS;

    out_note("lost the broker %s:%u, trying again", m->host, m->port);
    while (dial(m, err) < 0) {
        if (err->kind == ERR_DENIED || clock_boot_ms() > until)
            return -(int)err->kind;
        usleep(500 * 1000);
    }
    return m->n_filters ? subscribe_all(m, m->filters, m->n_filters, err) : 0;
}

int mqtt_poll(struct mqtt *m, uint64_t ms, struct err *err)
{
    int rc = turn(m, ms > 60000 ? 60000 : (int)ms);

    return rc == MOSQ_ERR_SUCCESS ? 0 : find_again(m, err);
}
