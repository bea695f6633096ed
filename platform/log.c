#include "platform/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The one process-wide setting: where every program's log goes. Set once at start. */
static struct {
    const char *who;
    enum log_level level;
    int prefix;
    unsigned lost;
} log_to = {"", LOG_INFO_, 0, 0};

void log_init(const char *who, enum log_level level, int syslog_prefix)
{
    log_to.who = who;
    log_to.level = level;
    log_to.prefix = syslog_prefix;
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
    line[len++] = '\n';
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&room, 1, 0) == 0) { /* a full pipe, a terminal that was stopped: nobody's log stops us */
        log_to.lost++;
        return;
    }
    if (log_to.lost > 0) {
        (void)dprintf(STDERR_FILENO, "%s: %u lines of this log were lost: nobody read it\n", log_to.who,
                      log_to.lost);
        log_to.lost = 0;
    }
    ssize_t done = write(STDERR_FILENO, line, len); /* one write: lines of several processes do not mix */
    (void)done;
}
