/* uplink.c - core's side of link: starts agentd-link, hears it, gives it what is to be sent. See
 * link_words.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/core.h"
#include "agent/link_words.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"
#include "platform/msg.h"
#include "platform/sys.h"

#define REPLY_MAX_BYTES (64 * 1024)
#define LINK_OOM        100 /* it is started again: core and keeper hold more */
#define RESTART_MIN_MS  1000
#define RESTART_MAX_MS  60000
#define REPLY_BYTES     16000

struct uplink {
    struct core *core;
    struct loop_child child;
    struct loop_fd sock;
    struct loop_timer restart;
    bool running, up, stopping;
    unsigned restarts;
    char why[160];
};

bool uplink_is_up(const struct core *c)
{
    return c->uplink && c->uplink->up;
}

bool uplink_is_gone(const struct core *c)
{
    return !c->uplink || !c->uplink->running;
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
    if (!up)
        for (unsigned i = 0; i < u->core->n_events; i++)
            u->core->events[i].wait_id = 0; /* what was under way is sent again */
    u->core->report_dirty = true;
    if (up)
        u->core->report_at_ms = 0;
    core_touch(u->core);
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
    return msg_send(c->uplink->sock.fd, buf_of(msg, strlen(head) + len), NULL, 0, NULL) == 0;
}

/* ---- commands ---- */

struct command {
    char verb[64], id[64], reply[256], app[LIM_NAME_BYTES];
    unsigned long long exp, lines;
};

static void reply(struct core *c, const struct command *k, const char *text, const char *error)
{
    char prefix[200];
    int cut = snprintf(prefix, sizeof(prefix), "limpet1/%s/d/%s/", c->config.fleet, c->config.device);
    size_t len = strlen(text), at = 0;
    for (unsigned n = 0; n == 0 || at < len; n++) {
        char piece[REPLY_BYTES + 1];
        (void)snprintf(piece, sizeof(piece), "%s", text + at);
        at += strlen(piece);
        struct cJSON *o = json_obj();
        json_put_u64(o, "v", 1);
        json_put_str(o, "id", k->id);
        json_put_u64(o, "n", n);
        json_put_bool(o, "more", at < len);
        json_put_str(o, "out", piece);
        if (error) {
            struct cJSON *e = json_put(o, "error", json_obj());
            json_put_str(e, "kind", "invalid");
            json_put_str(e, "msg", error);
        }
        char AUTO_MEM *json = json_print(o, false);
        (void)json_free(o);
        (void)uplink_publish(c, k->reply + cut, json, 1, false, 60, 0);
    }
}

/* What fits into the socket at once: the newest lines, and a word for those that are left out. */
static char *newest_of(const char *text)
{
    size_t len = strlen(text), skip = len > REPLY_MAX_BYTES ? len - REPLY_MAX_BYTES : 0;
    const char *from = skip ? strchr(text + skip, '\n') : NULL;
    char *out = NULL;
    if (!skip)
        return mem_need_str(text);
    from = from ? from + 1 : text + skip;
    if (asprintf(&out, "(%zu bytes of older lines are left out: ask for fewer lines, or on the device)\n%s",
                 (size_t)(from - text), from) < 0)
        abort();
    return out;
}

static void take_command(struct core *c, const char *line)
{
    struct command k;
    if (sscanf(line, "cmd %63s %63s %255s %llu %63s %llu", k.verb, k.id, k.reply, &k.exp, k.app, &k.lines) !=
        6)
        return;
    if (k.exp < clock_wall_s()) {
        event_add(c, "denied", NULL, "command %s %s had expired", k.verb, k.id);
        return;
    }
    if (strcmp(k.verb, "status") == 0) {
        struct cJSON *o = report_state(c);
        char AUTO_MEM *text = json_print(o, false);
        (void)json_free(o);
        reply(c, &k, text, NULL);
    } else if (strcmp(k.verb, "logs") == 0 || strcmp(k.verb, "events") == 0) {
        char AUTO_MEM *text = ctl_log_text(c, strcmp(k.verb, "logs") == 0 ? k.app : NULL, k.lines);
        char AUTO_MEM *newest = text ? newest_of(text) : NULL;
        reply(c, &k, newest ? newest : "", newest ? NULL : "there is no such app");
    } else {
        reply(c, &k, "", "unknown command: status, logs, events");
    }
}

/* ---- what link says ---- */

static void take_document(struct core *c, char *head, struct buf packed)
{
    struct err err = ERR_INIT;
    AUTO_FREE(envelope) struct envelope *e = NULL;
    if (envelope_unpack(packed, &e, &err) == 0)
        (void)intake_document(c, head + 4, e, &err); /* refusals tell themselves */
    else
        log_error("link: %s", err.msg);
}

static void hear(struct core *c, char *msg, size_t len)
{
    unsigned id, code;
    char *end = memchr(msg, '\n', len);
    if (end)
        *end = '\0';
    if (strncmp(msg, "doc ", 4) == 0 && end) {
        take_document(c, msg, buf_of(end + 1, len - (size_t)(end + 1 - msg)));
    } else if (strncmp(msg, "up ", 3) == 0) {
        set_up(c->uplink, true, "");
        events_send(c);
    } else if (strncmp(msg, "down ", 5) == 0) {
        set_up(c->uplink, false, msg + 5);
        log_info("link: %s", msg + 5);
    } else if (sscanf(msg, "ack %u %u", &id, &code) == 2) {
        events_acked(c, id,
                     code != 255); /* 255: link could not send it; a broker's refusal will not change */
    } else if (strncmp(msg, "bad ", 4) == 0) {
        event_add(c, "denied", NULL, "%s", msg + 4);
    } else if (strncmp(msg, "clear ", 6) == 0) {
        intake_clear(c, msg + 6);
    } else if (strncmp(msg, "cmd ", 4) == 0) {
        take_command(c, msg);
    }
}

static void sock_ready(struct loop_fd *w, uint32_t events)
{
    struct uplink *u = container_of(w, struct uplink, sock);
    char AUTO_MEM *msg = mem_need(LIM_MSG_BYTES + 1);
    size_t len = 0;
    (void)events;
    for (;;) {
        int rc = msg_recv(w->fd, msg, LIM_MSG_BYTES, &len, NULL, NULL, NULL);
        if (rc == 1) {
            msg[len] = '\0';
            hear(u->core, msg, len);
        } else if (rc != -(int)ERR_INVALID) {
            if (rc == 0) { /* its exit follows */
                int fd = w->fd;
                loop_fd_del(u->core->loop, w);
                (void)close(fd);
            }
            return;
        }
    }
}

/* ---- the process ---- */

static void link_exited(struct loop_child *child, int status)
{
    struct uplink *u = container_of(child, struct uplink, child);
    int fd = u->sock.fd;
    u->running = false;
    loop_fd_del(u->core->loop, &u->sock);
    if (fd >= 0)
        (void)close(fd);
    set_up(u, false, "the link process ended");
    if (u->stopping)
        return;
    unsigned doublings = u->restarts++ < 6 ? u->restarts : 6;
    uint64_t wait = (uint64_t)RESTART_MIN_MS << doublings;
    wait = wait > RESTART_MAX_MS ? RESTART_MAX_MS : wait;
    log_warn("link ended (%d); again in %llu ms", status, (unsigned long long)wait);
    loop_timer_set(u->core->loop, &u->restart, clock_boot_ms() + wait);
}

static void link_main(struct core *c, int fd)
{
    char program[300], name[] = "agentd: link", *argv[] = {name, NULL};
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)str_fmt(program, sizeof(program), "%s/agentd-link", c->libexec);
    int high = fcntl(fd, F_DUPFD_CLOEXEC, LINK_FD + 1);
    if (high < 0 || dup2(high, LINK_FD) < 0)
        _exit(126);
    sys_close_from(LINK_FD + 1, NULL, 0);
    (void)execv(program, argv);
    log_error("start %s: %s", program, strerror(errno));
    _exit(127);
}

/* Core opens the key files, link reads them: link's user cannot. */
static unsigned open_pems(struct core *c, int fds[3])
{
    const char *const paths[] = {c->config.mqtt_ca, c->config.mqtt_cert, c->config.mqtt_key};
    unsigned n = 0;
    for (unsigned i = 0; i < COUNT_OF(paths) && paths[i][0]; i++) {
        fds[n] = open(paths[i], O_RDONLY | O_CLOEXEC);
        if (fds[n] < 0) {
            log_error("open %s: %s", paths[i], strerror(errno));
            break;
        }
        n++;
    }
    return n;
}

static int send_config(struct core *c, int fd, struct err *err)
{
    char dir[300];
    int fds[3];
    struct cJSON *o = json_obj();
    (void)str_fmt(dir, sizeof(dir), "%s/link", c->config.run_dir);
    json_put_str(o, "device", c->config.device);
    json_put_str(o, "fleet", c->config.fleet);
    json_put_str(o, "host", c->config.mqtt_host);
    json_put_str(o, "dir", dir);
    json_put_u64(o, "port", c->config.mqtt_port);
    json_put_u64(o, "keepalive_s", c->config.keepalive_s);
    json_put_u64(o, "conn", c->state.ledger.links * 65536);
    json_put_u64(o, "boot", c->state.ledger.boots);
    json_put_u64(o, "floor", c->state.ledger.time_floor_s);
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
    unsigned n = open_pems(c, fds);
    int rc = msg_send(fd, buf_str(msg), fds, n, err);
    for (unsigned i = 0; i < n; i++)
        (void)close(fds[i]);
    return rc;
}

static int start_process(struct core *c, struct err *err)
{
    struct uplink *u = c->uplink;
    int mine = -1, theirs = -1;
    c->state.ledger.links++; /* durable before the number is used: a late will of an older link must lose */
    int rc = state_save(&c->state, err);
    if (rc == 0)
        rc = msg_pair(&mine, &theirs, err);
    if (rc < 0)
        return rc;
    pid_t pid = fork();
    if (pid == 0) {
        sys_oom_raise(LINK_OOM, -1000);
        link_main(c, theirs);
    }
    (void)close(theirs);
    rc = pid < 0 ? err_errno(err, errno, "fork") : send_config(c, mine, err);
    if (rc == 0)
        rc = loop_child_add(c->loop, &u->child, pid, err);
    (void)fcntl(mine, F_SETFL, O_NONBLOCK);
    if (rc == 0)
        rc = loop_fd_add(c->loop, &u->sock, mine, EPOLLIN, err);
    if (rc < 0) {
        (void)close(mine);
        return err_wrap(err, "start link");
    }
    u->running = true;
    return 0;
}

static void restart_fired(struct loop_timer *t)
{
    struct uplink *u = container_of(t, struct uplink, restart);
    struct err err = ERR_INIT;
    if (start_process(u->core, &err) < 0) {
        log_error("%s", err.msg);
        loop_timer_set(u->core->loop, t, clock_boot_ms() + RESTART_MAX_MS);
    }
}

int uplink_start(struct core *c, struct err *err)
{
    int AUTO_FD dir = -1;
    if (!c->config.mqtt_host[0])
        return 0;
    int rc = fs_open_dir(c->run_fd, "link", true, 0700, &dir, err);
    if (rc == 0 && geteuid() == 0 && fchown(dir, c->uid, c->gid) < 0)
        rc = err_errno(err, errno, "the folder of link");
    if (rc < 0)
        return rc;
    struct uplink *u = mem_need_zero(sizeof(*u));
    u->core = c;
    u->sock = (struct loop_fd){.fd = -1, .on_ready = sock_ready};
    u->child.on_exit = link_exited;
    u->child.pidfd = -1;
    u->restart.on_fire = restart_fired;
    c->uplink = u;
    set_up(u, false, "connecting");
    return start_process(c, err);
}

void uplink_stop(struct core *c)
{
    struct uplink *u = c->uplink;
    if (!u)
        return;
    u->stopping = true;
    loop_timer_del(c->loop, &u->restart);
    if (u->sock.fd >= 0)
        (void)msg_send(u->sock.fd, BUF_LIT("stop"), NULL, 0, NULL);
}
