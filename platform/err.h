/* err.h - how everything here fails.
 * A function returns 0 (or a count) on success and -kind on failure, and then has filled *err.
 * The error object belongs to the caller, needs no allocation and is wrapped with context on the way up.
 * Kinds are classes: they answer "may I try again?" (see err_may_retry). */
#ifndef PLATFORM_ERR_H
#define PLATFORM_ERR_H
#include <stdbool.h>

enum err_kind {
    ERR_NONE = 0,
    ERR_INVALID,     /* the input is wrong; the same input will fail again */
    ERR_INTEGRITY,   /* bytes are not what a digest or signature says */
    ERR_DENIED,      /* not allowed */
    ERR_CONFLICT,    /* somebody or something else holds or has changed it */
    ERR_NOTFOUND,    /* it is not there */
    ERR_NOSPACE,     /* disk, inodes or a fixed table are full */
    ERR_NOMEM,       /* memory */
    ERR_IO,          /* the machine failed us */
    ERR_NET,         /* the network or a peer failed us */
    ERR_TIMEOUT,     /* too late */
    ERR_UNSUPPORTED, /* this kernel, build or version cannot */
    ERR_SOURCE,  /* the source refuses, or gives something else: it may be repaired, another one may serve */
    ERR_AGAIN,   /* nothing there now, or no room: the descriptor says when */
    ERR_EXISTS,  /* what is to be made is there already */
    ERR_OFFLINE, /* the program that has to answer does not run */
    ERR_USAGE,   /* the command line is wrong */
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

/* On every prototype that returns an error: a caller looks at it, or drops it by err_ignore:
 * what is undone after another failure, what is tried where a default stands already, what its reader reads
 * leniently. */
#define NODISCARD __attribute__((warn_unused_result))
static inline void err_ignore(long rc)
{
    (void)rc;
}

/* Fill *err (NULL is fine) and return -kind. The message is cut at ERR_MSG_BYTES. */
int err_set(struct err *err, enum err_kind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same with errno: the kind follows errno (ENOSPC -> NOSPACE ...) and strerror is appended. */
int err_errno(struct err *err, int err_no, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Put "context: " before the message; returns -err->kind. err must hold an error. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What they return is below zero; said so that compilers and analysers know it where the result is used. */
static inline int err_below_zero_(int rc)
{
    if (rc >= 0)
        __builtin_unreachable();
    return rc;
}
#define err_set(...)   err_below_zero_((err_set)(__VA_ARGS__))
#define err_errno(...) err_below_zero_((err_errno)(__VA_ARGS__))
#define err_wrap(...)  err_below_zero_((err_wrap)(__VA_ARGS__))

/* "invalid", "no-space" ...; never NULL. This is what is sent and stored, so AGAIN, EXISTS, OFFLINE and USAGE
 * have the word of the older kind that peers know ("conflict", "not-found", "invalid"). err_kind_parse: the
 * inverse, for those four the older kind; ERR_NONE when unknown. */
const char *err_kind_name(enum err_kind kind);
enum err_kind err_kind_parse(const char *name);

/* True for IO, NET, TIMEOUT, NOSPACE, NOMEM, CONFLICT, SOURCE, AGAIN, EXISTS: the same try may go well
 * later. */
bool err_may_retry(enum err_kind kind);
#endif
