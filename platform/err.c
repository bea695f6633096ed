#include "platform/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[ERR_KIND_COUNT_] = {
    [ERR_NONE] = "none",         [ERR_INVALID] = "invalid",   [ERR_INTEGRITY] = "integrity",
    [ERR_DENIED] = "denied",     [ERR_CONFLICT] = "conflict", [ERR_NOTFOUND] = "not-found",
    [ERR_NOSPACE] = "no-space",  [ERR_NOMEM] = "no-memory",   [ERR_IO] = "io",
    [ERR_NET] = "network",       [ERR_TIMEOUT] = "timeout",   [ERR_UNSUPPORTED] = "unsupported",
    [ERR_SOURCE] = "source",     [ERR_AGAIN] = "conflict",    [ERR_EXISTS] = "conflict",
    [ERR_OFFLINE] = "not-found", [ERR_USAGE] = "invalid",
};

/* errno -> kind; all others are IO. */
static const struct {
    int err_no;
    enum err_kind kind;
} errno_kinds[] = {
    {ENOENT, ERR_NOTFOUND},
    {ENOTDIR, ERR_NOTFOUND},
    {ESRCH, ERR_NOTFOUND},
    {ENOSPC, ERR_NOSPACE},
    {EDQUOT, ERR_NOSPACE},
    {EMFILE, ERR_NOSPACE},
    {ENFILE, ERR_NOSPACE},
    {ENOMEM, ERR_NOMEM},
    {EPERM, ERR_DENIED},
    {EACCES, ERR_DENIED},
    {EROFS, ERR_DENIED},
    {ELOOP, ERR_DENIED},
    {EXDEV, ERR_DENIED},
    {EEXIST, ERR_EXISTS},
    {EBUSY, ERR_CONFLICT},
    {EAGAIN, ERR_AGAIN},
    {ENOTEMPTY, ERR_CONFLICT},
    {ENOSYS, ERR_UNSUPPORTED},
    {EOPNOTSUPP, ERR_UNSUPPORTED},
    {EINVAL, ERR_INVALID},
    {ENAMETOOLONG, ERR_INVALID},
    {ETIMEDOUT, ERR_TIMEOUT},
    {ECONNREFUSED, ERR_NET},
    {ECONNRESET, ERR_NET},
    {EPIPE, ERR_NET},
    {ENETUNREACH, ERR_NET},
    {EHOSTUNREACH, ERR_NET},
    {ENOTCONN, ERR_NET},
};

__attribute__((format(printf, 2, 0))) static void format(struct err *err, const char *fmt, va_list ap)
{
    if (vsnprintf(err->msg, sizeof(err->msg), fmt, ap) < 0)
        err->msg[0] = '\0';
}

int(err_set)(struct err *err, enum err_kind kind, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        err->kind = kind;
        format(err, fmt, ap);
        va_end(ap);
    }
    return -(int)kind;
}

int(err_errno)(struct err *err, int err_no, const char *fmt, ...)
{
    enum err_kind kind = ERR_IO;

    for (unsigned i = 0; i < sizeof(errno_kinds) / sizeof(errno_kinds[0]); i++)
        if (errno_kinds[i].err_no == err_no)
            kind = errno_kinds[i].kind;
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        err->kind = kind;
        format(err, fmt, ap);
        va_end(ap);
        size_t len = strlen(err->msg);
        (void)snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", strerror(err_no));
    }
    return -(int)kind;
}

int(err_wrap)(struct err *err, const char *fmt, ...)
{
    if (!err)
        return -(int)ERR_IO;
    char old[ERR_MSG_BYTES];
    memcpy(old, err->msg, sizeof(old));
    va_list ap;
    va_start(ap, fmt);
    format(err, fmt, ap);
    va_end(ap);
    size_t len = strlen(err->msg);
    (void)snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", old);
    return -(int)err->kind;
}

const char *err_kind_name(enum err_kind kind)
{
    return (unsigned)kind < ERR_KIND_COUNT_ ? kind_names[kind] : "unknown";
}

enum err_kind err_kind_parse(const char *name)
{
    for (unsigned i = 1; i < ERR_KIND_COUNT_; i++)
        if (strcmp(kind_names[i], name) == 0)
            return (enum err_kind)i;
    return ERR_NONE;
}

bool err_may_retry(enum err_kind kind)
{
    static const bool retry[ERR_KIND_COUNT_] = {
        [ERR_IO] = true,      [ERR_NET] = true,   [ERR_TIMEOUT] = true,
        [ERR_NOSPACE] = true, [ERR_NOMEM] = true, [ERR_CONFLICT] = true,
        [ERR_SOURCE] = true,  [ERR_AGAIN] = true, [ERR_EXISTS] = true,
    };

    return (unsigned)kind < ERR_KIND_COUNT_ && retry[kind];
}
