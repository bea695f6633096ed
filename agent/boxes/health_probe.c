/* health_probe.c - one health probe at a time per app: exec in the box, or an HTTP or TCP request from its
 * network namespace. The sample goes to health_judge (pure); what follows from it is up to the plan. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "agent/boxes/health_probe.h"
#include "agent/core.h"
#include "platform/clock.h"

#define ANSWER_BYTES 64 /* only "HTTP/1.1 200 ..." is examined */
#define REST_BYTES \
    (1 << 20)        /* and this much of the rest is drained, so that the program can finish writing */
#define REST_MS 1000 /* if it has sent everything and does not close */

struct health_probe {
    struct app *app;
    struct loop_fd sock;
    struct app_exec *exec; /* NULL: none running */
    struct loop_timer timeout;
    bool running;
    enum health_kind kind;
    char request[600], answer[ANSWER_BYTES + 1];
    size_t sent, got, rest;
    bool judged, good; /* the status line was received */
    char why[64];
};

static void end_sock(struct health_probe *p)
{
    int fd = p->sock.fd;

    loop_fd_del(p->app->core->loop, &p->sock);
    if (fd >= 0)
        (void)close(fd);
}

static void arm_next(struct app *a)
{
    const struct want *w = sets_want(a->core, a->seen.name);

    if (w && a->seen.box == BOX_RUNNING)
        loop_timer_set(a->core->loop, &a->probe_timer,
                       health_next_ms(&a->seen.health, &w->health, clock_boot_ms()));
}

static void sample(struct health_probe *p, bool ok, const char *why)
{
    struct app *a = p->app;
    const struct want *w = sets_want(a->core, a->seen.name);

    end_sock(p);
    loop_timer_del(a->core->loop, &p->timeout);
    p->running = false;
    if (!w || a->seen.box != BOX_RUNNING)
        return;
    enum health_state before = a->seen.health.state;
    health_judge(&a->seen.health, &w->health, ok, why, clock_boot_ms());
    if (a->seen.health.state != before) {
        if (a->seen.health.state == HEALTH_BAD)
            events_add(a->core, "health-bad", a->seen.name, "%s", a->seen.health.last);
        else if (before == HEALTH_BAD)
            events_add(a->core, "health-ok", a->seen.name, "its health check succeeds again");
        core_touch(a->core);
    }
    arm_next(a);
}

/* ---- exec ---- */

static void exec_done(void *arg, int status, const struct err *err)
{
    struct health_probe *p = arg;
    char why[64];

    p->exec = NULL;
    (void)str_fmt(why, sizeof(why), "the check %s %d",
                  WIFSIGNALED(status) ? "died of signal" : "ended with status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    sample(p, !err && WIFEXITED(status) && WEXITSTATUS(status) == 0, err ? err->msg : why);
}

static int start_check(struct health_probe *p, const struct want *w, struct err *err)
{
    struct box_exec x = {
        .console_fd = -1, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .own_group = "check"};
    const struct app_exec_calls calls = {.enter_ms = w->health.timeout_ms, .on_end = exec_done, .arg = p};

    return app_exec_start(p->app, w->health.exec, &x, &calls, &p->exec, err);
}

static void end_check(struct health_probe *p)
{
    if (p->exec)
        app_exec_stop(p->exec); /* with everything it started */
    p->exec = NULL;
}

/* ---- tcp and http ---- */

/* A program whose connection is closed while it writes may complain in its log. */
static void take_rest(struct health_probe *p, uint32_t events)
{
    char text[4096];
    ssize_t n = recv(p->sock.fd, text, sizeof(text), 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !(events & (EPOLLERR | EPOLLHUP)))
        return;
    p->rest += n > 0 ? (size_t)n : 0;
    if (n <= 0 || p->rest >= REST_BYTES)
        sample(p, p->good, p->why);
}

static void http_step(struct health_probe *p, uint32_t events)
{
    struct err err = ERR_INIT;
    size_t len = strlen(p->request);

    if (p->sent < len) {
        ssize_t n = send(p->sock.fd, p->request + p->sent, len - p->sent, MSG_NOSIGNAL);
        p->sent += n > 0 ? (size_t)n : 0;
        if (p->sent == len)
            err_ignore(loop_fd_mod(p->app->core->loop, &p->sock, EPOLLIN, &err));
        return;
    }
    if (p->judged) {
        take_rest(p, events);
        return;
    }
    ssize_t n = recv(p->sock.fd, p->answer + p->got, ANSWER_BYTES - p->got, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !(events & (EPOLLERR | EPOLLHUP)))
        return;
    p->got += n > 0 ? (size_t)n : 0;
    p->answer[p->got] = '\0';
    if (n > 0 && p->got < ANSWER_BYTES && !strchr(p->answer, '\n'))
        return;
    unsigned code = 0;
    bool http = sscanf(p->answer, "HTTP/1.%*1[01] %3u", &code) == 1;
    (void)str_fmt(p->why, sizeof(p->why), http ? "HTTP status %u" : "no HTTP answer", code);
    p->good = http && code >= 200 && code < 400;
    p->judged = http && n > 0;
    if (p->judged)
        loop_timer_set(p->app->core->loop, &p->timeout, clock_boot_ms() + REST_MS);
    else
        sample(p, p->good, p->why);
}

static void sock_ready(struct loop_fd *w, uint32_t events)
{
    struct health_probe *p = container_of(w, struct health_probe, sock);
    int e = 0;
    socklen_t len = sizeof(e);

    if (p->sent == 0 && (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 || e != 0)) {
        sample(p, false, strerror(e));
        return;
    }
    if (p->kind == HEALTH_TCP)
        sample(p, true, "");
    else
        http_step(p, events);
}

static int start_net(struct health_probe *p, const struct want *w, struct err *err)
{
    AUTO_FD int fd = -1;

    p->sent = p->got = p->rest = 0;
    p->judged = false;
    (void)str_fmt(p->request, sizeof(p->request),
                  "GET %s HTTP/1.0\r\nHost: localhost\r\nUser-Agent: limpet\r\nConnection: close\r\n\r\n",
                  w->health.path ? w->health.path : "/");
    int rc = box_tcp_connect(&p->app->box, w->health.port, &fd, err);
    if (rc == 0)
        rc = loop_fd_add(p->app->core->loop, &p->sock, fd, EPOLLOUT, err);
    if (rc == 0)
        (void)steal_fd(&fd);
    return rc;
}

/* ---- both ---- */

static void timed_out(struct loop_timer *t)
{
    struct health_probe *p = container_of(t, struct health_probe, timeout);

    end_check(p);
    if (p->judged) /* it keeps the connection open, which is fine */
        sample(p, p->good, p->why);
    else
        sample(p, false, "no answer in time");
}

static void fire(struct loop_timer *t)
{
    struct app *a = container_of(t, struct app, probe_timer);
    struct health_probe *p = a->probe;
    struct err err = ERR_INIT;
    const struct want *w = sets_want(a->core, a->seen.name);

    if (!p || p->running || !w || w->health.kind == HEALTH_NONE || a->seen.box != BOX_RUNNING)
        return;
    p->running = true;
    p->judged = false;
    p->kind = w->health.kind;
    loop_timer_set(a->core->loop, &p->timeout, clock_boot_ms() + w->health.timeout_ms);
    int rc = w->health.kind == HEALTH_EXEC ? start_check(p, w, &err) : start_net(p, w, &err);
    if (rc < 0)
        sample(p, false, err.msg);
}

void health_probe_start(struct app *a)
{
    if (!a->probe) {
        a->probe = mem_need_zero(sizeof(*a->probe));
        a->probe->app = a;
        a->probe->sock = (struct loop_fd){.fd = -1, .on_ready = sock_ready};
        a->probe->timeout.on_fire = timed_out;
    }
    a->probe_timer.on_fire = fire;
    arm_next(a);
}

void health_probe_stop(struct app *a)
{
    struct health_probe *p = a->probe;

    loop_timer_del(a->core->loop, &a->probe_timer);
    if (!p)
        return;
    end_sock(p);
    loop_timer_del(a->core->loop, &p->timeout);
    p->running = false;
    end_check(p);
}
