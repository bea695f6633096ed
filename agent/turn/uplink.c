/* uplink.c - starts agentd-link, receives its messages, sends it what is to be published. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/link/link_words.h"
#include "agent/turn/uplink_int.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"
#include "platform/msg.h"
#include "platform/sys.h"

#define LINK_OOM       100 /* killed before core and keeper, which hold more: it is simply restarted */
#define RESTART_MIN_MS 1000
#define RESTART_MAX_MS 60000
#define STABLE_MS      60000
#define STOP_MS        4000 /* link itself disconnects within 2 s */
#define HEAR_A_TURN    4    /* messages; then core serves everything else before it reads more */

/* Documents cost a signature check per key and signature; a sequence of trust documents arrives at once. */
static const struct bucket_rate rate = {8, 1000}, trust_rate = {LIM_TRUST_STEPS, 1000},
                                state_rate = {32, 1000};

bool uplink_is_up(const struct core *c)
{
    return c->uplink && c->uplink->up;
}

bool uplink_is_gone(const struct core *c)
{
    return !c->uplink || !c->uplink->running;
}

uint64_t uplink_connection(const struct core *c)
{
    return c->uplink ? c->uplink->connection : 0;
}

const char *uplink_text(const struct core *c)
{
    return !c->uplink ? "no broker configured" : c->uplink->up ? "online" : c->uplink->why;
}

static void set_up(struct uplink *u, bool up, const char *why)
{
    u->up = up;
    (void)str_fmt(u->why, sizeof(u->why), "%s", why);
    (void)str_clean(u->why);
    uplink_reply_drop(u);
    events_lost(u->core); /* what was outstanding is sent again */
    u->connection++;
    core_touch(u->core);
}

/* ---- to link ---- */

static void watch_sock(struct uplink *u)
{
    if (u->sock.fd >= 0)
        err_ignore(loop_fd_mod(u->core->loop, &u->sock, EPOLLIN | (u->wants_room ? EPOLLOUT : 0U), NULL));
}

bool uplink_say(struct uplink *u, struct buf msg)
{
    int rc = u->sock.fd < 0 ? -(int)ERR_NET : msg_send(u->sock.fd, msg, NULL, 0, NULL);

    if (rc == -(int)ERR_AGAIN && !u->wants_room) {
        u->wants_room = true;
        watch_sock(u);
    }
    return rc == 0;
}

bool uplink_publish(struct core *c, const char *topic, const char *json, unsigned qos, bool retain,
                    uint32_t expiry_s, uint32_t id)
{
    char head[300];

    if (!uplink_is_up(c))
        return false;
    size_t len = strlen(json);
    if (!str_fmt(head, sizeof(head), "pub %u %u %d %u limpet1/%s/d/%s/%s\n", id, qos, retain, expiry_s,
                 c->config.fleet, c->config.device, topic) ||
        strlen(head) + len > LIM_MSG_BYTES)
        return false;
    uint8_t AUTO_MEM *msg = mem_need(strlen(head) + len);
    memcpy(msg, head, strlen(head));
    memcpy(msg + strlen(head), json, len);
    return uplink_say(c->uplink, buf_of(msg, strlen(head) + len));
}

void uplink_turn(struct core *c)
{
    const char *json;
    uint32_t id;

    while (uplink_is_up(c) && !c->uplink->wants_room && (json = events_next(c, &id)) != NULL) {
        if (!uplink_publish(c, "event", json, 1, false, 0, id))
            return;
        events_sent(c, id);
    }
}

bool uplink_ask_again(struct core *c)
{
    return uplink_is_up(c) && uplink_say(c->uplink, BUF_LIT("again"));
}

/* Ask for the next message of each source that is due. A command is due once the answer to the last one is
 * out. */
static void pay(struct uplink *u)
{
    char text[LIM_NAME_BYTES + 16], source[LIM_NAME_BYTES + 8];
    uint64_t now = clock_boot_ms(), at = 0;

    for (unsigned i = 0; i < SAID_SOURCES; i++) {
        struct uplink_source *s = &u->sources[i];
        if (!s->owed || (i == SAID_COMMAND && u->reply.text))
            continue;
        if (s->next_ms > now) {
            at = at == 0 || s->next_ms < at ? s->next_ms : at;
        } else if (uplink_said_source_text(&u->core->config, i, source, sizeof(source)) &&
                   str_fmt(text, sizeof(text), "next %s", source) && uplink_say(u, buf_str(text))) {
            s->owed = false;
            s->open = true;
        }
    }
    if (at)
        loop_timer_set(u->core->loop, &u->pay, at);
}

static void pay_fired(struct loop_timer *t)
{
    pay(container_of(t, struct uplink, pay));
}

/* ---- from link ---- */

static void take_document(struct core *c, const struct said *s)
{
    struct err err = ERR_INIT;

    AUTO_FREE(envelope) struct envelope *e = NULL;
    if (envelope_unpack(s->packed, &e, &err) == 0)
        c->uplink->calls.on_document(c, s->source_text, e);
    else
        log_error("link: %s", err.msg);
}

static void take_bad(struct core *c, const struct said *s)
{
    events_add(c, "denied", NULL, "%s: %s", s->source_text, s->text);
}

static void take_clear(struct core *c, const struct said *s)
{
    c->uplink->calls.on_clear(c, s->source_text);
}

static void take_command(struct core *c, const struct said *s)
{
    uplink_command(c->uplink, &s->command);
}

static void take_up(struct core *c, const struct said *s)
{
    (void)s;
    set_up(c->uplink, true, "");
}

static void take_down(struct core *c, const struct said *s)
{
    if (strcmp(s->text, c->uplink->why) != 0)
        log_info("link: %s", s->text);
    set_up(c->uplink, false, s->text);
}

static void take_ack(struct core *c, const struct said *s)
{
    if (s->id >= UPLINK_REPLY_ID)
        uplink_reply_acked(c->uplink, s->sent);
    else
        events_acked(c, s->id, s->sent);
}

static const struct {
    void (*take)(struct core *c, const struct said *s);
    bool on_demand; /* one at a time per source, when core asks */
    bool changes_state;
} word_table[] = {
    [SAID_DOC] = {take_document, true, false}, [SAID_BAD] = {take_bad, true, false},
    [SAID_CLEAR] = {take_clear, true, false},  [SAID_CMD] = {take_command, true, false},
    [SAID_UP] = {take_up, false, true},        [SAID_DOWN] = {take_down, false, true},
    [SAID_ACK] = {take_ack, false, false},
};

/* A link that breaks the protocol is no longer trusted: it is killed. */
static int hear(struct uplink *u, char *msg, size_t len, struct err *err)
{
    struct said s;
    uint64_t now = clock_boot_ms();
    int rc = uplink_said_parse(&u->core->config, msg, len, &s, err);

    if (rc < 0)
        return rc;
    struct uplink_source *from = &u->sources[s.source];
    if (word_table[s.word].on_demand && !from->open)
        return err_set(err, ERR_INVALID, "more from %s than it was asked for", s.source_text);
    if (word_table[s.word].changes_state && bucket_take(&u->states, state_rate, now) > now)
        return err_set(err, ERR_INVALID, "connection goes up and down too often");
    if (word_table[s.word].on_demand) {
        from->open = false;
        from->owed = true;
        from->next_ms = bucket_take(&from->bucket, s.source == SAID_TRUST ? trust_rate : rate, now);
    }
    word_table[s.word].take(u->core, &s);
    pay(u);
    return 0;
}

static void close_sock(struct uplink *u)
{
    int fd = u->sock.fd;

    loop_fd_del(u->core->loop, &u->sock);
    if (fd >= 0)
        (void)close(fd);
}

/* What did not fit before. */
static void go_on(struct uplink *u)
{
    u->wants_room = false;
    watch_sock(u);
    uplink_reply_go_on(u);
    pay(u);
    core_touch(u->core);
}

static void sock_ready(struct loop_fd *w, uint32_t events)
{
    struct uplink *u = container_of(w, struct uplink, sock);
    char AUTO_MEM *msg = mem_need(LIM_MSG_BYTES + 1);
    size_t len = 0;
    struct err err = ERR_INIT;
    int rc = 1;

    if (events & EPOLLOUT)
        go_on(u);
    for (unsigned n = 0; n < HEAR_A_TURN && rc == 1; n++) {
        rc = msg_recv(w->fd, msg, LIM_MSG_BYTES, &len, NULL, NULL, &err);
        if (rc == 1 && hear(u, msg, len, &err) < 0)
            rc = -(int)ERR_INVALID;
    }
    if (rc == -(int)ERR_INVALID) {
        log_error("link violates the protocol and is killed: %s", err.msg);
        (void)kill(u->child.pid, SIGKILL);
    }
    if (rc != 1 && rc != -(int)ERR_AGAIN)
        close_sock(u); /* its exit follows */
}

/* ---- the process ---- */

static void start_again(struct uplink *u, const char *why)
{
    uint64_t now = clock_boot_ms();

    u->restarts = u->since_ms && now - u->since_ms > STABLE_MS ? 0 : u->restarts;
    uint64_t wait = (uint64_t)RESTART_MIN_MS << (u->restarts < 6 ? u->restarts : 6);
    wait = wait > RESTART_MAX_MS ? RESTART_MAX_MS : wait;
    u->restarts++;
    if (strcmp(why, u->why) != 0)
        log_warn("%s; again in %" PRIu64 " ms", why, wait);
    set_up(u, false, why);
    loop_timer_set(u->core->loop, &u->restart, now + wait);
}

static void link_exited(struct loop_child *child, int status)
{
    struct uplink *u = container_of(child, struct uplink, child);
    char why[sizeof(u->why)];

    u->running = false;
    loop_timer_del(u->core->loop, &u->pay);
    close_sock(u);
    /* it may have given a reason before it exited */
    (void)str_fmt(why, sizeof(why), "%s", u->up || !u->why[0] ? "the link process ended" : u->why);
    log_warn("link ended (%s %d)", WIFSIGNALED(status) ? "signal" : "status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (u->stopping)
        set_up(u, false, why);
    else
        start_again(u, why);
}

static void link_main(struct core *c, int fd)
{
    char program[300], name[] = "agentd: link", *argv[] = {name, NULL};

    (void)str_fmt(program, sizeof(program), "%s/agentd-link", c->libexec);
    int rc = sys_exec(program, argv, environ, &fd, 1);
    log_error("start %s: %s", program, strerror(-rc));
    _exit(127);
}

/* Core opens the key files and passes them to link, whose user cannot. If one that is configured cannot be
 * opened, link is not started. */
static int open_pems(struct core *c, int fds[3], unsigned *ret_n, struct err *err)
{
    const char *const paths[] = {c->config.mqtt_ca, c->config.mqtt_cert, c->config.mqtt_key};
    struct stat st;

    for (*ret_n = 0; *ret_n < COUNT_OF(paths) && paths[*ret_n][0]; (*ret_n)++) {
        AUTO_FD int fd = open(paths[*ret_n], O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
            return err_errno(err, errno, "no link without it: open %s", paths[*ret_n]);
        if (!S_ISREG(st.st_mode) || st.st_size == 0)
            return err_set(err, ERR_INVALID, "no link without it: %s is %s", paths[*ret_n],
                           S_ISREG(st.st_mode) ? "empty" : "not a file");
        fds[*ret_n] = steal_fd(&fd);
    }
    return 0;
}

static int send_config(struct core *c, int fd, const int *pems, unsigned n_pems, struct err *err)
{
    char dir[300];
    struct cJSON *o = json_obj();

    (void)str_fmt(dir, sizeof(dir), "%s/link", c->config.run_dir);
    json_put_str(o, "device", c->config.device);
    json_put_str(o, "fleet", c->config.fleet);
    json_put_str(o, "client", c->uplink->client);
    json_put_str(o, "host", c->config.mqtt_host);
    json_put_str(o, "dir", dir);
    json_put_u64(o, "port", c->config.mqtt_port);
    json_put_u64(o, "keepalive_s", c->config.keepalive_s);
    json_put_u64(o, "reconnect_s", c->config.reconnect_s);
    json_put_u64(o, "conn", c->state.ledger.links * 65536);
    json_put_u64(o, "boot", c->state.ledger.boots);
    json_put_u64(o, "floor", c->state.ledger.time_floor_s);
    json_put_bool(o, "plaintext", c->config.mqtt_plaintext);
    json_put_u64(o, "uid", c->uid);
    json_put_u64(o, "gid", c->gid);
    struct cJSON *groups = json_put(o, "groups", json_arr());
    for (unsigned i = 0; i < c->config.n_groups; i++)
        json_push_str(groups, c->config.groups[i]);
    char AUTO_MEM *json = json_print(o, false);
    (void)json_free(o);
    size_t size = strlen(json) + 8;
    char AUTO_MEM *msg = mem_need(size);
    (void)str_fmt(msg, size, "config\n%s", json);
    return msg_send(fd, buf_str(msg), pems, n_pems, err); /* queued in the socket */
}

static int add_process(struct uplink *u, pid_t pid, int sock, struct err *err)
{
    int rc = loop_child_add(u->core->loop, &u->child, pid, err);

    if (rc == 0)
        rc = loop_fd_add(u->core->loop, &u->sock, sock, EPOLLIN, err);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < SAID_SOURCES; i++) {
        u->sources[i].open = true;
        u->sources[i].owed = false;
    }
    u->wants_room = false;
    u->running = true;
    u->since_ms = clock_boot_ms();
    return 0;
}

static int start_process(struct core *c, struct err *err)
{
    AUTO_FD int mine = -1, AUTO_FD theirs = -1;
    int pems[3];
    unsigned n_pems = 0;
    int rc = open_pems(c, pems, &n_pems, err);

    if (rc == 0)
        ledger_count_link(
            &c->state.ledger); /* durable before it is used: a late will of an older link must lose */
    if (rc == 0)
        rc = state_save(&c->state, err);
    if (rc == 0)
        rc = msg_pair(&mine, &theirs, err);
    if (rc == 0)
        rc = send_config(c, mine, pems, n_pems, err);
    while (n_pems > 0)
        (void)close(pems[--n_pems]);
    if (rc < 0)
        return rc;
    pid_t pid = fork();
    if (pid == 0) {
        sys_oom_raise(LINK_OOM, -1000);
        link_main(c, theirs);
    }
    if (pid < 0)
        return err_errno(err, errno, "start link: fork");
    (void)fcntl(mine, F_SETFL, O_NONBLOCK);
    rc = add_process(c->uplink, pid, mine, err);
    if (rc == 0)
        (void)steal_fd(&mine);
    return rc < 0 ? err_wrap(err, "start link") : 0; /* a link without a socket exits by itself */
}

static void try_start(struct uplink *u)
{
    struct err err = ERR_INIT;

    if (start_process(u->core, &err) < 0)
        start_again(u, err.msg);
}

static void restart_fired(struct loop_timer *t)
{
    try_start(container_of(t, struct uplink, restart));
}

/* When two clients share an id brokers disconnect the older one, whoever it is: an id that nobody else knows
 * avoids that. Rights follow from the certificate's name. */
static int choose_client(struct uplink *u, struct err *err)
{
    uint64_t secret = 0;
    int rc = crypto_random(&secret, sizeof(secret), err);

    if (rc == 0 && !str_fmt(u->client, sizeof(u->client), "%s-%016" PRIx64, u->core->config.device, secret))
        rc = err_set(err, ERR_INVALID, "device: too long for a client id");
    return rc;
}

int uplink_start(struct core *c, const struct uplink_calls *calls, struct err *err)
{
    AUTO_FD int dir = -1;

    if (!c->config.mqtt_host[0])
        return 0;
    int rc = fs_open_dir(c->run_fd, "link", true, 0700, &dir, err);
    if (rc == 0 && geteuid() == 0 && fchown(dir, c->uid, c->gid) < 0)
        rc = err_errno(err, errno, "the directory of link");
    if (rc < 0)
        return rc;
    struct uplink *u = mem_need_zero(sizeof(*u));
    u->core = c;
    u->calls = *calls;
    u->sock = (struct loop_fd){.fd = -1, .on_ready = sock_ready};
    u->child.on_exit = link_exited;
    u->child.pidfd = -1;
    u->restart.on_fire = restart_fired;
    u->pay.on_fire = pay_fired;
    rc = choose_client(u, err);
    if (rc < 0) {
        free(u);
        return rc;
    }
    c->uplink = u;
    set_up(u, false, "connecting");
    try_start(u);
    return 0;
}

static void stop_fired(struct loop_timer *t)
{
    struct uplink *u = container_of(t, struct uplink, restart);

    if (u->running)
        (void)kill(u->child.pid, SIGKILL);
}

void uplink_stop(struct core *c)
{
    struct uplink *u = c->uplink;

    if (!u)
        return;
    u->stopping = true;
    loop_timer_del(c->loop, &u->pay);
    (void)uplink_say(u, BUF_LIT("stop"));
    u->restart.on_fire = stop_fired;
    loop_timer_set(c->loop, &u->restart, clock_boot_ms() + STOP_MS);
}
