/* err.h - error handling in the whole project.
 * A function returns 0 (or a count) on success and -kind on failure, and then has filled *err.
 * The error object belongs to the caller, needs no allocation and is wrapped with context on the way up.
 * Kinds are classes: they answer "may I retry?" (see err_may_retry). */
#ifndef PLATFORM_ERR_H
#define PLATFORM_ERR_H
#include <stdbool.h>

enum err_kind {
    ERR_NONE = 0,
    ERR_INVALID,     /* the input is invalid; the same input will fail again */
    ERR_INTEGRITY,   /* bytes do not match a digest or signature */
    ERR_DENIED,      /* not allowed */
    ERR_CONFLICT,    /* something else holds it or has changed it */
    ERR_NOTFOUND,    /* it does not exist */
    ERR_NOSPACE,     /* disk, inodes or a fixed-size table are full */
    ERR_NOMEM,       /* out of memory */
    ERR_IO,          /* the machine failed */
    ERR_NET,         /* the network or a peer failed */
    ERR_TIMEOUT,     /* too late */
    ERR_UNSUPPORTED, /* not supported by this kernel, build or version */
    ERR_SOURCE,      /* the source refuses, or sends something else: it may be repaired, or another one may
                  * work */
    ERR_AGAIN,       /* nothing available now, or no room: poll the descriptor */
    ERR_EXISTS,      /* what should be created exists already */
    ERR_OFFLINE,     /* the program that must answer is not running */
    ERR_USAGE,       /* the command line is wrong */
    ERR_KIND_COUNT_
};

#define ERR_MSG_BYTES 400

struct err {
    enum err_kind kind;
    char msg[ERR_MSG_BYTES];
};

#define ERR_INIT         \
    (struct err)         \
    {                    \
        .kind = ERR_NONE \
    }

/* On every prototype that returns an error: the caller checks it, or ignores it with err_ignore: cleanup
 * after another failure, attempts where a default is already set, input that its reader parses leniently. */
#define NODISCARD __attribute__((warn_unused_result))
static inline void err_ignore(long rc)
{
    (void)rc;
}

/* Fill *err (may be NULL) and return -kind. The message is truncated to ERR_MSG_BYTES. */
int err_set(struct err *err, enum err_kind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same with errno: the kind is derived from errno (ENOSPC -> NOSPACE ...) and strerror is appended. */
int err_errno(struct err *err, int err_no, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Prepend "context: " to the message; returns -err->kind. err must hold an error. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The return value is negative; this lets compilers and analysers know it at the call. */
static inline int err_below_zero_(int rc)
{
    if (rc >= 0)
        __builtin_unreachable();
    return rc;
}
#define err_set(...)   err_below_zero_((err_set)(__VA_ARGS__))
#define err_errno(...) err_below_zero_((err_errno)(__VA_ARGS__))
#define err_wrap(...)  err_below_zero_((err_wrap)(__VA_ARGS__))

/* "invalid", "no-space" ...; never NULL. These names are sent and stored, so AGAIN, EXISTS, OFFLINE and USAGE
 * have the name of the older kind that peers know ("conflict", "not-found", "invalid"). err_kind_parse: the
 * inverse, for those four the older kind; ERR_NONE if unknown. */
const char *err_kind_name(enum err_kind kind);
enum err_kind err_kind_parse(const char *name);

/* True for IO, NET, TIMEOUT, NOSPACE, NOMEM, CONFLICT, SOURCE, AGAIN, EXISTS: a retry may succeed later. */
bool err_may_retry(enum err_kind kind);
#endif
