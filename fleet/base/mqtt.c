#include "fleet/base/mqtt.h"

#include <errno.h>
#include <inttypes.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <stdio.h>
#include <string.h>

#include "fleet/base/http.h"
#include "platform/clock.h"
#include "platform/crypto.h"

#define FILTERS       8
#define ANSWER_MS     10000 /* nothing at all comes in that long while an answer is awaited: there is none */
#define MARK_ROUNDS   2     /* at least so many without a retained message end a read */
#define LOST_MS       30000
#define KEEPALIVE_S   30
#define REASON_NOBODY 0x10
#define REASON_DENIED 0x87

struct mqtt {
    struct mosquitto *mosq;
    char client[40], host[256], mark[160]; /* mark: the topic of our own marks */
    char ca[600];
    uint16_t port;
    int protocol;
    mqtt_fn fn;
    void *arg;
    char *filters[FILTERS];
    unsigned n_filters;
    bool connected, answered, hung_up; /* CONNACK came; the line ended before it did */
    int connack;
    int wait_mid, mid_reason; /* the PUBACK or SUBACK that we wait for; reason -1: not yet */
    uint64_t heard_ms;        /* when anything came last */
    uint64_t n_retained;      /* messages so far that were retained */
    uint64_t mark_sent, mark_seen;
    bool marked; /* our marks are subscribed to */
    char tls_said[160];
};

static void on_connect(struct mosquitto *mosq, void *arg, int reason, int flags,
                       const mosquitto_property *props)
{
    struct mqtt *m = arg;

    (void)mosq, (void)flags, (void)props;
    m->answered = true;
    m->heard_ms = clock_boot_ms();
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
    m->heard_ms = clock_boot_ms();
    if (mid == m->wait_mid)
        m->mid_reason = reason;
}

static void on_subscribe(struct mosquitto *mosq, void *arg, int mid, int n, const int *granted,
                         const mosquitto_property *props)
{
    struct mqtt *m = arg;

    (void)mosq, (void)props;
    m->heard_ms = clock_boot_ms();
    if (mid != m->wait_mid)
        return;
    m->mid_reason = n > 0 ? granted[0] : REASON_DENIED;
    for (int i = 1; i < n; i++)
        if (granted[i] > m->mid_reason)
            m->mid_reason = granted[i];
}

static void on_message(struct mosquitto *mosq, void *arg, const struct mosquitto_message *in,
                       const mosquitto_property *props)
{
    struct mqtt *m = arg;
    struct mqtt_msg msg = {
        .topic = in->topic, .payload = buf_of(in->payload, (size_t)in->payloadlen), .retain = in->retain};

    (void)mosq, (void)props;
    m->heard_ms = clock_boot_ms();
    if (strcmp(msg.topic, m->mark) == 0) {
        char text[24];
        if (str_fmt(text, sizeof(text), "%.*s", in->payloadlen, (const char *)in->payload))
            (void)str_u64(text, 0, UINT64_MAX, &m->mark_seen);
        return;
    }
    m->n_retained += in->retain;
    if (m->fn)
        m->fn(m->arg, &msg);
}

/* What OpenSSL or libmosquitto logged last about TLS: the return code alone says only that it went wrong. */
static void on_log(struct mosquitto *mosq, void *arg, int level, const char *text)
{
    struct mqtt *m = arg;

    (void)mosq, (void)level;
    if (strstr(text, "OpenSSL Error") || strstr(text, "host name"))
        (void)str_fmt(m->tls_said, sizeof(m->tls_said), "%.*s", (int)sizeof(m->tls_said) - 1, text);
}

static int tls_fail(struct err *err, const struct mqtt *m)
{
    static const struct {
        const char *said, *means;
    } known[] = {
        {"certificate verify failed",
         "its certificate is not of this fleet's CA (pki/ca.pem), or does not hold now"},
        {"wrong version number", "what answers there speaks no TLS: is this the right port?"},
        {"unknown ca", "it does not take our certificate (pki/operator.pem): its CA is another one"},
        {"unexpected eof", "it hung up during the handshake: is there TLS on this port, and does it take our "
                           "certificate (pki/operator.pem)?"},
        {"certificate expired", "our certificate (pki/operator.pem) has expired"},
    };
    char names[HTTP_NAMES_BYTES];
    struct err ignored = ERR_INIT;

    if ((strstr(m->tls_said, "host name") || strstr(m->tls_said, "certificate verify failed")) &&
        http_tls_names(m->host, m->port, m->ca, names, &ignored) == 0)
        return err_set(
            err, ERR_NET,
            "broker %s:%u: its certificate names %.140s, and not \"%.64s\": put one of its names into "
            "broker.host of fleet.json, or make one for this name (fleetctl keys broker)",
            m->host, m->port, names, m->host);
    for (unsigned i = 0; i < COUNT_OF(known); i++)
        if (strstr(m->tls_said, known[i].said))
            return err_set(err, ERR_NET, "broker %s:%u: %s", m->host, m->port, known[i].means);
    return err_set(err, ERR_NET, "broker %s:%u: TLS: %s", m->host, m->port,
                   m->tls_said[0] ? m->tls_said : "no reason was given");
}

static int mosq_fail(struct err *err, const char *what, const struct mqtt *m, int rc)
{
    enum err_kind kind = rc == MOSQ_ERR_NOMEM ? ERR_NOMEM : ERR_NET;

    if (rc == MOSQ_ERR_TLS)
        return tls_fail(err, m);
    return err_set(err, kind, "%s %s:%u: %s", what, m->host, m->port,
                   rc == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(rc));
}

/* One turn of the loop, at most ms of waiting. A MOSQ_ERR_ code. */
static int turn(struct mqtt *m, int ms)
{
    return mosquitto_loop(m->mosq, ms, 1);
}

/* Nothing has come for too long, since then or since something came last. */
static bool is_silent(const struct mqtt *m, uint64_t since_ms)
{
    return clock_boot_ms() > (m->heard_ms > since_ms ? m->heard_ms : since_ms) + ANSWER_MS;
}

static int wait_connack(struct mqtt *m, struct err *err)
{
    static const int denied[] = {REASON_DENIED, MQTT_RC_BAD_USERNAME_OR_PASSWORD,
                                 CONNACK_REFUSED_NOT_AUTHORIZED, CONNACK_REFUSED_BAD_USERNAME_PASSWORD};
    uint64_t start = clock_boot_ms();
    enum err_kind kind = ERR_NET;

    while (!m->answered) {
        int rc = turn(m, 100);
        m->hung_up = rc == MOSQ_ERR_CONN_LOST;
        if (rc != MOSQ_ERR_SUCCESS && !m->answered)
            return mosq_fail(err, "broker", m, rc);
        if (is_silent(m, start))
            return err_set(err, ERR_NET, "broker %s:%u does not answer", m->host, m->port);
    }
    if (!m->connack)
        return 0;
    for (unsigned i = 0; i < COUNT_OF(denied); i++)
        if (m->connack == denied[i])
            kind = ERR_DENIED;
    return err_set(err, kind, "broker %s:%u: %s", m->host, m->port,
                   m->connack < 0x80 ? mosquitto_connack_string(m->connack)
                                     : mosquitto_reason_string(m->connack));
}

static int dial_once(struct mqtt *m, struct err *err)
{
    int rc;

    m->answered = m->connected = false;
    m->hung_up = false;
    m->connack = 0;
    mosquitto_int_option(m->mosq, MOSQ_OPT_PROTOCOL_VERSION, m->protocol);
    rc = mosquitto_connect_bind_v5(m->mosq, m->host, m->port, KEEPALIVE_S, NULL, NULL);
    if (rc != MOSQ_ERR_SUCCESS)
        return mosq_fail(err, "broker", m, rc);
    return wait_connack(m, err);
}

/* A broker that knows no MQTT 5 says so, or hangs up without a word. */
static int dial(struct mqtt *m, struct err *err)
{
    struct err old = ERR_INIT;
    int rc = dial_once(m, err);

    if (rc == 0 || m->protocol != MQTT_PROTOCOL_V5 || err->kind != ERR_NET ||
        (m->connack != MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION &&
         m->connack != CONNACK_REFUSED_PROTOCOL_VERSION && !m->hung_up))
        return rc;
    m->protocol = MQTT_PROTOCOL_V311;
    if (dial_once(m, &old) == 0)
        return 0;
    m->protocol = MQTT_PROTOCOL_V5; /* what was said first is the reason */
    return rc;
}

static int set_up(struct mqtt *m, const struct ctx *c, struct err *err)
{
    char cert[600], key[600];
    int rc;

    mosquitto_connect_v5_callback_set(m->mosq, on_connect);
    mosquitto_disconnect_v5_callback_set(m->mosq, on_disconnect);
    mosquitto_publish_v5_callback_set(m->mosq, on_publish);
    mosquitto_subscribe_v5_callback_set(m->mosq, on_subscribe);
    mosquitto_message_v5_callback_set(m->mosq, on_message);
    mosquitto_log_callback_set(m->mosq, on_log);
    (void)str_fmt(m->ca, sizeof(m->ca), "%s/pki/ca.pem", c->path);
    (void)str_fmt(cert, sizeof(cert), "%s/pki/operator.pem", c->path);
    (void)str_fmt(key, sizeof(key), "%s/pki/operator.key", c->path);
    rc = mosquitto_tls_set(m->mosq, m->ca, NULL, cert, key, NULL);
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
    m->protocol = MQTT_PROTOCOL_V5;
    (void)str_fmt(m->mark, sizeof(m->mark), MQTT_ROOT "/%s/mark/%s", c->fleet, m->client);
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
    uint64_t start = clock_boot_ms();

    while (m->mid_reason < 0) {
        int rc = turn(m, 100);
        if (rc != MOSQ_ERR_SUCCESS && m->mid_reason < 0)
            return mosq_fail(err, "broker", m, rc);
        if (is_silent(m, start))
            return err_set(err, ERR_NET, "broker %s:%u does not acknowledge", m->host, m->port);
    }
    return m->mid_reason;
}

int mqtt_publish(struct mqtt *m, const struct mqtt_msg *msg, struct err *err)
{
    mosquitto_property *props = NULL;
    int rc = MOSQ_ERR_SUCCESS;

    m->mid_reason = -1;
    if (msg->expiry_s && m->protocol == MQTT_PROTOCOL_V5)
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

/* A filter that is asked for again is kept once: the list is what a new connection subscribes to. */
static void drop_twice(struct mqtt *m, unsigned first)
{
    unsigned kept = first;

    for (unsigned i = first; i < m->n_filters; i++) {
        unsigned k = 0;
        while (k < first && strcmp(m->filters[k], m->filters[i]) != 0)
            k++;
        if (k < first)
            free(m->filters[i]);
        else
            m->filters[kept++] = m->filters[i];
    }
    m->n_filters = kept;
}

int mqtt_subscribe(struct mqtt *m, const char *const *filters, unsigned n, struct err *err)
{
    unsigned first = m->n_filters;

    if (n == 0 || n > FILTERS - m->n_filters)
        return err_set(err, ERR_NOSPACE, "more than %d subscriptions", FILTERS);
    for (unsigned i = 0; i < n; i++)
        m->filters[m->n_filters++] = mem_need_str(filters[i]);
    if (subscribe_all(m, m->filters + first, n, err) < 0)
        return -(int)err->kind;
    drop_twice(m, first);
    return 0;
}

/* A mark to ourselves, and back: what the broker had for us before has come by then. */
static int round_trip(struct mqtt *m, struct err *err)
{
    char text[24];
    uint64_t start;
    struct mqtt_msg msg = {.topic = m->mark};

    (void)str_fmt(text, sizeof(text), "%" PRIu64, ++m->mark_sent);
    msg.payload = buf_str(text);
    if (mqtt_publish(m, &msg, err) < 0)
        return err_wrap(err, "the end of a read cannot be told");
    start = clock_boot_ms();
    while (m->mark_seen != m->mark_sent) {
        int rc = turn(m, 100);
        if (rc != MOSQ_ERR_SUCCESS && m->mark_seen != m->mark_sent)
            return mosq_fail(err, "broker", m, rc);
        if (is_silent(m, start))
            return err_set(err, ERR_NET, "broker %s:%u stopped in the middle of its answer", m->host,
                           m->port);
    }
    return 0;
}

int mqtt_retained(struct mqtt *m, const char *const *filters, unsigned n, struct err *err)
{
    const char *mark = m->mark;
    uint64_t before;

    if (!m->marked && mqtt_subscribe(m, &mark, 1, err) < 0)
        return -(int)err->kind;
    m->marked = true;
    if (mqtt_subscribe(m, filters, n, err) < 0)
        return -(int)err->kind;
    /* One round is enough where a broker keeps the order. Where it does not, a round without news ends it. */
    for (unsigned quiet = 0; quiet < MARK_ROUNDS;) {
        before = m->n_retained;
        if (round_trip(m, err) < 0)
            return -(int)err->kind;
        quiet = m->n_retained == before ? quiet + 1 : 1;
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
