/* link_main.c - agentd-link: the process that speaks MQTT and TLS for core. Own user, seccomp, Landlock,
 * rlimits; started by core with one socket (fd 3), holds no state that matters. Protocol with core:
 * link_words.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/random.h>

#include "agent/link/link_mqtt.h"
#include "agent/link/link_outbox.h"
#include "agent/link/link_pump.h"
#include "agent/link/link_retry.h"
#include "agent/link/link_sandbox.h"
#include "agent/link/link_words.h"
#include "ota/doc/envelope.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/json.h"
#include "platform/limits.h"
#include "platform/log.h"
#include "platform/msg.h"

#define GOODBYE_MS      2000
#define LINK_REFRESH_MS (24 * 3600 * 1000)

static struct link {
    struct loop *loop;
    struct loop_fd core;
    struct loop_timer reconnect, deadline, stable, refresh, goodbye;
    struct pump *pump;
    struct mqtt *mqtt;
    struct cJSON *config_root;
    const char *device, *client, *host, *dir;
    char root[160], online_topic[200], path[200];
    uint64_t port, keepalive_s, reconnect_s, conn, boot, floor_s, uid, gid;
    struct json_cur groups;
    char *pem[3]; /* CA, certificate, key */
    size_t pem_len[3];
    struct link_retry retry;
    uint64_t deadline_ms, up_ms; /* of this connection attempt; since when we are connected */
    bool resumed, missed;        /* nothing has arrived in this resumed session; it may lack something */
    bool plaintext, up, stopping, published; /* since memory was last returned to the system */
    bool wants_room;                         /* core's socket is full */
    struct outbox outbox;
} k;

/* Send one message to core; false: no room. */
static bool send_core(struct buf msg)
{
    int rc = msg_send(LINK_FD, msg, NULL, 0, NULL);

    if (rc == -(int)ERR_NET)
        loop_stop(k.loop); /* core is gone: exit too */
    return rc != -(int)ERR_AGAIN;
}

static bool say(void *arg, const char *text)
{
    (void)arg;
    return send_core(buf_str(text));
}

static void say_down(const char *kind, const char *text)
{
    char line[300];

    (void)str_fmt(line, sizeof(line), "down %s %s", kind, text);
    link_outbox_state(&k.outbox, str_clean(line));
}

/* ---- reconnecting ---- */

static void try_again(bool far)
{
    uint32_t r = 0;

    (void)!getrandom(&r, sizeof(r), 0);
    loop_timer_set(k.loop, &k.reconnect, clock_boot_ms() + 20 + link_retry_delay_ms(&k.retry, r, far));
}

static void down(const char *kind, const char *why, bool far)
{
    loop_timer_del(k.loop, &k.stable);
    loop_timer_del(k.loop, &k.deadline);
    link_mqtt_stop(k.mqtt);
    link_pump_stop(k.pump);
    k.up = false;
    say_down(kind, why);
    if (k.stopping)
        loop_stop(k.loop);
    else
        try_again(far);
}

static void reconnect_fired(struct loop_timer *t)
{
    struct err err = ERR_INIT;

    (void)t;
    k.deadline_ms = link_retry_deadline_ms(&k.retry);
    loop_timer_set(k.loop, &k.deadline, clock_boot_ms() + k.deadline_ms);
    if (link_pump_start(k.pump, &err) < 0)
        down(err_kind_name(err.kind), err.msg, false);
}

/* The connection attempt took too long: a dead line, or a broker too busy to answer in time. */
static void deadline_fired(struct loop_timer *t)
{
    char why[400];

    (void)t;
    (void)str_fmt(why, sizeof(why), "cannot connect to %s:%" PRIu64 " within %" PRIu64 " s", k.host, k.port,
                  k.deadline_ms / 1000);
    down(err_kind_name(ERR_TIMEOUT), why, false);
}

static void stable_fired(struct loop_timer *t)
{
    (void)t;
    (void)link_retry_was_up(&k.retry, clock_boot_ms() - k.up_ms);
    mem_give_back(); /* memory used by the handshake */
}

static void pump_down(void *arg, const struct err *why)
{
    (void)arg;
    down(err_kind_name(why->kind), why->msg, false);
    if (why->kind == ERR_INVALID) /* our own PEM files: core opens them again for the next link */
        loop_stop(k.loop);
}

static void pump_ready(void *arg)
{
    struct err err = ERR_INIT;
    char will[128];

    (void)arg;
    k.conn++; /* a late will of an older connection has a smaller number */
    (void)str_fmt(will, sizeof(will), "{\"v\":1,\"on\":false,\"why\":\"lost\",\"conn\":%" PRIu64 "}", k.conn);
    if (link_mqtt_start(k.mqtt, k.path, (unsigned)k.keepalive_s, k.online_topic, will, &err) < 0)
        down("network", err.msg, false);
}

/* ---- presence ---- */

static void publish_online(bool on)
{
    char text[256];
    struct link_mqtt_publish p = {.topic = k.online_topic, .qos = 1, .retain = true};

    (void)str_fmt(text, sizeof(text),
                  "{\"v\":1,\"on\":%s,%s\"conn\":%" PRIu64 ",\"boot\":%" PRIu64
                  ",\"agent\":\"%s\",\"ts\":%" PRIu64 "}",
                  on ? "true" : "false", on ? "" : "\"why\":\"shutdown\",", k.conn, k.boot, LIMPET_VERSION,
                  clock_wall_s());
    p.payload = buf_str(text);
    err_ignore(link_mqtt_publish(k.mqtt, &p, NULL));
}

/* Trust first: the other documents are signed with its keys. On a repeated subscribe the broker resends what
 * it retains. */
static void subscribe_documents(void)
{
    char topic[256];

    loop_timer_del(k.loop, &k.refresh);
    k.missed = k.resumed = false;
    if (str_fmt(topic, sizeof(topic), "%s/trust/+", k.root))
        err_ignore(link_mqtt_subscribe(k.mqtt, topic, false, NULL));
    if (str_fmt(topic, sizeof(topic), "%s/d/%s/desired", k.root, k.device))
        err_ignore(link_mqtt_subscribe(k.mqtt, topic, false, NULL));
    if (str_fmt(topic, sizeof(topic), "%s/g/all/desired", k.root)) /* every device is in the group "all" */
        err_ignore(link_mqtt_subscribe(k.mqtt, topic, false, NULL));
    for (unsigned i = 0; i < json_len(&k.groups); i++) {
        struct json_cur c = json_at(&k.groups, i);
        const char *name;
        if (json_as_str(&c, LIM_NAME_BYTES, &name, NULL) == 0 &&
            str_fmt(topic, sizeof(topic), "%s/g/%s/desired", k.root, name))
            err_ignore(link_mqtt_subscribe(k.mqtt, topic, false, NULL));
    }
}

static void subscribe_all(void)
{
    char topic[256];

    subscribe_documents();
    if (str_fmt(topic, sizeof(topic), "%s/d/%s/cmd/+", k.root, k.device))
        err_ignore(link_mqtt_subscribe(k.mqtt, topic, false, NULL));
    /* not our own births: the broker would queue them for us, and they would look like another device's */
    if (str_fmt(topic, sizeof(topic), "%s/d/%s/online", k.root, k.device))
        err_ignore(link_mqtt_subscribe(k.mqtt, topic, true, NULL));
}

/* The session still exists, so what was published meanwhile will arrive, unless the broker's queue for us was
 * full. A queue that overflowed is not empty: on the first queued message we request all that is retained
 * (mqtt_message). What filled it may have expired, and a broker may have lost queued messages: so all is
 * requested again within a day, at a different time on each device. */
static void session_is_there(void)
{
    uint32_t r = 0;

    log_info("the broker kept our session: nothing is subscribed to again");
    k.resumed = true;
    if (k.refresh.at_ms)
        return;
    (void)!getrandom(&r, sizeof(r), 0);
    loop_timer_set(k.loop, &k.refresh, clock_boot_ms() + LINK_REFRESH_MS / 2 + r % (LINK_REFRESH_MS / 2));
}

static void refresh_fired(struct loop_timer *t)
{
    (void)t;
    k.missed = true; /* if not connected: the next time */
    if (k.up)
        subscribe_documents();
}

static void mqtt_up(void *arg, int protocol, bool subscribed)
{
    char text[32];

    (void)arg;
    k.up = true;
    k.up_ms = clock_boot_ms();
    loop_timer_del(k.loop, &k.deadline);
    loop_timer_set(k.loop, &k.stable, k.up_ms + LINK_STABLE_MS);
    link_pump_keep(k.pump);
    if (link_pump_is_resumed(k.pump))
        log_info("the TLS session was resumed");
    publish_online(true); /* before we receive our own old "offline" */
    if (subscribed && !k.missed)
        session_is_there();
    else
        subscribe_all();
    (void)str_fmt(text, sizeof(text), "up %d", protocol);
    link_outbox_state(&k.outbox, text);
}

static void mqtt_down(void *arg, const char *why, bool taken_over)
{
    (void)arg;
    if (k.stopping && !k.up) /* our DISCONNECT is on its way: the pump sends it, then reports down */
        return;
    if (taken_over) /* two devices with one client id disconnect each other: back off, report */
        down("conflict", "another client connected with this device's id", true);
    else
        down("network", why, false);
}

static void mqtt_ack(void *arg, uint32_t id, int reason)
{
    (void)arg;
    link_outbox_ack(&k.outbox, id, reason);
}

/* ---- from the broker to core ---- */

/* How core receives it: trust documents with the version in the topic. */
static const char *name_of(const struct outbox_item *item)
{
    return strcmp(item->source, "trust") == 0 ? item->key : item->source;
}

static bool pass_document(const struct outbox_item *item)
{
    char line[LIM_NAME_BYTES + 300];
    struct err err = ERR_INIT;

    AUTO_FREE(envelope) struct envelope *e = NULL;

    if (strcmp(item->key, "online") == 0)
        return send_core(
            buf_str("bad device another client is online as this device: somebody has the same certificate"));
    if (item->len == 0) {
        (void)str_fmt(line, sizeof(line), "clear %s", name_of(item));
        return send_core(buf_str(line));
    }
    if (envelope_parse(buf_of(item->bytes, item->len), &e, &err) < 0) {
        (void)str_fmt(line, sizeof(line), "bad %s %.200s", name_of(item), err.msg);
        return send_core(buf_str(str_clean(line)));
    }
    size_t packed_len, head = (size_t)snprintf(line, sizeof(line), "doc %s\n", name_of(item));
    uint8_t AUTO_MEM *packed = envelope_pack(e, &packed_len);
    uint8_t AUTO_MEM *msg = mem_need(head + packed_len);
    memcpy(msg, line, head);
    memcpy(msg + head, packed, packed_len);
    return send_core(buf_of(msg, head + packed_len));
}

static bool is_token(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s >= 0x7f || *s == '+' || *s == '#')
            return false;
    return true;
}

/* Names and numbers only: core gets no free text. */
static int read_command(const struct json_cur *root, const char *verb, char *dst, size_t size,
                        struct err *err)
{
    const char *id, *reply, *app = "-";
    char own[200];
    uint64_t exp, lines = 20, v;

    if (json_get_u64(root, "v", JSON_REQUIRED, 1, 1, &v, err) < 0 ||
        json_get_str(root, "id", JSON_REQUIRED, 63, &id, err) < 0 ||
        json_get_str(root, "reply", JSON_REQUIRED, 255, &reply, err) < 0 ||
        json_get_u64(root, "exp", JSON_REQUIRED, 0, LIM_INTEGER, &exp, err) < 0 ||
        json_get_str(root, "app", JSON_OPTIONAL, LIM_NAME_BYTES, &app, err) < 0 ||
        json_get_u64(root, "lines", JSON_OPTIONAL, 1, 10000, &lines, err) < 0)
        return -(int)ERR_INVALID;
    (void)str_fmt(own, sizeof(own), "%s/d/%s/reply/", k.root, k.device);
    if (strncmp(reply, own, strlen(own)) != 0 || !str_is_name(reply + strlen(own)))
        return err_set(err, ERR_DENIED, "the reply topic is not below %s", own);
    if (!str_is_name(verb) || !is_token(id) || (strcmp(app, "-") != 0 && !str_is_name(app)))
        return err_set(err, ERR_INVALID, "invalid verb, id or app");
    (void)str_fmt(dst, size, "cmd %s %s %s %" PRIu64 " %s %" PRIu64, verb, id, reply + strlen(own), exp, app,
                  lines);
    return 0;
}

static bool pass_command(const struct outbox_item *item)
{
    char line[600];
    struct err err = ERR_INIT;
    struct json_cur root = {.node = NULL};
    int rc = item->retained ? err_set(&err, ERR_DENIED, "a retained command is refused")
                            : json_parse(buf_of(item->bytes, item->len), &json_limits_signed, &root, &err);

    if (rc == 0)
        rc = read_command(&root, item->key, line, sizeof(line), &err);
    (void)json_free(root.node);
    if (rc < 0)
        (void)str_fmt(line, sizeof(line), "bad cmd %.200s", err.msg);
    return send_core(buf_str(str_clean(line)));
}

static bool pass_on(void *arg, const struct outbox_item *item)
{
    (void)arg;
    return strcmp(item->source, "cmd") == 0 ? pass_command(item) : pass_document(item);
}

static void flush(void)
{
    static const struct outbox_calls calls = {say, pass_on, NULL};
    bool waits = link_outbox_flush(&k.outbox, &calls);

    if (waits != k.wants_room) {
        k.wants_room = waits;
        err_ignore(loop_fd_mod(k.loop, &k.core, EPOLLIN | (waits ? EPOLLOUT : 0U), NULL));
    }
    link_mqtt_pause(k.mqtt, link_outbox_is_full(&k.outbox));
}

/* A presence message about us. If another process published it as online, two devices share one
 * certificate. */
static void take_online(const char *key, struct buf payload, bool retained)
{
    char ours[40];

    (void)str_fmt(ours, sizeof(ours), "\"conn\":%" PRIu64 ",", k.conn);
    if (!k.stopping && memmem(payload.p, payload.len, "\"on\":false", 10))
        publish_online(true); /* it says offline while we are connected */
    else if (!k.stopping && !retained && payload.len && !memmem(payload.p, payload.len, ours, strlen(ours)))
        link_outbox_put(&k.outbox, "device", key, payload, retained);
}

static void mqtt_message(void *arg, const char *topic, struct buf payload, bool retained)
{
    char own[200], source[LIM_NAME_BYTES + 8];
    size_t root_len = strlen(k.root), own_len;

    (void)arg;
    if (k.resumed && !retained) { /* the first one: from the broker's queue, or live after a quiet minute */
        k.resumed = false;
        if (clock_boot_ms() - k.up_ms < LINK_STABLE_MS)
            subscribe_documents();
    }
    if (strncmp(topic, k.root, root_len) != 0 || topic[root_len] != '/')
        return;
    topic += root_len + 1;
    own_len = (size_t)snprintf(own, sizeof(own), "d/%s/", k.device);
    if (strncmp(topic, "trust/", 6) == 0) {
        size_t digits = strspn(topic + 6, "0123456789");
        if (digits > 0 && digits < 20 && !topic[6 + digits])
            link_outbox_put(&k.outbox, "trust", topic, payload, retained);
    } else if (strncmp(topic, "g/", 2) == 0) {
        if (str_fmt(source, sizeof(source), "group:%.*s", (int)strcspn(topic + 2, "/"), topic + 2))
            link_outbox_put(&k.outbox, source, topic, payload, retained);
    } else if (strncmp(topic, own, own_len) == 0) {
        topic += own_len;
        if (strcmp(topic, "desired") == 0)
            link_outbox_put(&k.outbox, "device", topic, payload, retained);
        else if (strncmp(topic, "cmd/", 4) == 0)
            link_outbox_put(&k.outbox, "cmd", topic + 4, payload, retained);
        else if (strcmp(topic, "online") == 0)
            take_online(topic, payload, retained);
    }
}

/* ---- from core ---- */

static void core_publishes(char *head, struct buf payload)
{
    unsigned id, qos, retain, expiry;
    char topic[256];
    struct link_mqtt_publish p;

    if (sscanf(head, "pub %u %u %u %u %255s", &id, &qos, &retain, &expiry, topic) != 5)
        return;
    k.published = true;
    p = (struct link_mqtt_publish){id, topic, payload, qos > 1 ? 1 : qos, retain != 0, expiry};
    if (link_mqtt_publish(k.mqtt, &p, NULL) < 0 && id)
        link_outbox_ack(&k.outbox, id, 255); /* not sent: core keeps it */
}

static void goodbye_fired(struct loop_timer *t)
{
    (void)t;
    loop_stop(k.loop);
}

static void core_stops(void)
{
    k.stopping = true;
    if (!k.up) {
        loop_stop(k.loop);
        return;
    }
    publish_online(false);
    loop_timer_set(k.loop, &k.goodbye, clock_boot_ms() + GOODBYE_MS);
}

static void core_ready(struct loop_fd *w, uint32_t events)
{
    static char msg[LIM_MSG_BYTES + 1]; /* static: too large for the stack */
    size_t len = 0;

    (void)events;
    for (;;) {
        int rc = msg_recv(w->fd, msg, LIM_MSG_BYTES, &len, NULL, NULL, NULL);
        if (rc == -(int)ERR_AGAIN)
            return;
        if (rc != 1) {
            loop_stop(k.loop);
            return;
        }
        msg[len] = '\0';
        char *end = memchr(msg, '\n', len);
        if (end)
            *end++ = '\0';
        if (strncmp(msg, "pub ", 4) == 0 && end)
            core_publishes(msg, buf_of(end, len - (size_t)(end - msg)));
        else if (strncmp(msg, "next ", 5) == 0)
            link_outbox_next(&k.outbox, msg + 5);
        else if (strcmp(msg, "again") == 0 && k.up)
            subscribe_documents();
        else if (strcmp(msg, "stop") == 0)
            core_stops();
    }
}

static void after_turn(void *arg)
{
    (void)arg;
    flush();
    if (k.published && link_mqtt_is_idle(k.mqtt)) { /* the more apps, the larger the report */
        k.published = false;
        mem_give_back();
    }
    if (k.stopping && k.up && link_mqtt_is_idle(k.mqtt)) {
        k.up = false;
        (void)link_mqtt_goodbye(k.mqtt);
    }
}

/* ---- start ---- */

static int read_pem(int fd, unsigned i, struct err *err)
{
    char text[16384];
    ssize_t n = fs_read_full(fd, text, sizeof(text) - 1, err);

    if (n == (ssize_t)sizeof(text) - 1)
        return err_set(err, ERR_INVALID, "a PEM file of more than %zu bytes", sizeof(text) - 2);
    if (n < 0)
        return (int)n;
    k.pem[i] = mem_need((size_t)n + 1);
    memcpy(k.pem[i], text, (size_t)n);
    k.pem[i][n] = '\0';
    k.pem_len[i] = (size_t)n;
    explicit_bzero(text, sizeof(text));
    return 0;
}

static int read_config(struct err *err)
{
    static char msg[8192];
    struct json_cur root;
    const char *fleet;
    size_t len;
    int fds[LIM_MSG_FDS];
    unsigned n_fds = 0;
    int rc = msg_recv(LINK_FD, msg, sizeof(msg) - 1, &len, fds, &n_fds, err);

    if (rc != 1 || len < 7 || memcmp(msg, "config\n", 7) != 0)
        return err_set(err, ERR_INVALID, "core sent no settings");
    for (unsigned i = 0; i < n_fds; i++) {
        rc = i < COUNT_OF(k.pem) ? read_pem(fds[i], i, err) : 0;
        (void)close(fds[i]);
        if (rc < 0)
            return rc;
    }
    rc = json_parse(buf_of(msg + 7, len - 7), &json_limits_signed, &root, err);
    if (rc < 0)
        return rc;
    k.config_root = root.node;
    if (json_get_str(&root, "device", JSON_REQUIRED, 63, &k.device, err) < 0 ||
        json_get_str(&root, "fleet", JSON_REQUIRED, 63, &fleet, err) < 0 ||
        json_get_str(&root, "client", JSON_REQUIRED, 127, &k.client, err) < 0 ||
        json_get_str(&root, "host", JSON_REQUIRED, 255, &k.host, err) < 0 ||
        json_get_str(&root, "dir", JSON_REQUIRED, 96, &k.dir, err) < 0 ||
        json_get_u64(&root, "port", JSON_REQUIRED, 1, 65535, &k.port, err) < 0 ||
        json_get_u64(&root, "keepalive_s", JSON_REQUIRED, 5, 1200, &k.keepalive_s, err) < 0 ||
        json_get_u64(&root, "reconnect_s", JSON_REQUIRED, 1, LINK_RETRY_MAX_MS / 1000, &k.reconnect_s, err) <
            0 ||
        json_get_u64(&root, "conn", JSON_REQUIRED, 0, LIM_INTEGER, &k.conn, err) < 0 ||
        json_get_u64(&root, "boot", JSON_REQUIRED, 0, LIM_INTEGER, &k.boot, err) < 0 ||
        json_get_u64(&root, "floor", JSON_REQUIRED, 0, LIM_INTEGER, &k.floor_s, err) < 0 ||
        json_get_bool(&root, "plaintext", JSON_REQUIRED, &k.plaintext, err) < 0 ||
        json_get_u64(&root, "uid", JSON_REQUIRED, 0, UINT32_MAX, &k.uid, err) < 0 ||
        json_get_u64(&root, "gid", JSON_REQUIRED, 0, UINT32_MAX, &k.gid, err) < 0 ||
        json_get_array(&root, "groups", JSON_REQUIRED, LIM_GROUPS, &k.groups, err) < 0)
        return -(int)ERR_INVALID;
    (void)str_fmt(k.root, sizeof(k.root), "limpet1/%s", fleet);
    (void)str_fmt(k.online_topic, sizeof(k.online_topic), "%s/d/%s/online", k.root, k.device);
    (void)str_fmt(k.path, sizeof(k.path), "%s/mqtt", k.dir);
    k.retry.first_ms = k.reconnect_s * 1000;
    return 0;
}

static int start(struct err *err)
{
    struct pump_settings ps = {.port = (uint16_t)k.port, .path = k.path, .plain = k.plaintext};
    struct pump_calls pc = {pump_ready, pump_down, NULL};
    struct mqtt_calls mc = {mqtt_up, mqtt_down, mqtt_message, mqtt_ack, NULL};

    ps.tls = (struct tls_settings){.ca = buf_of(k.pem[0], k.pem_len[0]),
                                   .cert = buf_of(k.pem[1], k.pem_len[1]),
                                   .key = buf_of(k.pem[2], k.pem_len[2]),
                                   .host = k.host,
                                   .time_floor_s = k.floor_s};
    int rc = link_sandbox_enter(k.dir, (uid_t)k.uid, (gid_t)k.gid, err);
    if (rc == 0)
        rc = crypto_init(err); /* after the fork: no two processes share an RNG state */
    if (rc == 0)
        rc = loop_new(&k.loop, err);
    if (rc == 0)
        rc = link_pump_new(k.loop, &ps, &pc, &k.pump, err);
    if (rc == 0)
        rc = link_mqtt_new(k.loop, k.client, &mc, &k.mqtt, err);
    if (rc < 0)
        return rc;
    k.core.on_ready = core_ready;
    k.reconnect.on_fire = reconnect_fired;
    k.deadline.on_fire = deadline_fired;
    k.stable.on_fire = stable_fired;
    k.refresh.on_fire = refresh_fired;
    k.goodbye.on_fire = goodbye_fired;
    (void)fcntl(LINK_FD, F_SETFL, O_NONBLOCK);
    rc = loop_fd_add(k.loop, &k.core, LINK_FD, EPOLLIN, err);
    loop_after_turn(k.loop, after_turn, NULL);
    loop_timer_set(k.loop, &k.reconnect, clock_boot_ms());
    return rc;
}

int main(int argc __attribute__((unused)), char **argv __attribute__((unused)))
{
    struct err err = ERR_INIT;

    mem_stay_small();
    log_init("link", LOG_INFO_, getenv("JOURNAL_STREAM") != NULL);
    (void)prctl(PR_SET_NAME, "agentd-link");
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGPIPE, SIG_IGN);
    if (read_config(&err) < 0 || start(&err) < 0 || loop_run(k.loop, &err) < 0) {
        log_error("%s", err.msg);
        return 1;
    }
    return 0;
}
