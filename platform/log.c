#include "platform/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syslog.h>
#include <sys/un.h>
#include <unistd.h>

/* The one process-wide setting: where every program's log goes. Set once at start. */
static struct {
    const char *who;
    enum log_level level;
    int prefix, syslog_fd;
    bool syslog;
    unsigned lost;
} log_to = {"", LOG_INFO_, 0, -1, false, 0};

/* A datagram socket to syslog; a hanging system does not block us. */
static void open_syslog(void)
{
    const struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};

    if (log_to.syslog_fd >= 0)
        (void)close(log_to.syslog_fd);
    log_to.syslog_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (log_to.syslog_fd >= 0 && connect(log_to.syslog_fd, (const struct sockaddr *)&a, sizeof(a)) < 0) {
        (void)close(log_to.syslog_fd);
        log_to.syslog_fd = -1;
    }
}

void log_init(const char *who, enum log_level level, int syslog_prefix)
{
    const char *where = getenv("LIMPET_LOG");

    log_to.who = who;
    log_to.level = level;
    log_to.prefix = syslog_prefix;
    log_to.syslog = where && strcmp(where, "syslog") == 0;
    if (log_to.syslog && log_to.syslog_fd < 0)
        open_syslog();
}

static bool to_syslog(enum log_level level, const char *line)
{
    char text[1100];
    int n = snprintf(text, sizeof(text), "<%d>limpet: %s", LOG_DAEMON | (int)level, line);

    if (log_to.syslog_fd < 0 ||
        (send(log_to.syslog_fd, text, (size_t)n, MSG_NOSIGNAL) < 0 && errno != EAGAIN))
        open_syslog(); /* it was restarted, or has just started */
    else
        return true;
    return log_to.syslog_fd >= 0 && send(log_to.syslog_fd, text, (size_t)n, MSG_NOSIGNAL) >= 0;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char line[1024];

    if (level > log_to.level)
        return;
    int n = log_to.prefix ? snprintf(line, sizeof(line), "<%d>%s: ", (int)level, log_to.who)
                          : snprintf(line, sizeof(line), "%s: ", log_to.who);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    va_end(ap);
    size_t len = strlen(line);
    for (size_t i = 0; i < len; i++) /* one message is one line, whatever a peer put into it */
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    if (log_to.syslog && to_syslog(level, line))
        return;
    line[len++] = '\n';
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&room, 1, 0) == 0) { /* a full pipe, a stopped terminal: logging never blocks us */
        log_to.lost++;
        return;
    }
    if (log_to.lost > 0) {
        (void)dprintf(STDERR_FILENO, "%s: %u lines of this log were lost: nobody read it\n", log_to.who,
                      log_to.lost);
        log_to.lost = 0;
    }
    ssize_t done = write(STDERR_FILENO, line, len); /* one write, so that lines of several processes do not
                                                     * mix */
    (void)done;
}
