#include "agent/turn/ctl.h"
#include "agent/base/ctl_words.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "agent/boxes/log_text.h"
#include "agent/core.h"
#include "agent/decide/preview.h"
#include "agent/turn/observe.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/msg.h"

#define CTL_DEADLINE_MS 5000  /* for a client to send its request */
#define EXEC_ENTER_MS   10000 /* for a program to start in its app */
#define CTL_WORDS       (LIM_ARGS + 4)

struct client {
    struct ctl *ctl;
    struct loop_fd sock;
    struct loop_timer deadline;
    struct app_exec *exec; /* NULL: none running */
    char *out;             /* the part of an answer that the socket did not take yet; NULL: none */
    size_t out_len, out_at;
    bool used;
};
struct ctl {
    struct core *core;
    struct loop_fd listener;
    struct client clients[LIM_CTL_CLIENTS];
};
struct request {
    const char *words[CTL_WORDS + 1];
    unsigned n;
    struct buf doc;
    int fds[LIM_MSG_FDS];
    unsigned n_fds;
};

static void client_end(struct client *k)
{
    struct loop *l = k->ctl->core->loop;
    int fd = k->sock.fd;

    if (!k->used)
        return;
    loop_fd_del(l, &k->sock);
    loop_timer_del(l, &k->deadline);
    if (fd >= 0)
        (void)close(fd);
    if (k->exec) /* nobody reads its output any more */
        app_exec_stop(k->exec);
    k->exec = NULL;
    free(k->out);
    k->out = NULL;
    k->used = false;
}

/* False: the socket is full, nothing was sent. */
static bool answer(struct client *k, char kind, struct buf text)
{
    char AUTO_MEM *msg = mem_need(text.len + 1);

    msg[0] = kind;
    memcpy(msg + 1, text.p, text.len);
    return msg_send(k->sock.fd, buf_of(msg, text.len + 1), NULL, 0, NULL) == 0 ||
           (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* True: all of it was sent, or the client is gone. */
static bool send_pieces(struct client *k, struct buf text, size_t *at)
{
    for (;;) {
        size_t left = text.len - *at, n = left > CTL_PIECE ? CTL_PIECE : left;
        if (!answer(k, n < left ? '=' : '+', buf_of(text.p + *at, n)))
            return false;
        *at += n;
        if (n == left)
            return true;
    }
}

/* A slow reader gets the rest as it reads, with a deadline for each part; core keeps it meanwhile. */
static void answer_text(struct client *k, const char *text)
{
    size_t at = 0, len = strlen(text);

    if (send_pieces(k, buf_of(text, len), &at))
        return;
    k->out = mem_need(len - at + 1);
    memcpy(k->out, text + at, len - at + 1);
    k->out_len = len - at;
    k->out_at = 0;
    loop_timer_set(k->ctl->core->loop, &k->deadline, clock_boot_ms() + CTL_DEADLINE_MS);
    if (loop_fd_mod(k->ctl->core->loop, &k->sock, EPOLLOUT, NULL) < 0)
        k->out_at = k->out_len; /* cut off at what was sent: no final piece */
}

static void answer_json(struct client *k, struct cJSON *take_o)
{
    char AUTO_MEM *text = json_print(take_o, false);

    (void)json_free(take_o);
    answer_text(k, text);
}

/* After a verb: disconnect, unless part of its answer is still pending. */
static void client_served(struct client *k)
{
    if (!k->out)
        client_end(k);
}

static int answer_err(struct client *k, const struct err *err)
{
    char text[ERR_MSG_BYTES + 32];

    (void)str_fmt(text, sizeof(text), "%s %s", err_kind_name(err->kind), err->msg);
    (void)answer(k, '-', buf_str(text));
    return -(int)err->kind;
}

/* ---- verbs: each sends its own answer; negative: the caller answers with err ---- */

static int do_status(struct client *k, const struct request *r, struct err *err)
{
    (void)r;
    (void)err;
    answer_json(k, report_state(k->ctl->core));
    return 0;
}

static int do_history(struct client *k, const struct request *r, struct err *err)
{
    (void)r;
    (void)err;
    answer_json(k, ledger_build(&k->ctl->core->state.ledger));
    return 0;
}

static int do_lines(struct client *k, const char *app, const char *count, struct err *err)
{
    uint64_t n;

    if (!str_u64(count, 1, 100000, &n))
        return err_set(err, ERR_INVALID, "invalid number of lines \"%.20s\"", count);
    char AUTO_MEM *text = log_text(k->ctl->core, app, n);
    if (!text)
        return err_set(err, ERR_NOTFOUND, "%s has no log here", app ? app : "the agent");
    answer_text(k, text);
    return 0;
}

static int do_events(struct client *k, const struct request *r, struct err *err)
{
    return do_lines(k, NULL, r->words[1], err);
}

static int do_log(struct client *k, const struct request *r, struct err *err)
{
    return do_lines(k, r->words[1], r->words[2], err);
}

static int do_apply(struct client *k, const struct request *r, struct err *err)
{
    AUTO_FREE(envelope) struct envelope *e = NULL;
    int rc = envelope_unpack(r->doc, &e, err);

    if (rc == 0)
        rc = intake_document(k->ctl->core, "local", e, err);
    if (rc == 0)
        answer_text(k, "accepted");
    return rc;
}

/* The steps, and why a newer document is not included. */
static void answer_plan(struct client *k)
{
    struct core *c = k->ctl->core;
    const struct state_refused *no = intake_refused(c);
    char AUTO_MEM *text = plan_text(&c->sets.plan);
    char AUTO_MEM *trouble = report_trouble(c);
    char refused[STATE_WHY + 48] = "";

    if (no)
        (void)str_fmt(refused, sizeof(refused), "rev %" PRIu64 " is rejected: %s\n", no->rev, no->why);
    size_t size = strlen(text) + strlen(trouble) + sizeof(refused) + sizeof(c->intake.held_why) + 16;
    char AUTO_MEM *all = mem_need(size);
    (void)str_fmt(all, size, "%s%s%s%s%s%s", text, trouble, refused, c->intake.held_why[0] ? "held: " : "",
                  c->intake.held_why, c->intake.held_why[0] ? "\n" : "");
    answer_text(k, all[0] ? all : "nothing to do\n");
}

static int do_plan(struct client *k, const struct request *r, struct err *err)
{
    struct core *c = k->ctl->core;
    struct set s = {.arena = NULL};

    AUTO_FREE(envelope) struct envelope *e = NULL;
    if (r->doc.len == 0) {
        answer_plan(k);
        return 0;
    }
    int rc = envelope_unpack(r->doc, &e, err);
    if (rc == 0)
        rc = intake_preview(c, e, &s, err);
    if (rc < 0)
        return rc;
    struct observed AUTO_MEM *now = mem_need(sizeof(*now));
    struct observed AUTO_MEM *o = mem_need(sizeof(*o));
    struct plan AUTO_MEM *p = mem_need(sizeof(*p));
    observe(c, now);
    preview_facts(now, &s.d, 1000 * manifest_window_s(&s.d.download, clock_wall_s()), o);
    plan_make(o, clock_boot_ms(), p);
    char AUTO_MEM *text = plan_text(p);
    answer_text(k, text[0] ? text : "nothing to do\n");
    sets_done(&s);
    return 0;
}

static int do_rollback(struct client *k, const struct request *r, struct err *err)
{
    (void)r;
    int rc = intake_rollback(k->ctl->core, err);
    if (rc == 0)
        answer_text(k, "going back");
    return rc;
}

static int do_handover(struct client *k, const struct request *r, struct err *err)
{
    (void)r;
    int rc = keeper_client_hand_over(k->ctl->core, k->sock.fd, err);
    if (rc == 0)
        answer_text(k, "");
    return rc;
}

static void exec_ended(void *arg, int status, const struct err *err)
{
    struct client *k = arg;
    char text[16];

    k->exec = NULL;
    (void)str_fmt(text, sizeof(text), "%d",
                  WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    if (err)
        (void)answer_err(k, err);
    else
        answer_text(k, text);
    client_served(k);
}

static int start_in(struct client *k, const struct request *r, const char *const *args, struct err *err)
{
    struct core *c = k->ctl->core;
    struct app *a = app_find(c, r->words[1]);
    const struct app_exec_calls calls = {.enter_ms = EXEC_ENTER_MS, .on_end = exec_ended, .arg = k};

    if (!a || a->seen.box == BOX_NONE)
        return err_set(err, ERR_CONFLICT, "%.63s is not running here", r->words[1]);
    if (r->n_fds != 3)
        return err_set(err, ERR_INVALID, "exec needs three fds");
    struct box_exec x = {.console_fd = -1,
                         .stdin_fd = r->fds[0],
                         .stdout_fd = r->fds[1],
                         .stderr_fd = r->fds[2],
                         .ctty = r->words[2][0] == '1'};
    int rc = app_exec_start(a, args, &x, &calls, &k->exec, err);
    return rc < 0 ? rc : 1;
}

static int do_exec(struct client *k, const struct request *r, struct err *err)
{
    if (r->doc.p) /* from an agentctl without execv: better refused than truncated */
        return err_set(err, ERR_INVALID,
                       "exec: arguments at or behind an empty one would be lost; use a newer agentctl");
    return start_in(k, r, &r->words[3], err);
}

/* Arguments that may be empty: that many, each NUL-terminated, in place of a document. */
static int do_execv(struct client *k, const struct request *r, struct err *err)
{
    const char *args[LIM_ARGS + 1] = {NULL};
    uint64_t n;
    size_t at = 0;

    if (!str_u64(r->words[3], 1, LIM_ARGS, &n))
        return err_set(err, ERR_INVALID, "invalid number of arguments \"%.20s\": 1 to %d", r->words[3],
                       LIM_ARGS);
    for (uint64_t i = 0; i < n; i++) {
        const char *end = at < r->doc.len ? memchr(r->doc.p + at, '\0', r->doc.len - at) : NULL;
        if (!end)
            return err_set(err, ERR_INVALID, "arguments are cut off");
        args[i] = (const char *)r->doc.p + at;
        at = (size_t)(end - (const char *)r->doc.p) + 1;
    }
    return start_in(k, r, args, err);
}

static const struct ctl_verb {
    const char *name;
    unsigned min_words;                                                    /* including the verb */
    int (*fn)(struct client *k, const struct request *r, struct err *err); /* 1: the answer comes later */
} verbs[] = {
    {"status", 1, do_status},     {"history", 1, do_history}, {"events", 2, do_events},
    {"log", 3, do_log},           {"apply", 1, do_apply},     {"plan", 1, do_plan},
    {"rollback", 1, do_rollback}, {"exec", 4, do_exec},       {"execv", 4, do_execv},
    {"handover", 1, do_handover},
};

/* Words up to an empty one; the rest is the document. */
static int split(char *msg, size_t len, struct request *r, struct err *err)
{
    size_t at = 0;

    while (at < len && msg[at]) {
        char *end = memchr(msg + at, '\0', len - at);
        if (!end || r->n == CTL_WORDS)
            return err_set(err, ERR_INVALID, "request: words are cut off or too many");
        r->words[r->n++] = msg + at;
        at = (size_t)(end - msg) + 1;
    }
    r->words[r->n] = NULL;
    if (at < len)
        r->doc = buf_of(msg + at + 1, len - at - 1);
    return r->n ? 0 : err_set(err, ERR_INVALID, "request: no verb");
}

static int serve(struct client *k, char *msg, size_t len, struct request *r, struct err *err)
{
    int rc = split(msg, len, r, err);

    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < COUNT_OF(verbs); i++)
        if (strcmp(verbs[i].name, r->words[0]) == 0)
            return r->n < verbs[i].min_words ? err_set(err, ERR_INVALID, "%s: too few words", verbs[i].name)
                                             : verbs[i].fn(k, r, err);
    return err_set(err, ERR_UNSUPPORTED, "unknown request \"%.30s\"", r->words[0]);
}

static void client_writable(struct client *k, uint32_t events)
{
    if (!(events & (EPOLLHUP | EPOLLERR)) && !send_pieces(k, buf_of(k->out, k->out_len), &k->out_at)) {
        loop_timer_set(k->ctl->core->loop, &k->deadline, clock_boot_ms() + CTL_DEADLINE_MS);
        return;
    }
    client_end(k);
}

static void client_ready(struct loop_fd *w, uint32_t events)
{
    struct client *k = container_of(w, struct client, sock);
    struct err err = ERR_INIT;
    struct request r = {.n = 0};
    size_t len = 0;

    if (k->out) {
        client_writable(k, events);
        return;
    }
    char AUTO_MEM *msg = mem_need(LIM_CTL_REQUEST_BYTES + 1);
    int got = msg_recv(w->fd, msg, LIM_CTL_REQUEST_BYTES, &len, r.fds, &r.n_fds, &err);
    if (got == -(int)ERR_AGAIN)
        return;
    if (got != 1 || k->exec) { /* disconnected, or sent out of turn */
        client_end(k);
        return;
    }
    msg[len] = '\0';
    loop_timer_del(k->ctl->core->loop, &k->deadline);
    int rc = serve(k, msg, len, &r, &err);
    for (unsigned i = 0; i < r.n_fds; i++)
        (void)close(r.fds[i]);
    if (rc < 0)
        (void)answer_err(k, &err);
    if (rc <= 0)
        client_served(k);
}

static void too_late(struct loop_timer *t)
{
    client_end(container_of(t, struct client, deadline));
}

/* A free slot; else that of the client silent for longest; LIM_CTL_CLIENTS: all are busy. */
static unsigned free_place(struct ctl *ctl)
{
    unsigned oldest = LIM_CTL_CLIENTS;

    for (unsigned i = 0; i < LIM_CTL_CLIENTS; i++) {
        const struct client *k = &ctl->clients[i];
        if (!k->used)
            return i;
        if (k->deadline.at_ms &&
            (oldest == LIM_CTL_CLIENTS || k->deadline.at_ms < ctl->clients[oldest].deadline.at_ms))
            oldest = i;
    }
    if (oldest < LIM_CTL_CLIENTS)
        client_end(&ctl->clients[oldest]);
    return oldest;
}

static void listener_ready(struct loop_fd *w, uint32_t events)
{
    struct ctl *ctl = container_of(w, struct ctl, listener);
    struct ucred cred;
    socklen_t len = sizeof(cred);

    (void)events;
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    unsigned i = free_place(ctl);
    bool may = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid != 0 &&
               (cred.uid == 0 || cred.uid == geteuid());
    if (!may || i == LIM_CTL_CLIENTS) {
        (void)close(fd);
        return;
    }
    struct client *k = &ctl->clients[i];
    *k = (struct client){.ctl = ctl, .used = true};
    k->sock.on_ready = client_ready;
    k->sock.fd = -1;
    k->deadline.on_fire = too_late;
    if (loop_fd_add(ctl->core->loop, &k->sock, fd, EPOLLIN, NULL) < 0) {
        (void)close(fd);
        k->used = false;
        return;
    }
    loop_timer_set(ctl->core->loop, &k->deadline, clock_boot_ms() + CTL_DEADLINE_MS);
}

int ctl_open(struct core *c, struct err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    if (!str_fmt(a.sun_path, sizeof(a.sun_path), "%s/%s", c->config.run_dir, CTL_SOCKET))
        return err_set(err, ERR_INVALID, "run_dir: %s is too long for a unix socket", c->config.run_dir);
    (void)unlink(a.sun_path);
    AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177);
    bool bound =
        fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, LIM_CTL_CLIENTS) == 0;
    (void)umask(before);
    if (!bound)
        return err_errno(err, errno, "control socket %s", a.sun_path);
    struct ctl *ctl = mem_need_zero(sizeof(*ctl));
    ctl->core = c;
    ctl->listener.on_ready = listener_ready;
    int rc = loop_fd_add(c->loop, &ctl->listener, fd, EPOLLIN, err);
    if (rc < 0) {
        free(ctl);
        return rc;
    }
    (void)steal_fd(&fd);
    c->ctl = ctl;
    return 0;
}

void ctl_close(struct core *c)
{
    if (!c->ctl)
        return;
    for (unsigned i = 0; i < LIM_CTL_CLIENTS; i++)
        client_end(&c->ctl->clients[i]);
    int fd = c->ctl->listener.fd;
    loop_fd_del(c->loop, &c->ctl->listener);
    (void)close(fd);
    (void)unlinkat(c->run_fd, CTL_SOCKET, 0);
    free(c->ctl);
    c->ctl = NULL;
}
