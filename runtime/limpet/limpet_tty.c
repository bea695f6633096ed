/* limpet_tty.c - our own terminal in the foreground, relayed to a container's. See limpet_int.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>

#include "platform/fs.h"
#include "platform/sys.h"
#include "runtime/limpet/limpet_int.h"

int limpet_tty_open(struct limpet_tty *t, struct err *err)
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, t->pair) == 0
               ? 0
               : err_errno(err, errno, "socketpair");
}

void limpet_tty_close(struct limpet_tty *t)
{
    for (int i = 0; i < 2; i++)
        if (t->pair[i] >= 0)
            (void)close(steal_fd(&t->pair[i]));
}

static void copy_size(int master)
{
    struct winsize size;

    if (ioctl(0, TIOCGWINSZ, &size) == 0)
        (void)ioctl(master, TIOCSWINSZ, &size);
}

/* Copy bytes from one side to the other. False: that side has ended. */
static bool pass(int from, int to)
{
    uint8_t bytes[4096];
    ssize_t n = read(from, bytes, sizeof(bytes));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    return n > 0 && fs_write_full(to, buf_of(bytes, (size_t)n), NULL) == 0;
}

static void take_signals(int fd, int master, pid_t pid, int pidfd)
{
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGWINCH)
            copy_size(master);
        else if (info.ssi_signo != SIGCHLD)
            (void)sys_kill_fd(pidfd, pid, (int)info.ssi_signo);
    }
}

/* Its status once it has exited and all its output was copied. */
static int relay(int master, int signals, pid_t pid, int pidfd)
{
    struct pollfd p[3] = {
        {.fd = master, .events = POLLIN}, {.fd = signals, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    int status = 0;
    bool ended = false;

    for (;;) {
        pid_t got = ended ? 0 : waitpid(pid, &status, WNOHANG);
        ended = ended || got == pid || (got < 0 && errno != EINTR);
        if (poll(p, 3, ended ? 0 : -1) == 0 && ended)
            return status;
        if (p[0].revents && !pass(master, 1)) {
            p[0].fd = -1; /* the last process has closed the terminal */
            if (ended)
                return status;
        }
        if (p[1].revents)
            take_signals(signals, master, pid, pidfd);
        if (p[2].revents && !pass(0, master))
            p[2].fd = -1;
        if (ended && !p[0].revents)
            return status;
    }
}

int limpet_tty_run(struct limpet_tty *t, pid_t pid, int pidfd, struct err *err)
{
    struct termios before, raw;
    bool is_tty = tcgetattr(0, &before) == 0;
    AUTO_FD int master = sys_recv_fd(t->pair[0]);
    AUTO_FD int signals = -1;
    sigset_t all;
    int status;

    if (master < 0)
        return err_errno(err, errno, "terminal of the container");
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    copy_size(master);
    if (is_tty) {
        raw = before;
        cfmakeraw(&raw);
        (void)tcsetattr(0, TCSANOW, &raw);
    }
    status = relay(master, signals, pid, pidfd);
    if (is_tty)
        (void)tcsetattr(0, TCSADRAIN, &before);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
