/* cli_enter.c - `agentctl exec`. Our terminal is never passed in: a process left running in the container
 * could read what is typed later, write to it, and change its modes. A descriptor that is a terminal is
 * replaced by a pipe, or with -t all three by a new terminal, and bytes are copied until the agent reports
 * how the program ended. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

#include "agent/cli/cli.h"
#include "platform/fs.h"

#define FLOWS       3
#define PIPE_PIECES 32 /* of 4 KiB: more than a pipe holds, so a leftover process cannot hold us by a flood */

/* Bytes being copied from one descriptor to another; from -1: none. */
struct flow {
    int from, to;
    bool patient; /* `to` does not block: what it does not accept now waits for POLLOUT */
    bool closes;  /* `to` is ours, and closing it is the program's end of input */
    size_t have, at;
    char bytes[4096];
};
struct session {
    int theirs[3];    /* the program's descriptors */
    int given[FLOWS]; /* those of them that we made: closed once sent; -1 */
    struct flow flows[FLOWS];
    int master; /* -t: our side of its terminal, else -1 */
    bool raw;   /* our terminal is in raw mode */
    struct termios before;
    sigset_t ending; /* signals that end us or report a new terminal size */
};

static volatile sig_atomic_t got_signal, resized;

static void on_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else
        got_signal = number;
}

static void flow_end(struct flow *f)
{
    if (f->closes && f->to >= 0)
        (void)close(f->to);
    f->from = f->to = -1;
}

/* The program is gone or has closed its input, or our side has ended. */
static void flow_step(struct flow *f)
{
    ssize_t n;

    if (f->have == f->at) {
        n = read(f->from, f->bytes, sizeof(f->bytes));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            flow_end(f);
            return;
        }
        f->at = 0;
        f->have = (size_t)n;
    }
    if (!f->patient) {
        if (fs_write_full(f->to, buf_of(f->bytes + f->at, f->have - f->at), NULL) < 0)
            flow_end(f);
        f->at = f->have;
        return;
    }
    n = write(f->to, f->bytes + f->at, f->have - f->at);
    if (n > 0)
        f->at += (size_t)n;
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        flow_end(f);
}

/* What the program wrote before it ended is still in the pipe: show it, without waiting for processes it left
 * running. */
static void drain(struct session *s)
{
    for (unsigned i = 1; i < FLOWS; i++) {
        struct flow *f = &s->flows[i];
        struct pollfd p = {f->from, POLLIN, 0};
        for (unsigned n = 0; n < PIPE_PIECES && f->from >= 0 && poll(&p, 1, 0) > 0; n++)
            flow_step(f);
    }
}

static void follow_size(const struct session *s)
{
    struct winsize size;

    resized = 0;
    if (s->master >= 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        (void)ioctl(s->master, TIOCSWINSZ, &size);
}

/* Copy until the agent has answered, or a signal ends us. */
static void carry(struct session *s, int sock)
{
    sigset_t before;

    (void)sigprocmask(SIG_BLOCK, &s->ending, &before); /* delivered only while ppoll waits */
    while (!got_signal) {
        if (resized)
            follow_size(s);
        struct pollfd p[FLOWS + 1] = {{sock, POLLIN, 0}};
        for (unsigned i = 0; i < FLOWS; i++) {
            const struct flow *f = &s->flows[i];
            p[i + 1] =
                f->have == f->at ? (struct pollfd){f->from, POLLIN, 0} : (struct pollfd){f->to, POLLOUT, 0};
        }
        int n = ppoll(p, FLOWS + 1, NULL, &before);
        if (got_signal || (n < 0 && errno != EINTR))
            break;
        for (unsigned i = 0; n > 0 && i < FLOWS; i++)
            if (p[i + 1].revents)
                flow_step(&s->flows[i]);
        if (n > 0 && p[0].revents) {
            drain(s);
            break;
        }
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
}

static int pipe_for(struct session *s, int fd, struct err *err)
{
    int ends[2], in = fd == STDIN_FILENO;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, errno, "pipe");
    s->theirs[fd] = s->given[fd] = ends[in ? 0 : 1];
    s->flows[fd].from = in ? fd : ends[0];
    s->flows[fd].to = in ? ends[1] : fd;
    s->flows[fd].patient = s->flows[fd].closes = in;
    (void)fcntl(ends[in ? 1 : 0], F_SETFL, O_NONBLOCK);
    return 0;
}

static int use_pipes(struct session *s, struct err *err)
{
    for (int fd = 0; fd < 3; fd++)
        if (isatty(fd) && pipe_for(s, fd, err) < 0)
            return -(int)err->kind;
    return 0;
}

static int use_terminal(struct session *s, struct err *err)
{
    struct winsize size = {24, 80, 0, 0};
    struct termios raw;
    int slave;

    (void)ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
    if (tcgetattr(STDIN_FILENO, &s->before) < 0)
        return err_errno(err, errno, "-t: standard input is not a terminal");
    if (openpty(&s->master, &slave, NULL, &s->before, &size) < 0)
        return err_errno(err, errno, "open a terminal for the program");
    (void)fcntl(s->master, F_SETFD, FD_CLOEXEC);
    (void)fcntl(s->master, F_SETFL, O_NONBLOCK);
    s->theirs[0] = s->theirs[1] = s->theirs[2] = s->given[0] = slave;
    s->flows[0].from = STDIN_FILENO;
    s->flows[0].to = s->master;
    s->flows[0].patient = true;
    s->flows[1].from = s->master;
    s->flows[1].to = STDOUT_FILENO;
    raw = s->before;
    cfmakeraw(&raw);
    s->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    return 0;
}

/* A request's words end at an empty one, so a command with an empty argument needs another request, which an
 * older agent does not know: it reports that and starts nothing. */
static int send_request(const struct cli *c, const char *const *words, const int *fds, int *ret_sock,
                        bool *ret_packed, struct err *err)
{
    char AUTO_MEM *args = NULL;
    char count[16];
    size_t size = 0;
    unsigned n = 0;
    FILE *f = open_memstream(&args, &size);

    if (!f)
        return err_errno(err, errno, "memory");
    *ret_packed = false;
    for (; words[3 + n]; n++) {
        *ret_packed |= !words[3 + n][0];
        (void)fwrite(words[3 + n], 1, strlen(words[3 + n]) + 1, f);
    }
    if (fclose(f) != 0)
        return err_errno(err, errno, "memory");
    (void)str_fmt(count, sizeof(count), "%u", n);
    const char *packed[] = {"execv", words[1], words[2], count, NULL};
    return *ret_packed ? cli_send(c, packed, buf_of(args, size), fds, ret_sock, err)
                       : cli_send(c, words, buf_of(NULL, 0), fds, ret_sock, err);
}

static int end_code(const struct err *err, int rc)
{
    return rc == CLI_AGENT_DOWN        ? rc
           : err->kind == ERR_NOTFOUND ? 127
           : err->kind == ERR_DENIED   ? 126
                                       : CLI_EXEC_FAILED;
}

static int run(const struct cli *c, const char *const *words, struct session *s)
{
    struct err err = ERR_INIT;
    char AUTO_MEM *text = NULL;
    AUTO_FD int sock = -1;
    uint64_t code = CLI_EXEC_FAILED;
    bool packed = false;
    int rc = c->tty ? use_terminal(s, &err) : use_pipes(s, &err);

    if (rc == 0)
        rc = send_request(c, words, s->theirs, &sock, &packed, &err);
    for (unsigned i = 0; i < FLOWS; i++)
        if (s->given[i] >= 0)
            (void)close(s->given[i]);
    if (rc == 0) {
        carry(s, sock);
        rc = got_signal ? 0 : cli_receive(sock, &text, &err);
    }
    if (s->raw)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
    if (rc < 0 && packed && err.kind == ERR_UNSUPPORTED)
        rc = err_wrap(&err, "an older agent takes no empty arguments");
    if (rc < 0)
        return end_code(&err, cli_fail(c, &err));
    if (got_signal)
        return 128 + got_signal;
    (void)str_u64(text, 0, 255, &code);
    return (int)code;
}

int cli_enter(const struct cli *c)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
    const char *words[LIM_ARGS + 4] = {"exec", c->argc ? c->argv[0] : "", c->tty ? "1" : "0"};
    struct sigaction act = {.sa_handler = on_signal}, none = {.sa_handler = SIG_IGN};
    int from = c->argc > 1 && strcmp(c->argv[1], "--") == 0 ? 2 : 1;

    if (c->argc <= from || c->argc - from > LIM_ARGS) {
        term_print(stderr, "usage: agentctl exec [-t] APP -- COMMAND [ARG ...]\n");
        return CLI_USAGE;
    }
    for (int i = from; i < c->argc; i++)
        words[3 + i - from] = c->argv[i];
    (void)sigaction(SIGPIPE, &none, NULL); /* a program that does not read its input is not an error */
    (void)sigaction(SIGTTIN, &none, NULL); /* in the background: treated as end of input */
    struct session AUTO_MEM *s = mem_need_zero(sizeof(*s));
    s->master = -1;
    (void)sigemptyset(&s->ending);
    for (unsigned i = 0; i < COUNT_OF(ending); i++) {
        (void)sigaction(ending[i], &act, NULL);
        (void)sigaddset(&s->ending, ending[i]);
    }
    for (unsigned i = 0; i < FLOWS; i++) {
        s->theirs[i] = (int)i;
        s->given[i] = s->flows[i].from = s->flows[i].to = -1;
    }
    return run(c, words, s);
}
