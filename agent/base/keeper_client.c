#include "agent/base/keeper_client.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/base/ctl_words.h"
#include "agent/core.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/msg.h"

#define HANDOVER_S 2 /* for each message from a core that hands over */

static const char *const kept_of_app[] = {"pid", "out", "err"};

void keeper_client_look(struct core *c)
{
    c->keeper.is_there = fcntl(KEEPER_FD, F_GETFD) >= 0;
}

/* ---- to the keeper ---- */

void keeper_client_say(struct core *c, const char *text, int fd)
{
    if (c->keeper.is_there) /* a lost keeper is detected by reading */
        err_ignore(msg_send(KEEPER_FD, buf_str(text), &fd, fd >= 0 ? 1 : 0, NULL));
}

void keeper_client_keep(struct core *c, const char *app, const char *what, int fd)
{
    char text[KEEPER_NAME_BYTES + 16];

    if (fd >= 0 && str_fmt(text, sizeof(text), "put app.%s.%s", app, what))
        keeper_client_say(c, text, fd);
}

void keeper_client_drop(struct core *c, const char *app, const char *what)
{
    char text[KEEPER_NAME_BYTES + 16];

    if (str_fmt(text, sizeof(text), "drop app.%s.%s", app, what))
        keeper_client_say(c, text, -1);
}

void keeper_client_good(struct core *c)
{
    keeper_client_say(c, "good", -1);
}

void keeper_client_leave(struct core *c)
{
    keeper_client_say(c, "again", -1);
    loop_stop(c->loop);
}

/* ---- from the keeper ---- */

static void note_exit(struct core *c, pid_t pid, int status)
{
    struct keeper_client *k = &c->keeper;

    if (k->n_exits == COUNT_OF(k->exits)) {
        memmove(&k->exits[0], &k->exits[1], (k->n_exits - 1) * sizeof(k->exits[0]));
        k->n_exits--;
    }
    k->exits[k->n_exits++] = (struct keeper_exit){pid, status};
    k->calls.on_exit(c, pid, status);
}

bool keeper_client_exit(const struct core *c, pid_t pid, int *ret_status)
{
    for (unsigned i = 0; i < c->keeper.n_exits; i++)
        if (c->keeper.exits[i].pid == pid) {
            *ret_status = c->keeper.exits[i].status;
            return true;
        }
    return false;
}

int keeper_client_kept(const struct core *c, const char *app, const char *what)
{
    const struct keeper_client *k = &c->keeper;
    char name[KEEPER_NAME_BYTES + 16];

    (void)str_fmt(name, sizeof(name), "app.%s.%s", app, what);
    for (unsigned i = 0; i < k->n_kept; i++)
        if (strcmp(k->kept_names[i], name) == 0)
            return fcntl(k->kept[i], F_DUPFD_CLOEXEC, 3);
    return -1;
}

static void ready(struct core *c, uint64_t cores_before)
{
    struct keeper_client *k = &c->keeper;

    k->cores_before = cores_before;
    k->ready = true;
    k->calls.on_ready(c);
    while (k->n_kept > 0)
        (void)close(k->kept[--k->n_kept]);
    core_touch(c);
}

static void hear(struct core *c, char *text, const int *fds, unsigned n_fds)
{
    struct keeper_client *k = &c->keeper;
    int pid, status;
    unsigned long long starts;
    unsigned pace = KEEPER_PACE_MIN_MS;

    if (strncmp(text, "fd ", 3) == 0 && n_fds == 1 && k->n_kept < LIM_STORED_FDS) {
        k->kept[k->n_kept] = fds[0];
        (void)str_copy(k->kept_names[k->n_kept++], KEEPER_NAME_BYTES, text + 3);
        return;
    }
    for (unsigned i = 0; i < n_fds; i++)
        (void)close(fds[i]);
    if (sscanf(text, "exit %d %d", &pid, &status) == 2)
        note_exit(c, pid, status);
    else if (sscanf(text, "ready %llu %u", &starts, &pace) >= 1) {
        k->pace_ms = pace;
        ready(c, starts);
    }
}

/* The keeper is gone and nothing would start a successor: keep running, so that no pipe of a box closes,
 * until the next agentd asks. */
static void lost(struct core *c)
{
    log_error("the keeper is gone; this core continues until agentd is restarted");
    loop_fd_del(c->loop, &c->keeper.sock);
    (void)close(KEEPER_FD);
    c->keeper.is_there = false;
    core_touch(c);
}

static void readable(struct loop_fd *w, uint32_t events)
{
    struct core *c = container_of(w, struct core, keeper.sock);
    char text[KEEPER_NAME_BYTES + 16];
    int fds[LIM_MSG_FDS];
    unsigned n_fds = 0;
    size_t len = 0;

    (void)events;
    for (;;) {
        int rc = msg_recv(KEEPER_FD, text, sizeof(text) - 1, &len, fds, &n_fds, NULL);
        if (rc == 1) {
            text[len] = '\0';
            hear(c, text, fds, n_fds);
        } else if (rc == 0) {
            lost(c);
            return;
        } else if (rc != -(int)ERR_INVALID) {
            return;
        }
    }
}

int keeper_client_open(struct core *c, const struct keeper_client_calls *calls, struct err *err)
{
    struct keeper_client *k = &c->keeper;

    k->calls = *calls;
    k->sock = (struct loop_fd){.fd = -1, .on_ready = readable};
    k->pace_ms = KEEPER_PACE_MIN_MS;
    if (!k->is_there)
        return 0;
    (void)fcntl(KEEPER_FD, F_SETFL, O_NONBLOCK);
    (void)fcntl(KEEPER_FD, F_SETFD, FD_CLOEXEC);
    return loop_fd_add(c->loop, &k->sock, KEEPER_FD, EPOLLIN, err);
}

void keeper_client_alone(struct core *c)
{
    if (!c->keeper.is_there)
        ready(c, 0);
}

/* ---- from core to core ---- */

int keeper_client_hand_over(struct core *c, int sock_fd, struct err *err)
{
    char text[KEEPER_NAME_BYTES + 16];

    if (c->keeper.is_there)
        return err_set(err, ERR_DENIED, "this agent has a keeper; end it first");
    for (unsigned i = 0; i < LIM_APPS; i++)
        for (unsigned k = 0; k < COUNT_OF(kept_of_app); k++) {
            const struct app *a = &c->apps[i];
            const int fds[] = {a->pidfd, a->out_fd, a->err_fd};
            if (a->used && a->seen.box != BOX_NONE && fds[k] >= 0 &&
                str_fmt(text, sizeof(text), "=fd app.%s.%s", a->seen.name, kept_of_app[k]))
                err_ignore(msg_send(sock_fd, buf_str(text), &fds[k], 1, NULL));
        }
    log_info("handing over to the next core");
    loop_stop(c->loop);
    return 0;
}

void keeper_client_ask(struct core *c)
{
    const struct timeval patience = {HANDOVER_S, 0};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    uint64_t end = clock_boot_ms() + HANDOVER_S * 2000;
    char text[KEEPER_NAME_BYTES + 16];
    int fds[LIM_MSG_FDS];
    unsigned n_fds = 0;
    size_t len = 0;

    (void)str_fmt(a.sun_path, sizeof(a.sun_path), "%s/%s", c->config.run_dir, CTL_SOCKET);
    AUTO_FD int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
        setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
        connect(sock, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        msg_send(sock, buf_of("handover", 9), NULL, 0, NULL) < 0)
        return;
    while (clock_boot_ms() < end && msg_recv(sock, text, sizeof(text) - 1, &len, fds, &n_fds, NULL) == 1 &&
           text[0] == '=') {
        text[len] = '\0';
        hear(c, text + 1, fds, n_fds);
    }
}
